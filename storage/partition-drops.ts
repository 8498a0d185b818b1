/**
 * Drops partitions: the manifest says up to which seq a partition's records are gone, and then the index forgets them.
 * Puts of the partition that came before the drop are settled first, so that their seqs are known to lie below; those
 * that come during it follow it. Must never let the index forget what is not durably gone, nor give a record that is to
 * stay a seq that the drop covers.
 */
import type { Compactor } from "./compactor.ts";
import type { Keyspace } from "./keyspace.ts";
import type { LogWriter } from "./log-writer.ts";
import type { Suspicion } from "./suspicion.ts";
import type { QueueBounds, WriteQueue } from "./write-queue.ts";

/** What drops work with. */
export interface DropParts {
  readonly keyspace: Keyspace;
  readonly queue: WriteQueue;
  readonly suspicion: Suspicion;
  readonly writer: Pick<LogWriter, "writtenThrough">;
  readonly compactor: Pick<Compactor, "wake">;
}

/** Drops, one at a time for a partition. */
export class PartitionDrops {
  readonly #parts: DropParts;
  readonly #bounds: QueueBounds;
  /** partitions that are being dropped, and what is to be done afterwards, in the order of its coming */
  readonly #followers = new Map<number, (() => void)[]>();
  #followerCount = 0;
  #followerBytes = 0;

  /** `bounds`: of all puts that wait for a drop. */
  constructor(parts: DropParts, bounds: QueueBounds) {
    this.#parts = parts;
    this.#bounds = bounds;
  }

  /** No partition is being dropped. */
  get isIdle(): boolean {
    return this.#followers.size === 0;
  }

  /** Calls `accept` now, or once the drop of the partition is over; false when too much waits for that already. */
  follow(partition: number, sizeBytes: number, accept: () => void): boolean {
    if (!this.#followers.has(partition)) {
      accept();
      return true;
    }
    if (this.#followerCount >= this.#bounds.records || this.#followerBytes + sizeBytes > this.#bounds.bytes) {
      return false;
    }
    this.#followerCount += 1;
    this.#followerBytes += sizeBytes;
    this.#after(partition, () => {
      this.#followerCount -= 1;
      this.#followerBytes -= sizeBytes;
      accept();
    });
    return true;
  }

  /** Drops a partition. Rejects as `Manifest.append`: then everything is still there. */
  drop(partition: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#after(partition, () => {
        this.#followers.set(partition, []);
        this.#run(partition).then(resolve, reject);
      });
    });
  }

  async #run(partition: number): Promise<void> {
    const { keyspace, queue, suspicion, writer, compactor } = this.#parts;
    try {
      await queue.whenNone(partition);
      const throughSeq = writer.writtenThrough;
      await suspicion.clear(partition, [{ kind: "dropped", partition, throughSeq }]);
      keyspace.drop(partition);
    } finally {
      this.#release(partition);
    }
    compactor.wake();
  }

  #after(partition: number, act: () => void): void {
    const followers = this.#followers.get(partition);
    if (followers === undefined) act();
    else followers.push(act);
  }

  /** One of those that follow may be a drop itself: the rest then follows that one. */
  #release(partition: number): void {
    const followers = this.#followers.get(partition) ?? [];
    this.#followers.delete(partition);
    for (const act of followers) this.#after(partition, act);
  }
}
