/** The limits of a run. */
import { describe, expect, test } from "vitest";
import { type Judged, judge } from "../../../loadtest/thresholds.ts";

const GOOD: Judged = {
  workload: "ycsb-a",
  hasFaults: false,
  missedFaultCount: 0,
  latenessP99Ms: 2,
  loopBusyShare: 0.2,
  sentShare: 1,
  failedShare: 0,
  slowestP99Ms: 20,
  lostCount: 0,
  undeadCount: 0,
  foreignCount: 0,
  damagedCount: 0,
  unreadKeyCount: 0,
  staleReadCount: 0,
  journeyFaultCount: 0,
};

function broken(run: Partial<Judged>): readonly string[] {
  return judge({ ...GOOD, ...run })
    .filter(({ isMet }) => !isMet)
    .map(({ about, text }) => `${about}: ${text}`);
}

describe("a run", () => {
  test("that keeps every limit passes", () => {
    expect(broken({})).toEqual([]);
  });

  test.each([
    [{ latenessP99Ms: 51 }, "generator: operations sent late (p99)"],
    [{ loopBusyShare: 0.9 }, "generator: event loop busy"],
    [{ sentShare: 0.9 }, "generator: sent of what was planned (at least)"],
    [{ missedFaultCount: 1 }, "generator: planned faults that did not happen"],
    [{ lostCount: 1 }, "data: lost updates"],
    [{ undeadCount: 1 }, "data: refused writes that took effect"],
    [{ foreignCount: 1 }, "data: values that nobody wrote"],
    [{ damagedCount: 1 }, "data: damaged values"],
    [{ unreadKeyCount: 1 }, "data: keys that could not be read at the end"],
    [{ staleReadCount: 1 }, "data: stale reads"],
    [{ journeyFaultCount: 1 }, "service: steps of the journey answered otherwise"],
    [{ failedShare: 0.002 }, "service: operations that failed"],
    [{ slowestP99Ms: 251 }, "service: slowest kind of operation (p99)"],
  ])("fails for %j alone", (run, expected) => {
    expect(broken(run)).toEqual([expected]);
  });

  test("with a fault may fail a little, read stale, and lose nothing all the same", () => {
    expect(broken({ hasFaults: true, failedShare: 0.01, staleReadCount: 3, slowestP99Ms: 1_500 })).toEqual([]);
    expect(broken({ hasFaults: true, lostCount: 1 })).toEqual(["data: lost updates"]);
  });

  test("is judged by its generator before anything else", () => {
    expect(
      judge(GOOD)
        .map(({ about }) => about)
        .slice(0, 3),
    ).toEqual(["generator", "generator", "generator"]);
  });
});
