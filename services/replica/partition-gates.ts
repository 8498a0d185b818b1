/**
 * A gate for each partition: while it is closed nothing may change the partition's keys. Open gates cost one read of a
 * typed array. Must never close over an operation that is inside: `close` waits for all of them, so that what is there
 * then is all that was ever acknowledged. Source: the seal of a hand-over (research: gossip-ring §B.5).
 */
import assert from "node:assert/strict";
import { MAX_PARTITIONS } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";

/** Who waits at a gate; `isIn` false: time was up. */
interface Waiter {
  settle(isIn: boolean): void;
}

/** The gates of all partitions. */
export class PartitionGates {
  readonly #clock: Pick<Clock, "monotonicMs" | "setTimer">;
  readonly #maxWaiters: number;
  readonly #isClosed: Uint8Array = new Uint8Array(MAX_PARTITIONS);
  readonly #insideCounts: Uint32Array = new Uint32Array(MAX_PARTITIONS);
  readonly #waiting = new Map<number, Set<Waiter>>();
  /** those who closed a gate and wait for the last one inside to leave */
  readonly #closing = new Map<number, (() => void)[]>();

  /** `maxWaiters`: how many may wait at one gate. */
  constructor(clock: Pick<Clock, "monotonicMs" | "setTimer">, maxWaiters: number) {
    this.#clock = clock;
    this.#maxWaiters = maxWaiters;
  }

  /** Goes in at once; false when the gate is closed: then `wait`. Whoever is in must `leave`. */
  tryEnter(partition: number): boolean {
    if (this.#isClosed[partition] !== 0) return false;
    this.#insideCounts[partition] = (this.#insideCounts[partition] ?? 0) + 1;
    return true;
  }

  /** Waits until the gate opens, at most until `endMs` (monotonic): true = in, false = the time was up. `full`: too many wait. */
  wait(partition: number, endMs: number): "full" | Promise<boolean> {
    const waiting = this.#waiting.get(partition) ?? new Set<Waiter>();
    if (waiting.size >= this.#maxWaiters) return "full";
    this.#waiting.set(partition, waiting);
    return new Promise((resolve) => {
      const waiter: Waiter = { settle: resolve };
      waiting.add(waiter);
      if (endMs === Number.POSITIVE_INFINITY) return;
      const timer = this.#clock.setTimer(Math.max(0, endMs - this.#clock.monotonicMs()), () => {
        if (waiting.delete(waiter)) resolve(false);
      });
      waiter.settle = (isIn) => {
        timer.cancel();
        resolve(isIn);
      };
    });
  }

  /** Ends what `tryEnter` or `wait` began. */
  leave(partition: number): void {
    const before = this.#insideCounts[partition] ?? 0;
    assert.ok(before > 0, "only who is inside leaves");
    this.#insideCounts[partition] = before - 1;
    if (before > 1 || this.#isClosed[partition] === 0) return;
    this.#tellClosers(partition);
  }

  /** Lets nobody in from now on; resolves when all who were inside have left, or the gate was opened again. */
  async close(partition: number): Promise<void> {
    assert.ok(Number.isInteger(partition) && partition >= 0 && partition < MAX_PARTITIONS, "a partition of the ring");
    this.#isClosed[partition] = 1;
    if (this.#insideCounts[partition] === 0) return;
    await new Promise<void>((resolve) => {
      const closing = this.#closing.get(partition) ?? [];
      this.#closing.set(partition, [...closing, resolve]);
    });
  }

  /** True between `close` and `open`. */
  isClosed(partition: number): boolean {
    return this.#isClosed[partition] === 1;
  }

  /** Lets in those who wait, in the order of their coming, and everyone after them. */
  open(partition: number): void {
    this.#isClosed[partition] = 0;
    this.#tellClosers(partition);
    const waiting = this.#waiting.get(partition);
    if (waiting === undefined) return;
    this.#waiting.delete(partition);
    this.#insideCounts[partition] = (this.#insideCounts[partition] ?? 0) + waiting.size;
    for (const waiter of waiting) waiter.settle(true);
    waiting.clear();
  }

  /** Opens every gate: the node stops, and whoever waits is to hear it. */
  openAll(): void {
    for (const partition of [...this.#waiting.keys(), ...this.#closing.keys()]) this.open(partition);
  }

  #tellClosers(partition: number): void {
    const closing = this.#closing.get(partition);
    if (closing === undefined) return;
    this.#closing.delete(partition);
    for (const tell of closing) tell();
  }
}
