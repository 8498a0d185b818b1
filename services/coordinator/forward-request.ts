/** A write handed to an owner, as plain data: request ⇄ body of the topic `coordinate`. Must never send anything. */
import { parseBucketName } from "../base/ids.ts";
import {
  MAX_CONTENT_TYPE_BYTES,
  MAX_KEY_BYTES,
  MAX_REPLICAS,
  MAX_TIMEOUT_MS,
  MAX_TTL_SECONDS,
  MAX_VALUE_BYTES,
} from "../base/limits.ts";
import { parseTraceId } from "../base/trace.ts";
import type { CausalContext } from "../versioning/types.ts";
import type { DeleteRequest, KeyName, Knobs, PutRequest, QuorumLevel } from "./contract.ts";
import {
  type PlainRecord,
  parseBytes,
  parseContext,
  parseCount,
  parseNumber,
  parseRecord,
  parseText,
  parseWord,
  plainContext,
} from "./plain-values.ts";

/** The topic of the peer request that carries a forwarded write. */
export const COORDINATE_TOPIC = "coordinate";

/** A write as the coordinator was asked for it. */
export type WriteRequest = ({ readonly op: "put" } & PutRequest) | ({ readonly op: "delete" } & DeleteRequest);

/** How an owner refuses a write that others had better take: because it may lack what they have, or knows of no ring yet. */
export const NOT_YET = "not_ready";

/** How a write is handed over. */
export interface HandOverTerms {
  /** what is left of the request's time */
  readonly timeoutMs: number;
  /** an owner that may lack what others have takes it, too: nobody else does */
  readonly takesBehind: boolean;
}

/** The body for a write. */
export function plainWrite(request: WriteRequest, { timeoutMs, takesBehind }: HandOverTerms): PlainRecord {
  const { knobs } = request;
  const common = {
    op: request.op,
    takesBehind,
    bucket: request.name.bucket,
    key: request.name.key,
    context: request.context === undefined ? null : plainContext(request.context),
    w: knobs.w ?? null,
    pw: knobs.pw ?? null,
    sloppy: knobs.sloppy,
    explain: knobs.explain,
    timeoutMs,
    ...(knobs.trace === undefined ? {} : { trace: knobs.trace }),
  };
  if (request.op === "delete") return common;
  const { contentType, bytes, blind, ttlSeconds } = request;
  // Seconds, never a date: only the clock of the node that mints decides when the value is gone.
  return { ...common, contentType, bytes, blind: blind ?? null, ttlSeconds: ttlSeconds ?? null };
}

/** Whether an owner that may lack what others have takes the write in the body. */
export function mayTakeBehind(body: unknown): boolean {
  return parseRecord(body)?.["takesBehind"] === true;
}

/** The write in a body, or undefined when it is malformed or beyond the limits of clients. */
export function parseWrite(body: unknown): WriteRequest | undefined {
  const record = parseRecord(body);
  const name = record === undefined ? undefined : parseName(record);
  const knobs = record === undefined ? undefined : parseKnobs(record);
  if (record === undefined || name === undefined || knobs === undefined) return undefined;
  const context = parseOptionalContext(record["context"]);
  if (context === "malformed") return undefined;
  const op = parseWord(record["op"], ["put", "delete"]);
  if (op === undefined) return undefined;
  const shared = { name, knobs, context };
  if (op === "delete") return { op, ...shared };
  const value = parsePutValue(record);
  return value === undefined ? undefined : { op, ...shared, ...value };
}

type PutValue = Pick<PutRequest, "contentType" | "bytes" | "blind" | "ttlSeconds">;

function parsePutValue(record: PlainRecord): PutValue | undefined {
  const contentType = parseText(record["contentType"]);
  const bytes = parseBytes(record["bytes"]);
  if (contentType === undefined || bytes === undefined) return undefined;
  if (contentType.length > MAX_CONTENT_TYPE_BYTES || bytes.length > MAX_VALUE_BYTES) return undefined;
  const blind = parseWord(record["blind"], ["overwrite", "sibling", "reject"]);
  const ttlSeconds = parseTtl(record["ttlSeconds"]);
  if (ttlSeconds === "malformed") return undefined;
  const value = blind === undefined ? { contentType, bytes } : { contentType, bytes, blind };
  return ttlSeconds === undefined ? value : { ...value, ttlSeconds };
}

function parseName(record: PlainRecord): KeyName | undefined {
  const bucket = parseBucketName(parseText(record["bucket"]) ?? "");
  const key = parseBytes(record["key"]);
  if (bucket === undefined || key === undefined || key.length < 1 || key.length > MAX_KEY_BYTES) return undefined;
  return { bucket, key };
}

function parseKnobs(record: PlainRecord): Knobs | undefined {
  const timeoutMs = parseNumber(record["timeoutMs"], 0);
  const w = parseLevel(record["w"]);
  const pw = parseLevel(record["pw"]);
  if (timeoutMs === undefined || timeoutMs > MAX_TIMEOUT_MS || w === "malformed" || pw === "malformed") {
    return undefined;
  }
  const trace = parseTraceId(parseText(record["trace"]) ?? "");
  return {
    sloppy: record["sloppy"] === true,
    explain: record["explain"] === true,
    timeoutMs,
    ...(trace === undefined ? {} : { trace }),
    ...(w === undefined ? {} : { w }),
    ...(pw === undefined ? {} : { pw }),
  };
}

function parseTtl(value: unknown): number | undefined | "malformed" {
  if (value === null || value === undefined) return undefined;
  const seconds = parseCount(value, 0);
  return seconds === undefined || seconds > MAX_TTL_SECONDS ? "malformed" : seconds;
}

function parseLevel(value: unknown): QuorumLevel | undefined | "malformed" {
  if (value === null || value === undefined) return undefined;
  const count = parseCount(value, 1);
  if (count !== undefined && count <= MAX_REPLICAS) return count;
  const name: QuorumLevel | undefined = parseWord<"one" | "quorum" | "all">(value, ["one", "quorum", "all"]);
  return name ?? "malformed";
}

function parseOptionalContext(value: unknown): CausalContext | undefined | "malformed" {
  if (value === null || value === undefined) return undefined;
  return parseContext(value) ?? "malformed";
}
