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

/** Try it once more; it is lost from now on; it was before. */
export type UnreadableVerdict = "again" | "lost" | "lost before";

/** What one node could not read, by a number of its own: a hint by its hash, or all of a partition whose keys are not known. */
export class UnreadableHints {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #failures = new Map<bigint | number, Failures>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Notes that it could not be read. */
  noteFailure(what: bigint | number): UnreadableVerdict {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#failures.get(what);
    if (before === undefined) {
      if (this.#failures.size >= MAX_UNREADABLE_HINTS) return "lost";
      this.#failures.set(what, { count: 1, lastMs: nowMs });
      return "again";
    }
    if (before.count >= HINT_READ_TRIES) return "lost before";
    if (nowMs - before.lastMs < HINT_RETRY_MIN_MS) return "again";
    before.count += 1;
    before.lastMs = nowMs;
    return before.count >= HINT_READ_TRIES ? "lost" : "again";
  }

  /** It was read, or it is settled. */
  forget(what: bigint | number): void {
    if (this.#failures.size > 0) this.#failures.delete(what);
  }
}
