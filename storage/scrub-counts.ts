/** What scrubbing counts, by name. Pure. Must never name fewer counts than the report has. */
import type { ScrubReport } from "./engine.ts";

/** Counts that go on. */
export type ScrubCounts = { -readonly [K in keyof ScrubReport]: number };

/** Nothing was read. */
export function noScrubCounts(): ScrubCounts {
  return { segmentCount: 0, readBytes: 0, badCount: 0, lostCount: 0, rebuiltIndexCount: 0 };
}

/** What was added between two looks. */
export function addedCounts(before: ScrubCounts, after: ScrubCounts): ScrubReport {
  return {
    segmentCount: after.segmentCount - before.segmentCount,
    readBytes: after.readBytes - before.readBytes,
    badCount: after.badCount - before.badCount,
    lostCount: after.lostCount - before.lostCount,
    rebuiltIndexCount: after.rebuiltIndexCount - before.rebuiltIndexCount,
  };
}
