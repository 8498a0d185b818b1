/**
 * The holder's side of collecting tombstones: promises, looks, notes and reaps as a leader asks (`collect-core.ts` says what
 * each stands for) and keeps its marks durable. Must never say that a record may go before the mark that lets it go is
 * durable, nor note a floor for what another life, or another tenure of the slot, was looked at.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { LookVerdict } from "./collect-core.ts";
import { type CollectFloors, type CollectMark, encodeFloors, restoreFloors } from "./collect-floors-core.ts";
import { encodeAnswer, type LookItem, parseQuestion, type RoundFrame } from "./collect-messages.ts";
import type { PairViews, SlotRules } from "./exchange-view.ts";

/** Name of the document that holds the marks. */
export const MARKS_DOCUMENT = "collected";

/** What the holder's side works with. */
export interface HolderParts {
  readonly store: StorageEngine;
  readonly floors: CollectFloors;
  readonly slotOf: (partition: number) => number;
  readonly isMoving: (partition: number) => boolean;
  /** something of the partition is kept here for slots of others */
  readonly hasHintsOf: (partition: number) => boolean;
  /** whatever mints at this node mints above the counter from now on, durably when it resolves */
  readonly mintAbove: (counter: number) => Promise<void>;
  /** equal on two nodes that know the same members; undefined: this node is none */
  readonly membersHash: () => string | undefined;
  readonly views: PairViews;
  readonly rules: SlotRules;
  readonly clock: Clock;
  readonly log: Log;
  /** what the mark lets go may leave: it is durable */
  readonly onReaped: (partition: number) => void;
}

const MICROS_PER_MS = 1_000;

/** One node's marks and what follows from them. */
export class CollectHolder {
  readonly #parts: HolderParts;
  /** floors of looks that were answered "equal" in this life, by partition */
  readonly #looked = new Map<number, number>();
  #promised = 0;
  #version = 0;
  #rules: bigint | undefined;
  #persisting: Promise<void> | undefined;

  constructor(parts: HolderParts) {
    this.#parts = parts;
  }

  /** Changes with every change of a mark. */
  get version(): number {
    return this.#version;
  }

  /** Nothing is minted here at or below this. */
  get promised(): number {
    return this.#promised;
  }

  /** Takes up the marks of former lives, for the slots that are still held. Rejects as the store does. */
  async begin(): Promise<void> {
    const { store, floors, rules, slotOf, log } = this.#parts;
    const bytes = store.readDocument(MARKS_DOCUMENT);
    const before = bytes === undefined ? undefined : restoreFloors(floors, bytes);
    this.#rules = rules.fingerprint();
    if (bytes !== undefined && before === undefined) log.warn({ event: "collect.marks-unreadable" });
    // Marks say that two slots have the same; what they should have in common may have changed.
    const isOther = before !== undefined && before !== this.#rules;
    for (const partition of floors.marked()) {
      const slot = slotOf(partition);
      if (slot < 0 || (isOther && slot > 0)) floors.forget(partition);
      else if (floors.marksOf(partition).reaped.floor > 0) this.#parts.onReaped(partition);
    }
    await this.promise(floors.highest());
  }

  /** The slot of a partition has come or gone. */
  slotChanged(partition: number): void {
    this.#looked.delete(partition);
    if (this.#parts.floors.marksOf(partition).noted.floor === 0 && this.#parts.floors.lineOf(partition) === 0) return;
    this.#parts.floors.forget(partition);
    this.#persistSoon();
  }

  /** Buckets may leave other slots empty than before: then a slot may lack old keys that it should have. The first has all. */
  reviewRules(): void {
    const { rules, floors, slotOf } = this.#parts;
    const now = rules.fingerprint();
    if (this.#rules === undefined || now === this.#rules) return;
    this.#rules = now;
    this.#looked.clear();
    for (const partition of floors.marked()) if (slotOf(partition) > 0) floors.forget(partition);
    this.#persistSoon();
  }

  /** The rules under which the marks were noted, seen through first. */
  rulesOfMarks(): bigint {
    this.reviewRules();
    return this.#rules ?? 0n;
  }

  /** Mints only above `floor` from now on. Rejects as the store does. */
  async promise(floor: number): Promise<void> {
    if (floor <= this.#promised) return;
    await this.#parts.mintAbove(floor);
    this.#promised = Math.max(this.#promised, floor);
  }

  /** The answer to a leader's question, ready for the wire; undefined for what is none. Rejects as the store does. */
  async answer(from: NodeId, body: unknown): Promise<unknown> {
    const asked = parseQuestion(body);
    if (asked === undefined) return undefined;
    const { frame, question } = asked;
    const refusal = this.#refusalOf(frame, question.kind);
    if (refusal !== undefined) return encodeAnswer({ kind: "refused", reason: refusal });
    switch (question.kind) {
      case "promise":
        await this.promise(frame.mark.floor);
        return encodeAnswer({ kind: "promised" });
      case "hints":
        return encodeAnswer({ kind: "hints", partitions: question.partitions.filter(this.#parts.hasHintsOf) });
      case "look":
        return encodeAnswer({ kind: "looked", verdicts: await this.#look(frame, question.items) });
      case "note":
        return encodeAnswer({ kind: "noted", partitions: await this.#note(frame.mark, question.partitions) });
      case "reap": {
        this.#parts.log.debug({ event: "collect.reaping", from, partitionCount: question.partitions.length });
        return encodeAnswer({ kind: "reaped", partitions: await this.reap(frame.mark, question.partitions) });
      }
    }
  }

  /** All holders have noted the mark: durable, then what it lets go leaves in the background. Rejects as the store does. */
  async reap(mark: CollectMark, partitions: readonly number[]): Promise<readonly number[]> {
    const { floors, slotOf } = this.#parts;
    const done = partitions.filter((partition) => slotOf(partition) >= 0 && floors.reap(partition, mark));
    if (done.length > 0) await this.persist();
    for (const partition of done) this.#parts.onReaped(partition);
    return done;
  }

  /** This holder has what one has that took part in the proof. Rejects as the store does. */
  async catchUp(partition: number, mark: CollectMark): Promise<void> {
    this.#parts.floors.catchUp(partition, mark);
    await this.persist();
    this.#parts.onReaped(partition);
  }

  /** Makes the marks durable as they are now. Rejects as the store does. */
  async persist(): Promise<void> {
    this.#version += 1;
    // A write under way may have begun before the last change: one more after it.
    await this.#persisting?.catch(() => undefined);
    this.#persisting ??= this.#write().finally(() => {
      this.#persisting = undefined;
    });
    await this.#persisting;
  }

  #refusalOf({ mark, members }: RoundFrame, kind: string): string | undefined {
    const { clock, membersHash } = this.#parts;
    // A floor that all have noted binds whatever has changed since.
    if (kind === "reap") return undefined;
    const own = membersHash();
    if (own === undefined) return "is no member";
    if (own !== members) return "knows other members";
    const wallMicros = clock.wallMicros();
    if (mark.floor > wallMicros || mark.expiryMs * MICROS_PER_MS > wallMicros) return "has a clock that is behind";
    return kind !== "promise" && this.#promised < mark.floor ? "has started anew" : undefined;
  }

  async #look({ mark, rules }: RoundFrame, items: readonly LookItem[]): Promise<readonly LookVerdict[]> {
    this.reviewRules();
    const verdicts: LookVerdict[] = [];
    for (const item of items) {
      const verdict = rules === this.#rules ? await this.#verdictOf(item, mark) : "differs";
      if (verdict === "equal") this.#looked.set(item.partition, mark.floor);
      else this.#looked.delete(item.partition);
      verdicts.push(verdict);
    }
    return verdicts;
  }

  async #verdictOf({ partition, ownSlot, peerSlot, root }: LookItem, { floor }: CollectMark): Promise<LookVerdict> {
    const { store, floors, slotOf, isMoving, views } = this.#parts;
    if (slotOf(partition) !== peerSlot) return "not_held";
    if (store.isSuspect(partition)) return "suspect";
    if (isMoving(partition)) return "moving";
    if (floors.isBehind(partition)) return "behind";
    if (floors.marksOf(partition).noted.floor >= floor) return "later";
    const own = views.root(views.sightOf(partition, { own: ownSlot, peer: peerSlot }));
    const isEqual = (own instanceof Promise ? await own : own) === root;
    return isEqual && slotOf(partition) === peerSlot ? "equal" : "differs";
  }

  async #note(mark: CollectMark, partitions: readonly number[]): Promise<readonly number[]> {
    const { store, floors, slotOf } = this.#parts;
    const noted = partitions.filter((partition) => {
      // Only what this very life was looked at for, in the slot that it still holds: see `slotChanged`.
      const isSame = this.#looked.get(partition) === mark.floor && slotOf(partition) >= 0;
      return isSame && !store.isSuspect(partition) && floors.note(partition, mark);
    });
    if (noted.length > 0) await this.persist();
    return noted.filter((partition) => floors.marksOf(partition).noted.floor >= mark.floor);
  }

  async #write(): Promise<void> {
    await this.#parts.store.writeDocument(MARKS_DOCUMENT, encodeFloors(this.#parts.floors, this.#rules ?? 0n));
  }

  #persistSoon(): void {
    this.persist().catch((error: unknown) => {
      // Not swallowed: the next mark is durable only together with this change.
      this.#parts.log.warn({ event: "collect.marks-not-written", error });
    });
  }
}
