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

/** Why a request is refused that no count of requests refuses. */
export const FULL_OF_BYTES: string = "this node holds all the bytes of requests that it takes at a time";
const CROWDED = "this node has all the requests of this key that it takes at a time";

/** The gate of one listener. */
export class FrontGate {
  readonly crowd: KeyCrowd = new KeyCrowd();
  readonly #admission: Admission;
  readonly #calm: LoadControl | undefined;

  constructor(admission: Admission, calm: LoadControl | undefined) {
    this.#admission = admission;
    this.#calm = calm;
  }

  /** Less than half of what may be under way is, of reads and of writes. */
  isRoomy(): boolean {
    return this.#isHalfFree("read") && this.#isHalfFree("write");
  }

  /** Why no request of the class and target is let in just now, in words; undefined: one may be. */
  reasonNow(work: WorkClass, target: string | undefined): string | undefined {
    const limit = this.#calm?.limitOf(work) ?? MAX_INFLIGHT_REQUESTS;
    const inflightCount = this.#admission.inflightOf(work);
    if (inflightCount >= limit && this.#calm !== undefined) return this.#calm.reasonOf(work);
    if (this.#admission.isFull(work)) return `this node has all the ${work} work that it takes at a time`;
    if (target === undefined || inflightCount < limit * CROWDED_FROM) return undefined;
    return this.crowd.isFull(crowdPlaceOf(target), inflightCount, limit) ? CROWDED : undefined;
  }

  #isHalfFree(work: WorkClass): boolean {
    const limit = this.#calm?.limitOf(work) ?? MAX_INFLIGHT_REQUESTS;
    return this.#admission.inflightOf(work) < limit / 2;
  }
}
