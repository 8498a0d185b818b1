/**
 * Which keys of a partition have changed since somebody began to copy it. Costs one read of an empty map while nobody
 * copies. Must never miss a change: a hash is noted after its write is visible and before the write leaves the gate.
 */
import { MAX_TRACKED_CHANGES } from "../base/limits.ts";

/** What has changed in one partition since the tracking began. */
export interface ChangeTracker {
  /** hashes that were noted and not taken */
  readonly count: number;
  /** more has changed than is remembered: what has changed must be found by comparison, and the tracking begun anew */
  readonly isOverflown: boolean;
  /** Takes up to `limit` hashes, the longest noted first. A key that changes again is noted again. */
  take(limit: number): readonly bigint[];
  /** Ends the tracking. Idempotent. */
  stop(): void;
}

/** The trackers of all partitions. */
export class ChangeTrackers {
  readonly #byPartition = new Map<number, Set<Changes>>();

  /** Notes from now on what changes in the partition. */
  track(partition: number): ChangeTracker {
    const trackers = this.#byPartition.get(partition) ?? new Set<Changes>();
    this.#byPartition.set(partition, trackers);
    const changes = new Changes(() => {
      trackers.delete(changes);
      if (trackers.size === 0 && this.#byPartition.get(partition) === trackers) this.#byPartition.delete(partition);
    });
    trackers.add(changes);
    return changes;
  }

  /** A key with this hash has changed. */
  note(partition: number, hash: bigint): void {
    if (this.#byPartition.size === 0) return;
    const trackers = this.#byPartition.get(partition);
    if (trackers !== undefined) for (const changes of trackers) changes.note(hash);
  }
}

class Changes implements ChangeTracker {
  readonly #hashes = new Set<bigint>();
  readonly #onStop: () => void;
  #isOverflown = false;

  constructor(onStop: () => void) {
    this.#onStop = onStop;
  }

  get count(): number {
    return this.#hashes.size;
  }

  get isOverflown(): boolean {
    return this.#isOverflown;
  }

  note(hash: bigint): void {
    if (this.#isOverflown) return;
    this.#hashes.add(hash);
    if (this.#hashes.size <= MAX_TRACKED_CHANGES) return;
    this.#isOverflown = true;
    this.#hashes.clear();
  }

  take(limit: number): readonly bigint[] {
    const taken: bigint[] = [];
    for (const hash of this.#hashes) {
      if (taken.length >= limit) break;
      taken.push(hash);
    }
    for (const hash of taken) this.#hashes.delete(hash);
    return taken;
  }

  stop(): void {
    this.#onStop();
    this.#hashes.clear();
  }
}
