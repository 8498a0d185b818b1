/**
 * One partition's way out of being behind: compared with one that took part in the proof, the first that answers, and, of what that one has
 * lost, with the others (`collect-sources-core.ts` says what follows from what they know). Ends in one pass over the partition and one
 * over the lost hashes for each other holder. Must never call a partition caught up while somebody silent may know
 * that what it holds was deleted, nor drop what nobody knows of, nor forget that nobody does.
 */
import { readAdvisory } from "../../storage/advisory-document.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { CATCH_UP_LOST_MS, MAX_LOST_HASHES_TOLD } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { CatchUp } from "./collect-catch-up.ts";
import type { CollectFloors } from "./collect-floors-core.ts";
import { type CollectHolder, unlessFull } from "./collect-holder.ts";
import { hexOf } from "./collect-messages.ts";
import { type AbleHolder, type CatchUpPlan, verdictOn } from "./collect-sources-core.ts";
import type { UnprovedKeys } from "./collect-unproved-core.ts";

/** Name of the document that holds the keys without proof. */
export const UNPROVED_DOCUMENT = "unproved";

/** What the turns work with. */
export interface TurnParts {
  readonly store: Pick<StorageEngine, "isSuspect" | "readDocument" | "writeDocument">;
  readonly catchUp: CatchUp;
  readonly holder: CollectHolder;
  readonly floors: CollectFloors;
  readonly unproved: UnprovedKeys;
  readonly slotOf: (partition: number) => number;
  readonly isStopped: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

interface Turn {
  readonly partition: number;
  readonly slot: number;
  readonly rules: bigint;
  /** of this node, when it began */
  readonly losses: number;
  readonly base: AbleHolder;
}

interface Left {
  readonly unsure: ReadonlyMap<bigint, boolean>;
  readonly isAnyoneSilent: boolean;
}

/** One node's. */
export class CatchUpTurns {
  readonly #parts: TurnParts;
  /** partitions that wait for another holder's word, and when they waited for it last */
  readonly #waiting = new Map<number, number>();

  constructor(parts: TurnParts) {
    this.#parts = parts;
  }

  /** Takes up what former lives could not prove. Rejects as the store does. */
  async begin(): Promise<void> {
    const { store, unproved, floors, holder, log } = this.#parts;
    const kept = readAdvisory(
      () => store.readDocument(UNPROVED_DOCUMENT),
      (bytes) => unproved.restore(bytes) || undefined,
    );
    if (kept.kind !== "unreadable") return;
    log.warn({ event: "collect.unproved-unreadable" });
    // Any may be one of which it names nothing now. Durably, before the flaw is gone that says so.
    for (const partition of floors.marked()) holder.lostRecords(partition);
    const writing = holder.persist().then(() => store.writeDocument(UNPROVED_DOCUMENT, unproved.encode()));
    await writing.catch(unlessFull);
  }

  /** Whether it is worth the while: not so soon after somebody was silent. */
  isDue(partition: number): boolean {
    const waitedAt = this.#waiting.get(partition);
    return waitedAt === undefined || this.#parts.clock.monotonicMs() - waitedAt >= CATCH_UP_LOST_MS;
  }

  /** Somebody is there who was not: all are due. */
  wake(): void {
    this.#waiting.clear();
  }

  /**
   * Catches up as planned, as far as that goes now. `planAnew`: the plan by what all other holders tell when it is asked for;
   * undefined when one is silent. Rejects as the store does.
   */
  async run(partition: number, plan: CatchUpPlan, planAnew: () => Promise<CatchUpPlan | undefined>): Promise<void> {
    const { catchUp, holder, slotOf } = this.#parts;
    this.#waiting.delete(partition);
    for (const base of plan.bases) {
      const losses = holder.lossesOf(partition);
      const turn = { partition, slot: slotOf(partition), rules: holder.rulesOfMarks(), losses, base };
      const { node, slot, mark, isWhole } = base;
      const order = { partition, peer: node, peerSlot: slot, line: mark.floor, isWhole, among: undefined };
      const end = await catchUp.run(order);
      if (end.kind === "complete") {
        // What they told before may be older than the proof: who took part meanwhile would not be asked.
        const now = end.unsure.size === 0 ? plan : await planAnew();
        await this.#end(turn, await this.#askOthers(turn, now ?? { ...plan, isAnyoneSilent: true }, end.unsure));
        return;
      }
      this.#tellFailed(partition, base, end.reason);
      if (end.isLasting) this.#waiting.set(partition, this.#parts.clock.monotonicMs());
      if (this.#parts.isStopped()) return;
    }
  }

  /** What nobody of those that answer can say, and whether all have answered. */
  async #askOthers({ partition, base }: Turn, plan: CatchUpPlan, unsure: ReadonlyMap<bigint, boolean>): Promise<Left> {
    const left = new Map(unsure);
    let { isAnyoneSilent } = plan;
    for (const other of plan.able) {
      if (left.size === 0) break;
      const { node, slot, isWhole } = other;
      if (node === base.node || other.floor < base.mark.floor) continue;
      const among = [...left.keys()].toSorted((one, next) => (one < next ? -1 : 1));
      const order = { partition, peer: node, peerSlot: slot, line: base.mark.floor, isWhole, among };
      const end = await this.#parts.catchUp.run(order);
      if (end.kind === "failed") {
        this.#tellFailed(partition, other, end.reason);
        isAnyoneSilent = true;
        continue;
      }
      for (const hash of among) if (!end.unsure.has(hash)) left.delete(hash);
    }
    return { unsure: left, isAnyoneSilent };
  }

  async #end(turn: Turn, { unsure, isAnyoneSilent }: Left): Promise<void> {
    const { store, holder, unproved, clock, log } = this.#parts;
    const { partition, base } = turn;
    const { mark, node } = base;
    if (!this.#isStillTrue(turn)) return;
    const held = [...unsure].filter(([, mayBeDeleted]) => mayBeDeleted).map(([hash]) => hash);
    const facts = { partition, count: held.length, hashes: held.slice(0, MAX_LOST_HASHES_TOLD).map(hexOf) };
    if (verdictOn(unsure.values(), isAnyoneSilent) === "wait") {
      this.#waiting.set(partition, clock.monotonicMs());
      log.warn({ event: "collect.unproved-waits", peer: node, ...facts });
      return;
    }
    const isChanged = unproved.keep(partition, mark.floor, [...unsure.keys()]);
    if (isChanged === undefined) {
      this.#waiting.set(partition, clock.monotonicMs());
      return this.#tellFailed(partition, base, "too much is lost to be remembered");
    }
    // Before the mark that makes others believe what is here.
    if (isChanged) await store.writeDocument(UNPROVED_DOCUMENT, unproved.encode());
    if (!this.#isStillTrue(turn)) return;
    if (held.length > 0) log.error({ event: "collect.unproved-kept", peer: node, ...facts });
    log.info({ event: "collect.caught-up", partition, peer: node, unproved: unsure.size });
    await holder.catchUp(partition, mark);
  }

  /** Records that were lost meanwhile, a slot that moved, or rules that changed, would make it worth nothing. */
  #isStillTrue({ partition, slot, rules, losses, base }: Turn): boolean {
    const { store, holder, floors, slotOf, isStopped } = this.#parts;
    const isSame = slotOf(partition) === slot && holder.rulesOfMarks() === rules;
    if (holder.lossesOf(partition) !== losses) return false;
    return isSame && !store.isSuspect(partition) && floors.lineOf(partition) <= base.mark.floor && !isStopped();
  }

  #tellFailed(partition: number, { node }: AbleHolder, reason: string): void {
    this.#parts.log.warn({ event: "collect.catch-up-failed", partition, peer: node, reason });
  }
}
