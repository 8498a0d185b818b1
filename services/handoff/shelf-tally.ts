/**
 * What is kept for whom, in RAM: for each partition how many hints, since when, and for which slots. One for the objects,
 * one for the markers. Kept by partition, not by key: what is missing after an outage is mostly whole partitions' slots, and
 * millions of hints then cost kilobytes. A slot is struck out only by a pass over the whole partition during which nothing
 * was kept for it. Must never forget a slot that a hint may still be for.
 */
import { MAX_REPLICAS } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";

const EVERY_SLOT = (1 << MAX_REPLICAS) - 1;

/** Tallies of one kind of hints over all partitions. */
export class ShelfTally {
  readonly partitionCount: number;
  readonly #clock: Pick<Clock, "monotonicMs" | "wallMicros">;
  readonly #counts: Uint32Array;
  /** bit s: something kept may be for slot s */
  readonly #masks: Uint8Array;
  /** by partition and slot: how often something was kept for it; wraps, which a pass never lives to see */
  readonly #marks: Uint32Array;
  readonly #underway: Uint32Array;
  /** wall-clock ms since when the partition is not empty; 0 = it is */
  readonly #oldestMs: Float64Array;
  /** the same moment by the monotonic clock; 0 for what a start found */
  readonly #sinceMs: Float64Array;
  /** by partition and slot: monotonic ms at which the last whole pass began */
  readonly #passedMs: Float64Array;
  #total = 0;

  constructor(partitionCount: number, clock: Pick<Clock, "monotonicMs" | "wallMicros">) {
    this.partitionCount = partitionCount;
    this.#clock = clock;
    this.#sinceMs = new Float64Array(partitionCount);
    this.#counts = new Uint32Array(partitionCount);
    this.#masks = new Uint8Array(partitionCount);
    this.#marks = new Uint32Array(partitionCount * (MAX_REPLICAS + 1));
    this.#underway = new Uint32Array(partitionCount);
    this.#oldestMs = new Float64Array(partitionCount);
    this.#passedMs = new Float64Array(partitionCount * (MAX_REPLICAS + 1)).fill(Number.NEGATIVE_INFINITY);
  }

  /** Hints of all partitions. */
  get total(): number {
    return this.#total;
  }

  /** Hints of a partition. */
  countOf(partition: number): number {
    return this.#counts[partition] ?? 0;
  }

  /** The slots that hints of the partition may be for, one bit each; 0 = nothing is kept. */
  maskOf(partition: number): number {
    return this.#masks[partition] ?? 0;
  }

  /** Since when hints of the partition are kept, wall-clock ms; 0: none are. */
  oldestMsOf(partition: number): number {
    return this.#oldestMs[partition] ?? 0;
  }

  /** Nothing is kept of the partition, nor about to be. */
  isEmpty(partition: number): boolean {
    return this.countOf(partition) === 0 && this.#underway[partition] === 0;
  }

  /** Something is about to be kept for the slot: from now on nothing of the partition goes before the slot had it. */
  begin(partition: number, slot: number): void {
    this.#underway[partition] = (this.#underway[partition] ?? 0) + 1;
    this.mark(partition, 1 << slot);
  }

  /** What `begin` announced is visible, or was refused. Marks the slot again: a pass may have gone by meanwhile. */
  end(partition: number, slot: number): void {
    this.#underway[partition] = (this.#underway[partition] ?? 1) - 1;
    if (this.countOf(partition) === 0) return this.#rest(partition);
    this.mark(partition, 1 << slot);
    if (this.#oldestMs[partition] !== 0) return;
    this.#oldestMs[partition] = this.#clock.wallMicros() / 1_000;
    this.#sinceMs[partition] = this.#clock.monotonicMs();
  }

  /** A hint more is visible. */
  added(partition: number): void {
    this.#counts[partition] = this.countOf(partition) + 1;
    this.#total += 1;
  }

  /** A hint less. */
  removed(partition: number): void {
    if (this.countOf(partition) === 0) return;
    this.#counts[partition] = this.countOf(partition) - 1;
    this.#total -= 1;
    this.#rest(partition);
  }

  /** What a start finds. `mask` 0: unknown, so every slot. */
  found(partition: number, found: { readonly count: number; readonly mask: number; readonly oldestMs: number }): void {
    this.#total += found.count - this.countOf(partition);
    this.#counts[partition] = found.count;
    if (found.count === 0) return this.#rest(partition);
    this.mark(partition, found.mask === 0 ? EVERY_SLOT : found.mask);
    const sinceMs = this.oldestMsOf(partition);
    this.#oldestMs[partition] = sinceMs === 0 ? found.oldestMs : Math.min(sinceMs, found.oldestMs);
    this.#sinceMs[partition] = 0;
  }

  /** So many are there, counted from the index: what counting one by one may have missed is set right. */
  recount(partition: number, count: number): void {
    this.#total += count - this.countOf(partition);
    this.#counts[partition] = count;
    this.#rest(partition);
  }

  /** A pass over the partition for the slot begins: what is visible now will be offered. `endPass` wants the answer. */
  beginPass(partition: number, slot: number): number {
    return this.#marks[partition * (MAX_REPLICAS + 1) + slot] ?? 0;
  }

  /** It offered all, and the slot's holder has all. `replicaCount`: there are no slots from there on, whatever was unknown. */
  endPass(
    partition: number,
    slot: number,
    pass: { readonly startedMs: number; readonly begun: number; readonly replicaCount: number },
  ): void {
    const { startedMs, begun, replicaCount } = pass;
    this.#passedMs[partition * (MAX_REPLICAS + 1) + slot] = startedMs;
    const bit = 1 << slot;
    const left = this.maskOf(partition) & ~bit & ((1 << replicaCount) - 1);
    const isStill = this.beginPass(partition, slot) === begun && this.#underway[partition] === 0;
    // the last slot stays as long as anything does: two passes side by side leave what neither could take out alone
    if (isStill && (left !== 0 || this.countOf(partition) === 0)) this.#masks[partition] = left;
    this.#rest(partition);
  }

  /**
   * Whether all that was kept for the slot at a moment (monotonic ms) has been offered: a pass that began later has
   * ended, or nothing was kept of the partition then.
   */
  hasOfferedAll(partition: number, slot: number, ofMs: number): boolean {
    const passedMs = this.#passedMs[partition * (MAX_REPLICAS + 1) + slot] ?? 0;
    return passedMs > ofMs || (this.#sinceMs[partition] ?? 0) > ofMs;
  }

  /** Something kept may be for these slots too, one bit each: what a pass under way has offered of it does not count. */
  mark(partition: number, bits: number): void {
    this.#masks[partition] = this.maskOf(partition) | bits;
    for (let slot = 0; 1 << slot <= bits; slot += 1) {
      const place = partition * (MAX_REPLICAS + 1) + slot;
      if ((bits & (1 << slot)) !== 0) this.#marks[place] = (this.#marks[place] ?? 0) + 1;
    }
  }

  #rest(partition: number): void {
    if (!this.isEmpty(partition)) return;
    this.#masks[partition] = 0;
    this.#oldestMs[partition] = 0;
    this.#sinceMs[partition] = 0;
  }
}
