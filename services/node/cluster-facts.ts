/**
 * ClusterFacts: what a node can tell of the cluster, from memory: members, liveness, who holds what, what still moves.
 * Facts only: the verdict and the words are the API's. Must never wait for another node.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type {
  ClusterMember,
  ClusterStatus,
  KeyPlacement,
  MovesView,
  PartitionPlacement,
  RingPage,
} from "../api/cluster-door.ts";
import type { Config } from "../base/config.ts";
import type { NodeId } from "../base/ids.ts";
import type { Calm, CalmView } from "../calm/calm.ts";
import type { Bootstrap } from "../cluster/bootstrap.ts";
import type { Membership } from "../cluster/membership.ts";
import type { Operator } from "../cluster/operator.ts";
import type { KeyName } from "../coordinator/contract.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { MemberRecord } from "../placement/member-record.ts";
import { locate } from "../placement/partitioner.ts";
import type { RecordSet } from "../placement/record-set.ts";
import { concernsOf } from "./concerns.ts";
import type { Liveness } from "./liveness.ts";
import { type HealingFacts, partitionHealing } from "./partition-healing.ts";

/** What the facts are read from. */
export interface FactsParts extends Omit<HealingFacts, "self" | "holders"> {
  readonly config: Config;
  readonly engine: StorageEngine;
  readonly links: PeerLinks;
  readonly bootstrap: Bootstrap;
  readonly membership: Membership;
  readonly operator: Pick<Operator, "trouble">;
  readonly liveness: Liveness;
  /** what this node itself moves */
  readonly moving: () => Pick<MovesView, "bytesPerSecond" | "etaSeconds" | "active">;
  readonly calm: Pick<Calm, "view">;
  /** records that cannot be read here and that nobody else has */
  readonly lostKeys: () => number;
  /** what is told of healing: hints, anti-entropy */
  readonly sections: () => Record<string, unknown>;
}

/** A status without the plan that may be waiting. */
export type StatusFacts = Omit<ClusterStatus, "pendingPlan">;

/** The facts of one node. */
export class ClusterFacts {
  readonly #parts: FactsParts;

  constructor(parts: FactsParts) {
    this.#parts = parts;
  }

  /** O(members × partitions) at worst. */
  status(): StatusFacts {
    const { config, engine, membership, bootstrap } = this.#parts;
    const { table, set } = membership;
    const { mode, truncatedBytes, corruptRecordCount } = engine.recovery;
    const suspectPartitions = engine.suspectPartitions().length;
    const recovery = { mode, truncatedBytes, corruptRecords: corruptRecordCount };
    const members = table === undefined || set === undefined ? this.#strangers() : this.#members(table, set);
    const known = new Set(members.map((member) => member.node));
    return {
      cluster: config.cluster,
      clusterId: bootstrap.clusterId,
      node: config.nodeId,
      waitingFor: this.#waitingFor(),
      partitions: table?.partitionCount ?? engine.partitionCount,
      replicas: table?.replicaCount ?? config.n,
      ringHash: hex(table?.ringHash ?? 0n),
      recordsHash: hex(membership.recordsHash),
      members: [...members, ...this.#strangers().filter((member) => !known.has(member.node))].sort(byNode),
      moves: this.#moves(table),
      reachableHolders: table === undefined ? [] : this.#reachableHolders(table),
      vacant: table === undefined ? [] : vacantOf(table),
      concerns: concernsOf({
        ...{ node: config.nodeId, suspectPartitions, lostKeys: this.#parts.lostKeys(), set },
        refused: membership.refused(),
      }),
      details: {
        recovery,
        suspectPartitions,
        ...this.#parts.sections(),
        load: loadDocument(this.#parts.calm.view()),
      },
    };
  }

  /** The partitions `from … from + limit − 1`. */
  ring({ from, limit }: { readonly from: number; readonly limit: number }): RingPage {
    const { table } = this.#parts.membership;
    if (table === undefined) return { ringHash: hex(0n), partitionCount: 0, partitions: [] };
    const shown = Math.max(0, Math.min(limit, table.partitionCount - from));
    const moves = new Map(table.moves.map((move) => [move.partition, move]));
    const partitions = Array.from({ length: shown }, (_, i) => placementOf(table, moves, from + i));
    return { ringHash: hex(table.ringHash), partitionCount: table.partitionCount, partitions };
  }

  ringOf(name: KeyName): KeyPlacement {
    const { membership, engine } = this.#parts;
    const { table } = membership;
    const { partition } = locate(name, table?.partitionCount ?? engine.partitionCount);
    if (table === undefined) {
      const nobody = { owners: [], pending: [], departing: [], fallbacks: [], vacant: [] };
      const healing = { isHeldHere: false, verified: [], tombstonesWaitFor: undefined };
      return { ringHash: hex(0n), partition, ...nobody, healing };
    }
    const moves = new Map(table.moves.filter((move) => move.partition === partition).map((move) => [partition, move]));
    const holders = table.claimsOf(partition).map(({ node }) => node);
    const healing = partitionHealing({ ...this.#parts, self: this.#parts.config.nodeId, holders }, partition);
    return { ringHash: hex(table.ringHash), ...placementOf(table, moves, partition), healing };
  }

  /** The node runs and knows no records: it is new here, or has lost its disk, whatever the records of its name say. */
  isEmpty(node: NodeId): boolean {
    const { liveness } = this.#parts;
    return liveness.isAlive(node) && liveness.member(node)?.recordsHash === 0n;
  }

  #waitingFor(): string | undefined {
    const { bootstrap, membership, operator } = this.#parts;
    const view = bootstrap.view();
    if (!view.isBootstrapped) return operator.trouble ?? view.waitingFor;
    return membership.isRemoved ? "this node was removed: stop it and wipe its data directory" : undefined;
  }

  #members(table: HolderTable, set: RecordSet): readonly ClusterMember[] {
    const living = new Set(table.all.map((record) => record.key));
    const names = new Set(table.all.map((record) => record.nodeId));
    const shares = sharesOf(table);
    // of former lives only those whose name nobody bears now, nor an empty node that waits for a life of its own
    const former = set
      .records()
      .filter(({ key, nodeId }) => !living.has(key) && !names.has(nodeId) && !this.isEmpty(nodeId));
    const newest = new Map(former.map((record) => [record.nodeId, record]));
    return [...table.all, ...newest.values()].map((record) => ({
      ...this.#lifeOf(record.nodeId),
      node: record.nodeId,
      memberKey: record.key,
      status: set.isRemoved(record.key) ? "removed" : record.status,
      address: record.address,
      zone: record.zone,
      host: record.host,
      weight: record.weight,
      slotsHeld: living.has(record.key) ? heldCount(record) : 0,
      slotsTarget: shares.target.get(record.nodeId) ?? 0,
      incoming: shares.incoming.get(record.key) ?? 0,
      outgoing: shares.outgoing.get(record.key) ?? 0,
    }));
  }

  /** Linked nodes that no record names. */
  #strangers(): readonly ClusterMember[] {
    const { links, config, bootstrap } = this.#parts;
    const self = { nodeId: config.nodeId, address: config.advertiseAddress, identity: undefined };
    const own = bootstrap.clusterId === undefined ? [self] : [];
    return [...links.knownPeers(), ...own].map(({ nodeId, address, identity }) => ({
      ...this.#lifeOf(nodeId),
      node: nodeId,
      memberKey: "",
      status: "waiting",
      address,
      zone: identity?.zone ?? (nodeId === config.nodeId ? config.zone : ""),
      host: identity?.host ?? (nodeId === config.nodeId ? config.host : ""),
      weight: identity?.weight ?? 1,
      slotsHeld: 0,
      slotsTarget: 0,
      incoming: 0,
      outgoing: 0,
    }));
  }

  #lifeOf(node: NodeId): Pick<ClusterMember, "liveness" | "sinceMs" | "fitness" | "recordsHash"> {
    const { config, liveness, links, membership, monotonicMs } = this.#parts;
    const member = liveness.member(node);
    const ownHash = node === config.nodeId ? hex(membership.recordsHash) : undefined;
    const recordsHash = ownHash ?? (member?.recordsHash === undefined ? undefined : hex(member.recordsHash));
    const state = node === config.nodeId ? "alive" : (member?.state ?? (links.isReachable(node) ? "alive" : "unknown"));
    const { fitness } = member ?? {};
    return {
      liveness: state,
      sinceMs: member === undefined ? 0 : Math.max(0, Math.round(monotonicMs() - member.sinceMs)),
      fitness: fitness && {
        isDiskWritable: fitness.isDiskWritable,
        isDegraded: fitness.isDegraded,
        loopDelayMs: fitness.loopLag === 0 ? 0 : 2 ** fitness.loopLag,
        health: fitness.health,
      },
      recordsHash,
    };
  }

  #moves(table: HolderTable | undefined): MovesView {
    const moves = table?.moves ?? [];
    const copiesLeft = moves.reduce((sum, move) => sum + move.pending.length, 0);
    return { partitionsLeft: moves.length, copiesLeft, ...this.#parts.moving() };
  }

  #reachableHolders(table: HolderTable): Uint8Array {
    const { config, liveness } = this.#parts;
    const up = new Set(
      table.all.map((record) => record.nodeId).filter((node) => node === config.nodeId || liveness.isAlive(node)),
    );
    return Uint8Array.from({ length: table.partitionCount }, (_, partition) => {
      const slots = new Set<number>();
      for (const claim of table.claimsOf(partition)) if (up.has(claim.node)) slots.add(claim.slot);
      return slots.size;
    });
  }
}

function placementOf(
  table: HolderTable,
  moves: ReadonlyMap<number, HolderTable["moves"][number]>,
  partition: number,
): PartitionPlacement {
  const move = moves.get(partition);
  const owners = table.ownersOf(partition).map(({ node }) => node);
  const fallbacks = table.fallbacksOf(partition);
  if (move === undefined) return { partition, owners, pending: [], departing: [], fallbacks, vacant: [] };
  const nodes = move.pending.flatMap((key) => table.target.members.get(key)?.nodeId ?? []);
  return {
    partition,
    owners,
    pending: nodes,
    departing: move.departing.map((claim) => claim.node),
    fallbacks,
    vacant: move.vacant.map(({ slot }) => slot),
  };
}

function vacantOf(table: HolderTable): readonly { readonly partition: number; readonly slot: number }[] {
  return table.moves.flatMap(({ partition, vacant }) => vacant.map(({ slot }) => ({ partition, slot })));
}

function sharesOf(table: HolderTable): {
  readonly target: ReadonlyMap<string, number>;
  readonly incoming: ReadonlyMap<string, number>;
  readonly outgoing: ReadonlyMap<string, number>;
} {
  const target = new Map<string, number>();
  const incoming = new Map<string, number>();
  const outgoing = new Map<string, number>();
  for (let partition = 0; partition < table.partitionCount; partition += 1) {
    for (const { node } of table.target.table.ownersOf(partition)) count(target, node);
  }
  for (const move of table.moves) {
    for (const key of move.pending) count(incoming, key);
    for (const { key } of move.departing) count(outgoing, key);
  }
  return { target, incoming, outgoing };
}

/** Rounded for people; what is not known is null. */
function loadDocument(view: CalmView): Record<string, unknown> {
  const rounded = (value: number | undefined): number | null =>
    value === undefined ? null : Math.round(value * 1_000) / 1_000;
  const { readP99Ms, writeP99Ms, targetsMs } = view;
  return {
    backgroundShare: rounded(view.backgroundShare),
    pressure: rounded(view.pressure),
    readP99Ms: rounded(readP99Ms),
    readTargetMs: rounded(targetsMs.read),
    writeP99Ms: rounded(writeP99Ms),
    writeTargetMs: rounded(targetsMs.write),
    loopDelayMs: rounded(view.loopDelayMs),
    loopUtilisation: rounded(view.loopUtilisation),
    loopStrain: view.strain,
    memory: view.memory,
    memoryShare: rounded(view.memoryShare),
    startShare: rounded(view.startShare),
    admitted: view.limits,
  };
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function heldCount(record: MemberRecord): number {
  return record.slots.reduce((held, slot) => (slot >= 0 ? held + 1 : held), 0);
}

function byNode(left: ClusterMember, right: ClusterMember): number {
  return left.node < right.node ? -1 : left.node > right.node ? 1 : 0;
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}
