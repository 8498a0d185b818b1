/**
 * The index file of a sealed segment: 32 bytes for each record, in the order of the segment (ascending seq), and a
 * trailer that proves them. It can always be rebuilt by scanning; one that fails any check is as good as none.
 * Layout: FORMAT.md §4. Must never be appended to.
 */
import { readU64, writeU64 } from "./bytes.ts";
import { checksum, fileSeed } from "./checksum.ts";
import { FLAG_EXPIRES, FLAG_SHARED_HASH, FLAG_TOMBSTONE } from "./record.ts";

/** Bytes of one entry. */
export const INDEX_ENTRY_BYTES = 32;
/** Bytes after the entries. */
export const INDEX_TRAILER_BYTES = 64;
const INDEX_MAGIC = "gyreidx\n";
/** 1 knew no records that expire, nor reap marks */
const INDEX_VERSION = 2;

/** What an index file says of one record. */
export interface IndexRecord {
  readonly seq: number;
  readonly partition: number;
  readonly hash: bigint;
  readonly digest: bigint;
  /** byte offset in the segment, a multiple of 8 */
  readonly offset: number;
  /** bytes of the record, a multiple of 8 */
  readonly length: number;
  /** FLAG_TOMBSTONE, FLAG_SHARED_HASH and FLAG_EXPIRES only */
  readonly flags: number;
}

/** What the index file is about. */
export interface IndexSubject {
  readonly storeId: Uint8Array;
  readonly segment: number;
  /** bytes of the sealed segment */
  readonly segmentBytes: number;
}

/** A proved index file: `entryAt` reads the records. */
export interface IndexFile {
  readonly kind: "index";
  readonly count: number;
  readonly entries: Buffer;
}

/** The bytes are no index of this segment. */
export interface IndexFileCorrupt {
  readonly kind: "corrupt";
  readonly reason: "short" | "magic" | "version" | "subject" | "count" | "checksum";
}

/** Writes one entry (32 bytes) at `at`. */
export function encodeIndexEntry(record: IndexRecord, into: Buffer, at: number): void {
  into.writeUIntLE(record.seq, at, 6);
  into.writeUInt16LE(record.partition, at + 6);
  writeU64(into, record.hash, at + 8);
  writeU64(into, record.digest, at + 16);
  into.writeUInt32LE(record.offset / 8, at + 24);
  // lengths are multiples of 8 below 2^31: the low three bits carry the flags
  const { flags } = record;
  const bits = (flags & FLAG_TOMBSTONE ? 1 : 0) | (flags & FLAG_SHARED_HASH ? 2 : 0) | (flags & FLAG_EXPIRES ? 4 : 0);
  into.writeUInt32LE(record.length | bits, at + 28);
}

/** Reads entry number `position` of proved entries. */
export function entryAt(entries: Buffer, position: number): IndexRecord {
  const at = position * INDEX_ENTRY_BYTES;
  const lengthBits = entries.readUInt32LE(at + 28);
  return {
    seq: entries.readUIntLE(at, 6),
    partition: entries.readUInt16LE(at + 6),
    hash: readU64(entries, at + 8),
    digest: readU64(entries, at + 16),
    offset: entries.readUInt32LE(at + 24) * 8,
    length: (lengthBits & ~7) >>> 0,
    flags: flagsOfBits(lengthBits),
  };
}

function flagsOfBits(bits: number): number {
  return (bits & 1 ? FLAG_TOMBSTONE : 0) | (bits & 2 ? FLAG_SHARED_HASH : 0) | (bits & 4 ? FLAG_EXPIRES : 0);
}

/** The sequence number of entry number `position`, without making an object. */
export function seqAt(entries: Buffer, position: number): number {
  return entries.readUIntLE(position * INDEX_ENTRY_BYTES, 6);
}

/** The CRC seed that entries start from; continued over all of them it gives the trailer's checksum. */
export function indexSeed(subject: IndexSubject): number {
  return fileSeed(subject.storeId, "index", subject.segment);
}

/** The trailer for entries whose checksum (from `indexSeed` on) is `entriesChecksum`. */
export function encodeIndexTrailer(subject: IndexSubject, count: number, entriesChecksum: number): Buffer {
  const bytes = Buffer.alloc(INDEX_TRAILER_BYTES);
  bytes.write(INDEX_MAGIC, 0, "latin1");
  bytes.writeUInt32LE(INDEX_VERSION, 8);
  bytes.writeUInt32LE(subject.segment, 12);
  bytes.set(subject.storeId, 16);
  bytes.writeBigUInt64LE(BigInt(subject.segmentBytes), 32);
  bytes.writeUInt32LE(count, 40);
  bytes.writeUInt32LE(entriesChecksum, 44);
  bytes.writeUInt32LE(checksum(bytes.subarray(0, 60), indexSeed(subject)), 60);
  return bytes;
}

/** An index file whose trailer is proved, and its entries not yet: their checksum from `indexSeed` on must be this. */
export interface IndexFileOpened extends Omit<IndexFile, "kind"> {
  readonly kind: "opened";
  readonly entriesChecksum: number;
}

/** Proves a whole index file against what it should be about. Cost: one CRC over it. */
export function decodeIndexFile(bytes: Buffer, subject: IndexSubject): IndexFile | IndexFileCorrupt {
  const opened = openIndexFile(bytes, subject);
  if (opened.kind !== "opened") return opened;
  const { count, entries, entriesChecksum } = opened;
  if (checksum(entries, indexSeed(subject)) !== entriesChecksum) return { kind: "corrupt", reason: "checksum" };
  return { kind: "index", count, entries };
}

/** Proves the trailer of an index file against what the file should be about, at constant cost. */
export function openIndexFile(bytes: Buffer, subject: IndexSubject): IndexFileOpened | IndexFileCorrupt {
  if (bytes.length < INDEX_TRAILER_BYTES) return { kind: "corrupt", reason: "short" };
  const entries = bytes.subarray(0, bytes.length - INDEX_TRAILER_BYTES);
  const trailer = bytes.subarray(bytes.length - INDEX_TRAILER_BYTES);
  if (trailer.toString("latin1", 0, 8) !== INDEX_MAGIC) return { kind: "corrupt", reason: "magic" };
  const seed = indexSeed(subject);
  if (checksum(trailer.subarray(0, 60), seed) !== trailer.readUInt32LE(60)) {
    return { kind: "corrupt", reason: "checksum" };
  }
  const version = trailer.readUInt32LE(8);
  if (version < 1 || version > INDEX_VERSION) return { kind: "corrupt", reason: "version" };
  const isSubject =
    trailer.readUInt32LE(12) === subject.segment &&
    trailer.subarray(16, 32).equals(subject.storeId) &&
    trailer.readBigUInt64LE(32) === BigInt(subject.segmentBytes);
  if (!isSubject) return { kind: "corrupt", reason: "subject" };
  const count = trailer.readUInt32LE(40);
  if (entries.length !== count * INDEX_ENTRY_BYTES) return { kind: "corrupt", reason: "count" };
  return { kind: "opened", count, entries, entriesChecksum: trailer.readUInt32LE(44) };
}
