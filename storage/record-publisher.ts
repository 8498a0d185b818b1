/**
 * Makes durable records visible, in the order of their seqs. Must never be given one that is not durable.
 */
import type { HashJudge } from "./hash-judge.ts";
import type { Keyspace, KeyspaceEntry } from "./keyspace.ts";
import type { PendingWrite } from "./pending-write.ts";

/** Publishes to index and tree. */
export class RecordPublisher {
  readonly #keyspace: Keyspace;
  readonly #judge: HashJudge;
  #putCount = 0;

  constructor(keyspace: Keyspace, judge: HashJudge) {
    this.#keyspace = keyspace;
    this.#judge = judge;
  }

  /** Records published so far. */
  get putCount(): number {
    return this.#putCount;
  }

  /** Publishes one record; a promise only when keys of one hash must be compared on disk. */
  publish(write: PendingWrite, segment: number): void | Promise<void> {
    const { kind } = write;
    const { address, digest } = write.request;
    const { partition, hash } = address;
    const entry = { hash, digest, segment, offset: write.offset, length: write.totalBytes, kind };
    this.#putCount += 1;
    const table = this.#keyspace.table(partition);
    const slot = table === undefined ? -1 : table.find(hash);
    if (table === undefined || slot < 0) {
      this.#keyspace.insert(partition, entry);
      return;
    }
    if (write.sharesHash === true || table.findNext(slot, hash) >= 0) return this.#publishCompared(write, entry);
    // nobody else was known to have this hash when the write was accepted, and later ones are published later
    this.#keyspace.replace(partition, slot, entry);
  }

  async #publishCompared(write: PendingWrite, entry: KeyspaceEntry): Promise<void> {
    const { address } = write.request;
    const { partition, hash } = address;
    for (;;) {
      const place = await this.#judge.placeOf(address);
      if (place === undefined) {
        this.#keyspace.insert(partition, entry);
        return;
      }
      const slot = this.#keyspace.slotAt(partition, hash, place);
      if (slot >= 0) {
        this.#keyspace.replace(partition, slot, entry);
        return;
      }
      // compaction has moved it meanwhile: look again
    }
  }
}
