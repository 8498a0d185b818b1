/**
 * The leader of a collection: proves for some partitions at a time that all holders have the same, that nothing of them is
 * kept or on its way elsewhere, and only then lets their tombstones go. A state machine without clock or ports; the holder
 * of slot 0 leads. Must never let one holder reap before all have durably noted the floor of this very round.
 *
 * | step | asked of | what must hold | why |
 * |---|---|---|---|
 * | promise | every member | it mints only above the floor F from now on; knows the same members | no write at or below F is made any more |
 * | settle | – | the longest deadline of a write, twice | what was being written at or below F is acknowledged by now, or never |
 * | hints | every member | it keeps nothing of the partition for others | an old version would come back from there |
 * | look | every holder | same root, not suspect, not moving | what exists at or below F is here, or nowhere that counts |
 * | note | every holder | it is still the one that was looked at; durable | an older copy of its disk will be known by its lower floor |
 * | reap | every holder | it has noted F; durable before anything goes | older copies find a line that does not know them |
 *
 * A round that ends early has changed nothing but floors; the next has a higher F. Sources: DESIGN §8; features notes §4.4.
 */
import type { NodeId } from "../base/ids.ts";
import type { CollectMark } from "./collect-floors-core.ts";

/** A partition of a round, with all N holders. */
export interface RoundPartition {
  readonly partition: number;
  readonly holders: readonly { readonly node: NodeId; readonly slot: number }[];
}

/** What a round is about. */
export interface RoundPlan {
  readonly mark: CollectMark;
  readonly self: NodeId;
  /** every member that belongs, this one included */
  readonly members: readonly NodeId[];
  readonly partitions: readonly RoundPartition[];
}

/** What is asked of one node. */
export type CollectQuestion =
  | { readonly kind: "promise" }
  | { readonly kind: "hints"; readonly partitions: readonly number[] }
  /** with the slots of both, by which each knows what the pair should have in common */
  | { readonly kind: "look"; readonly pairs: readonly LookPair[] }
  | { readonly kind: "note"; readonly partitions: readonly number[] }
  | { readonly kind: "reap"; readonly partitions: readonly number[] };

/** One partition that two holders look at. */
export interface LookPair {
  readonly partition: number;
  readonly ownSlot: number;
  readonly peerSlot: number;
}

/** What a holder says to a look. */
export type LookVerdict = "equal" | "differs" | "not_held" | "suspect" | "moving" | "behind" | "later";

/** An answer; `undefined` stands for none. */
export type CollectAnswer =
  | { readonly kind: "promised" }
  /** those of the partitions of which something is kept for others */
  | { readonly kind: "hints"; readonly partitions: readonly number[] }
  /** one for each pair, in order */
  | { readonly kind: "looked"; readonly verdicts: readonly LookVerdict[] }
  /** those of the partitions for which it was done, durably */
  | { readonly kind: "noted"; readonly partitions: readonly number[] }
  | { readonly kind: "reaped"; readonly partitions: readonly number[] }
  /** in words, for people */
  | { readonly kind: "refused"; readonly reason: string };

/** Where a round is. */
export type RoundStage = "promise" | "own-promise" | "settle" | "hints" | "look" | "note" | "reap" | "over";

const AFTER: Readonly<Record<RoundStage, RoundStage>> = {
  promise: "own-promise",
  "own-promise": "settle",
  settle: "hints",
  hints: "look",
  look: "note",
  note: "reap",
  reap: "over",
  over: "over",
};

const WORDS: Readonly<Record<Exclude<LookVerdict, "equal">, string>> = {
  differs: "the copies differ",
  not_held: "a slot is on its way",
  suspect: "a copy may lack records",
  moving: "a slot is on its way",
  behind: "a copy is older than the last collection",
  later: "a later collection has begun",
};

/** One round. Ask all `questions()`, hand in the answers, then `proceed()`, until it is over; who has not answered is away. */
export class CollectRound {
  readonly #plan: RoundPlan;
  readonly #open: Map<number, RoundPartition>;
  readonly #waiting = new Map<number, string>();
  readonly #reaped = new Set<number>();
  #stage: RoundStage = "promise";
  #questions: ReadonlyMap<NodeId, CollectQuestion> = new Map();
  readonly #heard = new Set<NodeId>();
  #looksLeft: number;
  /** partitions that were equal everywhere in one look, and those that were not in this one */
  readonly #equal = new Set<number>();
  readonly #differing = new Set<number>();

  /** `lookCount`: how often a partition is looked at whose copies differ, for it may be written to just then; ≥ 1. */
  constructor(plan: RoundPlan, lookCount: number) {
    this.#plan = plan;
    this.#open = new Map(plan.partitions.map((one) => [one.partition, one]));
    this.#looksLeft = lookCount;
    this.#enter("promise");
  }

  get stage(): RoundStage {
    return this.#stage;
  }

  /** What the rest of its partitions wait for, in words. */
  get waiting(): ReadonlyMap<number, string> {
    return this.#waiting;
  }

  /** Partitions that this round has collected: their holders have all noted, and were told to reap. */
  get reaped(): ReadonlySet<number> {
    return this.#reaped;
  }

  /** Whom to ask what in this stage; nobody while it settles. */
  questions(): ReadonlyMap<NodeId, CollectQuestion> {
    return this.#questions;
  }

  /** The answer of a node to its question of this stage; undefined: there was none in time. */
  answered(node: NodeId, answer: CollectAnswer | undefined): void {
    const question = this.#questions.get(node);
    if (question === undefined || this.#heard.has(node)) return;
    this.#heard.add(node);
    if (answer === undefined) this.#lost(question, `node ${node} is away`);
    else if (answer.kind === "refused") this.#lost(question, `node ${node}: ${answer.reason}`);
    else this.#take(node, question, answer);
  }

  /** All have answered, or the time to settle is over: the next stage. */
  proceed(): void {
    for (const node of this.#questions.keys()) this.answered(node, undefined);
    if (this.#stage === "look" && this.#isLookedAtAgain()) return;
    if (this.#stage === "reap") for (const partition of this.#open.keys()) this.#reaped.add(partition);
    this.#enter(AFTER[this.#stage]);
  }

  #enter(stage: RoundStage): void {
    for (const partition of this.#waiting.keys()) this.#open.delete(partition);
    this.#stage = this.#open.size === 0 ? "over" : stage;
    this.#heard.clear();
    this.#questions = this.#questionsOf(this.#stage);
  }

  /** A partition that differs is looked at again at all its holders: one look, one state. */
  #isLookedAtAgain(): boolean {
    for (const partition of this.#open.keys()) if (!this.#differing.has(partition)) this.#equal.add(partition);
    this.#looksLeft -= 1;
    const isAgain = this.#differing.size > 0 && this.#looksLeft > 0;
    if (isAgain) this.#enter("look");
    else for (const partition of this.#differing) this.#wait(partition, WORDS.differs);
    this.#differing.clear();
    return isAgain;
  }

  #questionsOf(stage: RoundStage): ReadonlyMap<NodeId, CollectQuestion> {
    const { self, members } = this.#plan;
    const others = members.filter((node) => node !== self);
    switch (stage) {
      case "promise":
        return sameTo(others, { kind: "promise" });
      case "own-promise":
        // Last: a clock that is far ahead is found out by the others before it binds anybody.
        return sameTo([self], { kind: "promise" });
      case "settle":
      case "over":
        return new Map();
      case "hints":
        return sameTo(members, { kind: "hints", partitions: [...this.#open.keys()] });
      case "look":
        return this.#toHolders((pairs) => ({ kind: "look", pairs }));
      case "note":
      case "reap":
        return this.#toHolders((pairs) => ({ kind: stage, partitions: pairs.map(({ partition }) => partition) }));
    }
  }

  #toHolders(questionOf: (pairs: readonly LookPair[]) => CollectQuestion): ReadonlyMap<NodeId, CollectQuestion> {
    const byNode = new Map<NodeId, LookPair[]>();
    for (const { partition, holders } of this.#open.values()) {
      if (this.#stage === "look" && this.#equal.has(partition)) continue;
      const own = holders.find((holder) => holder.node === this.#plan.self);
      for (const { node, slot } of holders) {
        const pairs = byNode.get(node) ?? [];
        byNode.set(node, pairs);
        pairs.push({ partition, ownSlot: own?.slot ?? 0, peerSlot: slot });
      }
    }
    return new Map([...byNode].map(([node, pairs]) => [node, questionOf(pairs)]));
  }

  #take(node: NodeId, question: CollectQuestion, answer: Exclude<CollectAnswer, { kind: "refused" }>): void {
    switch (question.kind) {
      case "promise":
        if (answer.kind !== "promised") this.#lost(question, `node ${node} answered another question`);
        return;
      case "hints":
        if (answer.kind !== "hints") return this.#lost(question, `node ${node} answered another question`);
        for (const partition of answer.partitions) this.#wait(partition, `node ${node} keeps writes for others`);
        return;
      case "look":
        if (answer.kind !== "looked") return this.#lost(question, `node ${node} answered another question`);
        return this.#looked(node, question.pairs, answer.verdicts);
      case "note": {
        const noted = new Set(answer.kind === "noted" ? answer.partitions : []);
        for (const partition of question.partitions) {
          if (!noted.has(partition)) this.#wait(partition, `node ${node} has changed meanwhile`);
        }
        return;
      }
      case "reap":
      // Who could not be told hears it from any other holder.
    }
  }

  #looked(node: NodeId, pairs: readonly LookPair[], verdicts: readonly LookVerdict[]): void {
    for (const [index, { partition }] of pairs.entries()) {
      const verdict = verdicts[index] ?? "differs";
      if (verdict === "equal") continue;
      if (verdict === "differs") this.#differing.add(partition);
      else this.#wait(partition, `node ${node}: ${WORDS[verdict]}`);
    }
  }

  /** Without this node's word nothing can be said of what it was asked about. */
  #lost(question: CollectQuestion, reason: string): void {
    switch (question.kind) {
      case "promise":
      case "hints":
        for (const partition of this.#open.keys()) this.#wait(partition, reason);
        return;
      case "look":
        for (const { partition } of question.pairs) this.#wait(partition, reason);
        return;
      case "note":
        for (const partition of question.partitions) this.#wait(partition, reason);
        return;
      case "reap":
    }
  }

  #wait(partition: number, reason: string): void {
    if (!this.#waiting.has(partition) && this.#open.has(partition)) this.#waiting.set(partition, reason);
  }
}

function sameTo(nodes: readonly NodeId[], question: CollectQuestion): ReadonlyMap<NodeId, CollectQuestion> {
  return new Map(nodes.map((node) => [node, question]));
}
