import { describe, expect, it } from "vitest";
import { PairSchedule } from "../../../services/repair/anti-entropy-schedule-core.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const [N1, N2, N3] = [nodeIdOf("n1"), nodeIdOf("n2"), nodeIdOf("n3")];
const TIMES = { everyMs: 1_000, backupFactor: 1.5, firstMs: 100 };

/** The schedule of n2, which shares four partitions with each of two others. */
function schedule(draw = 0): PairSchedule {
  const made = new PairSchedule({ self: N2, partitionCount: 8, times: TIMES, draw: () => draw });
  made.setPairs(
    new Map([
      [N1, [0, 1, 2, 3]],
      [N3, [0, 1, 2, 3]],
    ]),
    0,
  );
  return made;
}

function verifyAll(made: PairSchedule, atMs: number): void {
  for (const node of [N1, N3])
    for (let partition = 0; partition < 4; partition += 1) made.verified(node, partition, atMs);
}

describe("the schedule of pairs", () => {
  it("spreads first comparisons over their time", () => {
    const made = schedule(0.5);
    expect(made.due(N3, 49, 10)).toEqual([]);
    expect(made.due(N3, 50, 10)).toEqual([0, 1, 2, 3]);
  });

  it("compares again when its time has come, and later where the other one would", () => {
    const made = schedule();
    verifyAll(made, 200);
    expect([made.due(N3, 1_199, 10), made.due(N1, 1_200, 10)]).toEqual([[], []]);
    expect(made.due(N3, 1_200, 10)).toEqual([0, 1, 2, 3]);
    expect(made.due(N1, 1_700, 10)).toEqual([0, 1, 2, 3]);
  });

  it("takes suspect partitions first, then flagged and ordered ones, then what was verified longest ago", () => {
    const made = schedule();
    verifyAll(made, 10);
    made.verified(N3, 0, 20);
    made.urge(2, "ordered", 500);
    made.urge(3, "flagged", 500);
    made.urge(1, "suspect", 500);
    expect(made.due(N3, 600, 10)).toEqual([1, 3, 2]);
    expect(made.due(N3, 2_000, 10)).toEqual([1, 3, 2, 0]);
    expect(made.due(N3, 2_000, 2)).toEqual([1, 3]);
  });

  it("does not count a comparison that began before the reason came up, nor in the same moment", () => {
    const made = schedule();
    made.urge(1, "suspect", 500);
    made.verified(N1, 1, 501);
    made.verified(N3, 1, 500);
    expect(made.isVerifiedSince(1, 500, [N1, N3])).toBe(false);
    expect(made.due(N3, 600, 1)).toEqual([1]);
    made.verified(N3, 1, 501);
    expect(made.isVerifiedSince(1, 500, [N1, N3])).toBe(true);
    expect(made.due(N3, 600, 10)).not.toContain(1);
  });

  it("keeps the first moment of a reason until it is named anew", () => {
    const made = schedule();
    made.urge(1, "suspect", 500);
    made.urge(1, "suspect", 700);
    expect(made.urgentSince(1, "suspect")).toBe(500);
    made.urgeAnew(1, "suspect", 800);
    expect(made.urgentSince(1, "suspect")).toBe(800);
    made.settle(1, "suspect");
    expect(made.urgent("suspect")).toEqual([]);
  });

  it("leaves a postponed pair alone, until a new reason comes up", () => {
    const made = schedule();
    made.postpone(N3, 1, 5_000);
    expect(made.due(N3, 4_999, 10)).toEqual([0, 2, 3]);
    made.urge(1, "flagged", 600);
    expect(made.due(N3, 600, 10)).toEqual([1, 0, 2, 3]);
  });

  it("forgets a pair that is none any more, and begins with it anew when it comes back", () => {
    const made = schedule();
    verifyAll(made, 10);
    made.setPairs(new Map([[N3, [1, 2]]]), 20);
    expect(made.peers()).toEqual([N3]);
    expect(made.due(N1, 9_999, 10)).toEqual([]);
    made.setPairs(new Map([[N3, [0, 1, 2]]]), 30);
    expect([made.verifiedMs(N3, 0), made.verifiedMs(N3, 1)]).toEqual([-1, 10]);
  });

  it("says what was never verified, and what was not verified for longest", () => {
    const made = schedule();
    verifyAll(made, 30);
    made.verified(N1, 0, 50);
    made.verified(N3, 2, 40);
    const oldest = { peer: N1, partition: 1, sinceMs: 30, wasVerified: true };
    expect(made.summary()).toEqual({ pairCount: 8, neverVerifiedCount: 0, oldest });
  });

  it("counts a pair that was never verified from when it came, and from when it came back", () => {
    const made = schedule();
    verifyAll(made, 100);
    const shared = (...partitions: number[]): Map<typeof N1, number[]> => new Map([[N3, partitions]]);
    made.setPairs(shared(0, 1, 5), 50);
    const oldest = { peer: N3, partition: 5, sinceMs: 50, wasVerified: false };
    expect(made.summary()).toEqual({ pairCount: 3, neverVerifiedCount: 1, oldest });
    made.setPairs(shared(0, 1), 60);
    made.setPairs(shared(0, 1, 5), 70);
    made.setPairs(shared(0, 1, 5), 80);
    expect(made.summary()).toMatchObject({ neverVerifiedCount: 1, oldest: { partition: 5, sinceMs: 70 } });
    made.verified(N3, 5, 101);
    expect(made.summary().oldest).toEqual({ peer: N3, partition: 0, sinceMs: 100, wasVerified: true });
    made.setPairs(shared(0, 1), 110);
    made.setPairs(shared(0, 1, 5), 120);
    expect(made.summary()).toMatchObject({ neverVerifiedCount: 1, oldest: { partition: 0, sinceMs: 100 } });
    made.verified(N3, 0, 130);
    made.verified(N3, 1, 130);
    expect(made.summary().oldest).toEqual({ peer: N3, partition: 5, sinceMs: 120, wasVerified: false });
  });

  it("has no oldest pair where nobody else holds anything", () => {
    const made = schedule();
    made.setPairs(new Map(), 10);
    expect(made.summary()).toEqual({ pairCount: 0, neverVerifiedCount: 0, oldest: undefined });
  });
});
