/**
 * How many requests of one class a node takes at a time: as many as it likes while they are answered soon, fewer as soon as
 * the typical one waits. By Little's law the number in flight is throughput × latency, so a bound on the number holds the
 * queue in the node to some 20 ms whatever its capacity is; what is over is refused at once, where it costs least. Pure.
 * Must never close altogether: what is let in is also what tells that it got better.
 * Sources: CoDel (Nichols & Jacobson 2012; target and interval), WeChat's DAGOR (queue wait of 20 ms), gradient limits (Vegas;
 * Netflix's concurrency-limits); reliability notes §4 O1, O2.
 */
import assert from "node:assert/strict";
import {
  CONCURRENCY_FLOOR,
  CONCURRENCY_INTERVAL_MS,
  MAX_INFLIGHT_REQUESTS,
  QUIET_LATENCY_MEMORY_MS,
  SOJOURN_TARGET_MS,
} from "../base/limits.ts";

/** One interval of a class. */
export interface ConcurrencyReading {
  readonly nowMs: number;
  /** latency of the typical request that was answered in the interval, ms; undefined: too few were */
  readonly medianMs: number | undefined;
  /** under way now */
  readonly inflightCount: number;
  /** refused in the interval because the limit was reached */
  readonly refusedCount: number;
}

/** Fewer answers tell nothing. */
const MIN_ANSWERS = 8;
/** in one step, at most to a half */
const STRONGEST_CUT = 1 / 2;
const GROWTH_AT_LIMIT = 1 / 32;
const GROWTH_WHEN_FREE = 1.25;
/** below this part of the target the limit grows again */
const GROW_BELOW = 3 / 4;
const QUIET_SLOTS = 6;

/** Whether so many answers tell what the typical request took. */
export function isTelling(answerCount: number): boolean {
  return answerCount >= MIN_ANSWERS;
}

/** The limit of one class. */
export class ConcurrencyLimit {
  #limit: number = MAX_INFLIGHT_REQUESTS;
  #cutMs = Number.NEGATIVE_INFINITY;
  /** the lowest medians of the last spans: what a request takes that does not wait */
  readonly #quietMs: number[] = [];
  #slotSinceMs = Number.NEGATIVE_INFINITY;

  /** Requests of the class that may be under way. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** What the typical request may take before the limit is lowered, ms. */
  get targetMs(): number {
    const quietMs = this.#quietMs.reduce((lowest, one) => Math.min(lowest, one), Number.POSITIVE_INFINITY);
    return SOJOURN_TARGET_MS + (Number.isFinite(quietMs) ? quietMs : 0);
  }

  /** Takes one interval; to be called every `CONCURRENCY_INTERVAL_MS`. */
  interval(reading: ConcurrencyReading): void {
    const { nowMs, medianMs, refusedCount, inflightCount } = reading;
    if (medianMs !== undefined) this.#remember(nowMs, medianMs);
    if (medianMs !== undefined && medianMs > this.targetMs) this.#cut(reading, medianMs);
    else if (medianMs === undefined ? inflightCount < this.#limit / 2 : medianMs < this.targetMs * GROW_BELOW) {
      this.#limit = refusedCount > 0 ? this.#limit * (1 + GROWTH_AT_LIMIT) : this.#limit * GROWTH_WHEN_FREE;
    }
    this.#limit = Math.min(MAX_INFLIGHT_REQUESTS, Math.max(CONCURRENCY_FLOOR, this.#limit));
    assert.ok(this.#limit >= 1, "a class is never closed altogether");
  }

  /** Not again before the last cut can have shown: that takes as long as a request. */
  #cut({ nowMs, inflightCount }: ConcurrencyReading, medianMs: number): void {
    if (nowMs - this.#cutMs < Math.max(CONCURRENCY_INTERVAL_MS, medianMs)) return;
    this.#cutMs = nowMs;
    // A limit far above what is under way would take many cuts before it bound anything.
    const used = Math.min(this.#limit, Math.max(CONCURRENCY_FLOOR, 2 * inflightCount));
    this.#limit = used * Math.max(STRONGEST_CUT, this.targetMs / medianMs);
  }

  #remember(nowMs: number, medianMs: number): void {
    if (nowMs - this.#slotSinceMs >= QUIET_LATENCY_MEMORY_MS / QUIET_SLOTS) {
      this.#slotSinceMs = nowMs;
      this.#quietMs.push(medianMs);
      if (this.#quietMs.length > QUIET_SLOTS) this.#quietMs.shift();
    }
    const last = this.#quietMs.length - 1;
    this.#quietMs[last] = Math.min(this.#quietMs[last] ?? medianMs, medianMs);
  }
}
