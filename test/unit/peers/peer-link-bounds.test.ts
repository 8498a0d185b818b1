/** What a link holds at most, and what a node serves to one peer. */

import { describe, expect, test } from "vitest";
import { MAX_LINK_QUEUE_BYTES, MAX_SERVED_BYTES_PER_PEER } from "../../../services/base/limits.ts";
import type { CallResult } from "../../../services/peers/messages.ts";
import { B, DIGEST, KEY, NEVER, repeated, type SimPeer, SimPeers, storeOf } from "../../support/sim-peers.ts";

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

  /** One peer asks another for a hundred large objects at once, over a link of so many bytes a millisecond. */
  async function greedy(bytesPerMs: number): Promise<{
    readonly world: SimPeers;
    readonly a: SimPeer;
    readonly b: SimPeer;
    readonly results: readonly CallResult[];
  }> {
    const world = new SimPeers("slow-reader");
    const object = new Uint8Array(3 * 1_024 * 1_024);
    const { a, b } = await world.pair({
      handler: (_from, _request, _budgetMs, reply) => reply({ kind: "object", slot: 1, object, isSuspect: false }),
    });
    world.network.setFaults("b", "a", { bytesPerMs });
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
    return { world, a, b, results };
  }

  test("a peer that asks for more objects than it reads gets as many as fit, and refusals", async () => {
    const { world, a, results } = await greedy(20_000);
    await world.pass(5_000);
    const kinds = results.map((result) => (result.kind === "refused" ? `refused ${result.reason}` : result.kind));
    expect(new Set(kinds)).toEqual(new Set(["object", "refused overloaded"]));
    expect(kinds).toHaveLength(100);
    expect(kinds.filter((kind) => kind === "object").length).toBeLessThan(10);
    expect(a.changes).toEqual(["+b"]);
  });

  test("a peer that reads next to nothing loses its link, and what waited for it is let go", async () => {
    const { world, a, b, results } = await greedy(10);
    expect(b.links.stats().queuedBytes).toBeGreaterThan(MAX_LINK_QUEUE_BYTES / 2);
    await world.pass(10_000);
    expect(results).toEqual(repeated(100, { kind: "lost", reason: "link_closed" }));
    expect(a.changes).toContain("-b silent");
    expect(b.links.stats().queuedBytes).toBe(0);
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
