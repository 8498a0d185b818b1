/** The shapes of placement: who is in the ring and who holds what. No code here. */
import type { NodeId } from "../base/ids.ts";

/** A member as placement sees it. */
export interface RingMember {
  readonly id: NodeId;
  readonly zone: string;
  readonly host: string;
  /** > 0; a node of weight 2 gets twice the share */
  readonly weight: number;
  /** what the ring hashes and sorts by; by default the id. Who takes over another's stands exactly where that one stood */
  readonly position?: string;
}

/** A node and the slot that it holds of some partition. */
export interface SlotHolder {
  readonly node: NodeId;
  /** 0 … N − 1 */
  readonly slot: number;
}

/** Equal members give byte-equal tables on every node. */
export interface PlacementTable {
  readonly partitionCount: number;
  readonly replicaCount: number;
  /** xxh64 over what the table is made from */
  readonly ringHash: bigint;
  readonly members: readonly RingMember[];
  /** the holders of slots 0 … N − 1, in slot order */
  ownersOf(partition: number): readonly SlotHolder[];
  /** every other member, in the order in which they stand in */
  fallbacksOf(partition: number): readonly NodeId[];
  /** the slot that the node holds of the partition, −1 for none */
  slotOf(partition: number, node: NodeId): number;
  zoneOf(node: NodeId): string;
}
