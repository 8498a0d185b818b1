/** Who is asked first, when to hedge, how often. */
import { describe, expect, test } from "vitest";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import { HEDGE_BURST, HEDGE_DELAY_MAX_MS } from "../../../services/base/limits.ts";
import { HedgeBudget, ReplicaRanking } from "../../../services/coordinator/replica-ranking-core.ts";
import { seededDraws } from "../../support/seeded.ts";

function node(name: string): NodeId {
  const id = parseNodeId(name);
  if (id === undefined) throw new Error(name);
  return id;
}
const [A, B, C] = [node("a"), node("b"), node("c")];

describe("the ranking", () => {
  test("puts the soonest first, the unmet before all, and leaves what stands before `from`", () => {
    const ranking = new ReplicaRanking();
    ranking.observe(A, 9);
    ranking.observe(B, 3);
    const seats = [{ node: A }, { node: A }, { node: B }, { node: C }];
    ranking.sort(seats, 1);
    expect(seats.map((seat) => seat.node)).toEqual([A, C, B, A]);
  });

  test("hedges an unmet replica at the cap, and a quick one near its 95th percentile", () => {
    const ranking = new ReplicaRanking();
    expect(ranking.hedgeDelayMsOf(A)).toBe(HEDGE_DELAY_MAX_MS);
    const draws = seededDraws(7);
    for (let i = 0; i < 5_000; i += 1) ranking.observe(A, draws.below(1_000) / 100);
    expect(ranking.hedgeDelayMsOf(A)).toBeGreaterThan(8);
    expect(ranking.hedgeDelayMsOf(A)).toBeLessThan(11);
  });

  test("never waits longer than the cap, however slow the replica", () => {
    const ranking = new ReplicaRanking();
    for (let i = 0; i < 100; i += 1) ranking.observe(A, 1_000);
    expect(ranking.hedgeDelayMsOf(A)).toBe(HEDGE_DELAY_MAX_MS);
  });

  test("has one read in 64 ask one more, each time another one", () => {
    const ranking = new ReplicaRanking();
    const turns = Array.from({ length: 320 }, () => ranking.explorationOf()).filter((turn) => turn >= 0);
    expect(turns).toEqual([1, 2, 3, 4, 5]);
  });
});

describe("the hedge budget", () => {
  test("is a burst, then five per cent of the reads", () => {
    const budget = new HedgeBudget();
    let taken = 0;
    while (budget.take()) taken += 1;
    expect(taken).toBe(HEDGE_BURST);
    taken = 0;
    for (let i = 0; i < 1_000; i += 1) {
      budget.earn();
      if (budget.take()) taken += 1;
    }
    expect(taken).toBeGreaterThanOrEqual(49);
    expect(taken).toBeLessThanOrEqual(50);
  });

  test("stays as it is, unspent, while the node sheds", () => {
    let isShedding = true;
    const budget = new HedgeBudget(() => isShedding);
    expect(Array.from({ length: 3 }, () => budget.take())).toEqual([false, false, false]);
    isShedding = false;
    let taken = 0;
    while (budget.take()) taken += 1;
    expect(taken).toBe(HEDGE_BURST);
  });
});
