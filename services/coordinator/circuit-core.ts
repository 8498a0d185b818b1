/**
 * Whether one peer answers at all, as this node's own requests tell: the breaker that stands before gossip's verdict.
 * Pure: sends and results in, a belief out; looked at lazily, so it needs no timer. Must never decide alone that a request
 * fails: who is open is asked last, not never. Source: Nygard, Release It! (circuit breaker, half-open).
 */
import { CIRCUIT_FAILURES, CIRCUIT_PROBE_EVERY_MS, CIRCUIT_SILENCE_MS } from "../base/limits.ts";
import type { CallResult } from "../peers/messages.ts";

/** Who waited in vain for less than this says nothing of the peer: the client was in a hurry. */
const TELLING_WAIT_MS = 250;

/** One peer's circuit; times are of the monotonic clock, in milliseconds. */
export class Circuit {
  #failureCount = 0;
  /** the last reply; what was sent before it says nothing any more, however it ends */
  #heardMs = -1;
  /** sent since then and not ended, and the first of these */
  #outstandingCount = 0;
  #waitingSinceMs = 0;
  /** 0: nobody has met the circuit open since the last reply */
  #nextProbeMs = 0;

  /** A request was sent that a peer in health answers at once. */
  onSent(nowMs: number): void {
    if (this.#outstandingCount === 0) this.#waitingSinceMs = nowMs;
    this.#outstandingCount += 1;
  }

  /** How it ended, `tookMs` after it was sent. Any reply, a refusal too, shows that the peer lives. */
  onResult(result: CallResult, tookMs: number, nowMs: number): void {
    if (result.kind !== "lost" && result.kind !== "unsent") {
      this.#heardMs = nowMs;
      this.#outstandingCount = 0;
      this.#failureCount = 0;
      this.#nextProbeMs = 0;
      return;
    }
    // A peer that has recovered answers none of what it lost, and that ends late.
    if (nowMs - tookMs < this.#heardMs) return;
    this.#outstandingCount = Math.max(0, this.#outstandingCount - 1);
    this.#failureCount += weightOf(result, tookMs);
  }

  /** True when the peer should be asked last. */
  isOpen(nowMs: number): boolean {
    if (this.#failureCount >= CIRCUIT_FAILURES) return true;
    return this.#outstandingCount > 0 && nowMs - this.#waitingSinceMs >= CIRCUIT_SILENCE_MS;
  }

  /** True once in a while for an open circuit: the request that asks goes to the peer as if all were well. */
  takeProbe(nowMs: number): boolean {
    const isFirst = this.#nextProbeMs === 0;
    if (!isFirst && nowMs < this.#nextProbeMs) return false;
    this.#nextProbeMs = nowMs + CIRCUIT_PROBE_EVERY_MS;
    return !isFirst;
  }
}

type Unanswered = Extract<CallResult, { readonly kind: "lost" | "unsent" }>;

/** For how many failures it counts. Who has no link is out of reach: that is known without a circuit. */
function weightOf({ reason }: Unanswered, waitedMs: number): number {
  if (reason === "no_link") return 0;
  if (reason === "link_closed" || reason === "queue_full") return 1;
  if (waitedMs >= CIRCUIT_SILENCE_MS) return CIRCUIT_FAILURES;
  return waitedMs >= TELLING_WAIT_MS ? 1 : 0;
}
