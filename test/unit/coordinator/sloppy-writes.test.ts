/**
 * Writes in a sloppy quorum: for every way in which an owner can be missing, who stands in for it, and what the writer is
 * told. Five nodes; the first three own every key, and the other two follow in the walk.
 */
import { describe, expect, test } from "vitest";
import type { GetAnswer, Knobs, WriteAnswer } from "../../../services/coordinator/contract.ts";
import { FakeCluster, type FakeClusterOptions, type FakeNode, type Fate, knobs } from "../../support/fake-cluster.ts";

const SILENT: Fate = { thereMs: -1, backMs: -1 };
const QUICK: Fate = { thereMs: 1, backMs: 1 };

function clusterOf(options: FakeClusterOptions = {}): FakeCluster {
  return new FakeCluster({ nodeCount: 5, keepsHints: true, ...options });
}

/** What a node keeps for others: the slots. */
function keptBy({ hints }: FakeNode): readonly number[] {
  return [...hints.slots.values()].flat();
}

function told(cluster: FakeCluster): readonly string[] {
  return cluster.sent.map(({ to, request }) => {
    const standIn = "standIn" in request ? request.standIn : undefined;
    return standIn === undefined ? `${request.kind} ${to}` : `${request.kind} ${to} for ${standIn.slot}`;
  });
}

function put(cluster: FakeCluster, at: number, changed: Partial<Knobs> = {}): Promise<WriteAnswer> {
  return cluster.put(at, "a", { knobs: knobs(changed) });
}

function valuesOf(answer: GetAnswer): readonly string[] {
  if (answer.kind !== "found") return [answer.kind === "failed" ? answer.code : answer.kind];
  return answer.set.siblings.map((sibling) => Buffer.from(sibling.bytes).toString()).sort();
}

describe("a write while all owners are well", () => {
  test("tells them and nobody else", async () => {
    const cluster = clusterOf();
    expect(await put(cluster, 0)).toMatchObject({ acks: { received: 2, owners: 2, fallbacks: 0 } });
    await cluster.clock.advance(1_000);
    expect(told(cluster)).toEqual(["store node1", "store node2"]);
    expect(cluster.node(0).coordinator.counters).toMatchObject({ sloppyWriteCount: 0, standInCount: 0 });
  });
});

describe("an owner that is out of reach when the write begins", () => {
  test("is not told; the next of the walk keeps the write for its slot, told in the same turn as the others", async () => {
    const cluster = clusterOf();
    cluster.node(1).isAway = true;
    const answer = await put(cluster, 0, { explain: true });
    expect(answer).toMatchObject({ kind: "applied", acks: { required: 2, received: 2 } });
    expect(told(cluster)).toEqual(["store node2", "store node3 for 1"]);
    await cluster.clock.advance(10);
    expect(keptBy(cluster.node(3))).toEqual([1]);
    expect(cluster.node(0).missed, "its slot has the write").toEqual([]);
    expect(cluster.node(0).coordinator.counters).toMatchObject({ sloppyWriteCount: 1, standInCount: 1 });
  });

  test("is not told when gossip holds it for dead, though a link to it stands", async () => {
    const cluster = clusterOf({ stateOf: (node) => (node === "node1" ? "dead" : "alive") });
    await put(cluster, 0);
    expect(told(cluster)).toEqual(["store node2", "store node3 for 1"]);
  });

  test("like a second one is stood in for by the one after: the write goes on with one owner of three", async () => {
    const cluster = clusterOf();
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    const answer = await put(cluster, 0, { explain: true, w: 3 });
    expect(answer).toMatchObject({ acks: { required: 3, received: 3, owners: 1, fallbacks: 2, durable: 3 } });
    expect(told(cluster)).toEqual(["store node3 for 1", "store node4 for 2"]);
    if (answer.kind !== "applied") throw new Error(answer.kind);
    expect(
      answer.explain?.replicas.map(({ node, role, slot, answer: word, hint }) => [node, role, slot, word, hint]),
    ).toEqual([
      ["node0", "owner", 0, "ok", false],
      ["node1", "owner", 1, "unreachable", false],
      ["node2", "owner", 2, "unreachable", false],
      ["node3", "fallback", 1, "ok", true],
      ["node4", "fallback", 2, "ok", true],
    ]);
  });

  test("is told after all when nobody is left who could stand in: the belief may be wrong", async () => {
    const cluster = clusterOf({ stateOf: (node) => (node === "node1" ? "dead" : "alive") });
    for (const at of [3, 4]) cluster.node(at).isAway = true;
    expect(await put(cluster, 0)).toMatchObject({ kind: "applied", acks: { received: 2, owners: 2 } });
    await cluster.clock.advance(10);
    expect([cluster.node(1).replica.held.size, cluster.node(0).missed]).toEqual([1, []]);
    expect(told(cluster)).toEqual(["store node2", "store node1"]);
  });

  test("leaves a cluster of exactly N members as it was: nobody stands in, and what is missed goes to the sink", async () => {
    const cluster = clusterOf({ nodeCount: 3 });
    cluster.node(1).isAway = true;
    expect(await put(cluster, 0)).toMatchObject({ acks: { received: 2, owners: 2 } });
    expect(told(cluster)).toEqual(["store node2"]);
    expect(cluster.node(0).missed).toMatchObject([{ owner: "node1", slot: 1, reason: "unreachable" }]);
    cluster.node(2).isAway = true;
    expect(await put(cluster, 0)).toMatchObject({ code: "quorum_not_met", outcome: "not_applied" });
  });
});

describe("an owner that does not take the write", () => {
  test("and leaves no trace of it (disk_full, overloaded, shutting_down) is stood in for at once", async () => {
    for (const reason of ["disk_full", "overloaded", "shutting_down"] as const) {
      const cluster = clusterOf();
      cluster.node(1).isAway = true;
      cluster.node(2).replica.storeFault = reason;
      expect(await put(cluster, 0), reason).toMatchObject({ acks: { received: 2, owners: 1, fallbacks: 1 } });
      await cluster.clock.advance(10);
      expect(told(cluster), reason).toEqual(["store node2", "store node3 for 1", "store node4 for 2"]);
    }
  });

  test("while its vote is needed is stood in for by the next of the walk", async () => {
    const cluster = clusterOf();
    for (const at of [1, 2]) cluster.node(at).replica.storeFault = "disk_full";
    expect(await put(cluster, 0)).toMatchObject({ acks: { received: 2, owners: 1, fallbacks: 1 } });
    await cluster.clock.advance(10);
    expect([keptBy(cluster.node(3)), keptBy(cluster.node(4))]).toEqual([[1], [2]]);
    expect(cluster.node(0).missed).toEqual([]);
  });

  test("and falls silent is stood in for after 200 ms, long before the deadline", async () => {
    const cluster = clusterOf();
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? SILENT : QUICK);
    const answer = await put(cluster, 0);
    expect(answer).toMatchObject({ acks: { received: 2, owners: 1, fallbacks: 1 } });
    expect(cluster.clock.monotonicMs()).toBeGreaterThanOrEqual(200);
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(215);
    expect(told(cluster)).toEqual(["store node1", "store node2", "store node3 for 1", "store node4 for 2"]);
  });

  test("and falls silent in a hurry is stood in for at half of the time", async () => {
    const cluster = clusterOf();
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? SILENT : QUICK);
    expect(await put(cluster, 0, { timeoutMs: 100 })).toMatchObject({ acks: { received: 2, fallbacks: 1 } });
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(65);
  });

  test("and is only slow has its slot counted once when it answers too", async () => {
    const cluster = clusterOf();
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? { thereMs: 250, backMs: 1 } : QUICK);
    cluster.node(4).isAway = true;
    const answer = await put(cluster, 0, { w: 3, explain: true });
    expect(answer).toMatchObject({ acks: { required: 3, received: 3, owners: 3, fallbacks: 0 } });
    expect(keptBy(cluster.node(3))).toEqual([1]);
    expect(cluster.node(0).missed).toEqual([]);
  });

  test("and has not answered anything for a second is told beside its stand-in, without a wait", async () => {
    const cluster = clusterOf();
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? SILENT : QUICK);
    await put(cluster, 0);
    await cluster.clock.advance(1_000);
    cluster.sent.length = 0;
    const startMs = cluster.clock.monotonicMs();
    expect(await put(cluster, 0)).toMatchObject({ acks: { received: 2, owners: 1, fallbacks: 1 } });
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThan(5);
    expect(told(cluster)).toEqual(["store node1", "store node2", "store node3 for 1", "store node4 for 2"]);
  });

  test("or whose word is lost is stood in for at once, for it may lack it", async () => {
    const cluster = clusterOf();
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? { ...QUICK, breaksMs: 3 } : QUICK);
    expect(await put(cluster, 0)).toMatchObject({ acks: { received: 2, owners: 1, fallbacks: 1 } });
    expect(cluster.clock.monotonicMs()).toBeLessThan(10);
  });

  test("in transit to another holder is stood in for when that takes too long, and counts once when it arrives", async () => {
    const cluster = clusterOf({ nodeCount: 6 });
    cluster.node(2).isAway = true;
    await put(cluster, 0);
    void cluster.handOver(1, 5, 600);
    await cluster.clock.advance(5);
    cluster.sent.length = 0;
    const writing = put(cluster, 0, { w: 3 });
    expect(await writing).toMatchObject({ acks: { required: 3, received: 3, owners: 1, fallbacks: 2 } });
    await cluster.clock.advance(1_000);
    expect(cluster.node(0).missed).toEqual([]);
    expect(valuesOf(await cluster.get(5, { knobs: knobs({ r: 1 }) }))).toEqual(["a"]);
  });

  test("is not stood in for once the write is applied: what it missed goes to the sink, when that is known", async () => {
    const cluster = clusterOf();
    cluster.fateOf = (_from, to) => (to === "node2" ? SILENT : QUICK);
    await put(cluster, 0, { timeoutMs: 100 });
    expect(cluster.node(0).missed).toEqual([]);
    await cluster.clock.advance(200);
    expect(cluster.node(0).missed).toMatchObject([{ owner: "node2", slot: 2, reason: "timeout" }]);
    expect(told(cluster)).toEqual(["store node1", "store node2"]);
  });
});

describe("slow owners", () => {
  test("are stood in for by a burst and by one write in twenty: the others wait for them, so that load is not doubled", async () => {
    const cluster = clusterOf();
    cluster.fateOf = (_from, to) => (to === "node1" || to === "node2" ? { thereMs: 400, backMs: 1 } : QUICK);
    const common = { knobs: knobs(), contentType: "text/plain", bytes: Buffer.from("a"), context: undefined };
    const sloppyCountOf = async (count: number): Promise<number> => {
      const keys = Array.from({ length: count }, (_, at) => cluster.name(`key${at}`));
      const { coordinator } = cluster.node(0);
      const answers = await cluster.run(Promise.all(keys.map((name) => coordinator.put({ ...common, name }))));
      expect(answers.every((answer) => answer.kind === "applied")).toBe(true);
      return answers.filter((answer) => answer.kind === "applied" && answer.acks.fallbacks > 0).length;
    };
    expect(await sloppyCountOf(200), "what was saved up").toBe(64);
    expect(await sloppyCountOf(40), "what these earned").toBe(2);
  });
});

describe("a fallback", () => {
  test("that refuses is followed by the next one, and after the last the write is what it is", async () => {
    const cluster = clusterOf({ nodeCount: 6 });
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    cluster.node(3).hints.replica.storeFault = "overloaded";
    expect(await put(cluster, 0)).toMatchObject({ acks: { received: 2, owners: 1, fallbacks: 1 } });
    expect(told(cluster)).toEqual(["store node3 for 1", "store node4 for 2", "store node5 for 1"]);
    await cluster.clock.advance(10);
    expect([keptBy(cluster.node(4)), keptBy(cluster.node(5))]).toEqual([[2], [1]]);
    for (const at of [4, 5]) cluster.node(at).hints.replica.storeFault = "overloaded";
    const answer = await put(cluster, 0);
    expect(answer, "this node holds it").toMatchObject({ code: "quorum_not_met", outcome: "unknown", received: 1 });
    expect(cluster.node(0).missed.map(({ owner, slot }) => [owner, slot])).toEqual([
      ["node1", 1],
      ["node2", 2],
    ]);
  });

  test("that refuses like every other node told leaves no trace of a write that is `not_applied`", async () => {
    const cluster = clusterOf();
    cluster.node(0).replica.appendFault = "disk_full";
    for (const at of [1, 2]) cluster.node(at).replica.storeFault = "disk_full";
    for (const at of [3, 4]) cluster.node(at).hints.replica.storeFault = "overloaded";
    expect(await put(cluster, 0)).toMatchObject({ outcome: "not_applied" });
    for (const { replica, hints } of cluster.nodes) {
      expect([replica.everStored, hints.replica.everStored]).toEqual([[], []]);
    }
    expect(cluster.node(0).missed).toEqual([]);
  });

  test("whose word is lost makes it `unknown` where nobody else has it", async () => {
    const cluster = clusterOf();
    cluster.node(0).replica.appendFault = "disk_full";
    for (const at of [1, 2]) cluster.node(at).replica.storeFault = "disk_full";
    cluster.node(4).isAway = true;
    cluster.fateOf = (_from, to) => (to === "node3" ? { thereMs: 1, backMs: -1 } : QUICK);
    expect(await put(cluster, 0, { timeoutMs: 100 })).toMatchObject({ outcome: "unknown", received: 0 });
  });

  test("that is silent is followed by the next one too", async () => {
    const cluster = clusterOf({ nodeCount: 6 });
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    cluster.fateOf = (_from, to) => (to === "node3" || to === "node4" ? SILENT : QUICK);
    expect(await put(cluster, 0)).toMatchObject({ acks: { received: 2, owners: 1, fallbacks: 1 } });
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(215);
  });

  test("that cannot be reached is passed over, and one in doubt is the last to be told", async () => {
    const cluster = clusterOf({
      nodeCount: 6,
      stateOf: (node) => (node === "node3" ? "suspect" : node === "node4" ? "dead" : "alive"),
    });
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    await put(cluster, 0);
    expect(told(cluster)).toEqual(["store node5 for 1", "store node3 for 2"]);
  });

  test("that has come to hold a slot counts as the owner that it is, and the next one stands in", async () => {
    const cluster = clusterOf({ nodeCount: 6 });
    cluster.move(2, 3);
    cluster.node(1).isAway = true;
    cluster.node(2).isAway = true;
    const answer = await put(cluster, 0, { w: 3, explain: true });
    expect(answer).toMatchObject({ acks: { required: 3, received: 3, owners: 2, fallbacks: 1 } });
    expect(keptBy(cluster.node(3))).toEqual([]);
    expect(cluster.node(3).replica.held.size).toBe(1);
    expect([keptBy(cluster.node(4)), keptBy(cluster.node(5))]).toEqual([[2], [1]]);
  });

  test("of a bucket with fewer replicas may be the holder of a slot beyond them, which keeps it among its hints", async () => {
    const cluster = clusterOf({ nodeCount: 3, settings: { n: 2 } });
    cluster.node(1).isAway = true;
    expect(await put(cluster, 0)).toMatchObject({ acks: { required: 2, received: 2, owners: 1, fallbacks: 1 } });
    expect([keptBy(cluster.node(2)), cluster.node(2).replica.held.size]).toEqual([[1], 0]);
  });

  test("is told of one write at most twice for each of the bucket's replicas", async () => {
    const cluster = clusterOf({ nodeCount: 20 });
    for (const { hints } of cluster.nodes) hints.replica.storeFault = "overloaded";
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    expect(await put(cluster, 0)).toMatchObject({ outcome: "unknown" });
    expect(told(cluster).length).toBe(6);
  });
});

describe("a write that no owner can take", () => {
  function withoutOwners(options: FakeClusterOptions = {}): FakeCluster {
    const cluster = clusterOf(options);
    for (const at of [0, 1, 2]) cluster.node(at).isAway = true;
    return cluster;
  }

  test("is minted by the node that was asked, for the first slot, and others stand in for the other slots", async () => {
    const cluster = withoutOwners();
    const answer = await put(cluster, 4, { explain: true });
    expect(answer).toMatchObject({ kind: "applied", acks: { required: 2, received: 2, owners: 0, fallbacks: 2 } });
    expect(told(cluster)).toEqual(["store node3 for 1"]);
    expect([keptBy(cluster.node(4)), keptBy(cluster.node(3))]).toEqual([[0], [1]]);
    expect(cluster.node(4).coordinator.counters).toMatchObject({ standInMintCount: 1, sloppyWriteCount: 1 });
    expect(cluster.node(4).missed, "nobody is left for the third slot: the sink has it").toMatchObject([
      { slot: 2, owner: "node2" },
    ]);
    const context = answer.kind === "applied" ? answer.context : undefined;
    expect(await cluster.delete(3, { context })).toMatchObject({ kind: "applied", acks: { fallbacks: 2 } });
  });

  test("is refused when it removes whatever is there: a stand-in does not know what that is", async () => {
    const cluster = withoutOwners();
    expect(await cluster.delete(3)).toMatchObject({ kind: "failed", outcome: "not_applied" });
    expect(told(cluster), "it looks, and nobody is told to store").toEqual(["fetch node4 for 0"]);
  });

  test("is read again by its context, and by anybody, from those who stood in", async () => {
    const cluster = withoutOwners();
    const first = await put(cluster, 4);
    if (first.kind !== "applied") throw new Error(first.kind);
    expect(valuesOf(await cluster.get(3, { atLeast: first.context }))).toEqual(["a"]);
    const second = await cluster.put(3, "b", { context: first.context });
    expect(second).toMatchObject({ kind: "applied", siblingCount: 1 });
    expect(valuesOf(await cluster.get(4))).toEqual(["b"]);
  });

  test("because all of their disks are full is minted by a node that has room", async () => {
    const cluster = clusterOf();
    for (const at of [0, 1, 2]) cluster.node(at).replica.storeFault = "disk_full";
    expect(await put(cluster, 4)).toMatchObject({ kind: "applied", acks: { fallbacks: 2 } });
  });

  test("because they have too much to do is not pushed on to others", async () => {
    const cluster = clusterOf();
    for (const at of [0, 1, 2]) cluster.node(at).replica.storeFault = "overloaded";
    expect(await put(cluster, 4)).toMatchObject({ code: "overloaded", outcome: "not_applied" });
    expect(cluster.nodes.flatMap(({ hints }) => hints.replica.everStored)).toEqual([]);
  });

  test("is refused without a trace when stand-ins cannot make the quorum either", async () => {
    const cluster = withoutOwners({ nodeCount: 4 });
    const answer = await put(cluster, 3);
    expect(answer).toMatchObject({ code: "quorum_not_met", outcome: "not_applied" });
    expect(cluster.node(3).hints.replica.everStored).toEqual([]);
    expect(await put(cluster, 3, { w: 1 })).toMatchObject({ kind: "applied", acks: { fallbacks: 1 } });
  });

  test("is refused without a trace when the hints of the node that was asked are full", async () => {
    const cluster = withoutOwners();
    cluster.node(4).hints.replica.storeFault = "overloaded";
    expect(await put(cluster, 4)).toMatchObject({ code: "overloaded", outcome: "not_applied", retryable: true });
    cluster.node(4).hints.replica.storeFault = "disk_full";
    expect(await put(cluster, 4)).toMatchObject({ code: "disk_full", outcome: "not_applied", retryable: true });
  });

  test("is `unknown`, and minted nowhere else, when an owner fell silent over it", async () => {
    const cluster = clusterOf();
    cluster.fateOf = (_from, to) => (to === "node0" ? SILENT : QUICK);
    expect(await put(cluster, 4, { timeoutMs: 100 })).toMatchObject({ outcome: "unknown" });
    expect(keptBy(cluster.node(4))).toEqual([]);
  });

  test("is taken as a stand-in after 200 ms when its slots are in transit to nobody who is found", async () => {
    const cluster = clusterOf();
    for (const at of [0, 1, 2]) cluster.node(at).replica.slot = -1;
    expect(await put(cluster, 4)).toMatchObject({ kind: "applied", acks: { fallbacks: 2 } });
    expect(cluster.clock.monotonicMs()).toBeGreaterThanOrEqual(200);
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(800);
  });
});

describe("a write that wants owners", () => {
  test("by number (pw) counts no fallback for one, and is refused at once when too few can be reached", async () => {
    const cluster = clusterOf();
    cluster.node(2).isAway = true;
    expect(await put(cluster, 0, { w: 3, pw: 2 })).toMatchObject({ acks: { received: 3, owners: 2, fallbacks: 1 } });
    cluster.sent.length = 0;
    for (const pw of [3, "all"] as const) {
      expect(await put(cluster, 0, { pw })).toMatchObject({ code: "quorum_not_met", outcome: "not_applied" });
    }
    for (const at of [0, 1]) cluster.node(at).isAway = true;
    expect(await put(cluster, 4, { pw: 1 })).toMatchObject({ code: "quorum_not_met", outcome: "not_applied" });
    expect(cluster.sent).toEqual([]);
  });

  test("only (sloppy=false) is as strict as ever: no fallback is told, nor minted at", async () => {
    const cluster = clusterOf();
    for (const at of [1, 2]) cluster.node(at).isAway = true;
    const strict = { sloppy: false };
    expect(await put(cluster, 0, strict)).toMatchObject({ code: "quorum_not_met", outcome: "not_applied" });
    expect(await put(cluster, 0, { ...strict, w: 1 })).toMatchObject({ acks: { received: 1, owners: 1 } });
    expect(cluster.node(0).missed.map(({ slot }) => slot)).toEqual([1, 2]);
    cluster.node(0).isAway = true;
    expect(await put(cluster, 4, strict)).toMatchObject({ code: "quorum_not_met", outcome: "not_applied" });
    expect(cluster.nodes.flatMap(({ hints }) => hints.replica.everStored)).toEqual([]);
  });
});

describe("through a node that owns nothing", () => {
  test("a write goes to an owner as long as one is in reach, and that one finds the stand-ins", async () => {
    const cluster = clusterOf();
    for (const at of [0, 1]) cluster.node(at).isAway = true;
    const answer = await put(cluster, 4, { explain: true });
    expect(answer).toMatchObject({ acks: { owners: 1, fallbacks: 1 }, explain: { forwardedTo: "node2" } });
    expect(cluster.node(4).coordinator.counters.standInMintCount).toBe(0);
  });
});
