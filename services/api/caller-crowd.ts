/**
 * How many requests of one caller are under way, roughly: tokens share 1,024 counters by a hash of their ids, which are no secret. So that whoever asks too much fills
 * half of what a node takes at a time, and the others find the rest. Pure counting. Must never refuse anybody while there is room
 * for all, nor hold back one who is alone. Source: reliability notes §4 O1.
 */
import assert from "node:assert/strict";
import { CALLER_MEMORY_MS, CALLER_SHARE, CROWD_MIN_REQUESTS, CROWDED_FROM } from "../base/load-limits.ts";
import { presentedId } from "../security/token.ts";
import { crowdPlaceOf } from "./key-crowd.ts";

const SLOTS = 1_024;

/** The place of whoever shows no token. */
export const NO_CALLER: number = -1;

/** Requests under way by caller, in 1,024 counters. */
export class CallerCrowd {
  readonly #counts: Uint16Array = new Uint16Array(SLOTS);
  /** who came last, and when he and the last other one did */
  #lastPlace = NO_CALLER;
  #lastMs = Number.NEGATIVE_INFINITY;
  #otherMs = Number.NEGATIVE_INFINITY;
  #header: string | undefined;
  #place = NO_CALLER;

  /** The counter of an `Authorization` header's token, valid or not; `NO_CALLER` without one. */
  placeOf(header: string | undefined): number {
    // the door asks, and so does whoever counts the request in right after that
    if (header !== this.#header) {
      this.#header = header;
      const id = header === undefined ? undefined : presentedId(header);
      this.#place = id === undefined ? NO_CALLER : crowdPlaceOf(id);
    }
    return this.#place;
  }

  /** A request of the caller has come, whatever becomes of it. */
  came(place: number, nowMs: number): void {
    if (place !== this.#lastPlace) {
      this.#otherMs = this.#lastMs;
      this.#lastPlace = place;
    }
    this.#lastMs = nowMs;
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

  /** Whether the caller has his part already, and others ask as well, of a class of which `inflightCount` of `limit` are under way. */
  isFull(
    place: number,
    load: { readonly inflightCount: number; readonly limit: number; readonly nowMs: number },
  ): boolean {
    if (place < 0 || load.inflightCount < load.limit * CROWDED_FROM) return false;
    const othersMs = place === this.#lastPlace ? this.#otherMs : this.#lastMs;
    if (load.nowMs - othersMs >= CALLER_MEMORY_MS) return false;
    return (this.#counts[place] ?? 0) >= Math.max(CROWD_MIN_REQUESTS, load.limit * CALLER_SHARE);
  }
}
