/**
 * Gathers the entries of a segment's index file while the segment is written, so that sealing never reads it again.
 * Must never be given entries out of order: ascending seq is what start-up relies on.
 */
import { checksum } from "./format/checksum.ts";
import {
  encodeIndexEntry,
  encodeIndexTrailer,
  INDEX_ENTRY_BYTES,
  type IndexRecord,
  indexSeed,
} from "./format/index-file.ts";
import type { Disk } from "./ports.ts";
import { indexPath } from "./store-paths.ts";
import { isOutOfRoom, replaceWhole } from "./whole-file.ts";

/** The entries of one segment so far. */
export class IndexBuilder {
  readonly #storeId: Uint8Array;
  readonly #segment: number;
  #bytes: Buffer = Buffer.allocUnsafe(0);
  #length = 0;
  #summedLength = 0;
  #checksum: number;
  #minSeq = 0;
  #maxSeq = 0;

  constructor(storeId: Uint8Array, segment: number) {
    this.#storeId = storeId;
    this.#segment = segment;
    this.#checksum = indexSeed({ storeId, segment, segmentBytes: 0 });
  }

  /** Entries so far. */
  get count(): number {
    return this.#length / INDEX_ENTRY_BYTES;
  }

  /** Lowest seq so far; 0 when empty. */
  get minSeq(): number {
    return this.#minSeq;
  }

  /** Highest seq so far; 0 when empty. */
  get maxSeq(): number {
    return this.#maxSeq;
  }

  /** The entries so far, as a view that the next `add` may leave behind. */
  get entries(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Adds the next record; its seq is above all before. */
  add(record: IndexRecord): void {
    if (this.#length + INDEX_ENTRY_BYTES > this.#bytes.length) this.#grow();
    encodeIndexEntry(record, this.#bytes, this.#length);
    this.#length += INDEX_ENTRY_BYTES;
    if (this.#minSeq === 0) this.#minSeq = record.seq;
    this.#maxSeq = record.seq;
    // summed in pieces as they come, so that sealing a large segment never stalls the event loop
    if (this.#length - this.#summedLength >= SUM_BYTES) this.#sum();
  }

  /** Writes the index file of a segment sealed at `segmentBytes`. Throws `DiskError`; the store can do without the file. */
  async write(disk: Disk, segmentBytes: number): Promise<void> {
    this.#sum();
    const subject = { storeId: this.#storeId, segment: this.#segment, segmentBytes };
    const trailer = encodeIndexTrailer(subject, this.count, this.#checksum);
    await replaceWhole(disk, indexPath(this.#segment), [this.entries, trailer]);
  }

  /** The same, if there is room for it just now: false where there is none. Throws `DiskError` for all else. */
  async writeIfRoom(disk: Disk, segmentBytes: number): Promise<boolean> {
    try {
      await this.write(disk, segmentBytes);
      return true;
    } catch (error) {
      if (!isOutOfRoom(error)) throw error;
      return false;
    }
  }

  #sum(): void {
    this.#checksum = checksum(this.#bytes.subarray(this.#summedLength, this.#length), this.#checksum);
    this.#summedLength = this.#length;
  }

  #grow(): void {
    const bytes = Buffer.allocUnsafe(Math.max(4096, this.#bytes.length * 2));
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
  }
}

const SUM_BYTES = 16 * 1024;
