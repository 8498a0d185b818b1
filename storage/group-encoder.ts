/**
 * Lays a group of writes out as one run of records, ready to be written at once. Owns the buffer, which is used again
 * when the group has been written. Must never give one seq to two records that are on disk.
 */
import {
  encodeRecord,
  FLAG_BATCH_BEGIN,
  FLAG_BATCH_END,
  FLAG_META,
  FLAG_SHARED_HASH,
  kindFlags,
} from "./format/record.ts";
import type { PendingWrite } from "./pending-write.ts";

/** Where a group goes and what it is told. */
export interface GroupPlace {
  readonly segmentSeed: number;
  readonly offset: number;
  readonly firstSeq: number;
  /** every seq up to this one is durable */
  readonly durableUpTo: number;
}

const FIRST_BUFFER_BYTES = 256 * 1024;
const EMPTY: Buffer = Buffer.alloc(0);

/** Encodes one group at a time. */
export class GroupEncoder {
  readonly #groupBytes: number;
  #buffer: Buffer = Buffer.allocUnsafe(FIRST_BUFFER_BYTES);

  constructor(groupBytes: number) {
    this.#groupBytes = groupBytes;
  }

  /** The bytes of the group, valid until the next call; each write gets its seq and offset. */
  encode(group: readonly PendingWrite[], place: GroupPlace): Buffer {
    let size = 0;
    for (const write of group) size += write.totalBytes;
    const buffer = this.#room(size);
    let at = 0;
    for (const [index, write] of group.entries()) {
      const { address, value, digest } = write.request;
      const { partition, hash, key } = address;
      write.seq = place.firstSeq + index;
      write.offset = place.offset + at;
      const isFirst = index === 0;
      const flags =
        flagsOf(write) | (isFirst ? FLAG_BATCH_BEGIN : 0) | (index === group.length - 1 ? FLAG_BATCH_END : 0);
      const durableUpTo = isFirst ? place.durableUpTo : 0;
      const record = { seq: write.seq, partition, hash, digest, flags, durableUpTo, key, value };
      at += encodeRecord(record, buffer, at, { segmentSeed: place.segmentSeed, offset: write.offset });
    }
    return buffer.subarray(0, size);
  }

  /** An empty group that says on disk how far everything is durable (reliability notes §3.6). */
  encodeMark(place: GroupPlace): Buffer {
    const record = {
      seq: place.firstSeq,
      partition: 0,
      hash: 0n,
      digest: 0n,
      flags: FLAG_META | FLAG_BATCH_BEGIN | FLAG_BATCH_END,
      durableUpTo: place.durableUpTo,
      key: EMPTY,
      value: EMPTY,
    };
    return this.#buffer.subarray(0, encodeRecord(record, this.#buffer, 0, place));
  }

  #room(sizeBytes: number): Buffer {
    if (sizeBytes <= this.#buffer.length) return this.#buffer;
    // a record larger than a group is rare: its buffer is not kept
    if (sizeBytes > this.#groupBytes) return Buffer.allocUnsafe(sizeBytes);
    this.#buffer = Buffer.allocUnsafe(Math.min(this.#groupBytes, 2 * sizeBytes));
    return this.#buffer;
  }
}

/** The flags that a write has by itself, wherever in a group it stands. */
export function flagsOf(write: PendingWrite): number {
  return kindFlags(write.kind) | (write.sharesHash === true ? FLAG_SHARED_HASH : 0);
}
