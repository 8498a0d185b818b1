/**
 * Reads the records of one compaction input in the order of their offsets, a large piece at a time, each proved by
 * both checksums. Must never hand on a record that it has not proved.
 */
import { CorruptRecordError } from "./errors.ts";
import { decodeRecord, type RecordIdentity } from "./format/record.ts";
import type { RecordReader } from "./record-reader.ts";
import type { Segment } from "./segment-set.ts";

const WINDOW_BYTES = 1024 * 1024;

/** A proved record inside a window; the bytes are valid until the next call. */
export interface WindowRecord {
  readonly bytes: Buffer;
  /** where it starts in `bytes` */
  readonly at: number;
  readonly identity: RecordIdentity;
}

/** The window on one segment. */
export class InputWindow {
  readonly #reader: RecordReader;
  readonly #segment: Segment;
  #bytes: Buffer = Buffer.alloc(0);
  #from = 0;

  constructor(reader: RecordReader, segment: Segment) {
    this.#reader = reader;
    this.#segment = segment;
  }

  /** Whether the record lies in what was read already. */
  holds(offset: number, length: number): boolean {
    return offset >= this.#from && offset + length <= this.#from + this.#bytes.length;
  }

  /** Reads on, from this record. Rejects with CorruptRecordError when the device cannot give it back. */
  async moveTo(offset: number, length: number): Promise<void> {
    const sizeBytes = Math.min(Math.max(WINDOW_BYTES, length), this.#segment.sizeBytes - offset);
    try {
      this.#bytes = await this.#reader.range(this.#segment, offset, sizeBytes);
    } catch (error) {
      if (!(error instanceof CorruptRecordError) || sizeBytes <= length) throw error;
      // what cannot be read may be another record, further on
      this.#bytes = await this.#reader.range(this.#segment, offset, length);
    }
    this.#from = offset;
  }

  /** The record there, proved. Throws CorruptRecordError. */
  record(offset: number, length: number): WindowRecord {
    const at = offset - this.#from;
    const identity = decodeRecord(this.#bytes, at, { segmentSeed: this.#segment.seed, offset });
    if (identity.kind !== "identity" || identity.totalBytes !== length) {
      throw new CorruptRecordError({ segment: this.#segment.id, offset });
    }
    return { bytes: this.#bytes, at, identity };
  }
}
