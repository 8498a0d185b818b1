/**
 * Reads records back and proves them: both checksums and, by the caller, the key. Bytes believed cached are read
 * synchronously (4 µs, DESIGN §5); all others through the thread pool, so that a cold page never stalls the event
 * loop. The belief corrects itself: reads that turn out slow turn it into disbelief, pool reads restore it.
 * Must never answer absence for bytes that cannot be read.
 */
import type { ReadTerm } from "./engine.ts";
import { CorruptRecordError } from "./errors.ts";
import { decodeIdentity, decodeRecord, keyOf, RECORD_HEADER_BYTES, type RecordIdentity } from "./format/record.ts";
import type { LogSettings } from "./log-options.ts";
import { type Disk, DiskError, type DiskFile, type StorageClock } from "./ports.ts";
import { ReadPool } from "./read-pool.ts";
import type { Segment, SegmentSet } from "./segment-set.ts";

/** Where a record stands. The segment was live when the caller looked; a read that waits pins it at once. */
export interface RecordSpot {
  readonly segment: Segment;
  readonly offset: number;
  /** bytes of the record */
  readonly length: number;
}

/** A record that was read and proved; key and value are views of `bytes`, which begins with the record. */
export interface ReadRecord {
  readonly identity: RecordIdentity;
  readonly bytes: Buffer;
}

/** a synchronous read this slow says that its whole segment was evicted */
const VERY_SLOW_READ_MS = 2;
/** slow reads among `SLOW_WINDOW` synchronous ones that say that the whole cache is gone */
const SLOW_LIMIT = 3;
const SLOW_WINDOW = 32;

type Until = number | ReadTerm | undefined;

/** The reader of all segments. */
export class RecordReader {
  readonly #segments: SegmentSet;
  readonly #clock: StorageClock;
  readonly #slowReadMs: number;
  readonly #pool: ReadPool;
  readonly #disk: Disk;
  #slowCount = 0;
  #syncCount = 0;
  #deviceReads = 0;

  constructor(segments: SegmentSet, settings: LogSettings) {
    this.#segments = segments;
    this.#clock = settings.clock;
    this.#disk = settings.disk;
    this.#slowReadMs = settings.slowReadMs;
    this.#pool = new ReadPool(settings.poolReads, settings.clock);
  }

  /**
   * A whole record, at once when believed cached. Throws or rejects with CorruptRecordError; rejects with ReadExpiredError when
   * it has not had its turn in the thread pool by then (monotonic).
   */
  record(spot: RecordSpot, until?: number | ReadTerm): ReadRecord | Promise<ReadRecord> {
    const bytes = this.#bytes(spot, spot.length, until);
    return bytes instanceof Promise ? bytes.then((read) => proveRecord(spot, read)) : proveRecord(spot, bytes);
  }

  /** The key of a record, without its value, at once when believed cached. Throws or rejects with CorruptRecordError. */
  key(spot: RecordSpot, expectedKeyLength: number): Buffer | Promise<Buffer> {
    const bytes = this.#bytes(spot, Math.min(spot.length, RECORD_HEADER_BYTES + expectedKeyLength));
    if (!(bytes instanceof Promise)) return this.#proveKey(spot, bytes);
    // pinned over both reads, should a second one be needed
    this.#segments.pin(spot.segment);
    return bytes.then((read) => this.#proveKey(spot, read)).finally(() => this.#segments.unpin(spot.segment));
  }

  /** Bytes `[from, from + length)` of a segment, always through the thread pool; shorter at the end of the file. */
  range(segment: Segment, from: number, length: number): Promise<Buffer> {
    return this.#poolRead(segment, { offset: from, length, until: undefined });
  }

  #proveKey(spot: RecordSpot, bytes: Buffer): Buffer | Promise<Buffer> {
    const identity = decodeIdentity(bytes, 0, { segmentSeed: spot.segment.seed, offset: spot.offset });
    if (identity.kind === "identity") return keyOf(bytes, 0, identity);
    if (bytes.length === spot.length) throw new CorruptRecordError(errorPlace(spot));
    // the key is longer than was guessed, or the bytes are bad: the whole record tells which
    const record = this.record(spot);
    return record instanceof Promise ? record.then(keyOfRead) : keyOfRead(record);
  }

  #bytes(spot: RecordSpot, length: number, until?: number | ReadTerm): Buffer | Promise<Buffer> {
    const { segment, offset } = spot;
    const file = this.#segments.openFileOf(segment);
    if (file === undefined || !segment.warmth.isWarm(offset, length)) {
      return this.#poolRead(segment, { offset, length, until });
    }
    return this.#syncRead(file, segment, offset, length);
  }

  #syncRead(file: DiskFile, segment: Segment, offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    const startedMs = this.#clock.monotonicMs();
    const count = readSyncOrCorrupt(file, bytes, segment, offset);
    const durationMs = this.#clock.monotonicMs() - startedMs;
    this.#syncCount += 1;
    if (durationMs >= this.#slowReadMs) this.#doubt(segment, durationMs);
    if (this.#syncCount >= SLOW_WINDOW) {
      this.#syncCount = 0;
      this.#slowCount = 0;
    }
    return count === length ? bytes : bytes.subarray(0, count);
  }

  /** One slow read is an accident; a very slow one clears its segment; several clear the belief about all of them. */
  #doubt(segment: Segment, durationMs: number): void {
    const deviceReads = this.#disk.deviceReads?.();
    // the processor was busy with something else: the bytes came from memory all the same
    if (deviceReads !== undefined && deviceReads === this.#deviceReads) return;
    this.#deviceReads = deviceReads ?? 0;
    this.#slowCount += 1;
    if (durationMs >= VERY_SLOW_READ_MS) segment.warmth.clear();
    if (this.#slowCount < SLOW_LIMIT) return;
    this.#slowCount = 0;
    for (const each of this.#segments.all()) each.warmth.clear();
  }

  async #poolRead(
    segment: Segment,
    { offset, length, until }: { readonly offset: number; readonly length: number; readonly until: Until },
  ): Promise<Buffer> {
    this.#segments.pin(segment);
    try {
      const file = await this.#segments.open(segment);
      // not before its turn: a thousand that wait for a slow disk hold nothing
      const read = async (): Promise<Buffer> => {
        const bytes = Buffer.allocUnsafe(length);
        const count = await file.read(bytes, offset);
        return count === length ? bytes : bytes.subarray(0, count);
      };
      const bytes = await this.#pool.run(read, until);
      segment.warmth.warm(offset, length);
      return bytes;
    } catch (error) {
      throw corruptIfUnreadable(error, segment, offset);
    } finally {
      this.#segments.unpin(segment);
    }
  }
}

function proveRecord(spot: RecordSpot, bytes: Buffer): ReadRecord {
  const identity = decodeRecord(bytes, 0, { segmentSeed: spot.segment.seed, offset: spot.offset });
  if (identity.kind !== "identity" || identity.totalBytes !== spot.length) {
    throw new CorruptRecordError(errorPlace(spot));
  }
  return { identity, bytes };
}

function keyOfRead(read: ReadRecord): Buffer {
  return keyOf(read.bytes, 0, read.identity);
}

function readSyncOrCorrupt(file: DiskFile, into: Buffer, segment: Segment, offset: number): number {
  try {
    return file.readSync(into, offset);
  } catch (error) {
    throw corruptIfUnreadable(error, segment, offset);
  }
}

/** A device that cannot give the bytes back has lost the record: an error, never an absence. */
function corruptIfUnreadable(error: unknown, segment: Segment, offset: number): unknown {
  return error instanceof DiskError && error.code === "EIO"
    ? new CorruptRecordError({ segment: segment.id, offset }, { cause: error })
    : error;
}

function errorPlace(spot: RecordSpot): { readonly segment: number; readonly offset: number } {
  return { segment: spot.segment.id, offset: spot.offset };
}
