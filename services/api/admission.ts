/**
 * How much work this node takes at a time: requests and bytes under way (DESIGN §10, reliability §4 O1). Pure counting.
 * Must never refuse control work, and must never read a body to find out that it is refused.
 */
import assert from "node:assert/strict";
import { MAX_INFLIGHT_BYTES, MAX_INFLIGHT_REQUESTS } from "../base/limits.ts";
import type { Incoming, WorkClass } from "./exchange.ts";

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
  readonly #inflight: Record<WorkClass, number> = { control: 0, write: 0, read: 0, list: 0 };

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

  /** Requests of the class under way. */
  inflightOf(work: WorkClass): number {
    return this.#inflight[work];
  }

  /** No further request of the class is let in just now, whatever it brings. */
  isFull(work: WorkClass): boolean {
    return this.#requests >= this.#maxRequests * SHARE[work];
  }

  /** No request of the class is let in just now that brings so many bytes: others may be. */
  isFullOf(work: WorkClass, bytes: number): boolean {
    const most = this.#maxBytes * SHARE[work];
    return this.#bytes >= most || this.#bytes + bytes > most;
  }

  /**
   * Takes a request of `bytes` in, or refuses it: then nothing is counted and `leave` must not be called. `limit`: requests
   * of its class that may be under way now.
   */
  tryEnter(work: WorkClass, bytes: number, limit: number = Number.POSITIVE_INFINITY): boolean {
    if (this.#inflight[work] >= limit || this.isFull(work) || this.isFullOf(work, bytes)) return false;
    this.#requests += 1;
    this.#inflight[work] += 1;
    this.#bytes += bytes;
    return true;
  }

  /** The request now holds `bytes` more, or less: its answer is made, and was guessed before. Never refuses. */
  grow(bytes: number): void {
    this.#bytes += bytes;
  }

  /** The request is over; `bytes` is all that it entered and grew by. */
  leave(work: WorkClass, bytes: number): void {
    this.#requests -= 1;
    this.#inflight[work] -= 1;
    this.#bytes -= bytes;
    assert.ok(this.#requests >= 0 && this.#bytes >= 0, "a request leaves once, with what it brought");
  }
}

/** What the request says it will bring; a body of unknown length is taken to be the longest allowed. */
export function announcedBytes({ headers }: Pick<Incoming, "headers">, limitBytes: number): number {
  const length = headers["content-length"];
  if (length !== undefined) return Math.min(Number(length), limitBytes);
  return headers["transfer-encoding"] === undefined ? 0 : limitBytes;
}
