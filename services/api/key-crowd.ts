/**
 * How many requests of one key are under way, roughly: keys share 1,024 counters by a hash of their path. So that a hot key
 * fills a part of what a node takes at a time, and never all of it. Pure counting; cost: a few nanoseconds for each character
 * of the path. Must never refuse anybody while there is room for all. Source: reliability notes §4 O8.
 */
import assert from "node:assert/strict";
import { CROWD_MIN_REQUESTS, CROWD_SHARE, CROWDED_FROM } from "../base/load-limits.ts";

const SLOTS = 1_024;
/** of FNV-1a */
const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;
const QUESTION_MARK = 63;

/** Requests under way by key, in 1,024 counters. */
export class KeyCrowd {
  readonly #counts: Uint16Array = new Uint16Array(SLOTS);

  /** Counts a request of this place in. */
  enter(place: number): void {
    this.#counts[place] = (this.#counts[place] ?? 0) + 1;
  }

  /** It is over. */
  leave(place: number): void {
    const before = this.#counts[place] ?? 0;
    assert.ok(before > 0, "a request of a key leaves once");
    this.#counts[place] = before - 1;
  }

  /** Whether those of this place have their part already, of a class of which `inflightCount` of `limit` are under way. */
  isFull(place: number, inflightCount: number, limit: number): boolean {
    if (inflightCount < limit * CROWDED_FROM) return false;
    return (this.#counts[place] ?? 0) >= Math.max(CROWD_MIN_REQUESTS, limit * CROWD_SHARE);
  }
}

/** The counter of the key in a request's target; what follows a question mark does not tell keys apart. */
export function crowdPlaceOf(target: string | undefined): number {
  let hash = OFFSET_BASIS;
  for (let at = 0; target !== undefined && at < target.length; at += 1) {
    const code = target.charCodeAt(at);
    if (code === QUESTION_MARK) break;
    hash = Math.imul(hash ^ code, PRIME);
  }
  return (hash ^ (hash >>> 16)) & (SLOTS - 1);
}
