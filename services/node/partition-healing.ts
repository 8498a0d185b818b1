/** How the copies of one partition were healed, as this node alone knows it: facts for people, from memory. Must never ask anybody. */
import type { PartitionHealing } from "../api/cluster-door.ts";
import type { NodeId } from "../base/ids.ts";
import type { Healing } from "./healing.ts";

/** What it is read from. */
export interface HealingFacts {
  readonly self: NodeId;
  /** who claims a slot of the partition, this node among them where it holds one; each node counts once */
  readonly holders: readonly NodeId[];
  readonly healing: Pick<Healing, "verifiedMs">;
  /** why old tombstones of the partition are not collected yet, where this node leads that */
  readonly tombstonesWaitFor: (partition: number) => string | undefined;
  readonly monotonicMs: () => number;
  /** since 1970 */
  readonly wallMs: () => number;
}

/** The facts of the partition. O(holders). */
export function partitionHealing(facts: HealingFacts, partition: number): PartitionHealing {
  const { self, holders, healing, tombstonesWaitFor, monotonicMs, wallMs } = facts;
  const others = [...new Set(holders)].filter((node) => node !== self);
  const verified = others.map((node) => {
    const verifiedMs = healing.verifiedMs(node, partition);
    return { node, atMs: verifiedMs < 0 ? undefined : wallMs() - (monotonicMs() - verifiedMs) };
  });
  return { isHeldHere: holders.includes(self), verified, tombstonesWaitFor: tombstonesWaitFor(partition) };
}
