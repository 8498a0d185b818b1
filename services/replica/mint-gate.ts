/**
 * Keeps a node from minting before it knows above what: a member that is new, or whose disk was set back, with a clock that
 * is slow, would give dots below what was collected without it. Open for good once it is. Must never be closed again, nor
 * stay closed because somebody does not answer: who opens it sees to that.
 */

/** Closed until `open`. */
export class MintGate {
  /** resolves when it is open */
  readonly opened: Promise<void>;
  #isOpen = false;
  #settle: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Idempotent. */
  open(): void {
    this.#isOpen = true;
    this.#settle();
  }
}
