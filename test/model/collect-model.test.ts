import { describe, expect, it } from "vitest";
import type { CollectPlan } from "./collect-life.ts";
import { checkCollect, runCollect } from "./collect-model.ts";

describe("tombstones collected under crashes, late and doubled messages, wrong clocks, disks set back, slots that move and buckets with fewer replicas and more", () => {
  it("bring nothing back, cost no write, and go in the end", () => {
    const summary = checkCollect(1, 500);

    expect(summary.violations).toEqual([]);
    expect(summary.unsettled).toEqual([]);
    // An empty check proves nothing.
    expect(summary.counts["applied"]).toBeGreaterThan(30_000);
    expect(summary.counts["collected"]).toBeGreaterThan(1_000);
    expect(summary.counts["catchUps"]).toBeGreaterThan(200);
    expect(summary.counts["restores"]).toBeGreaterThan(500);
    expect(summary.counts["rules"]).toBeGreaterThan(700);
  });

  it("bring nothing back either where holders cannot read their marks", () => {
    const summary = checkCollect(1, 150, { isRotten: true });

    expect(summary.violations).toEqual([]);
    expect(summary.unsettled).toEqual([]);
    expect(summary.counts["collected"]).toBeGreaterThan(200);
  });
});

/** What, as a plan, lives until it is found at most, and from which seed on. */
type Planted = readonly [string, CollectPlan, number, number];

describe("the model check finds", () => {
  const planted: readonly Planted[] = [
    ["tombstones that go by age alone", { byTimer: true }, 60, 1],
    ["late copies that are taken whatever was collected", { withoutLine: true }, 200, 1],
    ["an older disk that is believed like the others", { believingAll: true }, 100, 1],
    ["a giver's word of when its page has come", { askingAfterwards: true }, 200, 1],
    ["a giver's word of when it had read, and not of when it began", { sayingAfterwards: true }, 300, 1],
    ["a push that is put to what it was made from as it came", { appending: true }, 200, 401],
    ["a round that asks nobody for what is kept for others", { withoutHints: true }, 300, 1],
    ["a round that leaves one holder out", { withOneOther: true }, 200, 3_501],
    ["a slot whose bucket got more replicas and that goes on as before", { withoutDoubt: true }, 400, 1],
    ["what is kept of a late version where the rest may live", { droppingAnywhere: true }, 200, 2_001],
    ["a read that takes the word of one that is behind", { readingAll: true }, 200, 1],
    ["marks that cannot be read and are taken for none", { isRotten: true, forgettingMarks: true }, 300, 1],
    ["a round that compares no roots", { withoutLook: true }, 100, 1],
    ["members that promise nothing", { withoutPromise: true }, 400, 501],
  ];

  it.each(planted)("%s", (_what, plan, mostRuns, first) => {
    expect(firstFound(plan, mostRuns, first)).toBeLessThanOrEqual(mostRuns);
  });
});

/**
 * How many lives it takes until one breaks a promise that it keeps without the bug; one more than `mostRuns` when none does; `first`:
 * where the rare ones are.
 */
function firstFound({ isRotten = false, ...bug }: CollectPlan, mostRuns: number, first: number): number {
  for (let run = 1; run <= mostRuns; run += 1) {
    const seed = first - 1 + run;
    const { violations } = runCollect(seed, { isRotten, ...bug });
    if (violations.length > 0 && runCollect(seed, { isRotten }).violations.length === 0) return run;
  }
  return mostRuns + 1;
}
