/**
 * Reads in a sloppy quorum: what stand-ins keep is an answer, what they lack never is one. Five nodes; the first three own
 * every key, and the other two follow in the walk.
 */
import { describe, expect, test } from "vitest";
import type { GetAnswer, Knobs, WriteAnswer } from "../../../services/coordinator/contract.ts";
import type { CausalContext } from "../../../services/versioning/types.ts";
import { FakeCluster, type FakeClusterOptions, type Fate, knobs } from "../../support/fake-cluster.ts";

const QUICK: Fate = { thereMs: 1, backMs: 1 };
const SILENT: Fate = { thereMs: -1, backMs: -1 };

function clusterOf(options: FakeClusterOptions = {}): FakeCluster {
  return new FakeCluster({ nodeCount: 5, keepsHints: true, ...options });
}

function away(cluster: FakeCluster, ...nodes: readonly number[]): void {
  for (const [at, node] of cluster.nodes.entries()) node.isAway = nodes.includes(at);
  cluster.sent.length = 0;
}

function told(cluster: FakeCluster): readonly string[] {
  return cluster.sent.map(({ to, request }) => {
    const standIn = "standIn" in request ? request.standIn : undefined;
    return standIn === undefined ? `${request.kind} ${to}` : `${request.kind} ${to} for ${standIn.slot}`;
  });
}

function get(cluster: FakeCluster, at: number, changed: Partial<Knobs> = {}): Promise<GetAnswer> {
  return cluster.get(at, { knobs: knobs(changed) });
}

function valuesOf(answer: GetAnswer): readonly string[] {
  if (answer.kind !== "found") return [answer.kind === "failed" ? answer.code : answer.kind];
  return answer.set.siblings.map((sibling) => Buffer.from(sibling.bytes).toString()).sort();
}

function contextOf(answer: WriteAnswer): CausalContext {
  if (answer.kind !== "applied") throw new Error(answer.detail);
  return answer.context;
}

function fallbacksOf(answer: GetAnswer): readonly string[] | undefined {
  return answer.kind === "found" || answer.kind === "deleted" ? answer.fallbacks : undefined;
}

/** A cluster in which `old` is at all owners, and `new` at those of them who were not away, and at stand-ins for the others. */
async function written(
  awayAtNew: readonly number[],
): Promise<{ readonly cluster: FakeCluster; readonly context: CausalContext }> {
  const cluster = clusterOf();
  const old = contextOf(await cluster.put(0, "old"));
  await cluster.clock.advance(10);
  away(cluster, ...awayAtNew);
  const context = contextOf(await cluster.put(awayAtNew.includes(0) ? 4 : 0, "new", { context: old }));
  await cluster.clock.advance(10);
  away(cluster);
  return { cluster, context };
}

describe("a read while enough owners answer", () => {
  test("asks nobody else, and names nobody", async () => {
    const { cluster } = await written([]);
    const answer = await get(cluster, 4);
    expect(valuesOf(answer)).toEqual(["new"]);
    expect(fallbacksOf(answer)).toBeUndefined();
    away(cluster, 2);
    expect(fallbacksOf(await get(cluster, 4))).toBeUndefined();
    expect(cluster.sent.every(({ request }) => !("standIn" in request))).toBe(true);
    expect(cluster.node(4).coordinator.counters).toMatchObject({ sloppyReadCount: 0, standInCount: 0 });
  });

  test("and have nothing is 404, whatever others may keep", async () => {
    const cluster = clusterOf();
    expect(await get(cluster, 4)).toEqual({ kind: "not_found" });
  });
});

describe("a read that too few owners answer", () => {
  test("is answered with the versions that stand-ins keep, and names them", async () => {
    const { cluster } = await written([1, 2]);
    away(cluster, 1, 2);
    const answer = await get(cluster, 0, { explain: true });
    expect([valuesOf(answer), fallbacksOf(answer)]).toEqual([["new"], ["node3"]]);
    if (answer.kind !== "found") throw new Error(answer.kind);
    expect(answer.explain?.replicas.map(({ node, role, slot, answer: word }) => [node, role, slot, word])).toEqual([
      ["node0", "owner", 0, "ok"],
      ["node1", "owner", 1, "unreachable"],
      ["node2", "owner", 2, "unreachable"],
      ["node3", "fallback", 1, "ok"],
    ]);
    expect(cluster.node(0).coordinator.counters).toMatchObject({
      sloppyReadCount: 1,
      sloppyWriteCount: 1,
      standInCount: 3,
    });
  });

  test("is answered when none of them can be reached, by stand-ins alone; this node may be one of them", async () => {
    const { cluster } = await written([0, 1, 2]);
    away(cluster, 0, 1, 2);
    for (const at of [3, 4]) {
      const answer = await get(cluster, at);
      expect([valuesOf(answer), [...(fallbacksOf(answer) ?? [])].sort()]).toEqual([["new"], ["node3", "node4"]]);
    }
  });

  test("counts a stand-in that keeps nothing beside a version that another has", async () => {
    const { cluster } = await written([]);
    away(cluster, 1, 2);
    const answer = await get(cluster, 0);
    expect([valuesOf(answer), fallbacksOf(answer)]).toEqual([["new"], ["node3"]]);
  });

  test("never finds nothing: what stand-ins lack the owners may hold", async () => {
    const cluster = clusterOf();
    away(cluster, 1, 2);
    expect(await get(cluster, 0)).toMatchObject({ code: "quorum_not_met", outcome: "not_applied", received: 1 });
    away(cluster, 0, 1, 2);
    expect(await get(cluster, 4)).toMatchObject({ code: "quorum_not_met", received: 0 });
    expect(await get(cluster, 4, { r: 1 })).toMatchObject({ code: "quorum_not_met", received: 0 });
  });

  test("asks stand-ins twice for each of the bucket's replicas at most", async () => {
    const cluster = clusterOf({ nodeCount: 20 });
    away(cluster, 0, 1, 2);
    expect(await get(cluster, 19)).toMatchObject({ code: "quorum_not_met" });
    expect(told(cluster).length).toBe(6);
  });

  test("takes no delete that stand-ins keep for proof: 404 is the word of owners", async () => {
    const cluster = clusterOf();
    const first = await cluster.put(0, "a");
    await cluster.clock.advance(10);
    away(cluster, 0, 1, 2);
    const removed = await cluster.delete(4, { context: contextOf(first) });
    await cluster.clock.advance(10);
    expect(removed.kind).toBe("applied");
    for (const r of [1, 2] as const) {
      const answer = await get(cluster, 3, { r });
      expect(answer).toMatchObject({ code: "quorum_not_met", outcome: "not_applied", required: r, received: 0 });
      expect(answer).toMatchObject({ detail: expect.stringContaining("no proof") });
    }
    // one owner is back, without the delete: the delete hides what it has, and still is not proved
    away(cluster, 1, 2);
    expect(await get(cluster, 0)).toMatchObject({ code: "quorum_not_met", received: 1 });
    // two of them: the reader who knows of the delete is told of it
    away(cluster, 2);
    const answer = await cluster.get(0, { atLeast: contextOf(removed) });
    expect(answer).toMatchObject({ kind: "deleted", fallbacks: ["node3"] });
  });

  test("asks owners that are slow before it says so, and shows what is alive there", async () => {
    const cluster = clusterOf();
    const first = await cluster.put(0, "a");
    await cluster.clock.advance(10);
    away(cluster, 0, 1, 2);
    await cluster.delete(4, { context: contextOf(first) });
    away(cluster, 2);
    await cluster.put(0, "again");
    await cluster.clock.advance(10);
    away(cluster, 1, 2);
    cluster.fateOf = (_from, to) => (to === "node0" ? { thereMs: 300, backMs: 1 } : QUICK);
    expect(valuesOf(await get(cluster, 3, { r: 1 }))).toEqual(["again"]);
  });

  test("takes no value whose time is over at stand-ins for proof either", async () => {
    const cluster = clusterOf();
    away(cluster, 0, 1, 2);
    await cluster.put(4, "short", { ttlSeconds: 1 });
    await cluster.clock.advance(10);
    expect(valuesOf(await get(cluster, 3))).toEqual(["short"]);
    await cluster.clock.advance(1_000);
    expect(await get(cluster, 3)).toMatchObject({ code: "quorum_not_met", received: 0 });
    away(cluster, 2);
    expect(await get(cluster, 3)).toEqual({ kind: "not_found" });
  });

  test("passes over a stand-in that refuses, or is lost", async () => {
    const { cluster } = await written([0, 1, 2]);
    away(cluster, 0, 1, 2);
    cluster.node(3).hints.replica.readFault = "corrupt_record";
    const one = { r: 1 };
    const answer = await get(cluster, 4, one);
    expect([valuesOf(answer), fallbacksOf(answer)]).toEqual([["new"], ["node4"]]);
    cluster.node(4).hints.replica.read = () => Promise.reject(new RangeError("a bug"));
    expect(await get(cluster, 4, one)).toMatchObject({ code: "quorum_not_met", received: 0 });
    cluster.node(3).hints.replica.readFault = undefined;
    cluster.fateOf = (_from, to) => (to === "node3" ? { ...QUICK, breaksMs: 2 } : QUICK);
    expect(await get(cluster, 4, one)).toMatchObject({ code: "quorum_not_met", received: 0 });
  });

  test("takes the word of one that has come to hold a slot as that of an owner", async () => {
    const { cluster } = await written([]);
    cluster.move(1, 3);
    away(cluster, 1, 2);
    const answer = await get(cluster, 0, { pr: 1 });
    expect([valuesOf(answer), fallbacksOf(answer)]).toEqual([["new"], undefined]);
  });

  test("of a bucket with fewer replicas asks the holder of a slot beyond them for its hints", async () => {
    const cluster = clusterOf({ nodeCount: 3, settings: { n: 2 } });
    away(cluster, 1);
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    away(cluster, 0);
    cluster.node(1).isAway = true;
    const answer = await get(cluster, 2, { r: 1 });
    expect([valuesOf(answer), fallbacksOf(answer)]).toEqual([["a"], ["node2"]]);
  });
});

describe("slow owners", () => {
  test("are waited for beside a stand-in that keeps nothing: it says less than they will", async () => {
    const { cluster } = await written([]);
    away(cluster, 0);
    await cluster.put(1, "newest", { knobs: knobs({ sloppy: false }) });
    await cluster.clock.advance(10);
    away(cluster);
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? { thereMs: 300, backMs: 1 } : QUICK);
    const answer = await get(cluster, 0);
    expect([valuesOf(answer), fallbacksOf(answer)]).toEqual([["newest"], ["node3"]]);
  });

  test("need not be waited for where a stand-in keeps a version", async () => {
    const { cluster } = await written([1, 2]);
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? { thereMs: 1_000, backMs: 1 } : QUICK);
    const startMs = cluster.clock.monotonicMs();
    expect(valuesOf(await get(cluster, 0))).toEqual(["new"]);
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThanOrEqual(130);
  });

  test("that are in doubt are waited for no longer than a hedge", async () => {
    const { cluster } = await written([]);
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? SILENT : QUICK);
    cluster.stateOf = (node) => (node === "node1" || node === "node2" ? "suspect" : "alive");
    const startMs = cluster.clock.monotonicMs();
    expect(valuesOf(await get(cluster, 0))).toEqual(["new"]);
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThanOrEqual(130);
  });

  test("that come into doubt meanwhile (no answer for a second) are given up then", async () => {
    const { cluster } = await written([]);
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? SILENT : QUICK);
    const startMs = cluster.clock.monotonicMs();
    expect(valuesOf(await get(cluster, 0, { timeoutMs: 10_000 }))).toEqual(["new"]);
    expect(cluster.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(1_000);
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThanOrEqual(1_200);
  });

  test("that never answer are given up at the deadline, and what is here is the answer", async () => {
    const { cluster } = await written([]);
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? SILENT : QUICK);
    expect(valuesOf(await get(cluster, 0, { timeoutMs: 400 }))).toEqual(["new"]);
    expect(cluster.clock.monotonicMs()).toBeGreaterThanOrEqual(400);
  });
});

describe("a slot in transit", () => {
  test("is waited for: a stand-in that keeps nothing says nothing for it", async () => {
    const cluster = clusterOf({ nodeCount: 7 });
    await cluster.put(0, "old");
    await cluster.clock.advance(10);
    away(cluster, 2);
    void cluster.handOver(1, 5, 400);
    await cluster.clock.advance(5);
    const startMs = cluster.clock.monotonicMs();
    const answer = await get(cluster, 0);
    expect([valuesOf(answer), cluster.clock.monotonicMs() - startMs >= 390]).toEqual([["old"], true]);
  });
});

describe("a read that demands a version (Gyre-Context)", () => {
  test("finds one that only stand-ins have, when the owners are back without it", async () => {
    const { cluster, context } = await written([0, 1, 2]);
    // so that no read repairs what the next one is to find
    for (const { replica } of cluster.nodes) replica.storeFault = "overloaded";
    for (const at of [0, 1, 2, 3, 4]) {
      const answer = await cluster.get(at, { atLeast: context });
      expect(valuesOf(answer), `through node${at}`).toEqual(["new"]);
      expect(fallbacksOf(answer)?.length).toBeGreaterThanOrEqual(1);
    }
    const strict = { atLeast: context, knobs: knobs({ sloppy: false }) };
    expect(valuesOf(await cluster.get(1, strict))).toEqual(["stale"]);
  });

  test("is `stale` when nobody has it, after all have been asked", async () => {
    const { cluster, context } = await written([0, 1, 2]);
    for (const at of [3, 4]) cluster.node(at).hints.replica.held.clear();
    expect(valuesOf(await cluster.get(1, { atLeast: context }))).toEqual(["stale"]);
  });
});

describe("a read that wants owners", () => {
  test("by number (pr) counts no stand-in for one", async () => {
    const { cluster } = await written([1, 2]);
    away(cluster, 1, 2);
    expect(valuesOf(await get(cluster, 0, { pr: 1 }))).toEqual(["new"]);
    expect(await get(cluster, 0, { pr: 2 })).toMatchObject({ code: "quorum_not_met" });
    expect(await get(cluster, 0, { r: 3, pr: 2 })).toMatchObject({ code: "quorum_not_met" });
  });

  test("only (sloppy=false) asks no stand-in", async () => {
    const { cluster } = await written([1, 2]);
    away(cluster, 1, 2);
    expect(await get(cluster, 0, { sloppy: false })).toMatchObject({ code: "quorum_not_met", received: 1 });
    expect(told(cluster)).toEqual([]);
  });
});

describe("owners that a read finds behind a stand-in", () => {
  test("are repaired after the answer", async () => {
    const { cluster, context } = await written([1, 2]);
    away(cluster, 0, 2);
    const answer = await cluster.get(1, { atLeast: context, knobs: knobs({ explain: true }) });
    expect(answer).toMatchObject({ kind: "found", explain: { repaired: ["node1"] } });
    await cluster.clock.advance(20);
    away(cluster, 0, 2, 3, 4);
    expect(valuesOf(await get(cluster, 1, { r: 1 }))).toEqual(["new"]);
  });
});
