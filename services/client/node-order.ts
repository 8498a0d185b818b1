/**
 * Which node a request asks first, then, and last: in the order that the client was given, but those that could not serve the
 * last one rest, and are asked after all others. So a node that is gone or cut off costs one retry now and then instead of one
 * for each request, which the retry budget would not bear. Pure. Must never leave a node out: where all rest, all are asked.
 * Source: outlier ejection; circuit breakers that are half open (Nygard, "Release It!").
 */

/** A rest: this long at first, twice as long after each trial that did not end it, this long at most. */
const REST_MIN_MS = 1_000;
const REST_MAX_MS = 30_000;

/** How a node could not serve. */
export interface Unable {
  readonly retryAfterMs: number;
  /** it could not be reached, or said that another one is to be asked */
  readonly isAside: boolean;
  /** in [0, 1) */
  readonly chance: number;
}

/** A node as this client knows it. */
export class KnownNode {
  readonly url: string;
  /** as it asked to be left alone itself */
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  /** it could not be reached, or said that another one is to be asked */
  #isAside = false;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  /** rests since it last served */
  #restCount = 0;

  constructor(url: string) {
    this.url = url;
  }

  isResting(nowMs: number): boolean {
    return nowMs < this.#restUntilMs;
  }

  /** What is left of the time for which it asked to be left alone, milliseconds. */
  leaveMs(nowMs: number): number {
    return Math.max(0, this.#notBeforeMs - nowMs);
  }

  /** It rests for it could not be reached, or said that another one is to be asked. */
  isAside(nowMs: number): boolean {
    return this.#isAside && this.isResting(nowMs);
  }

  /** It served, or told that the request itself is wrong. */
  onServed(): void {
    this.#isAside = false;
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
    this.#restCount = 0;
    this.#restUntilMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * It could not serve a request, and wants to be left alone for `retryAfterMs`. Whether that was the request's doing (`w=all`) or
   * the node's, which is cut off, is not known: it rests. Many requests may say so of one mishap: that is one rest.
   */
  onUnable(nowMs: number, how: Unable): void {
    const leaveMs = Math.min(how.retryAfterMs, REST_MAX_MS);
    this.#notBeforeMs = Math.max(this.#notBeforeMs, nowMs + leaveMs);
    this.#isAside = how.isAside;
    if (!this.isResting(nowMs)) this.#rest(nowMs, how.chance);
    this.#restUntilMs = Math.max(this.#restUntilMs, nowMs + leaveMs);
  }

  /** After its rest one request tries it; until that has ended well, it rests for the others. */
  onTrial(nowMs: number, chance: number): void {
    if (this.#restCount > 0 && !this.isResting(nowMs)) this.#rest(nowMs, chance);
  }

  /** For sorting: who rests comes after who does not, and the sooner the rest ends the earlier. */
  restLeftMs(nowMs: number): number {
    return Math.max(0, this.#restUntilMs - nowMs);
  }

  #rest(nowMs: number, chance: number): void {
    const restMs = Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** Math.min(this.#restCount, 10));
    this.#restCount += 1;
    this.#restUntilMs = nowMs + restMs * (0.5 + chance / 2);
  }
}

/** The nodes of a client. */
export class NodeOrder {
  readonly #nodes: readonly KnownNode[];

  constructor(urls: readonly string[]) {
    this.#nodes = urls.map((url) => new KnownNode(url));
  }

  /** All nodes, in the order in which a request that begins now is to ask them. `chance`: in [0, 1). */
  forRequest(nowMs: number, chance: number): readonly KnownNode[] {
    const order = this.#nodes.toSorted((left, right) => left.restLeftMs(nowMs) - right.restLeftMs(nowMs));
    order[0]?.onTrial(nowMs, chance);
    return order;
  }
}
