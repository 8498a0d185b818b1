/** What an owner answers to a forwarded write, as plain data: answer ⇄ body. Must never guess: malformed is undefined. */
import type { ErrorCode } from "../base/errors.ts";
import { type NodeId, parseNodeId } from "../base/ids.ts";
import type { Acks, Explain, Failure, ReplicaReport, WriteAnswer } from "./contract.ts";
import {
  type PlainRecord,
  parseArray,
  parseContext,
  parseCount,
  parseDot,
  parseNumber,
  parseRecord,
  parseText,
  parseWord,
  plainContext,
  plainDot,
} from "./plain-values.ts";

/** Codes that a write can fail with: others are no answer to a forwarded write. */
export const WRITE_CODES: readonly ErrorCode[] = [
  "invalid_request",
  "quorum_exceeds_n",
  "value_too_large",
  "too_many_siblings",
  "context_required",
  "overloaded",
  "quorum_not_met",
  "not_ready",
  "shutting_down",
  "disk_full",
  "internal_error",
];

const NO_FIELDS: PlainRecord = {};

/** The body for an answer. */
export function plainAnswer(answer: WriteAnswer): PlainRecord {
  if (answer.kind === "failed") return { ...answer };
  return { ...answer, context: plainContext(answer.context), dot: plainDot(answer.dot) };
}

/** The answer in a body, or undefined. */
export function parseAnswer(body: unknown): WriteAnswer | undefined {
  const record = parseRecord(body);
  if (record === undefined) return undefined;
  const kind = parseWord(record["kind"], ["applied", "failed"]);
  if (kind === "failed") return parseFailure(record);
  const context = parseContext(record["context"]);
  const dot = parseDot(record["dot"]);
  const siblingCount = parseCount(record["siblingCount"], 0);
  const acks = parseAcks(record["acks"]);
  if (kind === undefined || context === undefined || dot === undefined) return undefined;
  if (siblingCount === undefined || acks === undefined) return undefined;
  const explain = parseExplain(record["explain"]);
  const expiresAtMs = parseCount(record["expiresAtMs"], 1);
  return {
    kind,
    context,
    dot,
    siblingCount,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    acks,
    ...(explain === undefined ? {} : { explain }),
  };
}

function parseFailure(record: PlainRecord): Failure | undefined {
  const code = parseWord(record["code"], WRITE_CODES);
  const outcome = parseWord(record["outcome"], ["not_applied", "unknown"]);
  const detail = parseText(record["detail"]);
  if (code === undefined || outcome === undefined || detail === undefined) return undefined;
  const required = parseCount(record["required"], 0);
  const received = parseCount(record["received"], 0);
  const replicas = record["replicas"] === undefined ? undefined : parseReports(record["replicas"]);
  const facts = parseRecord(record["facts"]);
  const explain = parseExplain(record["explain"]);
  return {
    kind: "failed",
    code,
    outcome,
    retryable: record["retryable"] === true,
    detail,
    ...(required === undefined ? {} : { required }),
    ...(received === undefined ? {} : { received }),
    ...(replicas === undefined ? {} : { replicas }),
    ...(facts === undefined ? {} : { facts }),
    ...(explain === undefined ? {} : { explain }),
  };
}

function parseAcks(value: unknown): Acks | undefined {
  const record = parseRecord(value) ?? NO_FIELDS;
  const required = parseCount(record["required"], 1);
  const received = parseCount(record["received"], 0);
  const owners = parseCount(record["owners"], 0);
  const fallbacks = parseCount(record["fallbacks"], 0);
  const durable = parseCount(record["durable"], 0);
  if (required === undefined || received === undefined || owners === undefined) return undefined;
  if (fallbacks === undefined || durable === undefined) return undefined;
  return { required, received, owners, fallbacks, durable };
}

function parseReports(value: unknown): readonly ReplicaReport[] {
  return (parseArray(value) ?? []).map(parseReport).filter((report) => report !== undefined);
}

function parseReport(value: unknown): ReplicaReport | undefined {
  const record = parseRecord(value) ?? NO_FIELDS;
  const node = parseNode(record["node"]);
  const role = parseWord(record["role"], ["owner", "fallback"]);
  const slot = parseCount(record["slot"], -1);
  const zone = parseText(record["zone"]);
  const asked = parseWord(record["asked"], ["object", "digest", "store", "nothing"]);
  const answer = parseText(record["answer"]);
  if (node === undefined || role === undefined || slot === undefined) return undefined;
  if (zone === undefined || asked === undefined || answer === undefined) return undefined;
  const digest = parseText(record["digest"]);
  const askedAfterMs = parseNumber(record["askedAfterMs"], 0);
  const latencyMs = parseNumber(record["latencyMs"], 0);
  return {
    node,
    role,
    slot,
    zone,
    asked,
    answer,
    ...(digest === undefined ? {} : { digest }),
    ...(askedAfterMs === undefined ? {} : { askedAfterMs }),
    ...(latencyMs === undefined ? {} : { latencyMs }),
    hint: record["hint"] === true,
  };
}

function parseExplain(value: unknown): Explain | undefined {
  const record = parseRecord(value) ?? NO_FIELDS;
  const partition = parseCount(record["partition"], 0);
  const ringHash = parseText(record["ringHash"]);
  const coordinator = parseNode(record["coordinator"]);
  if (partition === undefined || ringHash === undefined || coordinator === undefined) return undefined;
  return {
    partition,
    ringHash,
    coordinator,
    replicas: parseReports(record["replicas"]),
    repaired: (parseArray(record["repaired"]) ?? []).map(parseNode).filter((node) => node !== undefined),
    hedged: record["hedged"] === true,
  };
}

function parseNode(value: unknown): NodeId | undefined {
  return parseNodeId(parseText(value) ?? "");
}
