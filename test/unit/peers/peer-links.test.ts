/** Links between nodes: who finds whom, calls over them, and a node that becomes a member on links that stand. */

import { describe, expect, test } from "vitest";
import type { CallResult, PeerReply, PeerRequest } from "../../../services/peers/messages.ts";
import {
  A,
  ANSWER_ALL,
  B,
  C,
  DIGEST,
  KEY,
  NEVER,
  repeated,
  type SimPeer,
  SimPeers,
  storeOf,
} from "../../support/sim-peers.ts";

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

  test("what is refused because its time was up is counted where it is refused, and nothing else that is refused", async () => {
    const world = new SimPeers("expired");
    const reasons = ["expired", "overloaded", "expired", "not_owner"] as const;
    let served = 0;
    const { a, b } = await world.pair({
      handler: (_from, _request, _budgetMs, reply) => {
        const reason = reasons[served] ?? "overloaded";
        served += 1;
        reply({ kind: "refused", reason, detail: "" });
      },
    });
    for (const reason of reasons) {
      const call = world.call(a, B, DIGEST);
      await world.until(() => call.result !== undefined);
      expect(call.result).toMatchObject({ kind: "refused", reason });
    }
    expect(b.links.stats()).toMatchObject({ requestsServed: 4, requestsExpired: 2 });
    expect(a.links.stats().requestsExpired).toBe(0);
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
