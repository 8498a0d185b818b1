/** One replica of three takes 200 ms longer than the others: what readers feel of it, and what that costs (reliability notes §4 O13). */
import { describe, expect, test } from "vitest";
import { HEDGE_BURST, HEDGE_DELAY_MAX_MS } from "../../../services/base/limits.ts";
import { FakeCluster, type Fate, knobs } from "../../support/fake-cluster.ts";

const READS = 3_000;
const QUICK: Fate = { thereMs: 1, backMs: 1 };
const SLOW: Fate = { thereMs: 100, backMs: 101 };

interface Felt {
  readonly p99Ms: number;
  /** requests to peers for each read */
  readonly asked: number;
}

/** Reads one after the other through this node. */
async function felt(cluster: FakeCluster, at: number, r: number): Promise<Felt> {
  const tookMs: number[] = [];
  const sentBefore = cluster.sent.length;
  for (let i = 0; i < READS; i += 1) {
    const startMs = cluster.clock.monotonicMs();
    const answer = await cluster.get(at, { knobs: knobs({ r }) });
    if (answer.kind !== "found") throw new Error(answer.kind);
    tookMs.push(cluster.clock.monotonicMs() - startMs);
  }
  tookMs.sort((left, right) => left - right);
  return { p99Ms: tookMs[Math.floor(READS * 0.99)] ?? 0, asked: (cluster.sent.length - sentBefore) / READS };
}

describe("beside one slow replica", () => {
  const THROUGH = [
    ["an owner", 0, 2],
    ["a node that holds nothing", 3, 2],
    ["a node that holds nothing, of one replica", 3, 1],
  ] as const;

  test.each(THROUGH)("p99 of reads through %s grows by 20 ms at most, for 5 %% more requests", async (_who, at, r) => {
    const cluster = new FakeCluster({ nodeCount: 4, n: 3, fateOf: () => QUICK });
    await cluster.put(0, "a");
    const quiet = await felt(cluster, at, r);
    cluster.fateOf = (_from, to) => (to === "node1" ? SLOW : QUICK);
    const slow = await felt(cluster, at, r);
    expect(slow.p99Ms - quiet.p99Ms).toBeLessThanOrEqual(20);
    expect(slow.asked - quiet.asked).toBeLessThanOrEqual(0.05 * quiet.asked + HEDGE_BURST / READS);
  });

  test.each(THROUGH)("reads through %s notice that it has recovered", async (_who, at, r) => {
    const cluster = new FakeCluster({ nodeCount: 4, n: 3, fateOf: () => QUICK });
    await cluster.put(0, "a");
    cluster.fateOf = (_from, to) => (to === "node1" ? SLOW : QUICK);
    await felt(cluster, at, r);
    // now the others are slower than it: who never asked it again would not know
    cluster.fateOf = (_from, to) => (to === "node1" ? QUICK : { thereMs: 10, backMs: 10 });
    await felt(cluster, at, r);
    const before = cluster.sent.length;
    for (let i = 0; i < 50; i += 1) await cluster.get(at, { knobs: knobs({ r }) });
    const toIt = cluster.sent.slice(before).filter(({ to }) => to === "node1").length;
    expect(toIt).toBeGreaterThanOrEqual(49);
  });
});

test("a read that explores beside a slow disk of this node's own takes no longer than others", async () => {
  const cluster = new FakeCluster({ fateOf: () => QUICK });
  await cluster.put(0, "a");
  await cluster.clock.advance(10);
  const { replica } = cluster.node(0);
  let longestMs = 0;
  for (let i = 0; i < 130; i += 1) {
    // so that the budget of hedges lasts; of the slow ones each is an exploration once in 64
    replica.readDelayMs = 0;
    for (let earned = 0; earned < 21; earned += 1) await cluster.get(0);
    replica.readDelayMs = 300;
    const startMs = cluster.clock.monotonicMs();
    await cluster.get(0);
    longestMs = Math.max(longestMs, cluster.clock.monotonicMs() - startMs);
  }
  expect(longestMs).toBeLessThanOrEqual(HEDGE_DELAY_MAX_MS + 15);
  // one of each 64 of 2,860
  expect(cluster.node(0).coordinator.counters.explorationCount).toBe(44);
});
