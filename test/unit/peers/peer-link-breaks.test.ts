/** Links that break, peers that die, stop, come back or come twice. */

import { describe, expect, test } from "vitest";
import type { CallResult } from "../../../services/peers/messages.ts";
import { A, B, DIGEST, KEY, NEVER, repeated, SimPeers, storeOf } from "../../support/sim-peers.ts";

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
