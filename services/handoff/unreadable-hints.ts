/**
 * Hints whose records could not be read: each is read again in later passes before it counts as lost, for an error of the
 * device may pass. Bounded in number and in tries: beyond, a hint is lost at once, which flags its partition. Must never
 * count two failures of one moment as two.
 */
import { HINT_READ_TRIES, HINT_RETRY_MIN_MS, MAX_UNREADABLE_HINTS } from "../base/hint-limits.ts";
import type { Clock } from "../base/ports.ts";

interface Failures {
  count: number;
  lastMs: number;
}

/** What one node could not read. */
export class UnreadableHints {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #failures = new Map<bigint, Failures>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Hints that are to be read again. */
  get count(): number {
    return this.#failures.size;
  }

  /** Notes that the hint with this hash could not be read; true when that was so often enough. */
  isLost(hash: bigint): boolean {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#failures.get(hash);
    if (before === undefined) {
      if (this.#failures.size >= MAX_UNREADABLE_HINTS) return true;
      this.#failures.set(hash, { count: 1, lastMs: nowMs });
      return false;
    }
    if (nowMs - before.lastMs < HINT_RETRY_MIN_MS) return false;
    before.count += 1;
    before.lastMs = nowMs;
    return before.count >= HINT_READ_TRIES;
  }

  /** It was read, or it is settled. */
  forget(hash: bigint): void {
    if (this.#failures.size > 0) this.#failures.delete(hash);
  }
}
