/**
 * Record codec: records and removals as plain values, for links and for the document "members". Parsing is strict, bounded and never throws: what came from another node, or from a disk, is not trusted.
 */
import { xxh64 } from "../base/hash.ts";
import { parseNodeId } from "../base/ids.ts";
import { MAX_MEMBERS } from "../base/limits.ts";
import type { MemberKey, MemberRecord, MemberStatus, Removal } from "./member-record.ts";
import { MAX_RECORDS, type RecordDigest, type RecordSet } from "./record-set.ts";
import { plainRecord, plainRemoval } from "./record-text.ts";
import { parseSlotText } from "./slot-packing.ts";

/** Records and removals on their way. */
export interface RecordNews {
  readonly records: readonly MemberRecord[];
  readonly removals: readonly Removal[];
}

const FORMAT_VERSION = 1;
const HEADER_BYTES = 9;
const MAX_LABEL_CHARS = 255;
const MEMBER_KEY = /^[0-9a-f]{16}$/;
const SUM = /^(?:[0-9a-f]{16})?$/;
const STATUSES: readonly MemberStatus[] = ["joining", "normal", "leaving", "left"];

type Fields = Readonly<Record<string, unknown>>;

/** The key in `value`, or undefined. */
export function parseMemberKey(value: unknown): MemberKey | undefined {
  return typeof value === "string" && MEMBER_KEY.test(value) ? value : undefined;
}

/** News as values of strings, numbers and arrays only: fit for JSON and MessagePack. */
export function plainNews(news: RecordNews): unknown {
  return { records: news.records.map(plainRecord), removals: news.removals.map(plainRemoval) };
}

/** The news in `value` for a cluster of this Q, or undefined. */
export function parseNews(value: unknown, partitionCount: number): RecordNews | undefined {
  const fields = fieldsOf(value);
  const records = listOf(fields?.["records"], (item) => parseRecord(item, partitionCount));
  const removals = listOf(fields?.["removals"], parseRemoval);
  return records === undefined || removals === undefined ? undefined : { records, removals };
}

/** Digests as plain values. */
export function plainDigests(digests: readonly RecordDigest[]): unknown {
  return digests.map(({ key, version, sum }) => [key, version, sum]);
}

/** The digests in `value`, or undefined. */
export function parseDigests(value: unknown): readonly RecordDigest[] | undefined {
  return listOf(value, (item) => {
    if (!Array.isArray(item) || item.length !== 3) return undefined;
    const [name, version, sum]: readonly unknown[] = item;
    const key = parseMemberKey(name);
    if (key === undefined || !isCount(version) || typeof sum !== "string" || !SUM.test(sum)) return undefined;
    return { key, version, sum };
  });
}

/** The bytes of news: version byte (1), xxh64 of the rest, JSON. About 0.5 KB a member of 16 at Q = 1024. */
export function encodeNews(news: RecordNews): Uint8Array {
  const body = Buffer.from(JSON.stringify(plainNews(news)), "utf8");
  const bytes = Buffer.alloc(HEADER_BYTES + body.length);
  bytes[0] = FORMAT_VERSION;
  bytes.writeBigUInt64BE(xxh64(body), 1);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

/** The news in `bytes`, or undefined when they are none or are damaged. */
export function decodeNews(bytes: Uint8Array, partitionCount: number): RecordNews | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < HEADER_BYTES || buffer[0] !== FORMAT_VERSION) return undefined;
  const body = buffer.subarray(HEADER_BYTES);
  if (xxh64(body) !== buffer.readBigUInt64BE(1)) return undefined;
  try {
    return parseNews(JSON.parse(body.toString("utf8")), partitionCount);
  } catch {
    return undefined;
  }
}

/** All that a set holds. */
export function allOf(set: RecordSet): RecordNews {
  return { records: set.records(), removals: set.removals() };
}

function parseRecord(value: unknown, partitionCount: number): MemberRecord | undefined {
  const fields = fieldsOf(value);
  const labels = fields && parseLabels(fields);
  if (fields === undefined || labels === undefined) return undefined;
  const key = parseMemberKey(fields["key"]);
  const nodeId = typeof fields["nodeId"] === "string" ? parseNodeId(fields["nodeId"]) : undefined;
  const status = STATUSES.find((known) => known === fields["status"]);
  const slots = parseSlotText(fields["slots"], partitionCount);
  const { version } = fields;
  const replaces = parseMemberKey(fields["replaces"]);
  if (key === undefined || nodeId === undefined || status === undefined || slots === undefined) return undefined;
  if (!isCount(version) || (fields["replaces"] !== null && replaces === undefined)) return undefined;
  return { key, nodeId, version, status, ...labels, slots, replaces };
}

type Labels = Pick<MemberRecord, "zone" | "host" | "weight" | "address" | "position">;

function parseLabels({ zone, host, weight, address, position }: Fields): Labels | undefined {
  if (typeof weight !== "number" || !Number.isFinite(weight) || weight <= 0) return undefined;
  if (!isLabel(zone) || !isLabel(host) || !isLabel(address) || !isLabel(position)) return undefined;
  return { zone, host, weight, address, position };
}

function parseRemoval(value: unknown): Removal | undefined {
  if (!Array.isArray(value) || value.length !== 3) return undefined;
  const [first, second, third]: readonly unknown[] = value;
  const key = parseMemberKey(first);
  const by = parseMemberKey(second);
  const replacedBy = third === null ? undefined : parseMemberKey(third);
  if (key === undefined || by === undefined || (third !== null && replacedBy === undefined)) return undefined;
  return { key, by, replacedBy };
}

function listOf<T>(value: unknown, parse: (item: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value) || value.length > Math.max(MAX_RECORDS, MAX_MEMBERS)) return undefined;
  const items: T[] = [];
  for (const item of value) {
    const parsed = parse(item);
    if (parsed === undefined) return undefined;
    items.push(parsed);
  }
  return items;
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isLabel(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= MAX_LABEL_CHARS && value.isWellFormed();
}
