import { describe, expect, it } from "vitest";
import { checkHandover, type Plan } from "./handover-model.ts";
import {
  DROP_AT_SEAL,
  DROP_WITHOUT_PROOF,
  FETCHING_AFTER_LEAVING,
  FETCHING_WHAT_IS_PROMISED,
  FLIP_BY_GOSSIP,
  INTRODUCED_BY_NEWCOMERS,
  MINT_WITHOUT_ASKING_EVERYONE,
  OVER_AN_OLD_COPY,
  READY_WITHOUT_ID,
  REARMED_BY_A_DUPLICATE,
  RELEASED_WITHOUT_ID,
  WAITING_FOR_WHO_HAS_LEFT,
} from "./planted-bugs.ts";

describe("slots that change hands under crashes, losses, doubles, and changes of mind", () => {
  it("never cost a strict-quorum read a write, never are two, never vanish, and come to rest", () => {
    const summary = checkHandover(1, 300);

    expect(summary.violations).toEqual([]);
    expect(summary.unsettled).toEqual([]);
    // An empty check proves nothing.
    expect(summary.counts.transfers).toBeGreaterThan(600);
    expect(summary.counts.mints).toBeGreaterThan(150);
    expect(summary.counts.reads).toBeGreaterThan(80_000);
  });
});

describe("the model check finds", () => {
  const planted: readonly (readonly [what: string, plan: Plan, mostRuns: number, firstSeed?: number])[] = [
    ["a READY that does not say which transfer it means", { seams: READY_WITHOUT_ID, sealMs: 22 }, 200],
    [
      "a RELEASED that does not say which transfer it means",
      { seams: RELEASED_WITHOUT_ID, isBackAndForth: true, changeRate: 1, sealMs: 40 },
      100,
    ],
    ["a member that fetches slots after it has left", { seams: FETCHING_AFTER_LEAVING }, 100],
    [
      "a donor that waits for the word of who has left",
      { seams: WAITING_FOR_WHO_HAS_LEFT, changeRate: 1, isGentle: true },
      300,
    ],
    ["ownership that flips by gossip when the copy is done", { seams: FLIP_BY_GOSSIP }, 20],
    ["a source that drops its copy before the receiver has compared roots", { seams: DROP_AT_SEAL }, 50],
    ["a copy that a late double stages again", { seams: REARMED_BY_A_DUPLICATE }, 300],
    [
      "an old copy that is dropped though no holder has all of it",
      { seams: DROP_WITHOUT_PROOF, isBeyondBearing: true },
      150,
    ],
    ["a slot that is fetched or minted over an old copy", { seams: OVER_AN_OLD_COPY, isBeyondBearing: true }, 150],
    ["a slot that is fetched though it is promised to another", { seams: FETCHING_WHAT_IS_PROMISED }, 100],
    [
      "newcomers that are introduced by half of all others, other newcomers too",
      { seams: INTRODUCED_BY_NEWCOMERS, changeRate: 1 },
      60,
      // rare: one life in some hundred
      290,
    ],
    ["a minter that asks one member only", { seams: MINT_WITHOUT_ASKING_EVERYONE }, 600],
    ["a minter that copies from one other slot only", { sourceCount: 1, isGentle: true }, 400],
  ];

  const rows = planted.map(([what, plan, mostRuns, firstSeed = 1]) => ({ what, plan, mostRuns, firstSeed }));
  it.each(rows)("$what", ({ plan, mostRuns, firstSeed }) => {
    expect(firstFound(plan, mostRuns, firstSeed)).toBeLessThanOrEqual(mostRuns);
  });
});

/** How many runs it takes until one breaks a promise, or does not come to rest; one more than `mostRuns` when none does. */
function firstFound(plan: Plan, mostRuns: number, firstSeed: number): number {
  for (let run = 1; run <= mostRuns; run += 1) {
    const { violations, unsettled } = checkHandover(firstSeed + run - 1, 1, plan);
    if (violations.length + unsettled.length > 0) return run;
  }
  return mostRuns + 1;
}
