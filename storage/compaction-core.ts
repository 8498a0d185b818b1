/**
 * Which sealed segments are worth compacting. Pure. The goal is a bound on dead bytes for the least copying: the
 * segments with the largest dead share first, as many as fill one new segment.
 * Must never pick a set that compaction could not make better, or it would never rest.
 */

import { SEGMENT_HEADER_BYTES } from "./format/segment-header.ts";

/** What the choice rests on. */
export interface SegmentFill {
  readonly id: number;
  readonly sizeBytes: number;
  readonly liveBytes: number;
  /** it holds bytes that are not what was written */
  readonly isRotten?: boolean;
}

/** How to choose. */
export interface CompactionRule {
  readonly segmentBytes: number;
  /** share of dead bytes in all sealed segments that is tolerated, 0 … 1 */
  readonly garbageRatio: number;
  /** dead bytes that are tolerated whatever their share: a small store is not worth the copying */
  readonly garbageBytes: number;
  readonly maxInputs: number;
}

/** as many small segments are merged, even without any dead byte in them */
const SMALL_SEGMENTS = 4;
/** a segment is small below this share of a full one */
const SMALL_SHARE = 0.25;

/** The segments to compact now, best first; empty when all is well. */
export function compactionInputsOf(fills: readonly SegmentFill[], rule: CompactionRule): readonly number[] {
  const empty = fills.filter((fill) => fill.liveBytes === 0);
  if (empty.length > 0) return idsOf(empty, rule.maxInputs);
  const rotten = fills.find((fill) => fill.isRotten === true);
  if (rotten !== undefined) return [rotten.id];
  if (garbageRatioOf(fills) >= rule.garbageRatio && garbageBytesOf(fills) >= rule.garbageBytes) {
    const sparse = fills.filter((fill) => deadShareOf(fill) > 0 && deadShareOf(fill) >= rule.garbageRatio / 2);
    sparse.sort((a, b) => deadShareOf(b) - deadShareOf(a));
    return upToOneSegment(sparse, rule);
  }
  const small = alikeSmallOf(fills.filter((fill) => fill.sizeBytes < rule.segmentBytes * SMALL_SHARE));
  if (small.length < SMALL_SEGMENTS) return [];
  return upToOneSegment(small, { ...rule, maxInputs: Math.max(SMALL_SEGMENTS, rule.maxInputs) });
}

/** The smallest first, as long as none outweighs those before it: else each merge would copy the fruit of the last. */
function alikeSmallOf(small: SegmentFill[]): readonly SegmentFill[] {
  small.sort((a, b) => a.sizeBytes - b.sizeBytes);
  let sumBytes = 0;
  const end = small.findIndex((fill, index) => {
    const outweighs = index >= 2 && fill.sizeBytes > sumBytes;
    sumBytes += fill.sizeBytes;
    return outweighs;
  });
  return end < 0 ? small : small.slice(0, end);
}

/** The share of dead bytes in these segments, 0 … 1. */
export function garbageRatioOf(fills: readonly SegmentFill[]): number {
  let sizeBytes = 0;
  let liveBytes = 0;
  for (const fill of fills) {
    sizeBytes += recordBytesOf(fill);
    liveBytes += fill.liveBytes;
  }
  return sizeBytes === 0 ? 0 : 1 - liveBytes / sizeBytes;
}

function garbageBytesOf(fills: readonly SegmentFill[]): number {
  return fills.reduce((sum, fill) => sum + recordBytesOf(fill) - fill.liveBytes, 0);
}

function deadShareOf(fill: SegmentFill): number {
  return 1 - fill.liveBytes / Math.max(1, recordBytesOf(fill));
}

/** A segment's header is no garbage: a copy would have one too. */
function recordBytesOf(fill: SegmentFill): number {
  return fill.sizeBytes - SEGMENT_HEADER_BYTES;
}

function upToOneSegment(fills: readonly SegmentFill[], rule: CompactionRule): readonly number[] {
  const ids: number[] = [];
  let liveBytes = 0;
  for (const fill of fills) {
    if (ids.length > 0 && liveBytes + fill.liveBytes > rule.segmentBytes) break;
    if (ids.length >= rule.maxInputs) break;
    liveBytes += fill.liveBytes;
    ids.push(fill.id);
  }
  return ids;
}

function idsOf(fills: readonly SegmentFill[], count: number): readonly number[] {
  return fills.slice(0, count).map((fill) => fill.id);
}
