/**
 * The segment that records go to just now: where the next group goes, and since when it holds anything. Its age is by the
 * monotonic clock, and is forgotten with the process: a start seals whatever was being written, however the store stopped.
 * Must never count a record that is not durable yet.
 */
import { SEGMENT_HEADER_BYTES } from "./format/segment-header.ts";
import { flagsOf } from "./group-encoder.ts";
import type { PendingWrite } from "./pending-write.ts";
import type { StorageClock } from "./ports.ts";
import type { WritableSegment } from "./segment-preparer.ts";

/** A segment that is being written. */
export interface ActiveSegment extends WritableSegment {
  /** where the next group goes */
  offset: number;
  /** when its first record with a key became durable, monotonic; undefined while it holds none */
  sinceMs: number | undefined;
}

/** Begins to write a segment that was made ready. */
export function activeSegmentOf(next: WritableSegment): ActiveSegment {
  return { ...next, offset: SEGMENT_HEADER_BYTES, sinceMs: undefined };
}

/** Takes a durable record into what will be the segment's index file. */
export function noteRecord(active: ActiveSegment, write: PendingWrite, clock: StorageClock): void {
  const { seq, offset, totalBytes, request } = write;
  const { address, digest } = request;
  const { partition, hash } = address;
  if (active.segment.minSeq === 0) active.segment.minSeq = seq;
  active.sinceMs ??= clock.monotonicMs();
  active.builder.add({ seq, partition, hash, digest, offset, length: totalBytes, flags: flagsOf(write) });
}
