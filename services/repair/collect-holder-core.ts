/**
 * The holder of a collection, as one state machine without clock, disk or ports: what it says to a leader's questions, and
 * what it must remember between them. What is durable of it are the marks (`collect-floors-core.ts`); looks and promises
 * end with the life in which they were made. Must never note a floor for what another life, or another tenure of the slot,
 * was looked at: an older copy of the disk would pass for one that took part.
 */
import type { LookVerdict } from "./collect-core.ts";
import type { CollectFloors, CollectMark } from "./collect-floors-core.ts";
import { fingerprintOf, isRaisedFor, type KnownRules, mergedRaises, raisedBetween } from "./collect-rules-core.ts";

/** What the holder knows of itself when it is asked. */
export interface HolderFacts {
  /** equal on two nodes that know the same members; undefined: this node is none */
  readonly members: string | undefined;
  /** equal on two nodes whose buckets leave the same slots empty */
  readonly rules: bigint;
  readonly wallMicros: number;
}

/** How a partition stands here. */
export interface PartitionFacts {
  /** −1: none is held */
  readonly slot: number;
  readonly isSuspect: boolean;
  readonly isMoving: boolean;
}

const MICROS_PER_MS = 1_000;

/** One node's part in the collections that others lead. */
export class HolderCore {
  readonly floors: CollectFloors;
  /** floors of looks that were answered "equal" in this life and tenure, by partition */
  readonly #looked = new Map<number, number>();
  #promised = 0;

  constructor(floors: CollectFloors) {
    this.floors = floors;
  }

  /** Nothing is minted here at or below this. */
  get promised(): number {
    return this.#promised;
  }

  /** Whatever mints here has been told to mint above, over restarts too. */
  hasPromised(floor: number): void {
    this.#promised = Math.max(this.#promised, floor);
  }

  /** Why a question has no answer, in words; undefined when it has. */
  refusalOf(
    kind: "promise" | "hints" | "look" | "note" | "reap",
    asked: { readonly mark: CollectMark; readonly members: string; readonly rules: bigint },
    facts: HolderFacts,
  ): string | undefined {
    // A floor that all have noted binds, whatever has changed since.
    if (kind === "reap") return undefined;
    if (facts.members === undefined) return "is no member";
    if (facts.members !== asked.members) return "knows other members";
    // What one should have and another leaves out is no difference to either, and nobody has looked at it.
    if (facts.rules !== asked.rules) return "knows other bucket settings";
    const { floor, expiryMs } = asked.mark;
    if (floor > facts.wallMicros || expiryMs * MICROS_PER_MS > facts.wallMicros) return "has a clock that is behind";
    return kind !== "promise" && this.#promised < floor ? "has started anew" : undefined;
  }

  /** The word on one partition, before its root is compared; undefined: that decides. */
  obstacleTo(
    look: { readonly partition: number; readonly slot: number; readonly floor: number },
    facts: PartitionFacts,
  ): LookVerdict | undefined {
    this.#looked.delete(look.partition);
    if (facts.slot !== look.slot) return "not_held";
    if (facts.isSuspect) return "suspect";
    if (facts.isMoving) return "moving";
    if (this.floors.isBehind(look.partition)) return "behind";
    return this.floors.marksOf(look.partition).noted.floor >= look.floor ? "later" : undefined;
  }

  /** The roots were equal, in the slot that is still held: the floor may be noted in this life. */
  wasEqual(partition: number, floor: number): void {
    this.#looked.set(partition, floor);
  }

  /** Notes the floor, to be made durable; false when this is not what was looked at. */
  note(partition: number, mark: CollectMark, facts: PartitionFacts): boolean {
    const isSame = this.#looked.get(partition) === mark.floor && facts.slot >= 0 && !facts.isSuspect;
    return isSame && this.floors.note(partition, mark);
  }

  /** All holders have noted the mark. True when this one has, and what it lets go may leave once that is durable. */
  reap(partition: number, mark: CollectMark, facts: Pick<PartitionFacts, "slot">): boolean {
    return facts.slot >= 0 && this.floors.reap(partition, mark);
  }

  /** What was looked at before is worth nothing any more. */
  lostRecords(partition: number): boolean {
    this.#looked.delete(partition);
    return this.floors.doubt(partition, "records");
  }

  /** The slot has come or gone; true when marks were forgotten, which is to be made durable. */
  slotChanged(partition: number): boolean {
    this.#looked.delete(partition);
    const hadMarks = this.floors.isMarked(partition);
    this.floors.forget(partition);
    return hadMarks;
  }

  /**
   * Buckets leave other slots empty than before. A slot that should have keys that it had not is in doubt until it was
   * compared with one that had them; the first has all keys for certain. Answers the rules to remember.
   */
  rulesChanged(before: KnownRules, now: KnownRules, slotOf: (partition: number) => number): KnownRules {
    if (fingerprintOf(before) === fingerprintOf(now)) return before;
    this.#looked.clear();
    const raised = raisedBetween(before, now);
    let isDoubted = false;
    for (const partition of this.floors.marked()) {
      if (isRaisedFor(slotOf(partition), raised)) this.floors.doubt(partition, "rules");
      isDoubted ||= this.floors.doubtOf(partition) !== undefined;
    }
    return { ...now, raised: isDoubted ? mergedRaises(before.raised, raised) : [] };
  }

  /** Nothing is in doubt any more: what was raised is forgotten. */
  withoutRaises(rules: KnownRules): KnownRules {
    if (rules.raised.length === 0) return rules;
    const isDoubted = this.floors.marked().some((partition) => this.floors.doubtOf(partition) !== undefined);
    return isDoubted ? rules : { ...rules, raised: [] };
  }
}
