/**
 * Re-reads one sealed segment from end to end and proves every byte that counts: header, records dead and alive, index
 * file. A window at a time, always through the thread pool, nothing pinned in between: whoever wants the segment gone
 * does not wait. It decides nothing about what it finds. Must never hold a whole segment in memory, nor pass over bytes
 * because an index file does not name them.
 */

import { CorruptRecordError } from "./errors.ts";
import { checksum, seedAt } from "./format/checksum.ts";
import { entryAt, INDEX_ENTRY_BYTES } from "./format/index-file.ts";
import {
  decodeIdentity,
  FLAG_META,
  isValueIntact,
  MAX_KEY_BYTES,
  RECORD_HEADER_BYTES,
  type RecordIdentity,
} from "./format/record.ts";
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from "./format/segment-header.ts";
import { IndexBuilder } from "./index-builder.ts";
import type { RecordReader } from "./record-reader.ts";
import { type EntriesParts, indexFileOf } from "./segment-entries.ts";
import type { Segment } from "./segment-set.ts";

/** What scrubbing a segment works with. */
export interface SegmentScrubParts extends EntriesParts {
  readonly reader: RecordReader;
  /** called after each piece; resolves when the next may be read, false to give up */
  readonly pace: (readBytes: number) => Promise<boolean>;
}

/** Bytes that are not what was written. */
export interface BadRange {
  readonly from: number;
  readonly to: number;
  /** records that stood there, as far as a proved header or the index file tells */
  readonly records: readonly { readonly partition: number; readonly hash: bigint; readonly offset: number }[];
  /** more may have stood there than is told */
  readonly isUnknown: boolean;
}

/** What a segment turned out to be. */
export interface SegmentFindings {
  /** false: given up half way, or the segment went meanwhile */
  readonly isComplete: boolean;
  readonly bad: readonly BadRange[];
  /** the entries that its index file should have; undefined when it has them */
  readonly missingIndex: IndexBuilder | undefined;
}

/** what is read and proved before anyone else gets a turn: a thousand of the smallest records, about a millisecond */
const WINDOW_BYTES = 64 * 1024;
/** what a device fails in: a page */
const PAGE_BYTES = 4096;
/** a header and the longest key */
const IDENTITY_BYTES: number = RECORD_HEADER_BYTES + MAX_KEY_BYTES;

/** Scrubs one sealed segment. Throws `DiskError`, not for bytes that cannot be read. */
export async function scrubSegment(parts: SegmentScrubParts, segment: Segment): Promise<SegmentFindings> {
  return new SegmentScrub(parts, segment).run();
}

class SegmentScrub {
  readonly #parts: SegmentScrubParts;
  readonly #segment: Segment;
  readonly #bad: BadRange[] = [];
  readonly #builder: IndexBuilder;
  /** entries of the index file, and the next one not yet met */
  #entries: Buffer = Buffer.alloc(0);
  #position = 0;
  #hasIndex = false;
  #bytes: Buffer = Buffer.alloc(0);
  #from = 0;
  #isGivenUp = false;

  constructor(parts: SegmentScrubParts, segment: Segment) {
    this.#parts = parts;
    this.#segment = segment;
    this.#builder = new IndexBuilder(parts.manifest.storeId, segment.id);
  }

  async run(): Promise<SegmentFindings> {
    const { segments } = this.#parts;
    segments.pin(this.#segment);
    const index = await indexFileOf(this.#parts, this.#segment).finally(() => segments.unpin(this.#segment));
    if (index.kind === "index") {
      this.#entries = index.entries;
      this.#hasIndex = true;
    }
    await this.#header();
    let offset = SEGMENT_HEADER_BYTES;
    while (offset < this.#segment.sizeBytes && !this.#isGivenUp) offset = await this.#record(offset);
    // what was read last is paid for as well
    if (!this.#isGivenUp) await this.#parts.pace(this.#bytes.length);
    return {
      isComplete: !this.#isGivenUp,
      bad: this.#bad,
      missingIndex: this.#hasIndex || this.#isGivenUp ? undefined : this.#builder,
    };
  }

  async #header(): Promise<void> {
    if (!(await this.#hold(0, SEGMENT_HEADER_BYTES))) return this.#note(0, SEGMENT_HEADER_BYTES);
    const header = decodeSegmentHeader(this.#bytes.subarray(0, SEGMENT_HEADER_BYTES));
    const isRight = header.kind === "segment" && header.segment === this.#segment.id;
    return isRight ? undefined : this.#note(0, SEGMENT_HEADER_BYTES);
  }

  /** Proves the record at an offset; returns where the next one is. */
  async #record(offset: number): Promise<number> {
    const { seed, sizeBytes } = this.#segment;
    const isHeld = await this.#hold(offset, Math.min(IDENTITY_BYTES, sizeBytes - offset));
    if (this.#isGivenUp) return offset;
    const identity = isHeld
      ? decodeIdentity(this.#bytes, offset - this.#from, { segmentSeed: seed, offset })
      : undefined;
    if (identity?.kind !== "identity" || offset + identity.totalBytes > sizeBytes) return this.#skip(offset);
    const end = offset + identity.totalBytes;
    const isIntact = await this.#isIntact(offset, identity);
    if (this.#isGivenUp) return offset;
    this.#pass(end);
    const isKeyed = (identity.flags & FLAG_META) === 0;
    if (!isIntact) {
      const { partition, hash } = identity;
      this.#bad.push({
        from: offset,
        to: end,
        records: isKeyed ? [{ partition, hash, offset }] : [],
        isUnknown: false,
      });
    }
    if (isKeyed && !this.#hasIndex) this.#builder.add({ ...identity, offset, length: identity.totalBytes });
    return end;
  }

  async #isIntact(offset: number, identity: RecordIdentity): Promise<boolean> {
    const { seed } = this.#segment;
    const place = { segmentSeed: seed, offset };
    const at = offset - this.#from;
    if (at + identity.totalBytes <= this.#bytes.length) return isValueIntact(this.#bytes, at, place, identity);
    const expected = this.#bytes.readUInt32LE(at + 4);
    const end = offset + identity.totalBytes;
    let sum = seedAt(seed, offset);
    for (let next = offset + RECORD_HEADER_BYTES + identity.keyLength; next < end; ) {
      const length = Math.min(WINDOW_BYTES, end - next);
      if (!(await this.#hold(next, length))) return false;
      sum = checksum(this.#bytes.subarray(next - this.#from, next - this.#from + length), sum);
      next += length;
    }
    return sum === expected;
  }

  /** Nothing proves itself here: goes on where the index file knows a record, else where one proves itself. */
  async #skip(offset: number): Promise<number> {
    const records: BadRange["records"][number][] = [];
    for (let known = this.#entry(); known !== undefined && known.offset <= offset; known = this.#entry()) {
      records.push({ partition: known.partition, hash: known.hash, offset: known.offset });
      this.#position += 1;
    }
    const next = this.#entry();
    let to = next?.offset ?? this.#segment.sizeBytes;
    if (!this.#hasIndex) to = await this.#search(offset + 8);
    if (this.#isGivenUp) return offset;
    this.#bad.push({ from: offset, to, records, isUnknown: !this.#hasIndex });
    return to;
  }

  /** The first offset ≥ `from` where a header proves itself; the end when there is none. */
  async #search(from: number): Promise<number> {
    const { seed, sizeBytes } = this.#segment;
    for (let offset = from; offset < sizeBytes; offset += 8) {
      const length = Math.min(IDENTITY_BYTES, sizeBytes - offset);
      if (!(await this.#hold(offset, length))) {
        if (this.#isGivenUp) return offset;
        // the next page may be readable; 8 is added above
        offset = (Math.floor(offset / PAGE_BYTES) + 1) * PAGE_BYTES - 8;
        continue;
      }
      const place = { segmentSeed: seed, offset };
      if (decodeIdentity(this.#bytes, offset - this.#from, place).kind === "identity") return offset;
    }
    return sizeBytes;
  }

  #entry(): ReturnType<typeof entryAt> | undefined {
    return this.#position * INDEX_ENTRY_BYTES < this.#entries.length
      ? entryAt(this.#entries, this.#position)
      : undefined;
  }

  /** Entries before this offset have been met. */
  #pass(offset: number): void {
    const { length } = this.#entries;
    while (this.#position * INDEX_ENTRY_BYTES < length && this.#offsetAt(this.#position) < offset) this.#position += 1;
  }

  #offsetAt(position: number): number {
    return this.#entries.readUInt32LE(position * INDEX_ENTRY_BYTES + 24) * 8;
  }

  #note(from: number, to: number): void {
    this.#bad.push({ from, to, records: [], isUnknown: false });
  }

  /** Makes the window hold these bytes, reading on from there if it does not; false when the device fails or time is up. */
  async #hold(offset: number, length: number): Promise<boolean> {
    if (offset >= this.#from && offset + length <= this.#from + this.#bytes.length) return true;
    if (this.#bytes.length > 0 && !(await this.#parts.pace(this.#bytes.length))) this.#isGivenUp = true;
    if (this.#parts.segments.get(this.#segment.id) !== this.#segment) this.#isGivenUp = true;
    if (this.#isGivenUp) return false;
    const wanted = Math.min(Math.max(WINDOW_BYTES, length), this.#segment.sizeBytes - offset);
    for (const sizeBytes of wanted > length ? [wanted, length] : [length]) {
      const bytes = await this.#read(offset, sizeBytes);
      if (bytes === undefined || bytes.length < length) continue;
      this.#bytes = bytes;
      this.#from = offset;
      return true;
    }
    return false;
  }

  async #read(offset: number, length: number): Promise<Buffer | undefined> {
    try {
      return await this.#parts.reader.range(this.#segment, offset, length);
    } catch (error) {
      if (error instanceof CorruptRecordError) return undefined;
      throw error;
    }
  }
}
