/**
 * Whether a request may come in just now, and why not, in words: the fixed bounds, what calm says of this node, and what one key
 * may have of it. Must never count anything itself, nor refuse control work.
 */
import { MAX_INFLIGHT_REQUESTS } from "../base/limits.ts";
import { CROWDED_FROM } from "../base/load-limits.ts";
import type { Admission } from "./admission.ts";
import type { WorkClass } from "./exchange.ts";
import { crowdPlaceOf, KeyCrowd } from "./key-crowd.ts";
import type { LoadControl } from "./ports.ts";

/** Why a request is not let in just now. */
export interface Hindrance {
  /** there is no room for this key's, for what brings so much, or for any of the class */
  readonly kind: "key" | "bytes" | "node";
  readonly words: string;
}

/** There are too many bytes under way for what a request brings. */
export const FULL_OF_BYTES: Hindrance = {
  kind: "bytes",
  words: "this node holds all the bytes of requests that it takes at a time",
};
/** Why a request is refused that has waited, at the door or unread. */
export const WAITED: Hindrance = {
  kind: "node",
  words: "this node has had no room for this request, and it has waited for too long",
};
/** Why one is refused that may have waited a little only. */
export const PUSHED_OUT: Hindrance = {
  kind: "node",
  words: "this node has no room for this request, and more connections wait for room than it keeps waiting",
};
/** Why one is refused that is for a key of which enough are under way. */
export const CROWDED: Hindrance = {
  kind: "key",
  words: "this node has all the requests of this key that it takes at a time",
};

/** The gate of one listener. */
export class FrontGate {
  readonly crowd: KeyCrowd = new KeyCrowd();
  readonly #admission: Admission;
  readonly #calm: LoadControl | undefined;

  constructor(admission: Admission, calm: LoadControl | undefined) {
    this.#admission = admission;
    this.#calm = calm;
  }

  /** Whether any request of the class is let in, soon or later. */
  isOpen(work: WorkClass): boolean {
    return this.#calm?.limitOf(work) !== 0;
  }

  /** Why no request of the class and target that brings so many bytes is let in just now; undefined: one may be. */
  reasonNow(work: WorkClass, target: string | undefined, bytes: number): Hindrance | undefined {
    const limit = this.#calm?.limitOf(work) ?? MAX_INFLIGHT_REQUESTS;
    const inflightCount = this.#admission.inflightOf(work);
    if (inflightCount >= limit && this.#calm !== undefined) return ofNode(this.#calm.reasonOf(work));
    if (this.#admission.isFull(work)) return ofNode(`this node has all the ${work} work that it takes at a time`);
    if (this.#admission.isFullOf(work, bytes)) return FULL_OF_BYTES;
    if (target === undefined || inflightCount < limit * CROWDED_FROM) return undefined;
    return this.crowd.isFull(crowdPlaceOf(target), inflightCount, limit) ? CROWDED : undefined;
  }
}

function ofNode(words: string): Hindrance {
  return { kind: "node", words };
}
