/**
 * What a node says of itself and of the cluster as it sees it: health checks, members, the ring, one verdict with its
 * reasons. All from memory. Must never let "ready" depend on others: a split would empty the load balancer.
 */
import type { DiskLevel, DiskState, StorageEngine } from "../../storage/engine.ts";
import type { ClusterHealth, ClusterView, HealthCheck, NodeStatus, PartitionView, RingView } from "../api/ports.ts";
import type { Config } from "../base/config.ts";
import type { NodeId } from "../base/ids.ts";
import type { Bootstrap } from "../cluster/bootstrap.ts";
import type { Membership } from "../cluster/membership.ts";
import type { KeyName } from "../coordinator/contract.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { locate } from "../placement/partitioner.ts";
import type { PlacementTable } from "../placement/types.ts";
import type { Liveness } from "./liveness.ts";

/** What the status is read from. */
export interface StatusParts {
  readonly config: Config;
  readonly engine: StorageEngine;
  readonly links: PeerLinks;
  readonly bootstrap: Pick<Bootstrap, "view">;
  readonly membership: Pick<Membership, "table" | "isRemoved" | "store">;
  readonly liveness: Pick<Liveness, "stateOf" | "member">;
  readonly pulse: { readonly words: string };
  readonly calm: { readonly isWarmingUp: boolean };
  /** not all have told yet what was collected: reads do without this node, and it mints nothing; over within seconds, whatever others do */
  readonly door: { readonly isHearing: boolean };
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
    const { isStopping, engine, membership, door, calm } = this.#parts;
    const waitingFor = this.#waitingFor();
    const isOpen = engine.failure === undefined;
    return [
      check("storage", isOpen, isOpen ? `recovered (${engine.recovery.mode})` : "failed"),
      check("disk", true, diskWords(engine.disk)),
      // A slow disk is others' business: out of the load balancer, its reads would be lost too.
      check("disk-speed", true, this.#parts.pulse.words),
      check("cluster", waitingFor === undefined, waitingFor ?? `member (${membership.store.record.status})`),
      check("collecting", !door.isHearing, door.isHearing ? HEARING : "knows what was collected"),
      check("warm-up", !calm.isWarmingUp, calm.isWarmingUp ? WARMING_UP : "warm"),
      check("lifecycle", !isStopping(), isStopping() ? "stopping" : "running"),
    ];
  }

  startupz(): readonly HealthCheck[] {
    const { mode, recordCount, durationMs } = this.#parts.engine.recovery;
    return [check("recovery", true, `${mode}: ${recordCount} records in ${durationMs.toFixed(0)} ms`)];
  }

  cluster(): ClusterView {
    const { config, engine } = this.#parts;
    const { table, isRemoved } = this.#parts.membership;
    const { mode, truncatedBytes, corruptRecordCount } = engine.recovery;
    const recovery = { mode, truncatedBytes, corruptRecords: corruptRecordCount };
    const suspectPartitions = engine.suspectPartitions().length;
    if (table === undefined) return this.#unmade(this.#waitingFor() ?? "");
    return {
      cluster: config.cluster,
      node: config.nodeId,
      partitions: table.partitionCount,
      replicas: table.replicaCount,
      ringHash: hex(table.ringHash),
      members: table.all.map((member) => ({
        node: member.nodeId,
        zone: member.zone,
        host: member.host,
        weight: member.weight,
        liveness: this.#isUp(member.nodeId) ? "alive" : "faulty",
        address: member.address,
        slotsHeld: member.slots.reduce((count, slot) => (slot >= 0 ? count + 1 : count), 0),
      })),
      details: { recovery, suspectPartitions, isRemoved, partitionsOnTheMove: table.moves.length },
    };
  }

  ring(): RingView {
    const { table } = this.#parts.membership;
    if (table === undefined) return { ringHash: hex(0n), partitions: [] };
    const partitions = Array.from({ length: table.partitionCount }, (_, partition) => partitionOf(table, partition));
    return { ringHash: hex(table.ringHash), partitions };
  }

  ringOf(name: KeyName): PartitionView & { readonly ringHash: string } {
    const { table } = this.#parts.membership;
    const { partitionCount } = this.#parts.engine;
    const { partition } = locate(name, partitionCount);
    if (table === undefined) return { ringHash: hex(0n), partition, owners: [], fallbacks: [] };
    return { ringHash: hex(table.ringHash), ...partitionOf(table, partition) };
  }

  clusterHealth(level: "one" | "quorum" | "all"): ClusterHealth {
    const { table } = this.#parts.membership;
    if (table === undefined) {
      return { verdict: "unavailable", reasons: [this.#waitingFor() ?? ""], partitionsWithoutQuorum: 0 };
    }
    const quorum = level === "one" ? 1 : level === "all" ? table.replicaCount : Math.floor(table.replicaCount / 2) + 1;
    let partitionsWithoutQuorum = 0;
    for (let partition = 0; partition < table.partitionCount; partition += 1) {
      const upCount = table.ownersOf(partition).filter(({ node }) => this.#isUp(node)).length;
      if (upCount < quorum) partitionsWithoutQuorum += 1;
    }
    const down = table.all.filter((member) => !this.#isUp(member.nodeId)).map((member) => member.nodeId);
    const reasons = down.map((node) => `node ${node} cannot be reached`);
    const suspectCount = this.#parts.engine.suspectPartitions().length;
    if (suspectCount > 0) reasons.push(`${suspectCount} partitions of this node may lack acknowledged writes`);
    if (partitionsWithoutQuorum > 0)
      reasons.push(`${partitionsWithoutQuorum} partitions have fewer owners up than "${level}" asks for`);
    const isWhole = reasons.length === 0;
    const verdict = partitionsWithoutQuorum > 0 ? "unavailable" : isWhole ? "healthy" : "degraded";
    return { verdict, reasons, partitionsWithoutQuorum };
  }

  /** What keeps this node from being a serving member, in one sentence; undefined: nothing does. */
  #waitingFor(): string | undefined {
    const { bootstrap, membership } = this.#parts;
    const view = bootstrap.view();
    if (!view.isBootstrapped) return view.waitingFor;
    if (membership.isRemoved) return "this node was removed from the cluster: stop it and wipe its data directory";
    return undefined;
  }

  #isUp(node: NodeId): boolean {
    const { config, links, liveness } = this.#parts;
    return node === config.nodeId || (links.isReachable(node) && liveness.stateOf(node) !== "dead");
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

/** Never a reason to take the node out: it reads on at every level, and refuses in words. */
function diskWords({ level, freeBytes, totalBytes }: DiskState): string {
  const mib = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;
  return `${DISK_WORDS[level]}: ${mib(freeBytes)} of ${mib(totalBytes)} free`;
}

const WARMING_UP = "does its part for the other nodes first: at most 3 s";
const HEARING = "hearing what was collected meanwhile: at most 3 s";

const DISK_WORDS: Readonly<Record<DiskLevel, string>> = {
  ok: "enough space",
  warn: "space is getting scarce",
  no_growth: "takes no copies and no hints",
  no_puts: "refuses puts",
  compaction_only: "refuses all writes",
};

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
