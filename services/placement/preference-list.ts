/**
 * PreferenceList: whom a request for a partition may ask. Owners are the holders of slots 0 … n − 1 of the bucket's n;
 * everyone else stands in, in walk order. A pure choice over a table and a belief of who can be reached; must never
 * decide how many are asked (that is the coordinator's quorum). Source: Dynamo §4.3, §4.6.
 */
import type { NodeId } from "../base/ids.ts";
import type { PlacementTable, SlotHolder } from "./types.ts";

/** The answer for one partition. Arrays are the table's own wherever nothing was left out: never change them. */
export interface PreferenceList {
  /** holders of slots 0 … n − 1, in slot order */
  readonly owners: readonly SlotHolder[];
  /** the owners that can be reached, in slot order; the same array when all can */
  readonly reachable: readonly SlotHolder[];
  /** the others that can be reached, in the order in which they stand in: holders of slots n … N − 1, then the walk */
  readonly fallbacks: readonly NodeId[];
}

/** The holders of slots 0 … `replicaCount` − 1, in slot order. No allocation when the bucket uses all of the cluster's N. */
export function ownersFor(table: PlacementTable, partition: number, replicaCount: number): readonly SlotHolder[] {
  const owners = table.ownersOf(partition);
  return isWhole(owners, replicaCount) ? owners : owners.filter((holder) => holder.slot < replicaCount);
}

/** Who stands in for a missing owner of the partition, nearest first, reachable or not. */
export function fallbacksFor(table: PlacementTable, partition: number, replicaCount: number): readonly NodeId[] {
  const owners = table.ownersOf(partition);
  const walk = table.fallbacksOf(partition);
  if (isWhole(owners, replicaCount)) return walk;
  return [...owners.filter((holder) => holder.slot >= replicaCount).map((holder) => holder.node), ...walk];
}

/** True when no slot is beyond the bucket's. In slot order, so the last one tells; a cluster too small leaves gaps. */
function isWhole(owners: readonly SlotHolder[], replicaCount: number): boolean {
  return (owners.at(-1)?.slot ?? -1) < replicaCount;
}

/** Owners and stand-ins of a partition for a bucket with `replicaCount` replicas, by who can be reached now. */
export function preferenceListOf(
  table: PlacementTable,
  key: { readonly partition: number; readonly replicaCount: number },
  isReachable: (node: NodeId) => boolean,
): PreferenceList {
  const owners = ownersFor(table, key.partition, key.replicaCount);
  const others = fallbacksFor(table, key.partition, key.replicaCount);
  return {
    owners,
    reachable: owners.every((holder) => isReachable(holder.node))
      ? owners
      : owners.filter((holder) => isReachable(holder.node)),
    fallbacks: others.every((node) => isReachable(node)) ? others : others.filter((node) => isReachable(node)),
  };
}
