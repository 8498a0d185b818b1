/**
 * Bucket records as bytes, for the document "buckets" and for the wire. Pure.
 *
 * Layout: version byte (2), xxh64 of the rest (8, big-endian), count u32, then for each record, sorted by name: name length
 * u8, name (ASCII), version u64, flags u8 (1 = has settings, 2 = lww, 12 = blind rule × 4), n, r, w u8, time to live u32
 * (seconds, 0 = for ever). At most 80 bytes each, so that MAX_BUCKETS of them fit into a document of 1 MiB. Version 1 had no
 * time to live; it is read, never written.
 */
import assert from "node:assert/strict";
import type { BucketRecord, BucketSettings } from "../base/bucket-settings.ts";
import { xxh64 } from "../base/hash.ts";
import { parseBucketName } from "../base/ids.ts";
import { MAX_BUCKETS } from "../base/limits.ts";
import { BLIND_RULES, parseBucketSettings } from "./cluster-config.ts";

/** What decoding came to. */
export type BucketRecordsRead =
  | { readonly kind: "records"; readonly records: readonly BucketRecord[] }
  | { readonly kind: "corrupt"; readonly reason: string };

const FORMAT_VERSION = 2;
const VERSION_WITHOUT_TTL = 1;
const HEADER_BYTES = 13;
const FIXED_BYTES = 17;
const TTL_BYTES = 4;
const HAS_SETTINGS = 1;
const IS_LWW = 2;
const BLIND_SHIFT = 2;

/** The bytes of records, whatever their order: equal sets give equal bytes. */
export function encodeBucketRecords(records: Iterable<BucketRecord>): Buffer {
  const sorted = [...records].sort((left, right) => (left.name < right.name ? -1 : 1));
  const size = sorted.reduce((sum, record) => sum + FIXED_BYTES + record.name.length, HEADER_BYTES);
  const bytes = Buffer.alloc(size);
  bytes[0] = FORMAT_VERSION;
  bytes.writeUInt32BE(sorted.length, 9);
  let at = HEADER_BYTES;
  for (const { name, version, settings } of sorted) {
    assert.ok(parseBucketName(name) !== undefined, "a bucket record has a bucket's name");
    at = bytes.writeUInt8(name.length, at);
    at += bytes.write(name, at, "latin1");
    at = bytes.writeBigUInt64BE(BigInt(version), at);
    at = bytes.writeUInt32BE(settingsWord(settings), at);
    at = bytes.writeUInt32BE(settings?.ttlSeconds ?? 0, at);
  }
  bytes.writeBigUInt64BE(xxh64(bytes.subarray(9)), 1);
  return bytes;
}

/** The records in `bytes`. Never throws, and allocates no more than the bytes hold. */
export function decodeBucketRecords(bytes: Uint8Array): BucketRecordsRead {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < HEADER_BYTES) return corrupt("shorter than its header");
  const hasTtl = buffer[0] === FORMAT_VERSION;
  if (!hasTtl && buffer[0] !== VERSION_WITHOUT_TTL) return corrupt(`format version ${buffer[0]} is not known`);
  if (xxh64(buffer.subarray(9)) !== buffer.readBigUInt64BE(1)) return corrupt("checksum does not match");
  const count = buffer.readUInt32BE(9);
  if (count > MAX_BUCKETS) return corrupt(`${count} buckets are more than ${MAX_BUCKETS}`);
  const records: BucketRecord[] = [];
  let at = HEADER_BYTES;
  while (records.length < count) {
    const end = at + FIXED_BYTES - (hasTtl ? 0 : TTL_BYTES) + (buffer[at] ?? 0);
    const record = end <= buffer.length ? parseRecord(buffer, at, hasTtl) : undefined;
    const last = records.at(-1);
    if (record === undefined || (last !== undefined && last.name >= record.name)) return corrupt("not a bucket record");
    records.push(record);
    at = end;
  }
  return at === buffer.length ? { kind: "records", records } : corrupt("trailing bytes");
}

/** True when `record` replaces `known`: the higher version, then the higher settings as bytes. The same on every node. */
export function isNewerRecord(record: BucketRecord, known: BucketRecord | undefined): boolean {
  if (known === undefined || record.version !== known.version) return record.version > (known?.version ?? -1);
  const word = settingsWord(record.settings);
  const knownWord = settingsWord(known.settings);
  if (word !== knownWord) return word > knownWord;
  return (record.settings?.ttlSeconds ?? 0) > (known.settings?.ttlSeconds ?? 0);
}

/** Flags, n, r, w as one 32-bit number. */
function settingsWord(settings: BucketSettings | undefined): number {
  if (settings === undefined) return 0;
  const blind = BLIND_RULES.indexOf(settings.blindWrites) << BLIND_SHIFT;
  const flags = HAS_SETTINGS | (settings.conflicts === "lww" ? IS_LWW : 0) | blind;
  return ((flags << 24) | (settings.n << 16) | (settings.r << 8) | settings.w) >>> 0;
}

function parseRecord(buffer: Buffer, start: number, hasTtl: boolean): BucketRecord | undefined {
  const nameEnd = start + 1 + (buffer[start] ?? 0);
  const name = parseBucketName(buffer.toString("latin1", start + 1, nameEnd));
  const version = Number(buffer.readBigUInt64BE(nameEnd));
  const word = buffer.readUInt32BE(nameEnd + 8);
  if (name === undefined || !Number.isSafeInteger(version)) return undefined;
  if (word === 0) return { name, version, settings: undefined };
  const flags = word >>> 24;
  const settings = parseBucketSettings({
    n: (word >>> 16) & 0xff,
    r: (word >>> 8) & 0xff,
    w: word & 0xff,
    conflicts: (flags & IS_LWW) === 0 ? "siblings" : "lww",
    blindWrites: BLIND_RULES[flags >>> BLIND_SHIFT],
    ttlSeconds: hasTtl ? buffer.readUInt32BE(nameEnd + 12) : 0,
  });
  return settings === undefined || (flags & HAS_SETTINGS) === 0 ? undefined : { name, version, settings };
}

function corrupt(reason: string): BucketRecordsRead {
  return { kind: "corrupt", reason };
}
