/**
 * The marks of a node as bytes: version u8 (2), xxh64 of the rest, the promise u64, count u32, then for each marked partition
 * its number u16, its doubt u8 (0 none, 1 rules, 2 records) and six u64: floor and expiry noted, reaped, heard; then the
 * rules under which they were noted, as JSON (`collect-rules-core.ts`). Version 1 had one fingerprint of the rules in place of
 * them and knew no doubt, no `heard`, no promise; it is read, never written. Pure. Must never throw on any bytes.
 */
import { xxh64 } from "../base/hash.ts";
import {
  areMarksSound,
  type CollectFloors,
  type CollectMark,
  type Doubt,
  NO_MARK,
  type PartitionMarks,
} from "./collect-floors-core.ts";
import { type KnownRules, parseRules } from "./collect-rules-core.ts";

/** What is durable beside the marks themselves. */
export interface MarksHead {
  /** nothing is minted here at or below */
  readonly promised: number;
  /** those that the marks were noted under; undefined: they are not known */
  readonly rules: KnownRules | undefined;
}

interface StoredMarks extends PartitionMarks {
  readonly partition: number;
  readonly doubt: Doubt | undefined;
}

const FORMAT_VERSION = 2;
const VERSION_WITHOUT_DOUBTS = 1;
const HEADER_BYTES = 21;
const RECORD_BYTES = 51;
const OLD_RECORD_BYTES = 34;
const DOUBTS: readonly (Doubt | undefined)[] = [undefined, "rules", "records"];

/** All marks. O(Q). */
export function encodeFloors(floors: CollectFloors, { promised, rules }: MarksHead): Buffer {
  const marked = floors.marked();
  const tail = Buffer.from(rules === undefined ? "" : JSON.stringify(rules));
  const bytes = Buffer.alloc(HEADER_BYTES + marked.length * RECORD_BYTES + tail.length);
  bytes[0] = FORMAT_VERSION;
  bytes.writeBigUInt64BE(BigInt(promised), 9);
  bytes.writeUInt32BE(marked.length, 17);
  let at = HEADER_BYTES;
  for (const partition of marked) {
    const { noted, reaped, heard } = floors.marksOf(partition);
    at = bytes.writeUInt16BE(partition, at);
    at = bytes.writeUInt8(DOUBTS.indexOf(floors.doubtOf(partition)), at);
    for (const value of [noted, reaped, heard].flatMap(({ floor, expiryMs }) => [floor, expiryMs])) {
      at = bytes.writeBigUInt64BE(BigInt(value), at);
    }
  }
  tail.copy(bytes, at);
  bytes.writeBigUInt64BE(xxh64(bytes.subarray(9)), 1);
  return bytes;
}

/** Puts the marks in `bytes` into `floors`, which has none; undefined when the bytes are none: then nothing was put in. */
export function restoreFloors(floors: CollectFloors, bytes: Uint8Array): MarksHead | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isOld = buffer[0] === VERSION_WITHOUT_DOUBTS;
  if (buffer.length < HEADER_BYTES || (!isOld && buffer[0] !== FORMAT_VERSION)) return undefined;
  if (xxh64(buffer.subarray(9)) !== buffer.readBigUInt64BE(1)) return undefined;
  const count = buffer.readUInt32BE(17);
  const recordBytes = isOld ? OLD_RECORD_BYTES : RECORD_BYTES;
  const end = HEADER_BYTES + count * recordBytes;
  if (isOld ? buffer.length !== end : buffer.length < end) return undefined;
  const records = Array.from({ length: count }, (_, index) => {
    const at = HEADER_BYTES + index * recordBytes;
    return isOld ? oldRecordAt(buffer, at) : recordAt(buffer, at);
  });
  const isSound = records.every((record, index) => {
    const { partition } = record;
    return (
      partition < floors.partitionCount && partition > (records[index - 1]?.partition ?? -1) && areMarksSound(record)
    );
  });
  const promised = isOld ? 0 : Number(buffer.readBigUInt64BE(9));
  if (!isSound || !Number.isSafeInteger(promised)) return undefined;
  for (const { partition, doubt, ...marks } of records) floors.restore(partition, marks, doubt);
  return { promised, rules: isOld ? undefined : parseRules(buffer.toString("utf8", end)) };
}

function recordAt(buffer: Buffer, at: number): StoredMarks {
  return {
    partition: buffer.readUInt16BE(at),
    doubt: DOUBTS[buffer.readUInt8(at + 2)],
    noted: markAt(buffer, at + 3),
    reaped: markAt(buffer, at + 19),
    heard: markAt(buffer, at + 35),
  };
}

function oldRecordAt(buffer: Buffer, at: number): StoredMarks {
  const reaped = markAt(buffer, at + 18);
  const heard = reaped.floor > 0 ? reaped : NO_MARK;
  return { partition: buffer.readUInt16BE(at), doubt: undefined, noted: markAt(buffer, at + 2), reaped, heard };
}

function markAt(buffer: Buffer, at: number): CollectMark {
  return { floor: Number(buffer.readBigUInt64BE(at)), expiryMs: Number(buffer.readBigUInt64BE(at + 8)) };
}
