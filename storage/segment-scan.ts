/**
 * Reads a whole segment and says what is in it: records that prove themselves, and gaps between them. It decides
 * nothing: what a gap means depends on what is known to have been durable (`recovery-core.ts`).
 * Must never trust a length that no checksum covers: after bad bytes the next record is found by its own proof.
 */
import { isZero } from "./format/bytes.ts";
import { decodeIdentity, FLAG_META, isValueIntact, type RecordIdentity } from "./format/record.ts";
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  type SegmentHeaderCorrupt,
} from "./format/segment-header.ts";
import type { DiskFile } from "./ports.ts";
import { isUnreadable } from "./whole-file.ts";

/** A record found, metas included. */
export interface FoundRecord {
  readonly identity: RecordIdentity;
  readonly offset: number;
}

/** Bytes that are no record although more records, or bytes that are not zero, follow. */
export interface Gap {
  readonly from: number;
  readonly to: number;
  /** the proved header whose value is bad; undefined when not even the header proves itself */
  readonly damaged: RecordIdentity | undefined;
  /** how many records were found before it */
  readonly recordsBefore: number;
}

/** A segment as it was found. */
export interface ScannedSegment {
  readonly bytes: Buffer;
  readonly header: SegmentHeader | SegmentHeaderCorrupt;
  readonly records: readonly FoundRecord[];
  readonly gaps: readonly Gap[];
}

const READ_BYTES = 4 * 1024 * 1024;
/** what a device fails in: a page */
const SMALL_READ_BYTES = 4096;
/** the two bytes after a header's flags, and the reserved ones: what a record can be searched by */
const MARK: Buffer = Buffer.from([0xc7, 0, 0]);
const MARK_AT = 45;

/** The bytes of a segment, as far as the device gives them back. */
export interface SegmentBytes {
  readonly bytes: Buffer;
  /** how many of them could not be read: ones stand in their place, which no record has */
  readonly unreadableBytes: number;
}

/** Reads the whole file through the thread pool; around bytes that cannot be read in small pieces. Throws `DiskError`. */
export async function readSegment(file: DiskFile, sizeBytes: number): Promise<SegmentBytes> {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let at = 0;
  let unreadableBytes = 0;
  let carefulUntil = 0;
  while (at < sizeBytes) {
    const pieceBytes = at < carefulUntil ? SMALL_READ_BYTES : READ_BYTES;
    const piece = bytes.subarray(at, Math.min(sizeBytes, at + pieceBytes));
    const count = await readOrUndefined(file, piece, at);
    if (count === 0) break;
    if (count !== undefined) at += count;
    else if (at >= carefulUntil) carefulUntil = at + piece.length;
    else {
      piece.fill(0xff);
      unreadableBytes += piece.length;
      at += piece.length;
    }
  }
  return { bytes: bytes.subarray(0, at), unreadableBytes };
}

async function readOrUndefined(file: DiskFile, into: Buffer, at: number): Promise<number | undefined> {
  try {
    return await file.read(into, at);
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

/** Scans the bytes of a segment with this checksum seed, in one go: for a start, when nobody is served. */
export function scanSegment(bytes: Buffer, segmentSeed: number): ScannedSegment {
  const scan = new SegmentScan(bytes, segmentSeed);
  scan.step(Number.POSITIVE_INFINITY);
  return scan.result();
}

/** The same in slices of a few milliseconds, `pause` in between. */
export async function scanSegmentSlowly(
  bytes: Buffer,
  segmentSeed: number,
  pause: () => Promise<void>,
): Promise<ScannedSegment> {
  const scan = new SegmentScan(bytes, segmentSeed);
  while (!scan.step(SLICE_PLACES)) await pause();
  return scan.result();
}

/** A scan that may rest. */
class SegmentScan {
  readonly #bytes: Buffer;
  readonly #seed: number;
  readonly #records: FoundRecord[] = [];
  readonly #gaps: Gap[] = [];
  #offset = SEGMENT_HEADER_BYTES;

  constructor(bytes: Buffer, segmentSeed: number) {
    this.#bytes = bytes;
    this.#seed = segmentSeed;
  }

  result(): ScannedSegment {
    const bytes = this.#bytes;
    return { bytes, header: decodeSegmentHeader(bytes), records: this.#records, gaps: this.#gaps };
  }

  /** Looks at so many places; true when it is at the end. */
  step(placeCount: number): boolean {
    const bytes = this.#bytes;
    const until = this.#offset + SLICE_BYTES;
    for (let count = 0; this.#offset < bytes.length; count += 1) {
      if (count >= placeCount || (placeCount < Number.POSITIVE_INFINITY && this.#offset > until)) return false;
      if (!this.#look()) return true;
    }
    return true;
  }

  /** Looks at what stands at the offset; false at the end of the log. */
  #look(): boolean {
    const bytes = this.#bytes;
    const segmentSeed = this.#seed;
    const offset = this.#offset;
    const identity = decodeIdentity(bytes, offset, { segmentSeed, offset });
    const isProved = identity.kind === "identity" && offset + identity.totalBytes <= bytes.length;
    if (isProved && isValueIntact(bytes, offset, { segmentSeed, offset }, identity)) {
      this.#records.push({ identity, offset });
      this.#offset = offset + identity.totalBytes;
      return true;
    }
    if (isZero(bytes, offset, bytes.length)) return false;
    const to = isProved ? offset + identity.totalBytes : nextRecord(bytes, offset + 8, segmentSeed);
    const damaged = isProved ? identity : undefined;
    this.#gaps.push({ from: offset, to, damaged, recordsBefore: this.#records.length });
    this.#offset = to;
    return true;
  }
}

/** records, and bytes of them, looked at in one slice: two or three milliseconds */
const SLICE_PLACES = 2048;
const SLICE_BYTES = 1024 * 1024;

/** Whether a found record carries a key. */
export function isKeyed(record: FoundRecord): boolean {
  return (record.identity.flags & FLAG_META) === 0;
}

/** The first offset ≥ `from` where a header proves itself; the end when there is none. */
function nextRecord(bytes: Buffer, from: number, segmentSeed: number): number {
  let mark = bytes.indexOf(MARK, from + MARK_AT);
  while (mark >= 0) {
    const offset = mark - MARK_AT;
    if (offset % 8 === 0 && decodeIdentity(bytes, offset, { segmentSeed, offset }).kind === "identity") return offset;
    mark = bytes.indexOf(MARK, mark + 1);
  }
  return bytes.length;
}
