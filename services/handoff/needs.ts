/**
 * What handoff wants from others, declared by the one who wants it: the main replica, who holds which slot, the bulk links.
 * `replica` and `node` satisfy these by shape. Must never hold behaviour.
 */
import type { NodeId } from "../base/ids.ts";
import type { SlotHolder } from "../placement/types.ts";
import type { KeyLocation, LocalReplica, ReplicaRefusal } from "../replica/contract.ts";

/** This node's own slots and what they hold. */
export interface MainReplica extends Pick<LocalReplica, "slotOf" | "digestOf" | "readEncoded" | "store"> {
  /** why the partition is not served, `facts.to`: where its slot went; undefined while it is */
  refusalOf(partition: number): ReplicaRefusal | undefined;
}

/** Who is believed to hold which slot now. Members that were removed hold none. */
export interface SlotHolders {
  /** undefined before the cluster is made */
  table(): { readonly replicaCount: number; ownersOf(partition: number): readonly SlotHolder[] } | undefined;
}

/** How many replicas a key has, by its bucket: slots from there on hold nothing of it. */
export interface KeyReplicas {
  replicasOf(location: KeyLocation): number;
}

/** The bulk links: one question, one answer. */
export interface HandoffPeers {
  /** The answer's body, or undefined when there was none in time, for whatever reason. Never rejects. */
  ask(node: NodeId, topic: string, body: unknown, timeoutMs: number): Promise<unknown>;
}
