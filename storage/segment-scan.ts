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
/** the two bytes after a header's flags, and the reserved ones: what a record can be searched by */
const MARK: Buffer = Buffer.from([0xc7, 0, 0]);
const MARK_AT = 45;

/** Reads the whole file through the thread pool. */
export async function readSegment(file: DiskFile, sizeBytes: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let at = 0;
  while (at < sizeBytes) {
    const count = await file.read(bytes.subarray(at, Math.min(sizeBytes, at + READ_BYTES)), at);
    if (count === 0) break;
    at += count;
  }
  return bytes.subarray(0, at);
}

/** Scans the bytes of a segment with this checksum seed. */
export function scanSegment(bytes: Buffer, segmentSeed: number): ScannedSegment {
  const records: FoundRecord[] = [];
  const gaps: Gap[] = [];
  let offset = SEGMENT_HEADER_BYTES;
  while (offset < bytes.length) {
    const identity = decodeIdentity(bytes, offset, { segmentSeed, offset });
    const isProved = identity.kind === "identity" && offset + identity.totalBytes <= bytes.length;
    if (isProved && isValueIntact(bytes, offset, { segmentSeed, offset }, identity)) {
      records.push({ identity, offset });
      offset += identity.totalBytes;
      continue;
    }
    if (isZero(bytes, offset, bytes.length)) break;
    const to = isProved ? offset + identity.totalBytes : nextRecord(bytes, offset + 8, segmentSeed);
    gaps.push({ from: offset, to, damaged: isProved ? identity : undefined, recordsBefore: records.length });
    offset = to;
  }
  return { bytes, header: decodeSegmentHeader(bytes), records, gaps };
}

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
