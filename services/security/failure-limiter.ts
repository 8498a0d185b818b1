/**
 * How often each source may fail: so many at once, then one every so often. Bounded: when the table is full, the source whose
 * failures are longest ago is forgotten. Pure. Must never slow down whoever may come in.
 */
import { FAILURE_REFILL_MS, FAILURES_AT_ONCE, MAX_FAILING_SOURCES } from "../base/security-limits.ts";

/** What a failure may still do: be answered and told in the log, or be turned away. */
export interface FailureVerdict {
  readonly isOverLimit: boolean;
  /** failures of this source that were turned away untold since the last one that was told */
  readonly heldBackCount: number;
}

interface Tally {
  /** failures left */
  left: number;
  sinceMs: number;
  heldBackCount: number;
}

/** Counts failures by source. */
export class FailureLimiter {
  readonly #atOnce: number;
  readonly #refillMs: number;
  /** in the order of their last failure */
  readonly #tallies = new Map<string, Tally>();

  /** `atOnce` failures of a source at a time, and one more every `refillMs`. */
  constructor(atOnce: number = FAILURES_AT_ONCE, refillMs: number = FAILURE_REFILL_MS) {
    this.#atOnce = atOnce;
    this.#refillMs = refillMs;
  }

  /** One more failure of this source at `nowMs` of a clock that never goes back. */
  fail(source: string, nowMs: number): FailureVerdict {
    const tally = this.#tallies.get(source) ?? { left: this.#atOnce, sinceMs: nowMs, heldBackCount: 0 };
    this.#tallies.delete(source);
    if (this.#tallies.size >= MAX_FAILING_SOURCES) this.#forgetOldest();
    this.#tallies.set(source, tally);
    tally.left = Math.min(this.#atOnce, tally.left + (nowMs - tally.sinceMs) / this.#refillMs);
    tally.sinceMs = nowMs;
    if (tally.left < 1) {
      tally.heldBackCount += 1;
      return { isOverLimit: true, heldBackCount: tally.heldBackCount };
    }
    tally.left -= 1;
    const { heldBackCount } = tally;
    tally.heldBackCount = 0;
    return { isOverLimit: false, heldBackCount };
  }

  /** Sources that are remembered. */
  get size(): number {
    return this.#tallies.size;
  }

  #forgetOldest(): void {
    const [oldest] = this.#tallies.keys();
    if (oldest !== undefined) this.#tallies.delete(oldest);
  }
}

/** What counts as one source: an IPv4 address, or the /64 of an IPv6 one, within which whoever owns it may choose. */
export function sourceOf(address: string): string {
  const mapped = address.startsWith("::ffff:") ? address.slice(7) : address;
  if (!mapped.includes(":")) return mapped;
  const [head = ""] = mapped.split("%", 1);
  const [left = "", right] = head.split("::", 2);
  const groups = left === "" ? [] : left.split(":");
  if (right !== undefined) {
    const tail = right === "" ? [] : right.split(":");
    while (groups.length + tail.length < 8) groups.push("0");
    groups.push(...tail);
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
}
