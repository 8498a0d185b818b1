/**
 * The place of one request that was let in: free once its client has its answer or has gone, and nothing is done for it any more. A
 * client that goes takes no work back: who counted it out at once would let in others for it, while a slow disk still reads for all
 * that have gone. Must never be freed twice.
 */
export class Place {
  readonly #free: () => void;
  #isBusy = false;
  #isOver = false;
  #isFree = false;

  constructor(free: () => void) {
    this.#free = free;
  }

  /** Something is done for the request, until `idle`. */
  busy(): void {
    this.#isBusy = true;
  }

  /** Nothing is, any more. */
  idle(): void {
    this.#isBusy = false;
    this.#freeIfDone();
  }

  /** Its exchange is over. */
  over(): void {
    this.#isOver = true;
    this.#freeIfDone();
  }

  #freeIfDone(): void {
    if (this.#isFree || this.#isBusy || !this.#isOver) return;
    this.#isFree = true;
    this.#free();
  }
}
