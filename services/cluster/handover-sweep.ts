/**
 * HandoverSweep: removes copies that were begun for slots which this node shall not have any more: a leave or an abort in
 * mid-transfer. Only what the ledger marks as being received is removed, never a copy that was held once.
 */
import assert from "node:assert/strict";
import type { HandoverParts } from "./handover-ports.ts";

/** One partition at a time. */
export class HandoverSweep {
  readonly #parts: Pick<HandoverParts, "view" | "store" | "receiverData" | "log">;
  #partition: number | undefined;

  constructor(parts: Pick<HandoverParts, "view" | "store" | "receiverData" | "log">) {
    this.#parts = parts;
  }

  /** The partition that is being emptied: nothing may be fetched for it meanwhile. */
  get partition(): number | undefined {
    return this.#partition;
  }

  /** Begins to remove one copy, if there is one; goes on with the next by itself. `isIdle`: nobody works on the partition. */
  review(isIdle: (partition: number) => boolean): void {
    if (this.#partition !== undefined) return;
    const { view, store } = this.#parts;
    const { receiving, slots, staged, minting } = store.ledger;
    for (const partition of receiving.keys()) {
      const isNeeded = view.isTarget(partition, view.ownKey) || slots[partition] !== -1;
      if (isNeeded || staged.has(partition) || minting.has(partition) || !isIdle(partition)) continue;
      this.#partition = partition;
      void this.#remove(partition, isIdle);
      return;
    }
  }

  async #remove(partition: number, isIdle: (partition: number) => boolean): Promise<void> {
    const { store, receiverData, log } = this.#parts;
    const { slots, staged } = store.ledger;
    assert.ok(slots[partition] === -1 && !staged.has(partition), "a copy that is held or staged is not removed");
    try {
      await receiverData.dropPartition(partition);
      await store.commit([{ kind: "receiving", partition, from: undefined }]);
    } catch (error) {
      this.#partition = undefined;
      log.warn({ event: "handover.sweep-failed", partition, error });
      return;
    }
    this.#partition = undefined;
    this.review(isIdle);
  }
}

/** Of donors that were removed nothing is accepted, and so nothing need be remembered. Durable when it resolves. */
export async function forgetRemoved({
  store,
  view,
  log,
}: Pick<HandoverParts, "view" | "store" | "log">): Promise<void> {
  const donors = new Set([...store.ledger.consumed.values()].flatMap((byDonor) => [...byDonor.keys()]));
  const changes = [...donors].flatMap((from) => (view.isRemoved(from) ? [{ kind: "forgotten", from } as const] : []));
  if (changes.length === 0) return;
  await store.commit(changes).catch((error: unknown) => log.warn({ event: "handover.ledger-failed", error }));
}
