/**
 * How many bytes hints may take, and whether there is room for one more. Asked for every hint: sums up the engine's
 * segments only now and then. Must never say yes for long after the budget is used up.
 */
import type { StorageEngine } from "../../storage/engine.ts";

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

  constructor(engine: Pick<StorageEngine, "stats">, budgetBytes: number) {
    this.#engine = engine;
    this.budgetBytes = budgetBytes;
  }

  /** Bytes of all hints, markers and removal marks, about. */
  get usedBytes(): number {
    if (this.#sinceCount >= SUM_EVERY) this.refresh();
    return this.#summedBytes + this.#sinceBytes;
  }

  /** Bytes that have to go; 0 while all is well. */
  get excessBytes(): number {
    return Math.max(0, this.usedBytes - this.budgetBytes * HIGH_WATER);
  }

  /** True when a hint of so many bytes may be kept; it is counted as kept. */
  takes(sizeBytes: number): boolean {
    if (this.usedBytes + sizeBytes + RECORD_BYTES > this.budgetBytes) {
      this.refresh();
      if (this.usedBytes + sizeBytes + RECORD_BYTES > this.budgetBytes) return false;
    }
    this.#sinceBytes += sizeBytes + RECORD_BYTES;
    this.#sinceCount += 1;
    return true;
  }

  /** Sums up anew. */
  refresh(): void {
    this.#summedBytes = this.#engine.stats().liveBytes;
    this.#sinceBytes = 0;
    this.#sinceCount = 0;
  }
}
