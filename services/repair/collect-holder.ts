/**
 * The holder's side of collecting tombstones, joined to its store: answers the leader's questions (`collect-holder-core.ts` says what
 * each stands for) and keeps its marks durable. Must never say that a record may go before the mark that lets it go is
 * durable, nor note a floor for what another life, or another tenure of the slot, was looked at.
 */
import { readAdvisory } from "../../storage/advisory-document.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { DiskFullError } from "../../storage/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { LookVerdict } from "./collect-core.ts";
import type { CollectFloors, CollectMark } from "./collect-floors-core.ts";
import { HolderCore, type PartitionFacts } from "./collect-holder-core.ts";
import { encodeFloors, restoreFloors } from "./collect-marks-codec.ts";
import { encodeAnswer, type LookItem, parseQuestion, type RoundFrame } from "./collect-messages.ts";
import { ALL_OTHERS, type CollectRules, fingerprintOf, type KnownRules } from "./collect-rules-core.ts";
import type { PairViews } from "./exchange-view.ts";

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
  readonly rules: CollectRules;
  readonly clock: Clock;
  readonly log: Log;
  /** what the mark lets go may leave: it is durable */
  readonly onReaped: (partition: number) => void;
}

/** One node's marks and what follows from them. */
export class CollectHolder {
  readonly #parts: HolderParts;
  readonly #core: HolderCore;
  readonly #losses = new Map<number, number>();
  #version = 0;
  /** as which the marks were made durable last */
  #writtenVersion = 0;
  /** by partition, from which version on its reaped mark is durable: then what it lets go may leave */
  readonly #untold = new Map<number, number>();
  #rules: KnownRules | undefined;
  #persisting: Promise<void> | undefined;

  constructor(parts: HolderParts) {
    this.#parts = parts;
    this.#core = new HolderCore(parts.floors);
  }

  /** Changes with every change of a mark. */
  get version(): number {
    return this.#version;
  }

  /** Nothing is minted here at or below this. */
  get promised(): number {
    return this.#core.promised;
  }

  /** Takes up the marks of former lives, for the slots that are still held. Rejects as the store does. */
  async begin(): Promise<void> {
    const { store, floors, rules, slotOf } = this.#parts;
    const kept = readAdvisory(
      () => store.readDocument(MARKS_DOCUMENT),
      (bytes) => restoreFloors(floors, bytes),
    );
    const isLost = kept.kind === "unreadable";
    if (isLost) this.#loseMarks();
    const head = kept.kind === "read" ? kept.content : undefined;
    const now = rules.known();
    const changed = floors.marked().filter((partition) => {
      if (slotOf(partition) < 0) return this.#core.slotChanged(partition);
      return store.isSuspect(partition) && this.#core.lostRecords(partition);
    });
    // Marks of before rules were kept beside them may have been noted under any.
    const before = head === undefined ? now : (head.rules ?? noneOf(now));
    this.#rules = this.#core.rulesChanged(before, now, slotOf);
    // Doubts are durable before the flaw is gone that says that there are any: where there is no room for them it stays, until a
    // review finds some, or the next start finds the flaw.
    if (isLost || changed.length > 0 || this.#rules !== before) await this.persist().catch(unlessFull);
    const reaped = floors.marked().filter((partition) => floors.marksOf(partition).reaped.floor > 0);
    for (const partition of reaped) this.#parts.onReaped(partition);
    await this.promise(Math.max(floors.highest(), head?.promised ?? 0));
  }

  /** Whether what the partition's mark lets go may leave: it is durable as it is. */
  isTold(partition: number): boolean {
    return !this.#untold.has(partition);
  }

  /** The slot of a partition has come or gone. */
  slotChanged(partition: number): void {
    if (this.#core.slotChanged(partition)) this.persistSoon();
  }

  /** Changes whenever records of the partition were lost in this life. */
  lossesOf(partition: number): number {
    return this.#losses.get(partition) ?? 0;
  }

  /** Records of the partition were lost: its marks are in doubt until it was compared. */
  lostRecords(partition: number): void {
    this.#losses.set(partition, this.lossesOf(partition) + 1);
    if (this.#core.lostRecords(partition)) this.persistSoon();
  }

  /** From time to time: what buckets leave out, and what the disk had no room for when it was to be written. */
  review(): void {
    this.reviewRules();
    if (this.#writtenVersion === this.#version || this.#persisting !== undefined) return;
    this.#persistNow().catch((error: unknown) => {
      this.#parts.log.warn({ event: "collect.marks-not-written", error });
    });
  }

  /** Buckets may leave other slots empty than before: then a slot may lack old keys that it should have. */
  reviewRules(): void {
    if (this.#rules === undefined) return;
    const now = this.#core.rulesChanged(this.#rules, this.#parts.rules.known(), this.#parts.slotOf);
    if (now === this.#rules) return;
    this.#rules = now;
    this.persistSoon();
  }

  /** The rules under which the marks were noted, seen through first. */
  rulesOfMarks(): bigint {
    this.reviewRules();
    return this.#rules === undefined ? 0n : fingerprintOf(this.#rules);
  }

  /** Whether the key, or any (undefined), is one that the slot held here should have since its bucket got more replicas. */
  isRaised(key: Uint8Array | undefined, slot: number): boolean {
    const raised = this.#rules?.raised ?? [];
    if (key === undefined) return raised.some(([, from]) => from <= slot);
    const bucket = Buffer.from(key.buffer, key.byteOffset, Math.max(0, key.indexOf(0))).toString("latin1");
    const found = raised.find(([name]) => name === bucket) ?? raised.find(([name]) => name === ALL_OTHERS);
    return found !== undefined && found[1] <= slot;
  }

  /** Mints only above `floor` from now on. Rejects as the store does. */
  async promise(floor: number): Promise<void> {
    if (floor <= this.#core.promised) return;
    await this.#parts.mintAbove(floor);
    this.#core.hasPromised(floor);
  }

  /** The answer to a leader's question, ready for the wire; undefined for what is none. Rejects as the store does. */
  async answer(from: NodeId, body: unknown): Promise<unknown> {
    const asked = parseQuestion(body);
    if (asked === undefined) return undefined;
    const { frame, question } = asked;
    const { clock, membersHash } = this.#parts;
    const facts = { members: membersHash(), rules: this.rulesOfMarks(), wallMicros: clock.wallMicros() };
    const refusal = this.#core.refusalOf(question.kind, frame, facts);
    if (refusal !== undefined) return encodeAnswer({ kind: "refused", reason: refusal });
    switch (question.kind) {
      case "promise":
        await this.promise(frame.mark.floor);
        await this.persist();
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
    const done = partitions.filter((partition) => this.#core.reap(partition, mark, this.#factsOf(partition)));
    for (const partition of done) this.#untold.set(partition, this.#version + 1);
    if (done.length > 0) await this.persist();
    return done;
  }

  /** This holder has what one has that took part in the proof. Rejects as the store does. */
  async catchUp(partition: number, mark: CollectMark): Promise<void> {
    this.#parts.floors.catchUp(partition, mark);
    if (this.#rules !== undefined) this.#rules = this.#core.withoutRaises(this.#rules);
    this.#untold.set(partition, this.#version + 1);
    await this.persist();
  }

  /** Makes the marks durable as they are now. Rejects as the store does. */
  async persist(): Promise<void> {
    this.#version += 1;
    await this.#persistNow();
  }

  async #persistNow(): Promise<void> {
    // A write under way may have begun before the last change: one more after it.
    await this.#persisting?.catch(() => undefined);
    this.#persisting ??= this.#write().finally(() => {
      this.#persisting = undefined;
    });
    await this.#persisting;
  }

  /** The same, without waiting. */
  persistSoon(): void {
    this.persist().catch((error: unknown) => {
      // Not swallowed: the next mark is durable only together with this change, and the next review tries again.
      this.#parts.log.warn({ event: "collect.marks-not-written", error });
    });
  }

  /**
   * What the marks said cannot be read. They may have said of any partition that it was behind, or in doubt: it is compared
   * with one that took part in the last proof, or all others say that there was none, before anything in it is believed.
   */
  #loseMarks(): void {
    const { floors, slotOf, log } = this.#parts;
    let partitionCount = 0;
    for (let partition = 0; partition < floors.partitionCount; partition += 1) {
      if (slotOf(partition) < 0) continue;
      floors.lose(partition);
      partitionCount += 1;
    }
    log.warn({ event: "collect.marks-unreadable", partitionCount });
  }

  #factsOf(partition: number): PartitionFacts {
    const { store, slotOf, isMoving } = this.#parts;
    return { slot: slotOf(partition), isSuspect: store.isSuspect(partition), isMoving: isMoving(partition) };
  }

  async #look({ mark }: RoundFrame, items: readonly LookItem[]): Promise<readonly LookVerdict[]> {
    const verdicts: LookVerdict[] = [];
    for (const item of items) verdicts.push(await this.#verdictOf(item, mark));
    return verdicts;
  }

  async #verdictOf({ partition, ownSlot, peerSlot, root }: LookItem, { floor }: CollectMark): Promise<LookVerdict> {
    const { views } = this.#parts;
    const obstacle = this.#core.obstacleTo({ partition, slot: peerSlot, floor }, this.#factsOf(partition));
    if (obstacle !== undefined) return obstacle;
    const before = this.#rules;
    const making = views.root(views.sightOf(partition, { own: ownSlot, peer: peerSlot }));
    const own = making instanceof Promise ? await making : making;
    if (own !== root || this.#factsOf(partition).slot !== peerSlot) return "differs";
    this.reviewRules();
    if (this.#rules !== before) return "differs";
    this.#core.wasEqual(partition, floor);
    return "equal";
  }

  async #note(mark: CollectMark, partitions: readonly number[]): Promise<readonly number[]> {
    const noted = partitions.filter((partition) => this.#core.note(partition, mark, this.#factsOf(partition)));
    if (noted.length > 0) await this.persist();
    const { floors } = this.#parts;
    // What was forgotten, or came into doubt, while it was written is not durable.
    return noted.filter(
      (partition) => !floors.isBehind(partition) && floors.marksOf(partition).noted.floor >= mark.floor,
    );
  }

  async #write(): Promise<void> {
    const version = this.#version;
    const head = { promised: this.#core.promised, rules: this.#rules };
    await this.#parts.store.writeDocument(MARKS_DOCUMENT, encodeFloors(this.#parts.floors, head));
    this.#writtenVersion = version;
    for (const [partition, from] of this.#untold) {
      if (from > version) continue;
      this.#untold.delete(partition);
      this.#parts.onReaped(partition);
    }
  }
}

/** Rules under which a slot had no keys that it could be spared: whatever it should have now is new. */
function noneOf(now: KnownRules): KnownRules {
  return { standard: 1, named: now.named.map(([name]) => [name, 1] as const), raised: [] };
}

/** A disk that is full has taken nothing, and may take it later. */
export function unlessFull(error: unknown): void {
  if (!(error instanceof DiskFullError)) throw error;
}
