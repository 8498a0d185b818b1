/**
 * RingState: what of the ring the hot path reads: the believed holders, and the slots that this node serves by its own
 * durable record. Set by membership and the hand-over. Must never be set before what it rests on is durable.
 */

import type { NodeId } from "../base/ids.ts";
import { MAX_PARTITIONS } from "../base/limits.ts";
import { movedTo, type SlotLedger } from "../cluster/slot-ledger.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { RecordSet } from "../placement/record-set.ts";

/** One node's. */
export class RingState {
  table: HolderTable | undefined;
  /** names that only removed members bear: nobody serves them */
  removedNodes: ReadonlySet<NodeId> = new Set();
  /** told of each partition whose slot has come or gone since `begin` */
  onHold: ((partition: number) => void) | undefined;
  readonly #held = new Int8Array(MAX_PARTITIONS).fill(-1);
  #ledger: SlotLedger | undefined;
  #isOver = false;

  /** Serves what the ledger says; called once, when this node is a member. */
  begin(ledger: SlotLedger): void {
    this.#ledger = ledger;
    this.#held.fill(-1);
    if (!this.#isOver) this.#held.set(ledger.slots);
  }

  /** This node serves the partition by this slot from now on; −1: by none. */
  hold(partition: number, slot: number): void {
    this.#held[partition] = this.#isOver ? -1 : slot;
    this.onHold?.(partition);
  }

  /** Serves nothing any more, whatever still arrives: this node was removed. */
  dropAll(): void {
    this.#isOver = true;
    this.#held.fill(-1);
  }

  /** 0 … N − 1, −1 for none. */
  slotOf(partition: number): number {
    return this.#held[partition] ?? -1;
  }

  /** Where the slot went that this node held last. */
  movedTo(partition: number): NodeId | undefined {
    return this.#ledger === undefined ? undefined : movedTo(this.#ledger, partition);
  }
}

/** Names that only removed members bear. */
export function removedNodesOf(set: RecordSet | undefined): ReadonlySet<NodeId> {
  const records = set?.records() ?? [];
  const living = new Set(records.filter(({ key }) => set?.isRemoved(key) === false).map((record) => record.nodeId));
  return new Set(records.map((record) => record.nodeId).filter((node) => !living.has(node)));
}
