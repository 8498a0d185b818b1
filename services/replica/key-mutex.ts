/**
 * One operation at a time for each key, in the order of asking. Nobody else there: no promise, no queue, only an entry
 * in a map. Keys are told apart by their 64-bit hash; two keys of one hash merely wait for each other. Must never be
 * held across a wait for another node: that is how two nodes would wait for each other for ever. One hot key must never
 * fill the queue of all: each has a bound of its own.
 */
import assert from "node:assert/strict";

type Waiter = () => void;

/** The locks of all keys; at most `maxWaiters` operations wait at a time, over all keys. */
export class KeyMutex {
  readonly #maxWaiters: number;
  /** undefined: held, and nobody waits */
  readonly #held = new Map<bigint, Waiter[] | undefined>();
  #waiterCount = 0;

  constructor(maxWaiters: number) {
    assert.ok(maxWaiters >= 0, "a bound is not negative");
    this.#maxWaiters = maxWaiters;
  }

  /** Operations that wait now. */
  get waiterCount(): number {
    return this.#waiterCount;
  }

  /** Keys that are held now. */
  get heldCount(): number {
    return this.#held.size;
  }

  /** Operations that wait for this key now. */
  waitersOf(hash: bigint): number {
    return this.#held.get(hash)?.length ?? 0;
  }

  /**
   * `taken` at once, a promise of one's turn, or `full`: `maxQueue` wait for this key already, or too many for all together.
   * Whoever has it must `release` it.
   */
  acquire(hash: bigint, maxQueue: number = Number.POSITIVE_INFINITY): "taken" | "full" | Promise<void> {
    if (!this.#held.has(hash)) {
      this.#held.set(hash, undefined);
      return "taken";
    }
    if (this.#waiterCount >= this.#maxWaiters || this.waitersOf(hash) >= maxQueue) return "full";
    this.#waiterCount += 1;
    return new Promise((resolve) => {
      const waiters = this.#held.get(hash);
      if (waiters === undefined) this.#held.set(hash, [resolve]);
      else waiters.push(resolve);
    });
  }

  /** Passes the key to whoever has waited longest. */
  release(hash: bigint): void {
    assert.ok(this.#held.has(hash), "only a held key is released");
    const next = this.#held.get(hash)?.shift();
    if (next === undefined) {
      this.#held.delete(hash);
      return;
    }
    this.#waiterCount -= 1;
    next();
  }
}
