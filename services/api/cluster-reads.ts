/**
 * What the API shows of cluster and ring, from the membership door, or from the status of a node whose ring never changes.
 * All from memory. Must never wait for another node.
 */

import type { KeyName } from "../coordinator/contract.ts";
import { clusterDocument } from "./cluster-document.ts";
import type { ClusterDoor, KeyPlacement, PartitionPlacement } from "./cluster-door.ts";
import type { ClusterHealth, NodeStatus, PartitionView } from "./ports.ts";
import { type ConsistencyLevel, verdictOf } from "./verdict.ts";

/** A part of the ring for GET /v1/ring. */
export interface RingPart {
  readonly ringHash: string;
  /** Q */
  readonly partitionCount: number;
  readonly partitions: readonly (PartitionPlacement | PartitionView)[];
}

/** The reads of cluster and ring. */
export interface ClusterReads {
  document(): Record<string, unknown>;
  health(level: ConsistencyLevel): ClusterHealth;
  ring(page: { readonly from: number; readonly limit: number }): RingPart;
  ringOf(name: KeyName): KeyPlacement | ReturnType<NodeStatus["ringOf"]>;
  /** for the front page */
  names(): { readonly cluster: string; readonly node: string; readonly memberCount: number };
}

/** The reads over whichever of the two there is. */
export function clusterReads(status: NodeStatus, door: ClusterDoor | undefined): ClusterReads {
  return door === undefined ? readsOfStatus(status) : readsOfDoor(door);
}

function readsOfDoor(door: ClusterDoor): ClusterReads {
  return {
    document: () => {
      const facts = door.status();
      return clusterDocument(facts, verdictOf(facts, "quorum"));
    },
    health: (level) => verdictOf(door.status(), level),
    ring: (page) => door.ring(page),
    ringOf: (name) => door.ringOf(name),
    names: () => {
      const { cluster, node, members } = door.status();
      const count = members.filter(({ status }) => status !== "removed" && status !== "left").length;
      return { cluster, node, memberCount: count };
    },
  };
}

function readsOfStatus(status: NodeStatus): ClusterReads {
  return {
    document: () => ({ ...status.cluster() }),
    health: (level) => status.clusterHealth(level),
    ring: ({ from, limit }) => {
      const { ringHash, partitions } = status.ring();
      return { ringHash, partitionCount: partitions.length, partitions: partitions.slice(from, from + limit) };
    },
    ringOf: (name) => status.ringOf(name),
    names: () => {
      const { cluster, node, members } = status.cluster();
      return { cluster, node, memberCount: members.length };
    },
  };
}
