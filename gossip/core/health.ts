/**
 * How well this node itself feels: 0 (well) up to a ceiling. A node that is late or unheard probes more slowly, before it
 * blames others; and a process that did not run at all gives no verdicts for a while. Must never abstain for ever.
 * Source: Lifeguard §IV-A (LHA-Probe); Cassandra's pause guard; the bound on abstaining from Orleans #6745 (gossip-ring notes §A.2, §A.6).
 */

/** Lifeguard's local health and the pause guard. */
export class LocalHealth {
  readonly #ceiling: number;
  readonly #abstainLimitMs: number;
  #score = 0;
  #abstainingSinceMs: number | undefined;

  constructor(limits: { readonly ceiling: number; readonly abstainLimitMs: number }) {
    this.#ceiling = limits.ceiling;
    this.#abstainLimitMs = limits.abstainLimitMs;
  }

  /** 0 … ceiling − 1 */
  get score(): number {
    return this.#score;
  }

  /** Adds to the score; negative when something went well. */
  add(delta: number): void {
    this.#score = Math.min(this.#ceiling - 1, Math.max(0, this.#score + delta));
  }

  /** This process was late: true while it should give no verdict. */
  mayAbstain(nowMs: number): boolean {
    this.#abstainingSinceMs ??= nowMs;
    return nowMs - this.#abstainingSinceMs <= this.#abstainLimitMs;
  }

  /** This process was in time: the next lateness begins a new row. */
  onPunctual(): void {
    this.#abstainingSinceMs = undefined;
  }
}
