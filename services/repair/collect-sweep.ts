/**
 * Looks through the records of a partition that are tombstones or may expire: counts them, and takes out those that a durable
 * mark lets go. Must never take out of a partition that is suspect, behind or on the move: a copy under way would differ from its
 * source, and where records are missing a tombstone may be all that keeps an old value away. Nor by a mark that is not durable yet.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { CorruptRecordError } from "../../storage/errors.ts";
import { COLLECT_STEP } from "../base/limits.ts";
import { encodedExpiryOf, encodedGreatestCounterOf, encodedSiblingCountOf } from "../versioning/object-header.ts";
import type { CollectFloors, CollectMark } from "./collect-floors-core.ts";
import type { StepRest } from "./collect-timers.ts";

/** What sweeping works with. */
export interface SweepParts {
  readonly store: Pick<StorageEngine, "scanCollectable" | "get" | "reap" | "isSuspect">;
  readonly floors: CollectFloors;
  readonly slotOf: (partition: number) => number;
  readonly isMoving: (partition: number) => boolean;
  /** the mark that lets records go, as it is now, is durable */
  readonly isTold: (partition: number) => boolean;
  /** work in steps begins: how to rest after each of them */
  readonly steps: () => StepRest;
}

/** What a partition's collectable records look like. */
export interface Census {
  /** may go by the mark that was asked about */
  readonly readyCount: number;
  readonly tombstoneCount: number;
  /** the oldest counter of a tombstone, 0 = none */
  readonly oldestCounter: number;
  /** the least counter above the mark, 0 = none: the partition is worth no look before that is old enough */
  readonly nextCounter: number;
}

interface Entry {
  readonly hash: bigint;
  readonly digest: bigint;
}

const MICROS_PER_MS = 1_000;

/** The collectable records of one node. */
export class CollectSweep {
  readonly #parts: SweepParts;
  readonly #due = new Set<number>();
  #isSweeping = false;
  #collectedCount = 0;

  constructor(parts: SweepParts) {
    this.#parts = parts;
  }

  /** Records taken out since start. */
  get collectedCount(): number {
    return this.#collectedCount;
  }

  /** The partition's mark lets go more than before, or may. */
  mark(partition: number): void {
    this.#due.add(partition);
  }

  /** Takes out what may go, of all partitions that are due; those on the move or suspect wait. Rejects as the store does. */
  async run(): Promise<void> {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    try {
      for (const partition of [...this.#due]) {
        if (this.#mayTakeOut(partition) && !(await this.#sweep(partition))) return;
      }
    } finally {
      this.#isSweeping = false;
    }
  }

  /** Counts what a partition has; undefined when the node stops. Rejects as the store does. O(tombstones). */
  async census(partition: number, mark: CollectMark): Promise<Census | undefined> {
    const census = { readyCount: 0, tombstoneCount: 0, oldestCounter: 0, nextCounter: 0 };
    const isWhole = await this.#each(partition, (_, value) => {
      const greatest = encodedGreatestCounterOf(value);
      if (encodedSiblingCountOf(value) === 0) {
        census.tombstoneCount += 1;
        census.oldestCounter = least(census.oldestCounter, greatest);
      }
      if (isReady(value, mark)) census.readyCount += 1;
      const due = Math.max(greatest, encodedExpiryOf(value) * MICROS_PER_MS);
      if (due > mark.floor) census.nextCounter = least(census.nextCounter, due);
    });
    return isWhole ? census : undefined;
  }

  #mayTakeOut(partition: number): boolean {
    const { store, slotOf, isMoving, isTold, floors } = this.#parts;
    if (slotOf(partition) < 0) this.#due.delete(partition);
    const isWhole = !store.isSuspect(partition) && !floors.isBehind(partition);
    return slotOf(partition) >= 0 && isWhole && !isMoving(partition) && isTold(partition);
  }

  /** False when the node stops. */
  async #sweep(partition: number): Promise<boolean> {
    const { floors } = this.#parts;
    const { reaped } = floors.marksOf(partition);
    let found: Entry[] = [];
    let isAllOut = true;
    const takeOut = async (): Promise<void> => {
      isAllOut = (await this.#takeOut(partition, found)) && isAllOut;
      found = [];
    };
    const isWhole = await this.#each(partition, async (entry, value) => {
      if (isReady(value, reaped)) found.push(entry);
      if (found.length >= COLLECT_STEP) await takeOut();
    });
    if (!isWhole) return false;
    await takeOut();
    // A higher mark may have come meanwhile, or the slot was on the move for a while: then it is looked through again.
    const isDone = isAllOut && this.#mayTakeOut(partition) && floors.marksOf(partition).reaped.floor === reaped.floor;
    if (isDone) this.#due.delete(partition);
    return true;
  }

  /** False when they stay for now. */
  async #takeOut(partition: number, entries: readonly Entry[]): Promise<boolean> {
    if (entries.length === 0) return true;
    if (!this.#mayTakeOut(partition)) return false;
    this.#collectedCount += await this.#parts.store.reap(partition, entries);
    return true;
  }

  /** Calls for each record that is a tombstone or may expire; false when the node stops. Unreadable ones are passed over. */
  async #each(partition: number, visit: (entry: Entry, value: Uint8Array) => void | Promise<void>): Promise<boolean> {
    const { store } = this.#parts;
    const rest = this.#parts.steps();
    for (let from: bigint | undefined = 0n; from !== undefined; ) {
      const page: Awaited<ReturnType<typeof store.scanCollectable>> = await store.scanCollectable(
        partition,
        from,
        COLLECT_STEP,
      );
      for (const { hash, key, digest } of page.entries) {
        const value = await this.#valueOf({ partition, hash, key });
        if (value !== undefined) await visit({ hash, digest }, value);
      }
      from = page.nextHash;
      if (!(await rest())) return false;
    }
    return true;
  }

  async #valueOf(address: {
    readonly partition: number;
    readonly hash: bigint;
    readonly key: Uint8Array;
  }): Promise<Uint8Array | undefined> {
    try {
      return (await this.#parts.store.get(address))?.value;
    } catch (error) {
      if (error instanceof CorruptRecordError) return undefined;
      throw error;
    }
  }
}

/** Every dot is at or below the floor, and nothing of it is there any more. */
function isReady(value: Uint8Array, { floor, expiryMs }: CollectMark): boolean {
  const greatest = encodedGreatestCounterOf(value);
  if (greatest === 0 || greatest > floor) return false;
  if (encodedSiblingCountOf(value) === 0) return true;
  const endMs = encodedExpiryOf(value);
  return endMs !== 0 && endMs <= expiryMs;
}

/** The lesser of two counters, of which 0 is none. */
function least(a: number, b: number): number {
  return a === 0 ? b : Math.min(a, b);
}
