import { describe, expect, test } from "vitest";
import { MAX_LINK_QUEUE_BYTES, MAX_SERVED_BYTES_PER_PEER } from "../../../services/base/limits.ts";
import type { CallResult, PeerHandler, PeerReply, PeerRequest } from "../../../services/peers/messages.ts";
import { ANSWER_ALL, nodeIdOf, type SimPeer, SimPeers, storeOf } from "../../support/sim-peers.ts";

const KEY = { partition: 3, hash: 7n, key: new TextEncoder().encode("b\0k") };
const DIGEST: PeerRequest = { kind: "digest", key: KEY };
const [A, B, C] = [nodeIdOf("a"), nodeIdOf("b"), nodeIdOf("c")];
const repeated = (count: number, result: CallResult): readonly CallResult[] =>
  Array.from({ length: count }, () => result);
const NEVER: PeerHandler = () => {};

describe("finding each other", () => {
  test("nodes that share one seed all come to know and reach each other", async () => {
    const world = new SimPeers("find");
    const nodes = [world.start("a")];
    for (const name of ["b", "c", "d", "e"]) nodes.push(world.start(name, { seeds: ["a:7000"] }));
    world.scheduler.after(3_000, () => {
      for (const node of nodes)
        for (const peer of nodes) if (node !== peer) node.links.addPeer(peer.id, `${peer.id}:7000`);
    });
    await world.until(() => nodes.every((node) => node.links.stats().reachablePeerCount === 4));
    expect(nodes[0]?.links.knownPeers().map((peer) => peer.nodeId)).toEqual(["b", "c", "d", "e"]);
  });

  test("a seed dials back whoever dialled it, at the address that it named", async () => {
    const world = new SimPeers("back");
    const a = world.start("a");
    world.start("b", { seeds: ["a:7000"], zone: "z1", weight: 2 });
    await world.until(() => a.links.isReachable(B));
    expect(a.changes).toEqual(["+b"]);
    expect(a.links.knownPeers()).toMatchObject([
      { nodeId: "b", address: "b:7000", isReachable: true, identity: { zone: "z1", weight: 2 } },
    ]);
  });

  test("a name of a seed stands for all its addresses, our own among them does no harm", async () => {
    const world = new SimPeers("dns");
    world.network.setName("seeds", ["a", "b", "c"]);
    const nodes = ["a", "b", "c"].map((name) => world.start(name, { seeds: ["seeds:7000"] }));
    await world.until(() => nodes.every((node) => node.links.stats().reachablePeerCount === 2));
    expect(nodes.flatMap((node) => node.logged).filter((facts) => facts.event === "peers.refused")).toEqual([]);
  });

  test("a seed that starts a minute later is found then, and the log is not flooded meanwhile", async () => {
    const world = new SimPeers("late");
    const b = world.start("b", { seeds: ["a:7000"] });
    await world.pass(59_000);
    expect(b.logged.filter((facts) => facts.event === "peers.dial-failed")).toHaveLength(1);
    expect(b.links.stats().dialsFailed).toBeGreaterThan(20);
    world.start("a");
    await world.pass(5_000);
    expect(b.links.isReachable(A)).toBe(true);
  });

  test.each([
    ["another cluster's name", { clusterName: "other" }, "other_cluster_name"],
    ["another secret", { secrets: { primary: new TextEncoder().encode("guess"), others: [] } }, "wrong_secret"],
    ["another cluster id", { clusterId: "c2" }, "other_cluster_id"],
    ["our own node id", { nodeId: A }, "same_node_id"],
  ])("a node with %s is refused, and both logs say why", async (_what, options, reason) => {
    const world = new SimPeers("refuse");
    const a = world.start("a", { clusterId: "c1" });
    const x = world.start("x", { clusterId: "c1", seeds: ["a:7000"], ...options });
    await world.pass(10_000);
    expect(a.links.knownPeers()).toEqual([]);
    for (const node of [a, x]) {
      const refused = node.logged.filter((facts) => facts.event === "peers.refused");
      expect(refused).toMatchObject([{ reason }]);
    }
  });
});

describe("calls", () => {
  test.each<[PeerRequest, Partial<PeerReply>]>([
    [DIGEST, { kind: "digest", slot: 1, digest: 42n, isSuspect: false }],
    [
      { kind: "fetch", key: KEY },
      { kind: "object", object: undefined },
    ],
    [storeOf(100), { kind: "stored", digest: 1n, isDurable: true }],
    [storeOf(3_000_000), { kind: "stored", digest: 1n }],
    [{ kind: "ping" }, { kind: "pong" }],
    [
      { kind: "ask", topic: "t", body: { list: [1, "two", null] } },
      { kind: "answer", body: { list: [1, "two", null] } },
    ],
  ])("%# each kind of request gets its reply", async (request, reply) => {
    const world = new SimPeers("kinds");
    const { a } = await world.pair();
    const call = world.call(a, B, request);
    await world.until(() => call.result !== undefined);
    expect(call.result).toMatchObject(reply);
  });

  test("the other side is told sender, budget and ring hash", async () => {
    const world = new SimPeers("told");
    const seen: unknown[] = [];
    const { a, b } = await world.pair({
      handler: (from, request, budgetMs, reply) => {
        seen.push([from, request.kind, budgetMs]);
        ANSWER_ALL(from, request, budgetMs, reply);
      },
    });
    a.links.setRingHash(0xfedc_ba98_7654_3210n);
    const call = world.call(a, B, DIGEST, 777.9);
    await world.until(() => call.result !== undefined);
    expect(seen).toEqual([["a", "digest", 777]]);
    expect(b.links.knownPeers()).toMatchObject([{ nodeId: "a", ringHash: 0xfedc_ba98_7654_3210n }]);
  });

  test("a call to a node that is not linked is unsent, before the call returns", async () => {
    const world = new SimPeers("unlinked");
    const { a } = await world.pair();
    const results: CallResult[] = [];
    a.links.call(C, DIGEST, 100, (result) => results.push(result));
    expect(results).toEqual([{ kind: "unsent", reason: "no_link" }]);
  });

  test("a call to oneself is a bug", async () => {
    const world = new SimPeers("self");
    const { a } = await world.pair();
    expect(() => a.links.call(A, DIGEST, 100, () => {})).toThrow(/never calls itself/);
  });

  test("requests of one turn leave in one write and are handled in their order", async () => {
    const world = new SimPeers("order");
    const seen: unknown[] = [];
    const { a } = await world.pair({
      handler: (from, request, budgetMs, reply) => {
        if (request.kind === "ask") seen.push(request.body);
        ANSWER_ALL(from, request, budgetMs, reply);
      },
    });
    const calls = Array.from({ length: 300 }, (_, index) => index);
    world.scheduler.after(
      0,
      () => {
        for (const index of calls) a.links.call(B, { kind: "ask", topic: "t", body: index }, 1_000, () => {});
      },
      a.process,
    );
    await world.pass(100);
    expect(seen).toEqual(calls);
  });

  test("without a reply a call is lost when its budget is over, within the grain of the sweep", async () => {
    const world = new SimPeers("deadline");
    const { a } = await world.pair({ handler: NEVER });
    const startedMs = world.scheduler.nowMs;
    const endedMs: number[] = [];
    const results: CallResult[] = [];
    world.scheduler.after(
      0,
      () => {
        for (const budgetMs of [300, 50, 51, 700]) {
          a.links.call(B, DIGEST, budgetMs, (result) => {
            results.push(result);
            endedMs.push(world.scheduler.nowMs - startedMs);
          });
        }
      },
      a.process,
    );
    await world.pass(2_000);
    expect(results).toEqual(repeated(4, { kind: "lost", reason: "timeout" }));
    for (const [index, budgetMs] of [50, 51, 300, 700].entries()) {
      expect(endedMs[index]).toBeGreaterThanOrEqual(budgetMs);
      expect(endedMs[index]).toBeLessThanOrEqual(budgetMs + 11);
    }
  });

  test("a late reply is counted and dropped", async () => {
    const world = new SimPeers("late-reply");
    const replies: ((reply: PeerReply) => void)[] = [];
    const { a, b } = await world.pair({ handler: (_from, _request, _budgetMs, reply) => replies.push(reply) });
    const call = world.call(a, B, DIGEST, 50);
    await world.until(() => call.result !== undefined);
    expect(call.result).toEqual({ kind: "lost", reason: "timeout" });
    world.scheduler.after(0, () => replies[0]?.({ kind: "digest", slot: 1, digest: 1n, isSuspect: false }), b.process);
    await world.pass(100);
    expect(a.links.stats().lateReplies).toBe(1);
    expect(a.links.isReachable(B)).toBe(true);
  });

  test("a reply of the wrong kind closes the link", async () => {
    const world = new SimPeers("wrong-kind");
    const { a } = await world.pair({ handler: (_from, _request, _budgetMs, reply) => reply({ kind: "pong" }) });
    const call = world.call(a, B, DIGEST);
    await world.until(() => call.result !== undefined);
    expect(call.result).toEqual({ kind: "lost", reason: "link_closed" });
    expect(a.changes).toContain("-b malformed_reply");
  });

  test("a budget of less than a millisecond is never sent", async () => {
    const world = new SimPeers("no-budget");
    const { a, b } = await world.pair();
    const call = world.call(a, B, DIGEST, 0.5);
    await world.until(() => call.result !== undefined);
    expect(call.result).toEqual({ kind: "unsent", reason: "queue_full" });
    expect(b.links.stats().requestsServed).toBe(0);
  });

  test("the time that replies take is estimated", async () => {
    const world = new SimPeers("latency");
    const { a } = await world.pair();
    expect(a.links.latencyMsOf(B)).toBeUndefined();
    world.network.setAllFaults({ baseDelayMs: 10, tailDelayMs: 1 });
    for (let i = 0; i < 400; i += 1) {
      const call = world.call(a, B, DIGEST);
      await world.until(() => call.result !== undefined);
    }
    expect(a.links.latencyMsOf(B)).toBeGreaterThan(20);
    expect(a.links.latencyMsOf(B)).toBeLessThan(24);
    expect(a.links.p95MsOf(B)).toBeGreaterThan(a.links.latencyMsOf(B) ?? 0);
    expect(a.links.p95MsOf(B)).toBeLessThan(30);
  });

  test("the bulk link is opened by its first call and carries the next", async () => {
    const world = new SimPeers("bulk");
    const { a } = await world.pair();
    const results: CallResult[] = [];
    const call = (): void => a.links.callBulk(B, DIGEST, 1_000, (result) => results.push(result));
    world.scheduler.after(0, call, a.process);
    world.scheduler.after(500, call, a.process);
    await world.pass(1_000);
    expect(results).toMatchObject([{ kind: "unsent", reason: "no_link" }, { kind: "digest" }]);
  });
});

describe("bounds", () => {
  test("a link whose queue is full takes no more, at once; when it has drained it takes calls again", async () => {
    const world = new SimPeers("full");
    const { a } = await world.pair();
    world.network.setFaults("a", "b", { bytesPerMs: 20_000 });
    const results: CallResult[] = [];
    world.scheduler.after(
      0,
      () => {
        for (let i = 0; i < 60; i += 1) a.links.call(B, storeOf(500_000), 10_000, (result) => results.push(result));
      },
      a.process,
    );
    await world.pass(0.01);
    expect(results.length).toBeGreaterThan(5);
    expect(results).toEqual(repeated(results.length, { kind: "unsent", reason: "queue_full" }));
    expect(a.links.stats().queuedBytes).toBeGreaterThan(MAX_LINK_QUEUE_BYTES - 1_024 * 1_024);
    await world.pass(5_000);
    expect(results.filter((result) => result.kind === "stored").length).toBe(
      60 - results.filter((r) => r.kind === "unsent").length,
    );
    expect(a.links.stats().queuedBytes).toBe(0);
    const call = world.call(a, B, storeOf(500_000));
    await world.until(() => call.result !== undefined);
    expect(call.result).toMatchObject({ kind: "stored" });
  });

  test("a link with 16,384 calls under way takes no more", async () => {
    const world = new SimPeers("count");
    const { a } = await world.pair({ handler: NEVER });
    const results: CallResult[] = [];
    world.scheduler.after(
      0,
      () => {
        for (let i = 0; i < 16_385; i += 1) a.links.call(B, DIGEST, 500, (result) => results.push(result));
      },
      a.process,
    );
    await world.pass(1);
    expect(results).toEqual([{ kind: "unsent", reason: "queue_full" }]);
    await world.pass(1_000);
    expect(results).toHaveLength(16_385);
    expect(results.filter((result) => result.kind === "lost")).toHaveLength(16_384);
  });

  test("a peer that asks for objects and does not read them gets refusals, then loses its link", async () => {
    const world = new SimPeers("slow-reader");
    const object = new Uint8Array(3 * 1_024 * 1_024);
    const { a, b } = await world.pair({
      handler: (_from, _request, _budgetMs, reply) => reply({ kind: "object", slot: 1, object, isSuspect: false }),
    });
    world.network.setFaults("b", "a", { bytesPerMs: 10 });
    const results: CallResult[] = [];
    world.scheduler.after(
      0,
      () => {
        for (let i = 0; i < 100; i += 1) {
          a.links.call(B, { kind: "fetch", key: KEY }, 30_000, (result) => results.push(result));
        }
      },
      a.process,
    );
    await world.pass(100);
    expect(b.links.stats().queuedBytes).toBeLessThan(MAX_LINK_QUEUE_BYTES + 4 * 1_024 * 1_024);
  });
});

describe("what a node serves to one peer", () => {
  test("is bounded in bytes over all its links; beyond them requests are refused until replies release theirs", async () => {
    const world = new SimPeers("served-bytes");
    const held: (() => void)[] = [];
    const { a } = await world.pair({
      handler: (_from, request, _budgetMs, reply) => {
        if (request.kind !== "store") return;
        held.push(() => reply({ kind: "stored", slot: 1, digest: request.digest, isDurable: true }));
      },
    });
    // opens the bulk link
    await world.pass(1);
    a.links.callBulk(B, DIGEST, 1_000, () => {});
    await world.pass(1_000);
    const results: CallResult[] = [];
    const storeBytes = 2 ** 20;
    const send = (over: "call" | "callBulk", count: number): void => {
      world.scheduler.after(
        0,
        () => {
          for (let i = 0; i < count; i += 1) {
            a.links[over](B, storeOf(storeBytes), 30_000, (result) => results.push(result));
          }
        },
        a.process,
      );
    };
    for (let round = 0; round < 10; round += 1) {
      send("call", 4);
      send("callBulk", 4);
      await world.pass(100);
    }
    expect(held.length * storeBytes).toBeLessThanOrEqual(MAX_SERVED_BYTES_PER_PEER);
    expect((held.length + 2) * storeBytes).toBeGreaterThan(MAX_SERVED_BYTES_PER_PEER);
    expect(results).toEqual(
      repeated(80 - held.length, { kind: "refused", reason: "overloaded", detail: "too many bytes under way" }),
    );
    for (const answer of held.splice(0)) answer();
    await world.pass(100);
    send("call", 4);
    await world.pass(100);
    expect(held).toHaveLength(4);
  });
});

describe("when links break", () => {
  test("calls that had left are lost, those that had not are unsent", async () => {
    const world = new SimPeers("close");
    let servedCount = 0;
    const { a } = await world.pair({
      handler: () => {
        servedCount += 1;
      },
    });
    world.network.setFaults("a", "b", { bytesPerMs: 1_000 });
    const early: CallResult[] = [];
    const held: CallResult[] = [];
    world.scheduler.after(
      0,
      () => {
        for (let i = 0; i < 3; i += 1) a.links.call(B, storeOf(900_000), 20_000, (result) => early.push(result));
      },
      a.process,
    );
    world.scheduler.after(
      5,
      () => {
        for (let i = 0; i < 5; i += 1) a.links.call(B, storeOf(100_000), 20_000, (result) => held.push(result));
      },
      a.process,
    );
    await world.pass(100);
    world.network.cutLinks("a", "b");
    await world.pass(1_000);
    expect(early).toEqual(repeated(3, { kind: "lost", reason: "link_closed" }));
    expect(held).toEqual(repeated(5, { kind: "unsent", reason: "no_link" }));
    expect(servedCount).toBeLessThanOrEqual(3);
  });

  test("a broken link is dialled again, with ups and downs told in order", async () => {
    const world = new SimPeers("again");
    const { a } = await world.pair();
    await world.pass(5_000);
    world.network.cutLinks("a", "b");
    await world.until(() => a.changes.length === 3);
    expect(a.changes).toEqual(["+b", "-b ECONNRESET", "+b"]);
  });

  test("a peer that dies in silence is given up within about two probe times, and its calls are lost", async () => {
    const world = new SimPeers("silent");
    const { a, b } = await world.pair();
    world.network.crash(b.process, true);
    const startedMs = world.scheduler.nowMs;
    const call = world.call(a, B, DIGEST, 30_000);
    await world.until(() => call.result !== undefined);
    expect(call.result).toEqual({ kind: "lost", reason: "link_closed" });
    expect(world.scheduler.nowMs - startedMs).toBeLessThan(2_500);
    expect([a.links.isReachable(B), a.changes.at(-1)]).toEqual([false, "-b silent"]);
  });

  test("an idle link that works is kept for ever", async () => {
    const world = new SimPeers("idle");
    const { a, b } = await world.pair();
    await world.pass(600_000);
    expect([a.changes, b.changes]).toEqual([["+b"], ["+a"]]);
  });

  test("our own pause is not taken for the peer's silence", async () => {
    const world = new SimPeers("own-pause");
    const { a } = await world.pair();
    world.network.setAllFaults({ baseDelayMs: 50 });
    const sentCount = a.links.stats().framesSent;
    await world.until(() => a.links.stats().framesSent > sentCount);
    a.process.pause();
    await world.pass(1_500);
    a.process.resume();
    await world.pass(10_000);
    expect(a.changes).toEqual(["+b"]);
  });

  test("a killed peer is found again after its restart, as another process", async () => {
    const world = new SimPeers("restart");
    const { a, b } = await world.pair();
    const firstBoot = a.links.knownPeers()[0]?.identity?.bootNonce;
    world.network.crash(b.process);
    await world.until(() => !a.links.isReachable(B));
    await world.pass(20_000);
    world.start("b");
    await world.until(() => a.links.isReachable(B));
    expect(a.links.knownPeers()[0]?.identity?.bootNonce).not.toBe(firstBoot);
  });

  test("a restart after a silent death ends the old links at once", async () => {
    const world = new SimPeers("restart-silent");
    const { a, b } = await world.pair();
    world.network.crash(b.process, true);
    const call = world.call(a, B, DIGEST, 30_000);
    await world.pass(100);
    world.start("b", { seeds: ["a:7000"] });
    await world.until(() => a.changes.length === 3);
    expect(a.changes).toEqual(["+b", "-b peer_restarted", "+b"]);
    expect(call.result).toEqual({ kind: "lost", reason: "link_closed" });
  });

  test("of two processes with one node id, the one that was met first is fenced", async () => {
    const world = new SimPeers("clone");
    const { a, b } = await world.pair();
    const clone = world.start("x", { nodeId: B, seeds: ["a:7000"] });
    await world.until(() => a.links.knownPeers()[0]?.address === "x:7000");
    await world.pass(20_000);
    expect(a.logged.filter((facts) => facts["reason"] === "retired_process").length).toBeGreaterThan(0);
    expect([b.links.isReachable(A), clone.links.isReachable(A)]).toEqual([false, true]);
  });

  test("the process that was fenced is let in again when the newer one has ended", async () => {
    const world = new SimPeers("clone-ended");
    const { a, b } = await world.pair();
    const clone = world.start("x", { nodeId: B, seeds: ["a:7000"] });
    await world.until(() => a.links.knownPeers()[0]?.address === "x:7000");
    await world.pass(5_000);
    expect(b.links.isReachable(A)).toBe(false);
    world.network.crash(clone.process);
    await world.pass(60_000);
    expect([b.links.isReachable(A), a.links.isReachable(B)]).toEqual([true, true]);
  });

  test("a split that lasts an hour heals by itself within seconds", async () => {
    const world = new SimPeers("split");
    const { a, b } = await world.pair();
    world.network.partition("a", "b");
    await world.pass(3_600_000);
    expect([a.links.isReachable(B), b.links.isReachable(A)]).toEqual([false, false]);
    world.network.heal();
    await world.pass(5_000);
    expect([a.links.isReachable(B), b.links.isReachable(A)]).toEqual([true, true]);
  });

  test("with one direction blocked neither side calls the other reachable", async () => {
    const world = new SimPeers("one-way");
    const { a, b } = await world.pair();
    world.network.block("a", "b");
    await world.pass(10_000);
    expect([a.links.isReachable(B), b.links.isReachable(A)]).toEqual([false, false]);
  });

  test("a node that stops ends its calls, tells its peers, and is not linked again", async () => {
    const world = new SimPeers("stop");
    const { a, b } = await world.pair({ handler: NEVER });
    const call = world.call(a, B, DIGEST, 30_000);
    await world.pass(10);
    world.scheduler.after(0, () => void a.links.stop(), a.process);
    await world.pass(10_000);
    expect(call.result).toEqual({ kind: "lost", reason: "link_closed" });
    expect([b.links.isReachable(A), a.links.isReachable(B)]).toEqual([false, false]);
    const after = world.call(a, B, DIGEST);
    await world.pass(1);
    expect(after.result).toEqual({ kind: "unsent", reason: "no_link" });
  });

  test("a node that drains lets its last reply leave, and waits no longer than it was told", async () => {
    const world = new SimPeers("drain");
    const object = new Uint8Array(1_024 * 1_024);
    let answeredCount = 0;
    const { a, b } = await world.pair({
      handler: (_from, _request, _budgetMs, reply) => {
        answeredCount += 1;
        reply({ kind: "object", slot: 1, object, isSuspect: false });
      },
    });
    const tookMs = async (bytesPerMs: number): Promise<{ readonly waitedMs: number; readonly kind: string }> => {
      world.network.setFaults("b", "a", { bytesPerMs });
      let waitedMs = -1;
      let kind = "none";
      world.scheduler.after(
        0,
        () => a.links.call(B, { kind: "fetch", key: KEY }, 10_000, (result) => (kind = result.kind)),
        a.process,
      );
      const before = answeredCount;
      await world.until(() => answeredCount > before);
      const startMs = world.scheduler.nowMs;
      world.scheduler.after(
        0,
        () => void b.links.drain(200).then(() => (waitedMs = world.scheduler.nowMs - startMs)),
        b.process,
      );
      await world.until(() => waitedMs >= 0);
      await world.pass(50);
      return { waitedMs, kind };
    };
    const fast = await tookMs(20_000);
    expect(fast.kind).toBe("object");
    expect(fast.waitedMs).toBeLessThan(100);
    const slow = await tookMs(1_000);
    expect(slow.waitedMs).toBeGreaterThanOrEqual(200);
    expect(slow.waitedMs).toBeLessThan(220);
  });

  test("a removed peer is not dialled again; another cluster's id ends the links to it", async () => {
    const world = new SimPeers("removed");
    const { a, b } = await world.pair({ clusterId: "c1" });
    a.links.setClusterId("c2");
    await world.pass(5_000);
    expect(a.links.isReachable(B)).toBe(false);
    a.links.removePeer(B);
    await world.pass(60_000);
    expect(a.links.knownPeers()).toEqual([]);
    expect(b.links.isReachable(A)).toBe(false);
  });
});

describe("a node that becomes a member on links that stand", () => {
  const idsKnownBy = (node: SimPeer): readonly unknown[] =>
    node.links.knownPeers().map(({ identity }) => identity?.clusterId);
  const becomeMember = (world: SimPeers, node: SimPeer, clusterId: string): void => {
    world.scheduler.after(0, () => node.links.setClusterId(clusterId), node.process);
  };

  test("is known as one by those linked, and no link is lost", async () => {
    const world = new SimPeers("member");
    const { a, b } = await world.pair();
    becomeMember(world, a, "c1");
    await world.until(() => idsKnownBy(b).includes("c1"));
    expect(idsKnownBy(a)).toEqual([undefined]);
    becomeMember(world, b, "c1");
    await world.until(() => idsKnownBy(a).includes("c1"));
    await world.pass(10_000);
    expect([idsKnownBy(a), idsKnownBy(b)]).toEqual([["c1"], ["c1"]]);
    expect([a.changes, b.changes]).toEqual([["+b"], ["+a"]]);
    for (const { links } of [a, b]) expect(links.stats().linksOpened - links.stats().linksClosed).toBe(2);
  });

  test("is known as one whenever that happens, even while links are made (200 moments)", async () => {
    for (let moment = 0; moment < 200; moment += 1) {
      const world = new SimPeers(`moment ${moment}`);
      world.network.setAllFaults({ tailDelayMs: 20 });
      const a = world.start("a", { seeds: ["b:7000"] });
      const b = world.start("b");
      world.scheduler.after(moment, () => a.links.setClusterId("c1"), a.process);
      world.scheduler.after(moment / 2, () => b.links.setClusterId("c1"), b.process);
      await world.pass(10_000);
      expect([idsKnownBy(a), idsKnownBy(b)], `moment ${moment}`).toEqual([["c1"], ["c1"]]);
    }
  });

  test("of another cluster than the other side at the same time loses the links to it", async () => {
    const world = new SimPeers("split");
    const { a, b } = await world.pair();
    becomeMember(world, a, "c1");
    becomeMember(world, b, "c2");
    await world.pass(10_000);
    expect([a.links.isReachable(B), b.links.isReachable(A)]).toEqual([false, false]);
    for (const { links } of [a, b]) expect(links.stats().linksOpened).toBe(links.stats().linksClosed);
    expect(a.logged).toContainEqual(expect.objectContaining({ event: "peers.refused", reason: "other_cluster_id" }));
  });
});

describe("whatever the network does", () => {
  interface Tally {
    readonly results: Map<number, CallResult>;
    readonly served: Map<number, number>;
    readonly trace: number;
  }

  /** Three nodes call each other while links are cut, split, clogged, slowed and nodes paused; then all is healed. */
  async function chaos(seed: string): Promise<Tally> {
    const world = new SimPeers(seed);
    const served = new Map<number, number>();
    const results = new Map<number, CallResult>();
    const handler: PeerHandler = (from, request, budgetMs, reply) => {
      if (request.kind === "ask" && typeof request.body === "object" && request.body !== null && "id" in request.body) {
        const id = Number(request.body.id);
        served.set(id, (served.get(id) ?? 0) + 1);
      }
      ANSWER_ALL(from, request, budgetMs, reply);
    };
    const names = ["a", "b", "c"];
    const nodes = names.map((name) => world.start(name, { seeds: ["a:7000", "b:7000"], handler }));
    const random = world.randomOf("chaos");
    const pick = <T>(list: readonly T[]): T => {
      const item = list[random.below(list.length)];
      if (item === undefined) throw new Error("empty");
      return item;
    };
    const filler = new Uint8Array(20_000);
    for (let id = 0; id < 600; id += 1) {
      const from = pick(nodes);
      const to = pick(nodes.filter((node) => node !== from));
      const body = { id, filler: filler.subarray(0, random.below(20_000)) };
      world.scheduler.after(
        1_000 + random.float() * 20_000,
        () => {
          from.links.call(to.id, { kind: "ask", topic: "t", body }, 1 + random.below(1_500), (result) => {
            if (results.has(id)) throw new Error(`call ${id} has two results`);
            results.set(id, result);
          });
        },
        from.process,
      );
    }
    const faults: readonly (() => void)[] = [
      () => world.network.cutLinks(pick(names), pick(names)),
      () => world.network.partition(pick(names), pick(names)),
      () => world.network.block(pick(names), pick(names)),
      () => world.network.clog(pick(names), pick(names), random.below(3_000)),
      () => world.network.setFaults(pick(names), pick(names), { lossProbability: 0.2, cutProbability: 0.02 }),
      () =>
        world.network.setFaults(pick(names), pick(names), {
          bytesPerMs: 1 + random.below(1_000),
          splitProbability: 0.5,
        }),
      () => world.network.heal(),
      () => {
        const node = pick(nodes);
        node.process.pause();
        world.scheduler.after(random.below(4_000), () => node.process.resume());
      },
    ];
    for (let i = 0; i < 40; i += 1) world.scheduler.after(random.float() * 20_000, pick(faults));
    await world.pass(25_000);
    world.network.heal();
    world.network.setAllFaults({ lossProbability: 0, cutProbability: 0, bytesPerMs: Infinity });
    await world.pass(30_000);
    for (const node of nodes) {
      expect([seed, node.links.stats().reachablePeerCount]).toEqual([seed, 2]);
      expect([seed, node.links.stats().queuedBytes]).toEqual([seed, 0]);
    }
    return { results, served, trace: world.scheduler.traceHash };
  }

  test("each call has one result, is served at most once, not at all when unsent, surely when answered; then all heals", async () => {
    const kinds = new Set<string>();
    for (let round = 0; round < 40; round += 1) {
      const { results, served } = await chaos(`chaos-${round}`);
      expect(results.size).toBe(600);
      for (const [id, result] of results) {
        const count = served.get(id) ?? 0;
        kinds.add(result.kind === "lost" || result.kind === "unsent" ? `${result.kind} ${result.reason}` : result.kind);
        if (count > 1) throw new Error(`round ${round}: call ${id} was served ${count} times`);
        if (result.kind === "unsent" && count !== 0) throw new Error(`round ${round}: unsent call ${id} was served`);
        if (result.kind === "answer" && count !== 1)
          throw new Error(`round ${round}: call ${id} was answered unserved`);
      }
    }
    expect([...kinds].sort()).toEqual(["answer", "lost link_closed", "lost timeout", "unsent no_link"]);
  }, 120_000);

  test("the same seed makes the same chaos, event by event", async () => {
    const [first, second, other] = [await chaos("twice"), await chaos("twice"), await chaos("once")];
    expect(second.trace).toBe(first.trace);
    expect([...second.results]).toEqual([...first.results]);
    expect(other.trace).not.toBe(first.trace);
  }, 60_000);
});
