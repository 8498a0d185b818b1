/**
 * How many bytes hints may take on disk, and how many of them in the index in memory, and whether there is room for one more.
 * Asked for every hint: sums up the engine's segments only now and then. Must never say yes for long after the budget is
 * used up.
 */

import type { StorageEngine } from "../../storage/engine.ts";
import { HINT_ROOM_REFRESH_MS, MAX_HINT_RECORDS } from "../base/hint-limits.ts";
import type { Clock } from "../base/ports.ts";

/** share of the budget above which something has to go */
const HIGH_WATER = 0.9;
/** what a record costs beside key and value */
const RECORD_BYTES = 64;
/** hints taken between two sums */
const SUM_EVERY = 256;

/** The budget of one node. */
export class HintRoom {
  readonly budgetBytes: number;
  readonly #engine: Pick<StorageEngine, "stats">;
  #summedBytes = 0;
  #sinceBytes = 0;
  #sinceCount = SUM_EVERY;
  #recordCount = 0;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #refreshedMs = Number.NEGATIVE_INFINITY;

  constructor(engine: Pick<StorageEngine, "stats">, budgetBytes: number, clock: Pick<Clock, "monotonicMs">) {
    this.#engine = engine;
    this.#clock = clock;
    this.budgetBytes = budgetBytes;
  }

  /** Bytes of all hints, markers and removal marks, about. */
  get usedBytes(): number {
    if (this.#sinceCount >= SUM_EVERY) this.refresh();
    return this.#summedBytes + this.#sinceBytes;
  }

  /** Records that the engine holds, removal marks too, when they were counted last. */
  get recordCount(): number {
    return this.#recordCount;
  }

  /** Bytes that have to go; 0 while all is well. */
  get excessBytes(): number {
    return Math.max(0, this.usedBytes - this.budgetBytes * HIGH_WATER);
  }

  /** True when a hint of so many bytes may be kept; it is counted as kept. */
  takes(sizeBytes: number): boolean {
    if (this.#isFullFor(sizeBytes)) {
      // while it is full each refusal would sum up the whole store
      if (this.#clock.monotonicMs() - this.#refreshedMs < HINT_ROOM_REFRESH_MS) return false;
      this.refresh();
      if (this.#isFullFor(sizeBytes)) return false;
    }
    this.#sinceBytes += sizeBytes + RECORD_BYTES;
    this.#sinceCount += 1;
    return true;
  }

  /** Sums up anew. */
  refresh(): void {
    const { liveBytes, keyCount, tombstoneCount } = this.#engine.stats();
    this.#refreshedMs = this.#clock.monotonicMs();
    this.#summedBytes = liveBytes;
    this.#recordCount = keyCount + tombstoneCount;
    this.#sinceBytes = 0;
    this.#sinceCount = 0;
  }

  #isFullFor(sizeBytes: number): boolean {
    const isCrowded = this.#recordCount + this.#sinceCount >= MAX_HINT_RECORDS;
    return isCrowded || this.usedBytes + sizeBytes + RECORD_BYTES > this.budgetBytes;
  }
}
