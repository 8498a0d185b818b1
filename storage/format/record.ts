/**
 * One record of a segment: 48 bytes of header, the key, the value, zeros up to a multiple of 8. Two CRCs: the first
 * covers header and key (who it is), the second value and padding (what it says), so that a key can be proved without
 * reading its value, and a bad value can be stepped over. Layout: FORMAT.md §3.
 * Must never return a record whose checks fail: there is no trusted variant (reliability notes §3.1).
 */
import { alignUp, isZero, readU64, writeU64 } from "./bytes.ts";
import { checksum, seedAt } from "./checksum.ts";

/** Bytes of a record before its key. */
export const RECORD_HEADER_BYTES = 48;
/** Longest key in bytes. */
export const MAX_KEY_BYTES = 2048;
/** Longest value in bytes: above any object, whose client limit is 16 MiB. */
export const MAX_VALUE_BYTES: number = 64 * 1024 * 1024;

/** The record says that its key was deleted. */
export const FLAG_TOMBSTONE = 1;
/** First record of a group that was written at once; it carries `durableUpTo`. */
export const FLAG_BATCH_BEGIN = 2;
/** Last record of a group. */
export const FLAG_BATCH_END = 4;
/** No key: only `durableUpTo` counts. */
export const FLAG_META = 8;
/** When it was written, another key with the same hash was known: keys of this hash must be compared, never assumed. */
export const FLAG_SHARED_HASH = 16;
/** The value may expire. With FLAG_TOMBSTONE: everything of the key is gone that is older than this record, and so is it. */
export const FLAG_EXPIRES = 32;

const ALL_FLAGS = 63;
const RECORD_MARK = 0xc7;

/** What a record says of its key: numbers, because the index keeps them in two bits. */
export type RecordKind = 0 | 1 | 2 | 3;
/** A value. */
export const KIND_VALUE = 0;
/** It was deleted. */
export const KIND_TOMBSTONE = 1;
/** A value that may expire. */
export const KIND_EXPIRING = 2;
/** A reap mark: the key is as if it had never been written. Its digest is 0, its value empty. */
export const KIND_REAPED = 3;

/** The kind that these flags of a record say. */
export function kindOf(flags: number): RecordKind {
  const expires = (flags & FLAG_EXPIRES) !== 0;
  if ((flags & FLAG_TOMBSTONE) !== 0) return expires ? KIND_REAPED : KIND_TOMBSTONE;
  return expires ? KIND_EXPIRING : KIND_VALUE;
}

/** The flags that say this kind. */
export function kindFlags(kind: RecordKind): number {
  return ((kind & 1) === 0 ? 0 : FLAG_TOMBSTONE) | ((kind & 2) === 0 ? 0 : FLAG_EXPIRES);
}

/** The fields of a record beside key and value. */
export interface RecordHeader {
  /** store-wide, strictly increasing, 1 … 2^48 − 1 */
  readonly seq: number;
  readonly partition: number;
  readonly hash: bigint;
  readonly digest: bigint;
  readonly flags: number;
  /** highest seq known durable when this group was written; 0 except in the first record of a group */
  readonly durableUpTo: number;
}

/** A record to be written. */
export interface RecordFields extends RecordHeader {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Header and key, both proved by the first CRC. */
export interface RecordIdentity extends RecordHeader {
  readonly kind: "identity";
  readonly keyLength: number;
  readonly valueLength: number;
  /** bytes of the whole record, a multiple of 8 */
  readonly totalBytes: number;
}

/** Nothing was written here: the end of the log in a zero-filled segment. */
export interface RecordEnd {
  readonly kind: "end";
}

/** The bytes are no record. */
export interface RecordCorrupt {
  readonly kind: "corrupt";
  readonly reason: "header" | "payload" | "short";
}

const END: RecordEnd = { kind: "end" };
const BAD_HEADER: RecordCorrupt = { kind: "corrupt", reason: "header" };
const BAD_PAYLOAD: RecordCorrupt = { kind: "corrupt", reason: "payload" };
const TOO_SHORT: RecordCorrupt = { kind: "corrupt", reason: "short" };

/** Bytes that a record takes in a segment. */
export function recordBytes(keyLength: number, valueLength: number): number {
  return alignUp(RECORD_HEADER_BYTES + keyLength + valueLength);
}

/**
 * Writes a record into `into` at `at`; returns its bytes. `place` is where it will stand on disk.
 * The caller has made room, and has checked the lengths against the limits above.
 */
export function encodeRecord(record: RecordFields, into: Buffer, at: number, place: RecordPlace): number {
  const keyLength = record.key.length;
  const valueStart = at + RECORD_HEADER_BYTES + keyLength;
  const valueEnd = valueStart + record.value.length;
  const end = at + recordBytes(keyLength, record.value.length);
  const seed = seedAt(place.segmentSeed, place.offset);
  into.set(record.key, at + RECORD_HEADER_BYTES);
  into.set(record.value, valueStart);
  if (end > valueEnd) into.fill(0, valueEnd, end);
  into.writeUInt32LE(checksum(into.subarray(valueStart, end), seed), at + 4);
  into.writeUIntLE(record.seq, at + 8, 6);
  into.writeUInt16LE(keyLength, at + 14);
  into.writeUIntLE(record.durableUpTo, at + 16, 6);
  into.writeUInt16LE(record.partition, at + 22);
  writeU64(into, record.hash, at + 24);
  writeU64(into, record.digest, at + 32);
  into.writeUInt32LE(record.value.length, at + 40);
  into.writeUInt32LE(record.flags | (RECORD_MARK << 8), at + 44);
  into.writeUInt32LE(checksum(into.subarray(at + 4, valueStart), seed), at);
  return end - at;
}

/** Where a record stands: the seed of its segment (see `fileSeed`) and the byte offset in it. */
export interface RecordPlace {
  readonly segmentSeed: number;
  readonly offset: number;
}

/**
 * Proves header and key of the record that starts at `at`; `bytes` must reach to the end of its key, or the answer is
 * `corrupt` / `short`. The value is not looked at: `isValueIntact` proves it.
 */
export function decodeIdentity(
  bytes: Buffer,
  at: number,
  place: RecordPlace,
): RecordIdentity | RecordEnd | RecordCorrupt {
  if (at < 0 || at + RECORD_HEADER_BYTES > bytes.length) return TOO_SHORT;
  const flagsWord = bytes.readUInt32LE(at + 44);
  if (flagsWord >>> 8 !== RECORD_MARK) {
    return flagsWord === 0 && isZero(bytes, at, at + RECORD_HEADER_BYTES) ? END : BAD_HEADER;
  }
  const keyLength = bytes.readUInt16LE(at + 14);
  const valueLength = bytes.readUInt32LE(at + 40);
  if (keyLength > MAX_KEY_BYTES || valueLength > MAX_VALUE_BYTES) return BAD_HEADER;
  const keyEnd = at + RECORD_HEADER_BYTES + keyLength;
  if (keyEnd > bytes.length) return TOO_SHORT;
  const seed = seedAt(place.segmentSeed, place.offset);
  if (checksum(bytes.subarray(at + 4, keyEnd), seed) !== bytes.readUInt32LE(at)) return BAD_HEADER;
  const flags = flagsWord & 0xff;
  const isMeta = (flags & FLAG_META) !== 0;
  if (flags > ALL_FLAGS || isMeta !== (keyLength === 0)) return BAD_HEADER;
  return {
    kind: "identity",
    seq: bytes.readUIntLE(at + 8, 6),
    partition: bytes.readUInt16LE(at + 22),
    hash: readU64(bytes, at + 24),
    digest: readU64(bytes, at + 32),
    flags,
    durableUpTo: bytes.readUIntLE(at + 16, 6),
    keyLength,
    valueLength,
    totalBytes: recordBytes(keyLength, valueLength),
  };
}

/** Whether the value and padding of a proved record are whole; `bytes` must hold the record from `at` on. */
export function isValueIntact(bytes: Buffer, at: number, place: RecordPlace, identity: RecordIdentity): boolean {
  const end = at + identity.totalBytes;
  if (end > bytes.length) return false;
  const valueStart = at + RECORD_HEADER_BYTES + identity.keyLength;
  const seed = seedAt(place.segmentSeed, place.offset);
  return checksum(bytes.subarray(valueStart, end), seed) === bytes.readUInt32LE(at + 4);
}

/** Proves a whole record: both CRCs. `corrupt` / `payload` when only the value is bad. */
export function decodeRecord(
  bytes: Buffer,
  at: number,
  place: RecordPlace,
): RecordIdentity | RecordEnd | RecordCorrupt {
  const identity = decodeIdentity(bytes, at, place);
  if (identity.kind !== "identity") return identity;
  if (at + identity.totalBytes > bytes.length) return TOO_SHORT;
  return isValueIntact(bytes, at, place, identity) ? identity : BAD_PAYLOAD;
}

/** The key of a proved record, as a view. */
export function keyOf(bytes: Buffer, at: number, identity: RecordIdentity): Buffer {
  return bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + identity.keyLength);
}

/** The value of a proved record, as a view. */
export function valueOf(bytes: Buffer, at: number, identity: RecordIdentity): Buffer {
  const start = at + RECORD_HEADER_BYTES + identity.keyLength;
  return bytes.subarray(start, start + identity.valueLength);
}
