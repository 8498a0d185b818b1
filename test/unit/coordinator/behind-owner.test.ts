/** Owners that may lack what others have, and know: they leave writes to the others, where there are others. */
import { describe, expect, test } from "vitest";
import { FakeCluster, knobs } from "../../support/fake-cluster.ts";

function clusterWith(behind: readonly number[], nodeCount = 4): FakeCluster {
  const cluster = new FakeCluster({ nodeCount });
  for (const at of behind) cluster.node(at).replica.isSuspectStore = true;
  return cluster;
}

/** Whose replica was asked to mint, by the actor in the dot: node n has actor n + 1. */
async function minterOf(cluster: FakeCluster, at: number): Promise<number> {
  const answer = await cluster.put(at, "a", { knobs: knobs({ sloppy: false }) });
  if (answer.kind !== "applied") throw new Error(`${answer.code} ${answer.outcome}`);
  return answer.dot.actor - 1;
}

describe("an owner that may lack what others have", () => {
  test("hands a write to one that does not", async () => {
    expect(await minterOf(clusterWith([0]), 0)).not.toBe(0);
    expect(await minterOf(clusterWith([0, 1]), 0)).toBe(2);
  });

  test("leaves a write that is handed to it to the next owner", async () => {
    for (const behind of [0, 1, 2]) expect(await minterOf(clusterWith([behind]), 3)).not.toBe(behind);
    expect(await minterOf(clusterWith([0, 1]), 3)).toBe(2);
  });

  test("takes it when all owners are like it, or the others cannot be reached, or can do nothing", async () => {
    expect(await minterOf(clusterWith([0, 1, 2]), 0)).toBe(0);
    expect([0, 1, 2]).toContain(await minterOf(clusterWith([0, 1, 2]), 3));
    const alone = clusterWith([0]);
    for (const at of [1, 2]) alone.node(at).isAway = true;
    expect(await alone.put(0, "a", { knobs: knobs({ sloppy: false, w: 1 }) })).toMatchObject({ kind: "applied" });
    const full = clusterWith([0]);
    for (const at of [1, 2]) full.node(at).replica.storeFault = "disk_full";
    expect(await full.put(0, "a", { knobs: knobs({ w: 1 }) })).toMatchObject({ kind: "applied", dot: { actor: 1 } });
  });

  test("takes it before anybody stands in for owners", async () => {
    const cluster = new FakeCluster({ nodeCount: 5, keepsHints: true });
    cluster.node(0).replica.isSuspectStore = true;
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    expect(await cluster.put(3, "a")).toMatchObject({ kind: "applied", dot: { actor: 1 }, acks: { owners: 1 } });
  });

  test("is asked again at once by one that cannot take the write itself, not after that has tried again", async () => {
    const cluster = clusterWith([1, 2]);
    cluster.node(0).replica.storeFault = "disk_full";
    expect(await minterOf(cluster, 0)).not.toBe(0);
    const asks = cluster.sent.filter(({ from, request }) => from === cluster.node(0).id && request.kind === "ask");
    expect(asks).toHaveLength(3);
    expect(cluster.node(0).coordinator.counters.forwardCount).toBe(1);
  });

  test("waits for nobody in doubt: it takes the write itself", async () => {
    const cluster = clusterWith([0]);
    cluster.stateOf = (node) => (node === cluster.node(0).id ? "alive" : "suspect");
    expect(await minterOf(cluster, 0)).toBe(0);
  });
});
