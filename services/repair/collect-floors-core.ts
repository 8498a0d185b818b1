/**
 * How far the tombstones of each partition are collected at this holder. Two marks a partition, both counters (hybrid
 * microseconds) that only grow while its slot is held:
 *
 * - `floor`: this holder had, up to here, the same as all other holders, in a look that its leader made. Noted by all of
 *   them before any goes on.
 * - `reaped`: all have noted that floor. Tombstones up to here may leave, and from now on what is older and not held here
 *   was deleted (the *line*, `services/replica/stale-versions.ts`).
 *
 * Who has a floor below a peer's `reaped` did not take part: an older copy of the disk, or a slot that came without it.
 * It is *behind*: what it has beyond that peer, up to the line, is not to be believed. Must never lower a mark, but by
 * forgetting the partition with its slot. Pure; what is durable is `encodeFloors` of it.
 */
import { xxh64 } from "../base/hash.ts";

/** Up to where, and which values with an end may go with the tombstones. */
export interface CollectMark {
  /** counter; every dot of what leaves is at or below */
  readonly floor: number;
  /** wall-clock milliseconds; values that ended by then leave too */
  readonly expiryMs: number;
}

/** Both marks of a partition; zeros: none. */
export interface PartitionMarks {
  readonly noted: CollectMark;
  readonly reaped: CollectMark;
}

/** What a peer's word of its own marks means here. */
export type HeardMark =
  /** nothing that is not known here */
  | "even"
  /** a proof is complete in which this holder took part: reap */
  | "reap"
  /** this holder did not take part in that proof */
  | "behind";

const NO_MARK: CollectMark = { floor: 0, expiryMs: 0 };
const FORMAT_VERSION = 1;
const HEADER_BYTES = 21;
const RECORD_BYTES = 34;

/** The marks of one node, and the lines that follow from them. */
export class CollectFloors {
  readonly #noted: CollectMark[];
  readonly #reaped: CollectMark[];
  /** a counter each: what is at or below and not held here was deleted; 0 = no line */
  readonly #line: Float64Array;

  constructor(partitionCount: number) {
    this.#noted = Array.from({ length: partitionCount }, () => NO_MARK);
    this.#reaped = Array.from({ length: partitionCount }, () => NO_MARK);
    this.#line = new Float64Array(partitionCount);
  }

  /** Q. */
  get partitionCount(): number {
    return this.#line.length;
  }

  marksOf(partition: number): PartitionMarks {
    return { noted: this.#noted[partition] ?? NO_MARK, reaped: this.#reaped[partition] ?? NO_MARK };
  }

  /** 0 = none. O(1), no allocation. */
  lineOf(partition: number): number {
    return this.#line[partition] ?? 0;
  }

  /** True while a peer has a proof that this holder knows of and took no part in. */
  isBehind(partition: number): boolean {
    return this.lineOf(partition) > this.marksOf(partition).noted.floor;
  }

  /** Notes a floor; false when a higher one, or the same, was noted before: then this look is not the newest. */
  note(partition: number, mark: CollectMark): boolean {
    if (mark.floor <= this.marksOf(partition).noted.floor || this.isBehind(partition)) return false;
    this.#noted[partition] = mark;
    return true;
  }

  /** All have noted this floor; false when this holder has not, and so must not take anything out. */
  reap(partition: number, mark: CollectMark): boolean {
    const { noted, reaped } = this.marksOf(partition);
    if (noted.floor < mark.floor) return false;
    if (mark.floor > reaped.floor) this.#reaped[partition] = mark;
    this.#raise(partition, mark.floor);
    return true;
  }

  /** What a holder of another slot of the partition has reaped. */
  hear(partition: number, mark: CollectMark): HeardMark {
    const { noted, reaped } = this.marksOf(partition);
    if (mark.floor <= reaped.floor) return "even";
    if (noted.floor >= mark.floor) return "reap";
    this.#raise(partition, mark.floor);
    return "behind";
  }

  /** Nobody has that proof any more whom this holder was behind: what its own marks say holds again. */
  unhear(partition: number): void {
    this.#line[partition] = this.marksOf(partition).reaped.floor;
  }

  /** This holder has all that one has that took part in the proof, and nothing of its own below it any more. */
  catchUp(partition: number, mark: CollectMark): void {
    const { noted, reaped } = this.marksOf(partition);
    if (mark.floor > noted.floor) this.#noted[partition] = mark;
    if (mark.floor > reaped.floor) this.#reaped[partition] = mark;
    this.#raise(partition, mark.floor);
  }

  /** The slot has gone, or what it stood for has changed: whatever comes in its place starts without marks. */
  forget(partition: number): void {
    this.#noted[partition] = NO_MARK;
    this.#reaped[partition] = NO_MARK;
    this.#line[partition] = 0;
  }

  /** Partitions with a mark, ascending. O(Q). */
  marked(): readonly number[] {
    const marked: number[] = [];
    for (const [partition, { floor }] of this.#noted.entries()) if (floor > 0) marked.push(partition);
    return marked;
  }

  /** The highest floor noted of any partition: whatever is minted anywhere from now on is above it. O(Q). */
  highest(): number {
    return this.#noted.reduce((highest, { floor }) => Math.max(highest, floor), 0);
  }

  #raise(partition: number, line: number): void {
    if (line > this.lineOf(partition)) this.#line[partition] = line;
  }
}

/**
 * The marks as bytes: version u8, xxh64 of the rest, `rules` u64 (which keys the slots leave out, when they were noted),
 * count u32, then for each marked partition its number u16 and four u64: floor and expiry noted, floor and expiry reaped.
 */
export function encodeFloors(floors: CollectFloors, rules: bigint): Buffer {
  const marked = floors.marked();
  const bytes = Buffer.alloc(HEADER_BYTES + marked.length * RECORD_BYTES);
  bytes[0] = FORMAT_VERSION;
  bytes.writeBigUInt64BE(rules, 9);
  bytes.writeUInt32BE(marked.length, 17);
  let at = HEADER_BYTES;
  for (const partition of marked) {
    const { noted, reaped } = floors.marksOf(partition);
    at = bytes.writeUInt16BE(partition, at);
    for (const value of [noted.floor, noted.expiryMs, reaped.floor, reaped.expiryMs]) {
      at = bytes.writeBigUInt64BE(BigInt(value), at);
    }
  }
  bytes.writeBigUInt64BE(xxh64(bytes.subarray(9)), 1);
  return bytes;
}

/**
 * Puts the marks in `bytes` into `floors`, which has none; the rules that they were noted under, or undefined when the bytes
 * are none: then nothing was put in. Never throws.
 */
export function restoreFloors(floors: CollectFloors, bytes: Uint8Array): bigint | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < HEADER_BYTES || buffer[0] !== FORMAT_VERSION) return undefined;
  if (xxh64(buffer.subarray(9)) !== buffer.readBigUInt64BE(1)) return undefined;
  const count = buffer.readUInt32BE(17);
  if (buffer.length !== HEADER_BYTES + count * RECORD_BYTES) return undefined;
  const records = Array.from({ length: count }, (_, index) => recordAt(buffer, HEADER_BYTES + index * RECORD_BYTES));
  const isSound = records.every(
    ({ partition, noted, reaped }, index) =>
      partition < floors.partitionCount &&
      partition > (records[index - 1]?.partition ?? -1) &&
      Number.isSafeInteger(noted.floor) &&
      reaped.floor <= noted.floor,
  );
  if (!isSound) return undefined;
  for (const { partition, noted, reaped } of records) {
    floors.note(partition, noted);
    if (reaped.floor > 0) floors.reap(partition, reaped);
  }
  return buffer.readBigUInt64BE(9);
}

function recordAt(buffer: Buffer, at: number): PartitionMarks & { readonly partition: number } {
  const numberAt = (index: number): number => Number(buffer.readBigUInt64BE(at + 2 + index * 8));
  return {
    partition: buffer.readUInt16BE(at),
    noted: { floor: numberAt(0), expiryMs: numberAt(1) },
    reaped: { floor: numberAt(2), expiryMs: numberAt(3) },
  };
}
