/**
 * How many requests of one class a node takes at a time: as many as it likes while they are answered soon, fewer as soon as
 * the typical one waits. By Little's law the number in flight is throughput × latency, so a bound on the number holds the
 * queue in the node to some 100 ms whatever its capacity is; what is over waits at the door, for half a second of use. Pure.
 * Must never close altogether: what is let in is also what tells that it got better.
 * Sources: CoDel (Nichols & Jacobson 2012; target and interval), WeChat's DAGOR (queue wait of 20 ms), gradient limits (Vegas;
 * Netflix's concurrency-limits); reliability notes §4 O1, O2.
 */
import assert from "node:assert/strict";
import { MAX_INFLIGHT_REQUESTS } from "../base/limits.ts";
import {
  CONCURRENCY_FLOOR,
  CONCURRENCY_INTERVAL_MS,
  QUIET_LATENCY_MEMORY_MS,
  SOJOURN_LIMIT_MS,
  SOJOURN_TARGET_MS,
} from "../base/load-limits.ts";

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
const FREE_GROWTH = 1.25;
const CAREFUL_GROWTH = 1 + 1 / 16;
/** below this part of the limit of waiting more are let in, carefully */
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
  /** what the typical request took when as few as possible were let in: then it hardly waited */
  #floorMs = 0;

  /** Requests of the class that may be under way. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** What the typical request takes that does not wait, ms. */
  get quietMs(): number {
    const quietMs = this.#quietMs.reduce((lowest, one) => Math.min(lowest, one), Number.POSITIVE_INFINITY);
    return Number.isFinite(quietMs) ? quietMs : 0;
  }

  /** Takes one interval; to be called every `CONCURRENCY_INTERVAL_MS`. */
  interval(reading: ConcurrencyReading): void {
    const { nowMs, medianMs, inflightCount } = reading;
    if (medianMs === undefined) {
      // Few answers: either few were asked for, or they hang.
      if (inflightCount < this.#limit / 2) this.#limit *= FREE_GROWTH;
    } else {
      this.#remember(nowMs, medianMs);
      const waitedMs = medianMs - this.quietMs;
      if (waitedMs > SOJOURN_LIMIT_MS) this.#cut(reading, waitedMs);
      else if (waitedMs <= SOJOURN_TARGET_MS) this.#limit *= FREE_GROWTH;
      else if (waitedMs <= SOJOURN_LIMIT_MS * GROW_BELOW) this.#limit *= CAREFUL_GROWTH;
    }
    this.#limit = Math.min(MAX_INFLIGHT_REQUESTS, Math.max(CONCURRENCY_FLOOR, this.#limit));
    assert.ok(this.#limit >= 1, "a class is never closed altogether");
  }

  /** Not again before the last cut can have shown: that takes as long as a request. */
  #cut({ nowMs, inflightCount, refusedCount }: ConcurrencyReading, waitedMs: number): void {
    if (nowMs - this.#cutMs < Math.max(CONCURRENCY_INTERVAL_MS, waitedMs)) return;
    this.#cutMs = nowMs;
    // A limit far above what is under way would take many cuts before it bound anything.
    const used = refusedCount > 0 ? this.#limit : Math.min(this.#limit, 2 * inflightCount);
    this.#limit = used * Math.max(STRONGEST_CUT, SOJOURN_LIMIT_MS / waitedMs);
  }

  /** Of a node that was never quiet it is not believed that its latency is its own before the lowest limit has shown it. */
  #remember(nowMs: number, seenMs: number): void {
    if (this.#limit <= CONCURRENCY_FLOOR) this.#floorMs = seenMs;
    const medianMs = Math.min(seenMs, Math.max(SOJOURN_TARGET_MS, this.#floorMs));
    if (nowMs - this.#slotSinceMs >= QUIET_LATENCY_MEMORY_MS / QUIET_SLOTS) {
      this.#slotSinceMs = nowMs;
      this.#quietMs.push(medianMs);
      if (this.#quietMs.length > QUIET_SLOTS) this.#quietMs.shift();
    }
    const last = this.#quietMs.length - 1;
    this.#quietMs[last] = Math.min(this.#quietMs[last] ?? medianMs, medianMs);
  }
}
