/**
 * Says when a store has been idle long enough to write down what is durable: that narrows the time in which rot of the
 * last group looks like a torn tail (reliability notes §3.6). One timer, re-armed only when it fires, so that a busy
 * store pays nothing. Must never ask twice for the same records.
 */
import type { StorageClock } from "./ports.ts";

/** The timer behind the idle mark. */
export class IdleMark {
  readonly #clock: StorageClock;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  #timer: { cancel(): void } | undefined;
  #lastCommitMs = 0;
  #isUnproved = false;

  constructor(clock: StorageClock, idleMs: number, onIdle: () => void) {
    this.#clock = clock;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
  }

  /** Whether the newest records on disk are not yet proved durable by a later one. */
  get isUnproved(): boolean {
    return this.#isUnproved;
  }

  /** A group was made durable; a mark proves what came before it, and needs no proof itself. */
  committed(isMark: boolean): void {
    this.#isUnproved = !isMark;
    this.#lastCommitMs = this.#clock.monotonicMs();
    if (this.#isUnproved && this.#timer === undefined) this.#arm(this.#idleMs);
  }

  /** No timer from now on. */
  stop(): void {
    this.#isUnproved = false;
    this.#timer?.cancel();
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      if (!this.#isUnproved) return;
      const leftMs = this.#idleMs - (this.#clock.monotonicMs() - this.#lastCommitMs);
      if (leftMs > 0) this.#arm(leftMs);
      else this.#onIdle();
    });
  }
}
