/**
 * Counts bytes against bounds: those that wait to leave, per peer and over all peers, and those of a peer's requests that
 * are being served. Must never block: a full account says so.
 */

/** One account; what is added to it is added to its parent too. */
export class QueueAccount {
  readonly #maximumBytes: number;
  readonly #parent: QueueAccount | undefined;
  #queuedBytes = 0;

  constructor(maximumBytes: number, parent?: QueueAccount) {
    this.#maximumBytes = maximumBytes;
    this.#parent = parent;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** True when `moreBytes` may be queued here and in every parent. */
  hasRoom(moreBytes: number): boolean {
    if (this.#queuedBytes + moreBytes > this.#maximumBytes) return false;
    return this.#parent === undefined || this.#parent.hasRoom(moreBytes);
  }

  /** Adds bytes, or takes them off when negative. */
  add(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#parent?.add(bytes);
  }
}
