/**
 * Random hand-overs under random requests, seen by coordinators whose tables are stale or wrong, over a network that
 * loses: a read never misses what was acknowledged before it began, an applied write stands in W distinct slots, what was
 * not applied is nowhere, and every operation ends in its time.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GetAnswer, WriteAnswer } from "../../../services/coordinator/contract.ts";
import { covers } from "../../../services/versioning/causal-context.ts";
import { FakeCluster, type Fate, knobs } from "../../support/fake-cluster.ts";
import { QuorumHistory } from "../../support/quorum-history.ts";

const TIMEOUT_MS = 250;
const NODE_COUNT = 6;

interface Step {
  readonly kind: "put" | "get" | "move" | "believe" | "lie" | "away";
  readonly at: number;
  readonly other: number;
  readonly waitMs: number;
  readonly isBlind: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("put", "put", "put", "get", "get", "get", "move", "move", "move", "believe", "lie", "away"),
  at: fc.nat(NODE_COUNT - 1),
  other: fc.nat(NODE_COUNT - 1),
  waitMs: fc.nat(30),
  isBlind: fc.boolean(),
});
const fate: fc.Arbitrary<Fate> = fc
  .record({ thereMs: fc.nat(15), backMs: fc.nat(15), lost: fc.nat(29) })
  .map(({ thereMs, backMs, lost }) => ({ thereMs: lost === 0 ? -1 : thereMs, backMs: lost === 1 ? -1 : backMs }));

/** Plays one history; keeps who holds each slot's content, in transit too. */
class Play {
  readonly cluster: FakeCluster;
  readonly history: QuorumHistory = new QuorumHistory();
  readonly quorum: { readonly r: number; readonly w: number };
  readonly #running: Promise<void>[] = [];

  constructor(quorum: { readonly r: number; readonly w: number }) {
    this.quorum = quorum;
    this.cluster = new FakeCluster({ nodeCount: NODE_COUNT, settings: quorum });
    // Disks of different speed: slots go away while keys are read and written.
    this.cluster.nodes.forEach(({ replica }, at) => {
      replica.readDelayMs = at % 3 === 0 ? 0 : at * 3;
      replica.storeDelayMs = at % 2 === 0 ? 0 : at * 3;
    });
  }

  /** Every node hears the truth every so many milliseconds, for a second. */
  spreadEvery(ms: number): void {
    for (let atMs = ms; atMs < 1_000; atMs += ms) {
      this.cluster.clock.setTimer(atMs, () => {
        for (let at = 0; at < NODE_COUNT; at += 1) this.cluster.believe(at, this.#holders());
      });
    }
  }

  async run(steps: readonly Step[]): Promise<readonly string[]> {
    for (const [order, what] of steps.entries()) {
      await this.cluster.clock.advance(what.waitMs);
      this.#do(what, `v${order}`);
    }
    await this.cluster.run(Promise.all(this.#running));
    await this.cluster.clock.advance(5_000);
    this.history.checkTraces(this.cluster);
    return this.history.faults;
  }

  #do(what: Step, value: string): void {
    const { cluster } = this;
    const holders = this.#holders();
    const giver = holders[what.at % Math.max(1, holders.length)]?.at ?? 0;
    switch (what.kind) {
      case "put":
        return this.#put(what, value);
      case "get":
        return this.#get(what);
      case "move":
        // Nothing waits for it: requests run beside.
        void cluster.handOver(giver, what.other, what.waitMs * 3);
        return;
      case "believe":
        cluster.believe(what.at, holders);
        return;
      case "lie":
        cluster.believe(what.at, [
          { at: what.other, slot: 0 },
          { at: what.isBlind ? what.other : (what.other + what.waitMs) % NODE_COUNT, slot: 1 },
          { at: giver, slot: 2 },
        ]);
        return;
      case "away":
        cluster.node(what.at).isAway = !cluster.node(what.at).isAway;
    }
  }

  /** As believed-holders tables have it: for a slot in transit the one that waits for it. */
  #holders(): readonly { readonly at: number; readonly slot: number }[] {
    return this.cluster.nodes
      .map(({ replica }, at) => ({ at, slot: Math.max(replica.slot, replica.slotComing) }))
      .filter((holder) => holder.slot >= 0)
      .toSorted((a, b) => a.slot - b.slot);
  }

  #get(what: Step): void {
    const ackedBefore = this.history.acked.length;
    const reading = this.cluster.node(what.at).coordinator.get(this.#common());
    this.#ends(reading, (answer: GetAnswer) => this.history.onRead(answer, ackedBefore));
  }

  #put(what: Step, value: string): void {
    const context = what.isBlind ? undefined : this.history.context;
    const put = { ...this.#common(), context, contentType: "text/plain", bytes: Buffer.from(value) };
    this.#ends(this.cluster.node(what.at).coordinator.put(put), (answer: WriteAnswer) => {
      this.history.onWrite({ value, answer });
      if (answer.kind === "applied") this.#checkSlots(answer, value);
    });
  }

  /** The content of a slot is where it is held or, in transit, where it went: it was copied before it was nobody's. */
  #checkSlots(answer: Extract<WriteAnswer, { kind: "applied" }>, value: string): void {
    const slots = new Set(
      this.cluster
        .slotContents()
        .filter(({ set }) => set !== undefined && covers(set.clock, answer.dot))
        .map(({ slot }) => slot),
    );
    const { w } = this.quorum;
    if (slots.size < w) this.history.faults.push(`${value} was applied with ${slots.size} slots of ${w}`);
  }

  #ends<T>(running: Promise<T>, onEnd: (answer: T) => void): void {
    const startMs = this.cluster.clock.monotonicMs();
    this.#running.push(
      running.then((answer) => {
        const tookMs = this.cluster.clock.monotonicMs() - startMs;
        if (tookMs > TIMEOUT_MS + 10) this.history.faults.push(`an operation took ${tookMs} ms`);
        onEnd(answer);
      }),
    );
  }

  #common(): { readonly name: ReturnType<FakeCluster["name"]>; readonly knobs: ReturnType<typeof knobs> } {
    return { name: this.cluster.name(), knobs: knobs({ timeoutMs: TIMEOUT_MS }) };
  }
}

describe("with R + W > N, while slots move", () => {
  test("a read sees every write acknowledged before it began, and W distinct slots hold each", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 6, maxLength: 40 }),
        fc.infiniteStream(fate),
        fc.constantFrom({ r: 2, w: 2 }, { r: 1, w: 3 }, { r: 3, w: 1 }),
        async (steps, fates, quorum) => {
          const play = new Play(quorum);
          play.cluster.fateOf = () => fates.next().value ?? { thereMs: 1, backMs: 1 };
          expect(await play.run(steps)).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("every write is applied in its time when nothing is lost and tables follow the slots", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 30 }), async (steps) => {
        const play = new Play({ r: 2, w: 2 });
        play.spreadEvery(40);
        const gentle = steps.filter((what) => what.kind !== "away" && what.kind !== "lie");
        expect(await play.run(gentle)).toEqual([]);
        // Slots are nobody's for 90 ms at most, tables 40 ms behind, and nobody waits longer than 100 ms to look again.
        for (const { answer } of play.history.writes) expect(answer).toMatchObject({ kind: "applied" });
      }),
      { numRuns: 150 },
    );
  });
});
