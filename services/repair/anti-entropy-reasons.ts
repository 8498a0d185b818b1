/**
 * Why partitions are compared before their time: they may lack acknowledged records, a hint for them was dropped, somebody
 * asked. Each reason stands until the partition was compared to its end with all other holders, from a beginning after
 * the reason came up. Must never call a partition whole while a record of it cannot be read that somebody may have, or
 * while a slot of it is on its way.
 * Source: reliability notes §3.6 (after PAR, FAST 2018).
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import { ANTI_ENTROPY_UNREADABLE_MS, MAX_REPAIR_ORDERS, REPAIR_ORDER_MS } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { PairSchedule } from "./anti-entropy-schedule-core.ts";
import { LostRecords } from "./lost-records.ts";

/** Partitions of which hints were dropped: they may lack writes somewhere. Durable, and kept by whoever drops hints. */
export interface RepairFlags {
  /** Ascending. */
  flaggedPartitions(): readonly number[];
  /** how often the partition was flagged since the start: two flags are two reasons */
  flagCountOf(partition: number): number;
  /** All holders have been compared with since the count was `asOf`. Never rejects. */
  clearFlag(partition: number, asOf: number): Promise<void>;
}

/** What reasons work with. */
export interface ReasonParts {
  readonly self: NodeId;
  readonly store: Pick<
    StorageEngine,
    "suspectPartitions" | "isSuspect" | "clearSuspect" | "unreadableIn" | "partitionCount"
  >;
  readonly clock: Clock;
  readonly log: Log;
  readonly schedule: PairSchedule;
  readonly table: () => HolderTable | undefined;
  readonly slotOf: (partition: number) => number;
  readonly flags: () => RepairFlags | undefined;
  /** records of the partition are lost for good; before it is taken for whole without them. Rejects as the store does. */
  readonly onLost?: ((partition: number) => Promise<void>) | undefined;
  /** notes, durably, that the partition was not whole, before it is taken for whole again */
  readonly beforeWhole?: ((partition: number) => Promise<void>) | undefined;
}

/** How far a repair that was asked for has come, at one node. */
export interface OrderProgress {
  /** pairs of this node and another holder */
  readonly pairCount: number;
  readonly leftCount: number;
  /** the holders that are not through, with how many pairs */
  readonly waitingFor: Readonly<Record<string, number>>;
}

interface Order {
  readonly partitions: readonly number[];
  readonly sinceMs: number;
}

/** The reasons of one node. */
export class RepairReasons {
  readonly #parts: ReasonParts;
  readonly #orders = new Map<string, Order>();
  readonly #clearing = new Set<number>();
  /** of flagged partitions, as it was when their comparison became urgent */
  readonly #flagCounts = new Map<number, number>();
  readonly #lost: LostRecords;
  #reviewedMs = 0;

  constructor(parts: ReasonParts) {
    this.#parts = parts;
    this.#lost = new LostRecords(parts.log, (partition) => parts.store.unreadableIn(partition));
  }

  /** Records that cannot be read, in partitions that are suspect for nothing else. */
  get unreadableCount(): number {
    return this.#lost.doubtfulCount;
  }

  /** Records that cannot be read and that nobody else has. */
  get lostCount(): number {
    return this.#lost.count;
  }

  /** Sees what has come up since, and what is no reason any more. */
  look(): void {
    const { schedule, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    this.#lookForSuspects(nowMs);
    this.#lookForFlags(nowMs);
    if (nowMs - this.#reviewedMs >= ANTI_ENTROPY_UNREADABLE_MS) {
      this.#reviewedMs = nowMs;
      this.#lost.review();
    }
    for (const [name, { sinceMs }] of this.#orders) if (nowMs - sinceMs > REPAIR_ORDER_MS) this.#orders.delete(name);
    for (const urgency of ["suspect", "flagged", "ordered"] as const) {
      for (const partition of schedule.urgent(urgency)) this.review(partition);
    }
  }

  #lookForSuspects(nowMs: number): void {
    const { store, schedule, slotOf } = this.#parts;
    for (const partition of store.suspectPartitions()) {
      if (slotOf(partition) >= 0) schedule.urge(partition, "suspect", nowMs);
    }
    for (const partition of schedule.urgent("suspect")) {
      if (slotOf(partition) < 0 || !store.isSuspect(partition)) this.#forgetSuspect(partition);
    }
  }

  #lookForFlags(nowMs: number): void {
    const { schedule, slotOf, flags } = this.#parts;
    const flagged = new Set(flags()?.flaggedPartitions() ?? []);
    for (const partition of flagged) if (slotOf(partition) >= 0) this.#urgeFlagged(partition, nowMs);
    for (const partition of schedule.urgent("flagged")) {
      if (slotOf(partition) < 0 || !flagged.has(partition)) this.#forgetFlag(partition);
    }
  }

  /** Compares these anew, all with all other holders. The same name again: goes on. */
  order(name: string, partition: number | undefined): void {
    const { schedule, clock, store, slotOf } = this.#parts;
    if (this.#orders.has(name)) return;
    const all = partition === undefined ? Array.from({ length: store.partitionCount }, (_, at) => at) : [partition];
    const partitions = all.filter((one) => slotOf(one) >= 0);
    const sinceMs = clock.monotonicMs();
    this.#orders.set(name, { partitions, sinceMs });
    for (const oldest of this.#orders.keys()) {
      if (this.#orders.size <= MAX_REPAIR_ORDERS) break;
      this.#orders.delete(oldest);
    }
    for (const one of partitions) schedule.urgeAnew(one, "ordered", sinceMs);
  }

  /** How far it has come; undefined when nothing of this name is known here. O(partitions). */
  progress(name: string): OrderProgress | undefined {
    const order = this.#orders.get(name);
    if (order === undefined) return undefined;
    const { schedule, slotOf } = this.#parts;
    let pairCount = 0;
    let leftCount = 0;
    const waitingFor: Record<string, number> = {};
    for (const partition of order.partitions) {
      // whoever it went to compares it
      if (slotOf(partition) < 0) continue;
      for (const node of this.#othersOf(partition)) {
        pairCount += 1;
        if (schedule.verifiedMs(node, partition) > order.sinceMs) continue;
        leftCount += 1;
        waitingFor[node] = (waitingFor[node] ?? 0) + 1;
      }
    }
    return { pairCount, leftCount, waitingFor };
  }

  /** A pair of this partition was compared to the end: whatever reason that ends is ended. */
  review(partition: number): void {
    const { schedule, flags } = this.#parts;
    const others = this.#othersOf(partition);
    const isThrough = (sinceMs: number | undefined): boolean =>
      sinceMs !== undefined && others.length > 0 && schedule.isVerifiedSince(partition, sinceMs, others);
    if (isThrough(schedule.urgentSince(partition, "ordered"))) schedule.settle(partition, "ordered");
    if (this.#isOnTheWay(partition)) return;
    const flaggedMs = schedule.urgentSince(partition, "flagged");
    // with one replica of everything there is nobody who could have what a flag says is missed
    const isAlone = flaggedMs !== undefined && others.length === 0 && this.#parts.table()?.replicaCount === 1;
    if (isAlone || isThrough(flaggedMs)) {
      const asOf = this.#flagCounts.get(partition) ?? -1;
      this.#forgetFlag(partition);
      // it never rejects; a flag that was raised again meanwhile stays, and is seen at the next look
      void flags()?.clearFlag(partition, asOf);
    }
    if (isThrough(schedule.urgentSince(partition, "suspect"))) this.#clear(partition);
  }

  /** A flag that was raised again is another one: only what is compared from now on counts. */
  #urgeFlagged(partition: number, nowMs: number): void {
    const count = this.#parts.flags()?.flagCountOf(partition) ?? 0;
    if (this.#flagCounts.get(partition) === count) return;
    this.#flagCounts.set(partition, count);
    this.#parts.schedule.urgeAnew(partition, "flagged", nowMs);
  }

  #forgetFlag(partition: number): void {
    this.#flagCounts.delete(partition);
    this.#parts.schedule.settle(partition, "flagged");
  }

  #clear(partition: number): void {
    const { store, schedule, clock, log } = this.#parts;
    if (this.#clearing.has(partition)) return;
    const verdict = this.#lost.judge(partition);
    if (verdict === "again") {
      // found while it was compared, or nobody else has it
      const nowMs = clock.monotonicMs();
      schedule.urgeAnew(partition, "suspect", nowMs);
      for (const node of schedule.peers()) schedule.postpone(node, partition, nowMs + ANTI_ENTROPY_UNREADABLE_MS);
      return;
    }
    this.#clearing.add(partition);
    const noting = this.#parts.beforeWhole?.(partition) ?? Promise.resolve();
    noting
      .then(() => (verdict === "lost" ? this.#parts.onLost?.(partition) : undefined))
      .then(() => store.clearSuspect(partition))
      .then(
        () => {
          if (store.isSuspect(partition)) schedule.urgeAnew(partition, "suspect", clock.monotonicMs());
          else this.#forgetSuspect(partition);
        },
        (error: unknown) => {
          log.warn({ event: "anti-entropy.suspicion-stays", partition, error });
        },
      )
      .finally(() => this.#clearing.delete(partition));
  }

  #forgetSuspect(partition: number): void {
    const { schedule, store, log } = this.#parts;
    schedule.settle(partition, "suspect");
    this.#lost.settle(partition);
    if (store.suspectPartitions().length === 0) log.info({ event: "anti-entropy.nothing-suspect" });
  }

  /** The other holders by their own records; removed members are none. */
  #othersOf(partition: number): readonly NodeId[] {
    const { table, self } = this.#parts;
    const claims = table()?.claimsOf(partition) ?? [];
    return claims.filter(({ node }) => node !== self).map(({ node }) => node);
  }

  /** A slot that nobody claims, though nobody who claimed it was removed, comes with a copy that was not compared. */
  #isOnTheWay(partition: number): boolean {
    const table = this.#parts.table();
    if (table === undefined) return true;
    const slots = new Set(table.claimsOf(partition).map(({ slot }) => slot));
    if (slots.size >= table.replicaCount) return false;
    const move = table.moves.find((one) => one.partition === partition);
    return move === undefined || move.unclaimed.length > move.vacant.length;
  }
}
