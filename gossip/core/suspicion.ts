/**
 * One suspicion: how long it may last, and how accusers shorten it. Must never last shorter than its shortest bound.
 * Source: Lifeguard §IV-B (LHA-Suspicion), with confirmations that small clusters can reach (gossip-ring notes §0.1, §A.1).
 */

/** The bounds of a suspicion, from `suspicionBounds`. */
export interface SuspicionBounds {
  readonly shortestMs: number;
  readonly longestMs: number;
  /** so many accusers beside the first bring it to the shortest */
  readonly confirmations: number;
}

/** How long a suspicion lasts from its start, with `count` accusers beside the first. ms */
export function suspicionMs(bounds: SuspicionBounds, count: number): number {
  const { shortestMs, longestMs, confirmations } = bounds;
  if (confirmations <= 0) return shortestMs;
  const share = Math.log(count + 1) / Math.log(confirmations + 1);
  return Math.max(shortestMs, Math.floor(longestMs - (longestMs - shortestMs) * share));
}

/** A suspicion under way. */
export class Suspicion {
  readonly #bounds: SuspicionBounds;
  readonly #startMs: number;
  readonly #accusers: Set<string>;
  /** time that did not count, because this process did not run */
  #graceMs = 0;
  /** of the outbox; 0 = none */
  timerId = 0;
  /** whether the suspect has had its last ping */
  isAskedOnceMore = false;

  constructor(bounds: SuspicionBounds, from: string, startMs: number) {
    this.#bounds = bounds;
    this.#startMs = startMs;
    this.#accusers = new Set([from]);
  }

  /** When it ends as things stand, monotonic ms. */
  get dueMs(): number {
    return this.#startMs + this.#graceMs + suspicionMs(this.#bounds, this.#accusers.size - 1);
  }

  /** Whether this process has been granted time for a pause of its own. */
  get hasGrace(): boolean {
    return this.#graceMs > 0;
  }

  /** Counts an accuser; false when it said so before or enough have. */
  confirm(from: string): boolean {
    if (this.#accusers.size - 1 >= this.#bounds.confirmations || this.#accusers.has(from)) return false;
    this.#accusers.add(from);
    return true;
  }

  /** Adds time that did not count. */
  grant(graceMs: number): void {
    this.#graceMs += graceMs;
  }
}
