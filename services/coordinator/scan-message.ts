/** A run of a listing asked of another node, as plain data: run ⇄ body, found ⇄ body of the topic `scan`. */
import { type BucketName, parseBucketName } from "../base/ids.ts";
import { MAX_KEY_BYTES, MAX_LIST_LIMIT } from "../base/limits.ts";
import type { ScanFound } from "./bucket-scan.ts";
import {
  type PlainRecord,
  parseArray,
  parseBytes,
  parseCount,
  parseHex64,
  parseRecord,
  parseText,
} from "./plain-values.ts";
import { hex64 } from "./reports.ts";

/** The topic of the peer request that asks for a run of keys. */
export const SCAN_TOPIC = "scan";

/** What is asked: as `ScanRun`, without the time, which the call carries. */
export interface ScanQuestion {
  readonly bucket: BucketName;
  readonly prefix: Uint8Array;
  readonly from: bigint;
  readonly through: number;
  readonly limit: number;
}

/** The body of a question. */
export function plainQuestion(question: ScanQuestion): PlainRecord {
  const { bucket, prefix, from, through, limit } = question;
  return { bucket, prefix, from: hex64(from), through, limit };
}

/** The question in a body, or undefined; limits of clients bind it. */
export function parseQuestion(body: unknown): ScanQuestion | undefined {
  const record = parseRecord(body);
  const bucket = parseBucketName(parseText(record?.["bucket"]) ?? "");
  const prefix = parseBytes(record?.["prefix"]);
  const from = parseHex64(record?.["from"]);
  const through = parseCount(record?.["through"], 0);
  const limit = parseCount(record?.["limit"], 1);
  if (bucket === undefined || prefix === undefined || from === undefined) return undefined;
  if (through === undefined || limit === undefined || prefix.length > MAX_KEY_BYTES) return undefined;
  return { bucket, prefix, from, through, limit: Math.min(limit, MAX_LIST_LIMIT) };
}

/** The body of an answer. */
export function plainFound(found: ScanFound): PlainRecord {
  return { keys: found.keys, next: found.next === undefined ? null : hex64(found.next) };
}

/** The answer in a body, or undefined. */
export function parseFound(body: unknown): ScanFound | undefined {
  const record = parseRecord(body);
  const items = parseArray(record?.["keys"]);
  const nextField = record?.["next"];
  const next = nextField === null ? undefined : parseHex64(nextField);
  if (items === undefined || (next === undefined && nextField !== null)) return undefined;
  const keys: Uint8Array[] = [];
  for (const item of items) {
    const key = parseBytes(item);
    if (key === undefined) return undefined;
    keys.push(key);
  }
  return { keys, next };
}
