/**
 * What nodes say to each other about collecting tombstones: plain values for the binary JSON of links, numbers packed in
 * bytes, and the strict parsing of what comes in. Must never decide, and never throw on any value.
 *
 * Partitions: u16 each. Looks, big-endian: partition u16, slot of the asker u8, slot of the asked u8, root u64. Marks:
 * partition u16, floor noted u64, floor reaped u64, expiry reaped u64. Listed keys: hash u64, digest u64, length u16, key.
 */
import { MAX_COLLECT_PARTITIONS, MAX_PARTITIONS } from "../base/limits.ts";
import type { CollectAnswer, CollectQuestion, LookPair, LookVerdict } from "./collect-core.ts";
import type { CollectMark } from "./collect-floors-core.ts";

/** Topics of the links. */
export const COLLECT_TOPIC = "collect";
export const FLOORS_TOPIC = "collect.floors";
export const CATCH_UP_TOPIC = "collect.catch-up";

const LOOK_BYTES = 12;
const MARK_BYTES = 26;
const VERDICTS: readonly LookVerdict[] = ["equal", "differs", "not_held", "suspect", "moving", "behind", "later"];
const LISTS = ["hints", "note", "reap"] as const;

type Fields = Readonly<Record<string, unknown>>;

/** What a question of a round is asked under. */
export interface RoundFrame {
  readonly mark: CollectMark;
  /** equal on two nodes that know the same members */
  readonly members: string;
  /** equal on two nodes whose buckets leave the same slots empty */
  readonly rules: bigint;
}

/** One look, with the asker's root of what both should have. */
export interface LookItem extends LookPair {
  readonly root: bigint;
}

/** A question as it comes in. */
export type AskedQuestion =
  | { readonly kind: "promise" }
  | { readonly kind: "hints" | "note" | "reap"; readonly partitions: readonly number[] }
  | { readonly kind: "look"; readonly items: readonly LookItem[] };

/** The body of a question; a look comes with its roots. */
export function encodeQuestion(
  frame: RoundFrame,
  question: Exclude<CollectQuestion, { kind: "look" }> | { readonly kind: "look"; readonly items: readonly LookItem[] },
): Fields {
  const { mark, members, rules } = frame;
  const shared = { kind: question.kind, floor: mark.floor, expiryMs: mark.expiryMs, members, rules: hexOf(rules) };
  if (question.kind === "promise") return shared;
  if (question.kind === "look") return { ...shared, items: encodeItems(question.items) };
  return { ...shared, partitions: encodePartitions(question.partitions) };
}

/** The question in a body, or undefined. */
export function parseQuestion(
  body: unknown,
): { readonly frame: RoundFrame; readonly question: AskedQuestion } | undefined {
  const fields = fieldsOf(body);
  const frame = fields === undefined ? undefined : parseFrame(fields);
  if (fields === undefined || frame === undefined) return undefined;
  if (fields["kind"] === "promise") return { frame, question: { kind: "promise" } };
  if (fields["kind"] === "look") {
    const items = parseItems(fields["items"]);
    return items === undefined ? undefined : { frame, question: { kind: "look", items } };
  }
  const kind = LISTS.find((known) => known === fields["kind"]);
  const partitions = parsePartitions(fields["partitions"]);
  return kind === undefined || partitions === undefined ? undefined : { frame, question: { kind, partitions } };
}

/** The body of an answer. */
export function encodeAnswer(answer: CollectAnswer): Fields {
  switch (answer.kind) {
    case "promised":
    case "refused":
      return answer;
    case "looked":
      return { kind: answer.kind, verdicts: Uint8Array.from(answer.verdicts, (one) => VERDICTS.indexOf(one)) };
    case "hints":
    case "noted":
    case "reaped":
      return { kind: answer.kind, partitions: encodePartitions(answer.partitions) };
  }
}

/** The answer in a body, or undefined. */
export function parseAnswer(body: unknown): CollectAnswer | undefined {
  const fields = fieldsOf(body);
  if (fields === undefined) return undefined;
  const kind = (["promised", "refused", "looked", "hints", "noted", "reaped"] as const).find(
    (known) => known === fields["kind"],
  );
  switch (kind) {
    case undefined:
      return undefined;
    case "promised":
      return { kind };
    case "refused":
      return { kind, reason: String(fields["reason"]).slice(0, 200) };
    case "looked": {
      const bytes = bufferOf(fields["verdicts"]);
      if (bytes === undefined || bytes.length > MAX_COLLECT_PARTITIONS) return undefined;
      return { kind, verdicts: Array.from(bytes, (one) => VERDICTS[one] ?? "differs") };
    }
    case "hints":
    case "noted":
    case "reaped": {
      const partitions = parsePartitions(fields["partitions"]);
      return partitions === undefined ? undefined : { kind, partitions };
    }
  }
}

/** What a node tells of its own marks. */
export interface ToldMarks {
  /** changes with every change of a mark, and with every start */
  readonly version: string;
  /** it mints only above this */
  readonly promised: number;
  /** it knows what it must mint above: it has heard others itself */
  readonly isOpen: boolean;
  /** equal on two nodes whose buckets leave the same slots empty */
  readonly rules: bigint;
  /** undefined: as told before */
  readonly marks: readonly ToldMark[] | undefined;
}

/** The marks of a partition of which a node holds a slot. */
export interface ToldMark {
  readonly partition: number;
  /** up to where what it holds may be believed; 0: it is in doubt, or took no part */
  readonly floor: number;
  readonly reaped: CollectMark;
}

/** The body that tells marks. */
export function encodeMarks(told: ToldMarks): Fields {
  const { version, promised, isOpen, marks } = told;
  const shared = { version, promised, isOpen, rules: hexOf(told.rules) };
  if (marks === undefined) return shared;
  const bytes = Buffer.alloc(marks.length * MARK_BYTES);
  for (const [index, { partition, floor, reaped }] of marks.entries()) {
    const at = bytes.writeUInt16BE(partition, index * MARK_BYTES);
    bytes.writeBigUInt64BE(BigInt(floor), at);
    bytes.writeBigUInt64BE(BigInt(reaped.floor), at + 8);
    bytes.writeBigUInt64BE(BigInt(reaped.expiryMs), at + 16);
  }
  return { ...shared, marks: bytes };
}

/** The marks in a body, or undefined. */
export function parseMarks(body: unknown): ToldMarks | undefined {
  const fields = fieldsOf(body);
  const version = fields?.["version"];
  const promised = countOf(fields?.["promised"]);
  const rules = parseHex(fields?.["rules"]);
  if (fields === undefined || typeof version !== "string" || promised === undefined) return undefined;
  if (rules === undefined) return undefined;
  const shared = { version, promised, isOpen: fields["isOpen"] === true, rules };
  if (fields["marks"] === undefined) return { ...shared, marks: undefined };
  const bytes = bufferOf(fields["marks"]);
  if (bytes === undefined || bytes.length % MARK_BYTES !== 0 || bytes.length > MAX_PARTITIONS * MARK_BYTES) {
    return undefined;
  }
  const marks = Array.from({ length: bytes.length / MARK_BYTES }, (_, index) => {
    const at = index * MARK_BYTES;
    const numberAt = (offset: number): number => Number(bytes.readBigUInt64BE(at + offset));
    return {
      partition: bytes.readUInt16BE(at),
      floor: numberAt(2),
      reaped: { floor: numberAt(10), expiryMs: numberAt(18) },
    };
  });
  return { ...shared, marks };
}

/** The 16 hex digits of an unsigned 64-bit number. */
export function hexOf(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

/** The number in 16 hex digits, or undefined. */
export function parseHex(value: unknown): bigint | undefined {
  return typeof value === "string" && /^[0-9a-f]{16}$/.test(value) ? BigInt(`0x${value}`) : undefined;
}

/** The fields of a plain record, or undefined. */
export function fieldsOf(value: unknown): Fields | undefined {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  return isRecord && !(value instanceof Uint8Array) ? (value as Fields) : undefined;
}

/** A whole number ≥ 0, or undefined. */
export function countOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** The bytes, or undefined. */
export function bufferOf(value: unknown): Buffer | undefined {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

function parseFrame(fields: Fields): RoundFrame | undefined {
  const floor = countOf(fields["floor"]);
  const expiryMs = countOf(fields["expiryMs"]);
  const rules = parseHex(fields["rules"]);
  const members = fields["members"];
  if (floor === undefined || expiryMs === undefined || rules === undefined || typeof members !== "string") {
    return undefined;
  }
  return { mark: { floor, expiryMs }, members, rules };
}

function encodePartitions(partitions: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(partitions.length * 2);
  for (const [index, partition] of partitions.entries()) bytes.writeUInt16BE(partition, index * 2);
  return bytes;
}

function parsePartitions(value: unknown): readonly number[] | undefined {
  const bytes = bufferOf(value);
  if (bytes === undefined || bytes.length % 2 !== 0 || bytes.length > MAX_COLLECT_PARTITIONS * 2) return undefined;
  return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16BE(index * 2));
}

function encodeItems(items: readonly LookItem[]): Uint8Array {
  const bytes = Buffer.alloc(items.length * LOOK_BYTES);
  for (const [index, { partition, ownSlot, peerSlot, root }] of items.entries()) {
    let at = bytes.writeUInt16BE(partition, index * LOOK_BYTES);
    at = bytes.writeUInt8(ownSlot, at);
    at = bytes.writeUInt8(peerSlot, at);
    bytes.writeBigUInt64BE(root, at);
  }
  return bytes;
}

function parseItems(value: unknown): readonly LookItem[] | undefined {
  const bytes = bufferOf(value);
  if (bytes === undefined || bytes.length % LOOK_BYTES !== 0) return undefined;
  if (bytes.length > MAX_COLLECT_PARTITIONS * LOOK_BYTES) return undefined;
  return Array.from({ length: bytes.length / LOOK_BYTES }, (_, index) => {
    const at = index * LOOK_BYTES;
    return {
      partition: bytes.readUInt16BE(at),
      ownSlot: bytes.readUInt8(at + 2),
      peerSlot: bytes.readUInt8(at + 3),
      root: bytes.readBigUInt64BE(at + 4),
    };
  });
}
