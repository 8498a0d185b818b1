import { expect, test } from "vitest";
import { acceptedMs, coldMs, coldWithin, failuresOf, quantileMs } from "./answer-times.ts";
import { count, newResult, type TargetResult } from "./generator.ts";

const DEADLINE_MS = 2_000;

function result(given: Partial<TargetResult> = {}): TargetResult {
  return { ...newResult(), ...given };
}

const tens = (times: number): number[] => Array.from({ length: times }, () => 10);

test("quantiles are those of the sorted values, and of nothing there is none", () => {
  expect(quantileMs([30, 10, 20], 0.5)).toBe(20);
  expect(quantileMs([30, 10, 20], 0.99)).toBe(30);
  expect(quantileMs([], 0.99)).toBeNaN();
});

test("late answers are part of the p99, by how late they were", () => {
  const late = [2_500, 3_000].map((tookMs) => ({ isHot: false, tookMs, atMs: 0 }));
  const took = acceptedMs([result({ goodMs: tens(98), late })], DEADLINE_MS);
  expect(took).toHaveLength(100);
  expect(quantileMs(took, 0.99)).toBe(3_000);
  expect(quantileMs(took, 0.97)).toBe(10);
});

test("a request that was lost at once counts as the deadline, one that was waited for longer as that", () => {
  const lost = [3, 4_000].map((tookMs) => ({ isHot: false, tookMs, atMs: 0 }));
  expect(acceptedMs([result({ lost })], DEADLINE_MS)).toEqual([DEADLINE_MS, 4_000]);
});

test("what is answered after the load is counted apart, whatever key it is of", () => {
  const one = newResult();
  for (const atMs of [999, 1_001]) {
    for (const isHot of [false, true]) {
      count(one, { deadlineMs: DEADLINE_MS, durationMs: 1_000 }, { status: 200, isHot, tookMs: 10, atMs });
      count(one, { deadlineMs: DEADLINE_MS, durationMs: 1_000 }, { status: 200, isHot, tookMs: DEADLINE_MS + 1, atMs });
      count(one, { deadlineMs: DEADLINE_MS, durationMs: 1_000 }, { status: 503, isHot, tookMs: 10, atMs });
    }
  }
  const { goodMs, goodAtMs, hotMs, goodAfterCount, late } = one;
  expect([goodMs, goodAtMs, hotMs, goodAfterCount, late.length]).toEqual([[10, 10], [999, 1_001], [10, 10], 2, 4]);
});

test("refusals are no part of it", () => {
  const shed = result({ goodMs: tens(2), refusedByStatus: { 503: 100 }, refusedMs: tens(100) });
  expect(acceptedMs([shed], DEADLINE_MS)).toEqual([10, 10]);
});

test("what befell the hot key is no matter of the others", () => {
  const late = [true, false].map((isHot) => ({ isHot, tookMs: 2_100, atMs: 0 }));
  const both = [result({ goodMs: [1], hotMs: [2], late })];
  expect(coldMs(both, DEADLINE_MS)).toEqual([1, 2_100]);
  expect([...acceptedMs(both, DEADLINE_MS)].toSorted((a, b) => a - b)).toEqual([1, 2, 2_100, 2_100]);
});

test("a stretch of the load has what ended within it, whatever came of it", () => {
  const wrong = [50, 150, 250].map((atMs) => ({ isHot: false, tookMs: 2_500, atMs }));
  const all = [result({ goodMs: [1, 2, 3], goodAtMs: [50, 150, 250], late: wrong, lost: wrong })];
  expect(coldWithin(all, DEADLINE_MS, { fromMs: 100, untilMs: 200 })).toEqual([2, 2_500, 2_500]);
});

test("refused, late, lost and untaken requests are a share of all that were due, and so are the unsent ones", () => {
  const one = { isHot: false, tookMs: 2_500, atMs: 0 };
  const given = {
    sentCount: 96,
    refusedByStatus: { 429: 1, 503: 2 },
    late: [one],
    lost: [one],
    unsentCount: 4,
    unconnectedCount: 2,
  };
  const failures = failuresOf([result(given), result({ sentCount: 100 })]);
  expect(failures.share).toBeCloseTo(7 / 200);
  expect(failures.unsentShare).toBeCloseTo(4 / 200);
  expect(failures.text).toBe("refused 3, late 1, lost 1, not taken in 2 (3.50 %), unsent 4 (2.00 %) of 200");
});

test("a load of which nothing was sent has failed", () => {
  expect(failuresOf([]).share).toBe(1);
});
