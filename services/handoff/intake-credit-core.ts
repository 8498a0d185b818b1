/**
 * How much of their hints the senders may bring, by the receiver's own word: a rate for all of them together, less while
 * clients feel it, shared by those that were heard of late. Pure. Must never say "nothing, ever": every pause ends.
 * Source: research: reliability O10 (rate ÷ senders), features §4.4.
 */
import {
  HINT_INTAKE_BYTES_PER_SECOND,
  HINT_KEY_COST_BYTES,
  HINT_OFFER_KEYS,
  HINT_SENDER_IDLE_MS,
  HINT_TAKE_BYTES,
  MIN_HINT_INTAKE_BYTES_PER_SECOND,
} from "../base/hint-limits.ts";

/** What one sender may bring next, and after which pause. */
export interface Credit {
  readonly keys: number;
  readonly bytes: number;
  readonly pauseMs: number;
}

/** bytes that may come at once after a rest, and for how long a sender is told to wait at most */
const BURST_SECONDS = 0.25;
const MAX_PAUSE_MS = 5_000;
/** what looking up an offered digest costs, as bytes */
const OFFER_COST_BYTES = 16;

/** The credits of one receiver. */
export class IntakeCredits {
  readonly #heardMs = new Map<string, number>();
  /** below 0 while what came is not paid for */
  #tokens: number = HINT_INTAKE_BYTES_PER_SECOND * BURST_SECONDS;
  #filledMs: number;

  constructor(nowMs: number) {
    this.#filledMs = nowMs;
  }

  /** A sender named so many keys and brought so many bytes. */
  spent(sender: string, cost: { readonly offered: number; readonly keys: number; readonly bytes: number }): void {
    this.#tokens -= cost.offered * OFFER_COST_BYTES + Math.max(cost.bytes, cost.keys * HINT_KEY_COST_BYTES);
    if (!this.#heardMs.has(sender)) this.#heardMs.set(sender, this.#filledMs);
  }

  /** What the sender may do next. `share` 0 … 1: how much of the full rate background work may have now. */
  grant(sender: string, nowMs: number, share: number): Credit {
    const rate = rateOf(share);
    const burstBytes = rate * BURST_SECONDS;
    this.#tokens = Math.min(burstBytes, this.#tokens + ((nowMs - this.#filledMs) / 1_000) * rate);
    // Owed is what the longest pause pays for: else large objects at the least rate would hold up small ones long after.
    this.#tokens = Math.max(this.#tokens, -rate * (MAX_PAUSE_MS / 1_000));
    this.#filledMs = nowMs;
    this.#heardMs.set(sender, nowMs);
    for (const [other, heardMs] of this.#heardMs) {
      if (nowMs - heardMs > HINT_SENDER_IDLE_MS) this.#heardMs.delete(other);
    }
    const bytes = Math.max(HINT_KEY_COST_BYTES, Math.min(HINT_TAKE_BYTES, burstBytes / this.#heardMs.size));
    const pauseMs = this.#tokens >= 0 ? 0 : Math.min(MAX_PAUSE_MS, (-this.#tokens / rate) * 1_000);
    const keys = Math.max(1, Math.min(HINT_OFFER_KEYS, Math.floor(bytes / OFFER_COST_BYTES)));
    return { keys, bytes: Math.floor(bytes), pauseMs: Math.ceil(pauseMs) };
  }
}

function rateOf(share: number): number {
  return Math.max(MIN_HINT_INTAKE_BYTES_PER_SECOND, HINT_INTAKE_BYTES_PER_SECOND * Math.min(1, Math.max(0, share)));
}
