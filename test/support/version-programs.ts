/**
 * Random programs on a few replicas of one key, run on the real sibling sets and on causal histories side by side.
 * `runProgram` returns the first thing that is wrong, in words, or undefined. The rules under test are handed in, so
 * that planted bugs run through the same checks.
 */
import fc from "fast-check";
import { covers, EMPTY_CONTEXT } from "../../services/versioning/causal-context.ts";
import type { DoneWrite } from "../../services/versioning/sibling-set.ts";
import * as siblingSet from "../../services/versioning/sibling-set.ts";
import type { CausalContext, Dot, SiblingSet } from "../../services/versioning/types.ts";
import { counterOf } from "../../services/versioning/version-vector.ts";
import { type History, knownAfter, NO_HISTORY, unite, write } from "./causal-histories.ts";

/** The algebra under test. */
export interface Rules {
  readonly put: typeof siblingSet.put;
  readonly remove: typeof siblingSet.remove;
  readonly merge: (a: SiblingSet, b: SiblingSet) => SiblingSet;
  readonly contextAfterWrite: (write: DoneWrite) => CausalContext;
  /** a replica that lost its newest state goes on as a new actor, with counters above all it ever used */
  readonly isActorRenewed: boolean;
}

/** The rules of the house. */
export const REAL_RULES: Rules = {
  put: siblingSet.put,
  remove: siblingSet.remove,
  merge: siblingSet.merge,
  contextAfterWrite: siblingSet.contextAfterWrite,
  isActorRenewed: true,
};

/** One step of a program; numbers are taken modulo what there is. */
export type Step =
  | { readonly kind: "get"; readonly session: number; readonly from: readonly number[] }
  | {
      readonly kind: "put" | "delete";
      readonly session: number;
      readonly at: number;
      readonly context: "session" | "overwrite" | "none";
      /** other replicas that take the write at once */
      readonly to: readonly number[];
      /** the session goes on with the context that the write returned */
      readonly isContextKept: boolean;
    }
  | { readonly kind: "deliver"; readonly from: number; readonly to: number }
  | { readonly kind: "late"; readonly message: number; readonly to: number }
  | { readonly kind: "rollback"; readonly at: number; readonly back: number };

/** Programs of up to 40 steps; with rollbacks a replica may lose its newest states. */
export function programs(options: { readonly hasRollbacks: boolean }): fc.Arbitrary<readonly Step[]> {
  const number = fc.nat(9);
  const some = fc.array(number, { maxLength: 3 });
  const steps: fc.WeightedArbitrary<Step>[] = [
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("get"), session: number, from: some }) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constantFrom("put", "put", "put", "delete"),
        session: number,
        at: number,
        context: fc.constantFrom("session", "session", "overwrite", "none"),
        to: some,
        isContextKept: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("deliver"), from: number, to: number }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("late"), message: fc.nat(50), to: number }) },
  ];
  if (options.hasRollbacks) {
    steps.push({ weight: 1, arbitrary: fc.record({ kind: fc.constant("rollback"), at: number, back: fc.nat(3) }) });
  }
  return fc.array(fc.oneof(...steps), { maxLength: 40, size: "max" });
}

interface Pair {
  readonly set: SiblingSet;
  readonly history: History;
}

interface Node {
  actor: number;
  pair: Pair;
  readonly past: Pair[];
}

interface Known {
  readonly context: CausalContext;
  readonly ids: ReadonlySet<number>;
}

const NOTHING: Pair = { set: siblingSet.EMPTY, history: NO_HISTORY };
const KNOWS_NOTHING: Known = { context: EMPTY_CONTEXT, ids: new Set() };

class Run {
  readonly #rules: Rules;
  readonly nodes: Node[];
  readonly sessions: Known[] = [KNOWS_NOTHING, KNOWS_NOTHING, KNOWS_NOTHING];
  readonly messages: Pair[] = [];
  /** by write id */
  readonly dots: Dot[] = [];
  readonly known: ReadonlySet<number>[] = [];
  readonly isValue: boolean[] = [];
  #counter = 0;
  #actors = 0;

  constructor(rules: Rules, replicaCount: number) {
    this.#rules = rules;
    this.nodes = Array.from({ length: replicaCount }, () => ({ actor: ++this.#actors, pair: NOTHING, past: [] }));
  }

  step(step: Step): string | undefined {
    switch (step.kind) {
      case "get": {
        const read = step.from.reduce((pair, from) => this.#merge(pair, this.#node(from).pair), this.#node(0).pair);
        this.#keep(step.session, { context: read.set.clock, ids: read.history.seen });
        break;
      }
      case "put":
      case "delete":
        return this.#write(step);
      case "deliver":
        return this.#take(this.#node(step.to), this.#node(step.from).pair);
      case "late": {
        const message = this.messages[step.message % Math.max(1, this.messages.length)];
        return message === undefined ? undefined : this.#take(this.#node(step.to), message);
      }
      case "rollback":
        this.#rollback(this.#node(step.at), step.back);
        break;
    }
    return undefined;
  }

  /** Everybody tells everybody, until nothing changes. */
  settle(): string | undefined {
    for (const to of [...this.nodes, ...this.nodes]) {
      for (const from of this.nodes) {
        const wrong = this.#take(to, from.pair);
        if (wrong !== undefined) return wrong;
      }
    }
    const states = new Set(this.nodes.map((node) => JSON.stringify([node.pair.set.clock, this.#idsOf(node.pair.set)])));
    return states.size === 1 ? undefined : "replicas that told each other everything differ";
  }

  /** Without rollbacks every write is somewhere: exactly those stand that no later writer had seen. */
  wrongAtTheEnd(): string | undefined {
    const superseded = new Set(this.known.flatMap((known) => [...known]));
    const expected = this.dots.flatMap((_, id) => (this.isValue[id] === true && !superseded.has(id) ? [id] : []));
    const standing = this.#idsOf(this.#node(0).pair.set);
    for (const id of expected) if (!standing.includes(id)) return `write ${id} is lost: nobody had seen it`;
    for (const id of standing) if (!expected.includes(id)) return `write ${id} is back: a later writer had seen it`;
    return undefined;
  }

  #write(step: Extract<Step, { readonly kind: "put" | "delete" }>): string | undefined {
    const node = this.#node(step.at);
    const before = node.pair;
    const given = this.#givenOf(step, before);
    const id = this.dots.length;
    const dot = { actor: node.actor, counter: this.#mint(node) };
    const isValue = step.kind === "put";
    this.dots.push(dot);
    this.known.push(given.ids);
    this.isValue.push(isValue);
    const { put, remove, contextAfterWrite } = this.#rules;
    const sibling = { dot, expiresAtMs: 0, contentType: "text/plain", bytes: Uint8Array.of(id) };
    const set = isValue
      ? put(before.set, { context: given.context, sibling })
      : remove(before.set, { context: given.context, dot });
    const after: Pair = { set, history: write(before.history, { id, known: given.ids, isValue }) };
    const returned: Known = {
      context: contextAfterWrite({ before: before.set, after: set, given: given.context, dot }),
      ids: knownAfter(after.history, { id, known: given.ids }),
    };
    const wrong = this.#wrongContext(returned, given, after.history);
    if (wrong !== undefined) return wrong;
    if (step.isContextKept) this.#keep(step.session, returned);
    this.messages.push(after);
    node.past.push(before);
    node.pair = after;
    const disagreement = this.#disagreement(after);
    if (disagreement !== undefined) return disagreement;
    for (const to of step.to) {
      const taken = this.#take(this.#node(to), after);
      if (taken !== undefined) return taken;
    }
    return undefined;
  }

  #rollback(node: Node, back: number): void {
    for (let i = 0; i <= back && node.past.length > 0; i += 1) node.pair = node.past.pop() ?? NOTHING;
    if (this.#rules.isActorRenewed) node.actor = ++this.#actors;
  }

  #mint(node: Node): number {
    // The planted amnesiac counts from what it still holds; the real one never goes back, and leaves gaps.
    this.#counter = this.#counter + 1 + (this.dots.length % 3);
    return this.#rules.isActorRenewed ? this.#counter : counterOf(node.pair.set.clock.vector, node.actor) + 1;
  }

  #givenOf(step: Extract<Step, { readonly kind: "put" | "delete" }>, before: Pair): Known {
    if (step.context === "none") return KNOWS_NOTHING;
    if (step.context === "overwrite") return { context: before.set.clock, ids: before.history.seen };
    return this.sessions[step.session % this.sessions.length] ?? KNOWS_NOTHING;
  }

  #take(node: Node, pair: Pair): string | undefined {
    if (node.pair === pair) return undefined;
    node.past.push(node.pair);
    node.pair = this.#merge(node.pair, pair);
    return this.#disagreement(node.pair);
  }

  #merge(a: Pair, b: Pair): Pair {
    return { set: this.#rules.merge(a.set, b.set), history: unite(a.history, b.history) };
  }

  /** The set says of every write ever made what the history says: seen or not, standing or not. */
  #disagreement(pair: Pair): string | undefined {
    for (const [id, dot] of this.dots.entries()) {
      const isSeen = pair.history.seen.has(id);
      if (covers(pair.set.clock, dot) !== isSeen) return `write ${id} is ${isSeen ? "forgotten" : "falsely dominated"}`;
    }
    const ids = this.#idsOf(pair.set);
    const standing = [...pair.history.standing].sort((a, b) => a - b);
    if (ids.join() !== standing.join()) return `writes ${ids.join()} stand instead of ${standing.join()}`;
    for (const a of ids) {
      for (const b of ids)
        if (this.known[a]?.has(b) === true) return `write ${b} stands beside ${a}, which replaced it`;
    }
    return undefined;
  }

  #wrongContext(returned: Known, given: Known, after: History): string | undefined {
    for (const [id, dot] of this.dots.entries()) {
      const isTold = covers(returned.context, dot);
      if (given.ids.has(id) && !isTold) return `the returned context forgets write ${id}`;
      if (id === this.dots.length - 1 && !isTold) return "the returned context does not cover the write itself";
      const isUnread = after.standing.has(id) && id !== this.dots.length - 1;
      if (isTold && isUnread) return `the returned context covers write ${id}, which the writer has not seen`;
      if (isTold !== returned.ids.has(id)) return `the returned context is wrong about write ${id}`;
    }
    return undefined;
  }

  #idsOf(set: SiblingSet): readonly number[] {
    return set.siblings.map((sibling) => sibling.bytes[0] ?? -1).sort((a, b) => a - b);
  }

  #node(number: number): Node {
    const node = this.nodes[number % this.nodes.length];
    if (node === undefined) throw new Error("a program runs on one replica or more");
    return node;
  }

  #keep(session: number, known: Known): void {
    this.sessions[session % this.sessions.length] = known;
  }
}

/** Runs a program by the given rules; what is wrong first, or undefined. */
export function runProgram(
  rules: Rules,
  program: { readonly replicaCount: number; readonly steps: readonly Step[] },
): string | undefined {
  const run = new Run(rules, program.replicaCount);
  for (const step of program.steps) {
    const wrong = run.step(step);
    if (wrong !== undefined) return wrong;
  }
  const wrong = run.settle();
  if (wrong !== undefined || program.steps.some((step) => step.kind === "rollback")) return wrong;
  return run.wrongAtTheEnd();
}
