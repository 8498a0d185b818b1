/**
 * Keys of which this holder caught up without anybody's word on what was held, because those who took part in the proof had lost
 * their records, by the floor up to which it caught up. It names them to whoever catches up with it, as it names its own losses: what it has, or lacks,
 * of them says nothing. A later proof ends that, for in it all holders had the same. Pure. Must never forget one before.
 *
 * As bytes: version u8 (1), xxh64 of the rest, then for each partition its number u16, the floor u64, count u32, hashes u64 each.
 */
import { xxh64 } from "../base/hash.ts";
import { MAX_UNPROVED_KEYS } from "../base/limits.ts";
import type { CollectFloors } from "./collect-floors-core.ts";

interface Unproved {
  readonly floor: number;
  readonly hashes: readonly bigint[];
}

const FORMAT_VERSION = 1;
const HEADER_BYTES = 9;
const RECORD_BYTES = 14;
const HASH_BYTES = 8;
const NONE: readonly bigint[] = [];

/** One node's. */
export class UnprovedKeys {
  readonly #floors: CollectFloors;
  readonly #byPartition = new Map<number, Unproved>();

  constructor(floors: CollectFloors) {
    this.#floors = floors;
  }

  /** Of all partitions, by the marks of now. */
  get count(): number {
    let count = 0;
    for (const partition of this.#byPartition.keys()) count += this.hashesOf(partition).length;
    return count;
  }

  /** By the marks of now: none when a proof came after. O(1). */
  hashesOf(partition: number): readonly bigint[] {
    const unproved = this.#byPartition.get(partition);
    return unproved?.floor === this.#floors.marksOf(partition).noted.floor ? unproved.hashes : NONE;
  }

  /**
   * What was left of the partition when it caught up to `floor`, in place of what was left before. True when that changes
   * what is to be durable; undefined when it is too much to be remembered: then nothing has changed.
   */
  keep(partition: number, floor: number, hashes: readonly bigint[]): boolean | undefined {
    if (hashes.length === 0) return this.#byPartition.delete(partition);
    for (const other of this.#byPartition.keys()) {
      if (other !== partition && this.hashesOf(other).length === 0 && !this.#floors.isBehind(other)) {
        this.#byPartition.delete(other);
      }
    }
    let count = hashes.length;
    for (const [other, unproved] of this.#byPartition) if (other !== partition) count += unproved.hashes.length;
    if (count > MAX_UNPROVED_KEYS) return undefined;
    this.#byPartition.set(partition, { floor, hashes });
    return true;
  }

  encode(): Buffer {
    const parts: Buffer[] = [Buffer.alloc(HEADER_BYTES, FORMAT_VERSION)];
    for (const [partition, { floor, hashes }] of this.#byPartition) {
      const part = Buffer.alloc(RECORD_BYTES + hashes.length * HASH_BYTES);
      part.writeUInt16BE(partition, 0);
      part.writeBigUInt64BE(BigInt(floor), 2);
      part.writeUInt32BE(hashes.length, 10);
      for (const [at, hash] of hashes.entries()) part.writeBigUInt64BE(hash, RECORD_BYTES + at * HASH_BYTES);
      parts.push(part);
    }
    const bytes = Buffer.concat(parts);
    bytes.writeBigUInt64BE(xxh64(bytes.subarray(HEADER_BYTES)), 1);
    return bytes;
  }

  /** Takes up what was durable; false when the bytes are none: then nothing was taken up. */
  restore(bytes: Uint8Array): boolean {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (buffer.length < HEADER_BYTES || buffer[0] !== FORMAT_VERSION) return false;
    if (xxh64(buffer.subarray(HEADER_BYTES)) !== buffer.readBigUInt64BE(1)) return false;
    const read = new Map<number, Unproved>();
    for (let at = HEADER_BYTES; at < buffer.length; ) {
      if (at + RECORD_BYTES > buffer.length) return false;
      const count = buffer.readUInt32BE(at + 10);
      const end = at + RECORD_BYTES + count * HASH_BYTES;
      if (end > buffer.length) return false;
      const from = at + RECORD_BYTES;
      const hashes = Array.from({ length: count }, (_, index) => buffer.readBigUInt64BE(from + index * HASH_BYTES));
      read.set(buffer.readUInt16BE(at), { floor: Number(buffer.readBigUInt64BE(at + 2)), hashes });
      at = end;
    }
    for (const [partition, unproved] of read) this.#byPartition.set(partition, unproved);
    return true;
  }
}
