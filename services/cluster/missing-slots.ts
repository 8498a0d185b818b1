/**
 * MissingSlots: since when each slot is missed that nobody claims, though nobody who claimed it was removed: it may be lost,
 * and it may be on its way. Must never say that one is lost; only time tells.
 */
import type { EntitledMint } from "./handover-ports.ts";

/** By partition, as one node sees it. */
export class MissingSlots {
  readonly #sinceMs = new Map<number, number>();

  /** Looks at what could be minted now. */
  note(mints: readonly EntitledMint[], nowMs: number): void {
    const missing = new Set(mints.filter((mint) => mint.removed === undefined).map((mint) => mint.partition));
    for (const partition of this.#sinceMs.keys()) {
      if (!missing.has(partition)) this.#sinceMs.delete(partition);
    }
    for (const partition of missing) {
      if (!this.#sinceMs.has(partition)) this.#sinceMs.set(partition, nowMs);
    }
  }

  /** How long a slot of the partition has been missed; for ever when its holder is known to be removed. */
  missedForMs(partition: number, nowMs: number): number {
    return nowMs - (this.#sinceMs.get(partition) ?? Number.NEGATIVE_INFINITY);
  }
}
