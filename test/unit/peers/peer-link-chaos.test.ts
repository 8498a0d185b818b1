/** Calls between three nodes while links are cut, split, clogged and slowed and nodes paused. */

import { describe, expect, test } from "vitest";
import type { CallResult, PeerHandler } from "../../../services/peers/messages.ts";
import { ANSWER_ALL, SimPeers } from "../../support/sim-peers.ts";

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
  });

  test("the same seed makes the same chaos, event by event", async () => {
    const [first, second, other] = [await chaos("twice"), await chaos("twice"), await chaos("once")];
    expect(second.trace).toBe(first.trace);
    expect([...second.results]).toEqual([...first.results]);
    expect(other.trace).not.toBe(first.trace);
  });
});
