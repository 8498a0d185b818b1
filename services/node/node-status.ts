/**
 * What a node says of itself and of the cluster as it sees it: health checks, members, the ring, one verdict with its
 * reasons. All from memory. Must never let "ready" depend on others: a split would empty the load balancer.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { ClusterHealth, ClusterView, HealthCheck, NodeStatus, PartitionView, RingView } from "../api/ports.ts";
import type { Config } from "../base/config.ts";
import type { NodeId } from "../base/ids.ts";
import type { ClusterView as BootstrapView, MemberView } from "../cluster/cluster-view.ts";
import type { KeyName } from "../coordinator/contract.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { locate } from "../placement/partitioner.ts";
import type { PlacementTable } from "../placement/types.ts";

/** What the status is read from. */
export interface StatusParts {
  readonly config: Config;
  readonly engine: StorageEngine;
  readonly links: PeerLinks;
  readonly view: () => BootstrapView;
  readonly isStopping: () => boolean;
}

/** The status of one node. */
export class NodeStatusView implements NodeStatus {
  readonly #parts: StatusParts;

  constructor(parts: StatusParts) {
    this.#parts = parts;
  }

  livez(): readonly HealthCheck[] {
    const { failure } = this.#parts.engine;
    return [check("storage", failure === undefined, failure === undefined ? "takes writes" : failure.message)];
  }

  readyz(): readonly HealthCheck[] {
    const { isStopping, engine, view } = this.#parts;
    const cluster = view();
    const isOpen = engine.failure === undefined;
    return [
      check("storage", isOpen, isOpen ? `recovered (${engine.recovery.mode})` : "failed"),
      check("cluster", cluster.isBootstrapped, cluster.isBootstrapped ? "member" : cluster.waitingFor),
      check("lifecycle", !isStopping(), isStopping() ? "stopping" : "running"),
    ];
  }

  startupz(): readonly HealthCheck[] {
    const { mode, recordCount, durationMs } = this.#parts.engine.recovery;
    return [check("recovery", true, `${mode}: ${recordCount} records in ${durationMs.toFixed(0)} ms`)];
  }

  cluster(): ClusterView {
    const { config, engine } = this.#parts;
    const view = this.#parts.view();
    const { mode, truncatedBytes, corruptRecordCount } = engine.recovery;
    const recovery = { mode, truncatedBytes, corruptRecords: corruptRecordCount };
    const suspectPartitions = engine.suspectPartitions().length;
    if (!view.isBootstrapped) return this.#unmade(view.waitingFor);
    return {
      cluster: config.cluster,
      node: config.nodeId,
      partitions: view.table.partitionCount,
      replicas: view.table.replicaCount,
      ringHash: hex(view.table.ringHash),
      members: view.members.map((member) => ({
        node: member.id,
        zone: member.zone,
        host: member.host,
        weight: member.weight,
        liveness: this.#isUp(member.id) ? "alive" : "faulty",
        address: member.address,
        slotsHeld: slotCountOf(view, member.id, config.nodeId),
      })),
      details: { clusterId: view.clusterId, recovery, suspectPartitions },
    };
  }

  ring(): RingView {
    const view = this.#parts.view();
    if (!view.isBootstrapped) return { ringHash: hex(0n), partitions: [] };
    const { table } = view;
    const partitions = Array.from({ length: table.partitionCount }, (_, partition) => partitionOf(table, partition));
    return { ringHash: hex(table.ringHash), partitions };
  }

  ringOf(name: KeyName): PartitionView & { readonly ringHash: string } {
    const view = this.#parts.view();
    const { partitionCount } = this.#parts.engine;
    const { partition } = locate(name, partitionCount);
    if (!view.isBootstrapped) return { ringHash: hex(0n), partition, owners: [], fallbacks: [] };
    return { ringHash: hex(view.table.ringHash), ...partitionOf(view.table, partition) };
  }

  clusterHealth(level: "one" | "quorum" | "all"): ClusterHealth {
    const view = this.#parts.view();
    if (!view.isBootstrapped) return { verdict: "unavailable", reasons: [view.waitingFor], partitionsWithoutQuorum: 0 };
    const { table } = view;
    const quorum = level === "one" ? 1 : level === "all" ? table.replicaCount : Math.floor(table.replicaCount / 2) + 1;
    let partitionsWithoutQuorum = 0;
    for (let partition = 0; partition < table.partitionCount; partition += 1) {
      const upCount = table.ownersOf(partition).filter(({ node }) => this.#isUp(node)).length;
      if (upCount < quorum) partitionsWithoutQuorum += 1;
    }
    const down = view.members.filter((member) => !this.#isUp(member.id)).map((member) => member.id);
    const reasons = down.map((node) => `node ${node} cannot be reached`);
    const suspectCount = this.#parts.engine.suspectPartitions().length;
    if (suspectCount > 0) reasons.push(`${suspectCount} partitions of this node may lack acknowledged writes`);
    if (partitionsWithoutQuorum > 0)
      reasons.push(`${partitionsWithoutQuorum} partitions have fewer owners up than "${level}" asks for`);
    const isWhole = reasons.length === 0;
    const verdict = partitionsWithoutQuorum > 0 ? "unavailable" : isWhole ? "healthy" : "degraded";
    return { verdict, reasons, partitionsWithoutQuorum };
  }

  #isUp(node: NodeId): boolean {
    return node === this.#parts.config.nodeId || this.#parts.links.isReachable(node);
  }

  #unmade(waitingFor: string): ClusterView {
    const { config, engine, links } = this.#parts;
    return {
      cluster: config.cluster,
      node: config.nodeId,
      partitions: engine.partitionCount,
      replicas: config.n,
      ringHash: hex(0n),
      members: links.knownPeers().map(({ nodeId, address, identity, isReachable }) => ({
        node: nodeId,
        zone: identity?.zone ?? "",
        host: identity?.host ?? "",
        weight: identity?.weight ?? 1,
        liveness: isReachable ? "alive" : "unknown",
        address,
        slotsHeld: 0,
      })),
      details: { waitingFor },
    };
  }
}

function check(name: string, isOk: boolean, reason: string): HealthCheck {
  return { name, isOk, reason };
}

/** 64 bits as 16 hex digits. */
function hex(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

function partitionOf(table: PlacementTable, partition: number): PartitionView {
  return {
    partition,
    owners: table.ownersOf(partition).map(({ node }) => node),
    fallbacks: table.fallbacksOf(partition),
  };
}

/** Of itself a node counts what its own record holds; of others, what the table gives them. */
function slotCountOf(view: MemberView, node: NodeId, self: NodeId): number {
  let count = 0;
  for (let partition = 0; partition < view.table.partitionCount; partition += 1) {
    const slot = node === self ? view.slotOf(partition) : view.table.slotOf(partition, node);
    if (slot >= 0) count += 1;
  }
  return count;
}
