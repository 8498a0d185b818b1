/**
 * Concurrent writes and stores of one key on three replicas, with every call of the store held up and let go in a drawn
 * order. The oracle knows only what each writer's context covered: whatever is covered and does not stand must have
 * been replaced by a writer who had seen it, and at the end exactly those stand that nobody had seen.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Minted, WriteIntent } from "../../../services/replica/contract.ts";
import { covers, EMPTY_CONTEXT } from "../../../services/versioning/causal-context.ts";
import { isSameDot } from "../../../services/versioning/dot.ts";
import { decodeSet } from "../../../services/versioning/object-codec.ts";
import type { CausalContext, Dot, SiblingSet } from "../../../services/versioning/types.ts";
import { DiskFullError } from "../../../storage/errors.ts";
import {
  type GatedStore,
  HandClock,
  locationOf,
  putOf,
  type ReplicaFixture,
  readFrom,
  replicaFixture,
} from "../../support/replica-fixture.ts";

const NODE_COUNT = 3;
const alice = locationOf("carts", "alice");

type Step =
  | {
      readonly kind: "put" | "delete";
      readonly at: number;
      readonly context: "read" | "returned" | "none" | "overwrite";
      /** nodes that never hear of the write from its coordinator */
      readonly deaf: number;
    }
  | { readonly kind: "run"; readonly turns: number }
  | { readonly kind: "disk"; readonly at: number; readonly isFull: boolean };

interface Write {
  readonly dot: Dot;
  readonly isValue: boolean;
  /** what its writer had seen */
  readonly given: CausalContext;
}

/** Lets go of held-up calls one at a time, in a drawn order. */
class Gates {
  readonly #draws: readonly number[];
  #drawn = 0;
  #held: (() => void)[] = [];

  constructor(draws: readonly number[]) {
    this.#draws = draws;
  }

  hold(): Promise<void> {
    return new Promise((resolve) => this.#held.push(resolve));
  }

  async run(turns: number): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      const draw = this.#draws[this.#drawn % this.#draws.length] ?? 0;
      this.#drawn += 1;
      const [let_] = this.#held.splice(draw % Math.max(1, this.#held.length), 1);
      let_?.();
    }
  }

  async runOut(): Promise<void> {
    do await this.run(1);
    while (this.#held.length > 0);
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#held.length > 0) await this.runOut();
  }
}

class Cluster {
  readonly nodes: readonly ReplicaFixture[];
  readonly gates: Gates;
  readonly writes: Write[] = [];
  readonly wrongs: string[] = [];
  readonly full: boolean[] = [];
  #returned: CausalContext = EMPTY_CONTEXT;

  constructor(draws: readonly number[]) {
    this.gates = new Gates(draws);
    const clock = new HandClock();
    this.nodes = Array.from({ length: NODE_COUNT }, (_, index) => replicaFixture({ seed: index + 1, clock }));
    for (const [index, node] of this.nodes.entries()) this.#gate(node.store, index);
  }

  async write(step: Extract<Step, { readonly at: number; readonly deaf: number }>): Promise<void> {
    const node = this.#node(step.at);
    const context = this.#contextOf(step, node);
    const intent: WriteIntent =
      step.kind === "delete"
        ? { kind: "delete", context }
        : putOf("value", context, step.context === "overwrite" ? "overwrite" : "sibling");
    const heldBefore = (): CausalContext => this.#clockOf(node) ?? EMPTY_CONTEXT;
    const result = await node.replica.write(alice, intent, (minted) => {
      const isWhole = step.context === "overwrite" || (step.kind === "delete" && context === undefined);
      this.#noteWrite(minted, {
        isValue: step.kind === "put",
        given: isWhole ? heldBefore() : (context ?? EMPTY_CONTEXT),
      });
      for (const [index, other] of this.nodes.entries()) {
        if (other !== node && (step.deaf >> index) % 2 === 0) this.#send(other, minted);
      }
    });
    if (result.kind === "failed") this.wrongs.push(result.detail);
  }

  /** Everybody hands everybody what it holds, twice. */
  async settle(): Promise<void> {
    for (let round = 0; round < 2; round += 1) {
      for (const from of this.nodes) {
        for (const to of this.nodes) {
          const read = await this.#encoded(from);
          if (read === undefined || from === to) continue;
          await to.replica.store(alice, { baseDigest: 0n, digest: from.replica.digestOf(alice), object: read });
        }
      }
    }
  }

  /** What is wrong with a version by the oracle. */
  judge(set: SiblingSet): void {
    const seen = this.writes.filter((write) => covers(set.clock, write.dot));
    for (const write of seen) {
      const isStanding = set.siblings.some((sibling) => isSameDot(sibling.dot, write.dot));
      const isReplaced = seen.some((later) => later !== write && covers(later.given, write.dot));
      if (isStanding && isReplaced) this.wrongs.push(`${name(write)} stands although a later writer had seen it`);
      if (!isStanding && !isReplaced && write.isValue) this.wrongs.push(`${name(write)} is falsely dominated`);
    }
  }

  #noteWrite(minted: Minted, write: { readonly isValue: boolean; readonly given: CausalContext }): void {
    const { dot } = minted;
    if (this.writes.some((other) => isSameDot(other.dot, dot))) this.wrongs.push(`${name({ dot })} was minted twice`);
    this.writes.push({ dot, ...write });
    this.#returned = minted.context;
    const decoded = decodeSet(minted.object);
    if (decoded.kind === "corrupt") this.wrongs.push(decoded.reason);
    else this.judge(decoded.set);
    if (decoded.kind === "set") this.#judgeReturned(minted, decoded.set, write.given);
  }

  #judgeReturned({ context, dot }: Minted, after: SiblingSet, given: CausalContext): void {
    if (!covers(context, dot)) this.wrongs.push("the returned context does not cover its write");
    for (const { dot: other } of after.siblings) {
      if (!isSameDot(other, dot) && covers(context, other) && !covers(given, other)) {
        this.wrongs.push(`the returned context covers ${name({ dot: other })}, which the writer has not seen`);
      }
    }
  }

  #send(to: ReplicaFixture, { baseDigest, digest, object }: Minted): void {
    to.replica.store(alice, { baseDigest, digest, object }).catch((error: unknown) => this.wrongs.push(String(error)));
  }

  #contextOf(step: Step, node: ReplicaFixture): CausalContext | undefined {
    if (!("context" in step) || step.context === "overwrite" || step.context === "none") return undefined;
    return step.context === "returned" ? this.#returned : this.#clockOf(node);
  }

  #clockOf(node: ReplicaFixture): CausalContext | undefined {
    // Straight from the engine, past the gates.
    const record = node.store.engine.get(alice);
    if (record === undefined || record instanceof Promise) return undefined;
    const decoded = decodeSet(record.value);
    return decoded.kind === "set" ? decoded.set.clock : undefined;
  }

  async #encoded(node: ReplicaFixture): Promise<Uint8Array | undefined> {
    const read = await node.replica.readEncoded(alice);
    return read.kind === "object" ? read.object : undefined;
  }

  #gate(store: GatedStore, index: number): void {
    store.onCall = async (call) => {
      await this.gates.hold();
      if (call === "put" && this.full[index] === true) throw new DiskFullError();
    };
  }

  #node(at: number): ReplicaFixture {
    const node = this.nodes[at % NODE_COUNT];
    if (node === undefined) throw new Error("a cluster has nodes");
    return node;
  }
}

function name({ dot }: { readonly dot: Dot }): string {
  return `write ${dot.actor % 1_000}:${dot.counter % 1_000}`;
}

const writeStep = fc.record({
  kind: fc.constantFrom("put" as const, "put" as const, "put" as const, "delete" as const),
  at: fc.nat(NODE_COUNT - 1),
  context: fc.constantFrom("read" as const, "returned" as const, "none" as const, "overwrite" as const),
  deaf: fc.nat(7),
});
const runStep = fc.record({ kind: fc.constant("run" as const), turns: fc.nat(6) });
const diskStep = fc.record({ kind: fc.constant("disk" as const), at: fc.nat(NODE_COUNT - 1), isFull: fc.boolean() });
const draws = fc.array(fc.nat(20), { minLength: 1, maxLength: 20 });

async function run(steps: readonly Step[], drawn: readonly number[]): Promise<Cluster> {
  const cluster = new Cluster(drawn);
  const writing: Promise<void>[] = [];
  for (const step of steps) {
    if (step.kind === "run") await cluster.gates.run(step.turns);
    else if (step.kind === "disk") cluster.full[step.at] = step.isFull;
    else writing.push(cluster.write(step));
  }
  await cluster.gates.runOut();
  cluster.full.fill(false);
  const settling = Promise.all(writing).then(() => cluster.settle());
  let isSettled = false;
  settling.finally(() => (isSettled = true)).catch(() => undefined);
  while (!isSettled) await cluster.gates.run(1);
  await settling;
  return cluster;
}

describe("concurrent writes and stores of one key", () => {
  test.each([
    {
      name: "on a sound store",
      step: fc.oneof({ weight: 3, arbitrary: writeStep }, { weight: 2, arbitrary: runStep }),
    },
    {
      name: "while disks fill up and are emptied",
      step: fc.oneof(
        { weight: 4, arbitrary: writeStep },
        { weight: 3, arbitrary: runStep },
        { weight: 1, arbitrary: diskStep },
      ),
    },
  ])("end as the causal order of their contexts says, $name", async ({ step }) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 16, size: "max" }), draws, async (steps, drawn) => {
        const cluster = await run(steps, drawn);
        const sets = await Promise.all(
          cluster.nodes.map((node) => {
            node.store.onCall = () => undefined;
            return readFrom(node, alice);
          }),
        );
        for (const set of sets) if (set !== undefined) cluster.judge(set);
        expect(cluster.wrongs).toEqual([]);
        expect(new Set(cluster.nodes.map((node) => node.replica.digestOf(alice))).size).toBe(1);
      }),
      { numRuns: 400 },
    );
  });
});
