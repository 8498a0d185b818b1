/**
 * How many requests of one principal are under way, of one class, roughly: principals share 1,024 counters by a hash of their names. So that
 * whoever asks too much fills half of what a node takes at a time, and the others find the rest. Pure counting. Must never refuse
 * anybody while there is room for all, nor hold back one who is alone; who he is must be known before. Source: reliability notes §4 O1.
 */
import assert from "node:assert/strict";
import { CALLER_MEMORY_MS, CALLER_SHARE, CROWD_MIN_REQUESTS, CROWDED_FROM } from "../base/load-limits.ts";
import { crowdPlaceOf } from "./key-crowd.ts";

const SLOTS = 1_024;

/** The place of whoever is nobody in particular. */
export const NO_CALLER: number = -1;

/** How full a class is. */
interface Load {
  readonly inflightCount: number;
  readonly limit: number;
  readonly nowMs: number;
}

/** Requests of one class under way by principal, in 1,024 counters. */
export class CallerCrowd {
  readonly #counts: Uint16Array = new Uint16Array(SLOTS);
  /** who came last, and when he and the last other one did */
  #lastPlace = NO_CALLER;
  #lastMs = Number.NEGATIVE_INFINITY;
  #otherMs = Number.NEGATIVE_INFINITY;

  /** The counter of a principal who has come, whatever becomes of his request. */
  came(name: string, nowMs: number): number {
    const place = crowdPlaceOf(name);
    if (place !== this.#lastPlace) {
      this.#otherMs = this.#lastMs;
      this.#lastPlace = place;
    }
    this.#lastMs = nowMs;
    return place;
  }

  /** Counts a request of this place in. */
  enter(place: number): void {
    if (place >= 0) this.#counts[place] = (this.#counts[place] ?? 0) + 1;
  }

  /** It is over. */
  leave(place: number): void {
    if (place < 0) return;
    const before = this.#counts[place] ?? 0;
    assert.ok(before > 0, "a request of a caller leaves once");
    this.#counts[place] = before - 1;
  }

  /** Whether he has his part already, of a class of which `inflightCount` of `limit` are under way, and others ask as well. */
  isFull(place: number, { inflightCount, limit, nowMs }: Load): boolean {
    if (place < 0 || inflightCount < limit * CROWDED_FROM) return false;
    const othersMs = place === this.#lastPlace ? this.#otherMs : this.#lastMs;
    if (nowMs - othersMs >= CALLER_MEMORY_MS) return false;
    return (this.#counts[place] ?? 0) >= Math.max(CROWD_MIN_REQUESTS, limit * CALLER_SHARE);
  }
}
