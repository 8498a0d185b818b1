/** A removal of whatever is there: what a read quorum has, not what the owner that takes it happens to have. */
import { describe, expect, test } from "vitest";
import type { GetAnswer } from "../../../services/coordinator/contract.ts";
import { covers } from "../../../services/versioning/causal-context.ts";
import { FakeCluster, knobs } from "../../support/fake-cluster.ts";

/** Node 0 has the first value, the other owners a second one that follows it. */
async function withLaggard(nodeCount = 3, keepsHints = false): Promise<FakeCluster> {
  const cluster = new FakeCluster({ nodeCount, keepsHints });
  const first = await cluster.put(1, "old");
  await cluster.clock.advance(20);
  const context = first.kind === "applied" ? first.context : undefined;
  cluster.node(0).isAway = true;
  const strict = knobs({ sloppy: false });
  expect(await cluster.put(1, "new", { context, knobs: strict })).toMatchObject({ kind: "applied" });
  await cluster.clock.advance(2_500);
  cluster.node(0).isAway = false;
  cluster.sent.length = 0;
  return cluster;
}

function valuesOf(answer: GetAnswer): readonly string[] {
  return answer.kind === "found" ? answer.set.siblings.map(({ bytes }) => Buffer.from(bytes).toString()) : [];
}

describe("a DELETE without a context", () => {
  test("that an owner takes which has missed a write removes what that write left", async () => {
    const cluster = await withLaggard();
    expect(await cluster.delete(0)).toMatchObject({ kind: "applied", siblingCount: 0 });
    await cluster.clock.advance(100);
    for (const at of [0, 1, 2]) {
      expect(await cluster.get(at, { knobs: knobs({ r: "all" }) })).toMatchObject({ kind: "deleted" });
    }
  });

  test("that is handed to such an owner removes it, too", async () => {
    const cluster = await withLaggard(4);
    cluster.node(1).replica.storeFault = "disk_full";
    cluster.node(2).replica.storeFault = "disk_full";
    // only the laggard stores: with w=1 that is enough, and it must still be the newest value that goes
    expect(await cluster.delete(3, { knobs: knobs({ w: 1 }) })).toMatchObject({ kind: "applied" });
    expect(await cluster.get(3, { knobs: knobs({ r: "all" }) })).toMatchObject({ kind: "deleted" });
  });

  test("leaves what nobody had when it looked: a write beside it stands", async () => {
    const cluster = await withLaggard();
    cluster.node(0).replica.isSealed = true;
    const deleting = cluster.node(0).coordinator.delete({ name: cluster.name(), knobs: knobs(), context: undefined });
    await cluster.clock.advance(10);
    const beside = await cluster.put(2, "beside", { blind: "sibling" });
    cluster.node(0).replica.isSealed = false;
    expect(await cluster.run(deleting)).toMatchObject({ kind: "applied" });
    await cluster.clock.advance(100);
    expect(beside).toMatchObject({ kind: "applied" });
    expect(valuesOf(await cluster.get(1, { knobs: knobs({ r: "all" }) }))).toEqual(["beside"]);
  });

  test("gives a context of what it removed and of itself", async () => {
    const cluster = await withLaggard();
    const before = await cluster.get(1);
    const answer = await cluster.delete(0);
    if (answer.kind !== "applied" || before.kind !== "found") throw new Error(answer.kind);
    expect(covers(answer.context, answer.dot)).toBe(true);
    for (const { dot } of before.set.siblings) expect(covers(answer.context, dot)).toBe(true);
  });

  test("of a key that was never there is applied", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    for (const at of [0, 3]) expect(await cluster.delete(at)).toMatchObject({ kind: "applied", siblingCount: 0 });
  });

  test("is not applied, and nothing is written, where too few replicas tell what is there", async () => {
    const cluster = await withLaggard();
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    const unmet = { code: "quorum_not_met", outcome: "not_applied", retryable: true, required: 2, received: 1 };
    expect(await cluster.delete(0, { knobs: knobs({ w: 1 }) })).toMatchObject(unmet);
    expect(cluster.sent).toEqual([]);
    expect(cluster.node(0).coordinator.counters).toMatchObject({ notAppliedCount: 1, appliedCount: 0 });
  });

  test("is not applied, and nothing is written, where looking took all of its time", async () => {
    const cluster = await withLaggard();
    cluster.node(2).replica.isSuspectStore = true;
    const lost = cluster.node(1).id;
    cluster.fateOf = (_from, to) => ({ thereMs: to === lost ? -1 : 1, backMs: 1 });
    // what the suspect one has counts at the end of the read, and not before
    const answer = await cluster.delete(0, { knobs: knobs({ timeoutMs: 500 }) });
    expect(answer).toMatchObject({ code: "quorum_not_met", outcome: "not_applied", retryable: true });
    await cluster.clock.advance(100);
    expect(cluster.slotContents().map(({ set }) => set?.siblings.length)).toEqual([1, 1, 1]);
    expect(cluster.node(0).coordinator.counters).toMatchObject({
      notAppliedCount: 1,
      appliedCount: 0,
      unknownCount: 0,
    });
  });

  test("says that its parameters are wrong before it looks", async () => {
    const cluster = await withLaggard();
    expect(await cluster.delete(0, { knobs: knobs({ w: 4 }) })).toMatchObject({ code: "quorum_exceeds_n" });
    expect(cluster.sent).toEqual([]);
  });

  test("looks with those who stand in for owners, and is not minted by one", async () => {
    const cluster = new FakeCluster({ nodeCount: 5, keepsHints: true });
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    expect(await cluster.put(0, "a")).toMatchObject({ kind: "applied", acks: { fallbacks: 1 } });
    expect(await cluster.delete(3)).toMatchObject({ kind: "applied", acks: { owners: 1, fallbacks: 1 } });
    for (const at of [1, 2]) cluster.node(at).isAway = false;
    expect(await cluster.put(0, "b")).toMatchObject({ kind: "applied" });
    for (const at of [0, 1, 2]) cluster.node(at).isAway = true;
    expect(await cluster.put(3, "c", { blind: "sibling" })).toMatchObject({ kind: "applied", acks: { owners: 0 } });
    expect(await cluster.delete(3)).toMatchObject({ kind: "failed", outcome: "not_applied" });
  });

  test.each([
    ["with a context", true, "siblings"],
    ["where the last write wins", false, "lww"],
  ] as const)("costs no read %s", async (_case, hasContext, conflicts) => {
    const cluster = new FakeCluster({ settings: { conflicts } });
    const put = await cluster.put(0, "a");
    const context = hasContext && put.kind === "applied" ? put.context : undefined;
    await cluster.clock.advance(20);
    cluster.sent.length = 0;
    await cluster.delete(0, { context });
    expect(cluster.sent.map(({ request }) => request.kind)).toEqual(["store", "store"]);
  });
});
