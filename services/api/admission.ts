/**
 * How much work this node takes at a time: requests and bytes under way (DESIGN §10, reliability §4 O1). Pure counting.
 * Must never refuse control work, and must never read a body to find out that it is refused.
 */
import assert from "node:assert/strict";
import { MAX_INFLIGHT_BYTES, MAX_INFLIGHT_REQUESTS } from "../base/limits.ts";
import type { WorkClass } from "./exchange.ts";

/** The share of the limits that each class may fill: what matters least is shed first. */
const SHARE: Readonly<Record<WorkClass, number>> = {
  control: Number.POSITIVE_INFINITY,
  write: 1,
  read: 0.9375,
  list: 0.5,
};

/** Counts what is under way. One per server. */
export class Admission {
  #requests = 0;
  #bytes = 0;
  readonly #maxRequests: number;
  readonly #maxBytes: number;

  constructor(
    limits: { readonly requests: number; readonly bytes: number } = {
      requests: MAX_INFLIGHT_REQUESTS,
      bytes: MAX_INFLIGHT_BYTES,
    },
  ) {
    this.#maxRequests = limits.requests;
    this.#maxBytes = limits.bytes;
  }

  get requests(): number {
    return this.#requests;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a request of `bytes` in, or refuses it: then nothing is counted and `leave` must not be called. */
  tryEnter(work: WorkClass, bytes: number): boolean {
    const share = SHARE[work];
    if (this.#requests >= this.#maxRequests * share || this.#bytes + bytes > this.#maxBytes * share) {
      return false;
    }
    this.#requests += 1;
    this.#bytes += bytes;
    return true;
  }

  /** The request now holds `bytes` more (an answer waiting to leave). Never refuses. */
  grow(bytes: number): void {
    this.#bytes += bytes;
  }

  /** The request is over; `bytes` is all that it entered and grew by. */
  leave(bytes: number): void {
    this.#requests -= 1;
    this.#bytes -= bytes;
    assert.ok(this.#requests >= 0 && this.#bytes >= 0, "a request leaves once, with what it brought");
  }
}
