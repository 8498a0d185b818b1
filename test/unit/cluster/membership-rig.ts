/** Members on one clock, linked as a test says: membership and its operator over documents in memory. No tests here. */
import assert from "node:assert/strict";
import type { NodeId } from "../../../services/base/ids.ts";
import type { ClusterConfig, ClusterMember } from "../../../services/cluster/cluster-config.ts";
import { firstKeyOf } from "../../../services/cluster/first-records.ts";
import { Membership } from "../../../services/cluster/membership.ts";
import { AGREEMENT_TOPIC, ORDER_TOPIC } from "../../../services/cluster/membership-messages.ts";
import { Operator } from "../../../services/cluster/operator.ts";
import { firstSlotsOf, type Proposal } from "../../../services/cluster/own-record.ts";
import { RECORDS_EXCHANGE_TOPIC, RECORDS_OFFER_TOPIC } from "../../../services/cluster/record-exchange.ts";
import type { HolderTable } from "../../../services/placement/holder-table.ts";
import type { MemberKey, Removal } from "../../../services/placement/member-record.ts";
import { PLACEMENT_RULE } from "../../../services/placement/placement-table.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { nodeId } from "./bootstrap-world.ts";
import { KeptLog, MemoryDocuments, seededRandom, TestLinks } from "./cluster-fixtures.ts";

/** Q of these tests. */
export const PARTITION_COUNT = 64;

/** A node as it is configured. */
export function memberOf(name: string): ClusterMember {
  return { id: nodeId(name), zone: "z", host: name, weight: 1, address: `${name}:4500` };
}

/** What `names` agreed on. */
export function agreementOf(
  names: readonly string[],
  replicaCount: number = Math.min(3, names.length),
  clusterId: string = "c".repeat(32),
): Proposal {
  const config: ClusterConfig = {
    clusterId,
    clusterName: "test",
    partitionCount: PARTITION_COUNT,
    replicaCount,
    hashName: "xxh64",
    placementRule: PLACEMENT_RULE,
    members: names.map(memberOf),
    bucketDefaults: { n: replicaCount, r: 1, w: 1, conflicts: "siblings", blindWrites: "overwrite" },
  };
  const proposer = config.members[0]?.id;
  assert.ok(proposer !== undefined, "somebody proposes");
  return { proposer, attempt: 1, lineage: "d".repeat(32), config };
}

/** One node; what it was told of is kept. */
export interface RigNode {
  readonly id: NodeId;
  readonly membership: Membership;
  readonly operator: Operator;
  readonly documents: MemoryDocuments;
  readonly log: KeptLog;
  readonly tables: HolderTable[];
  readonly removals: Removal[];
  readonly failures: Error[];
}

/** How a node is started. */
export interface RigStart {
  readonly self?: Partial<ClusterMember>;
  readonly documents?: MemoryDocuments;
  readonly joinsByItself?: boolean;
  /** whether nothing but its slots keeps it; default: nothing does */
  readonly mayLeave?: () => boolean;
}

/** The nodes of one test. A node whose disk says nothing begins only when `begin`, or a join, says so. */
export class MembershipRig {
  readonly clock: FakeClock = new FakeClock();
  readonly links: TestLinks = new TestLinks();
  readonly nodes: Map<string, RigNode> = new Map();
  readonly agreement: Proposal;
  readonly #linked = new Map<NodeId, Set<NodeId>>();
  #seed = 1;

  constructor(names: readonly string[], replicaCount?: number, clusterId?: string) {
    this.agreement = agreementOf(names, replicaCount, clusterId);
  }

  /** An empty node, or one that was stopped. */
  start(name: string, start: RigStart = {}): RigNode {
    const { self, documents = new MemoryDocuments(), joinsByItself = false, mayLeave = () => true } = start;
    const log = new KeptLog();
    const member = { ...memberOf(name), ...self };
    const { id } = member;
    const [tables, removals, failures]: [HolderTable[], Removal[], Error[]] = [[], [], []];
    this.#seed += 1;
    const random = seededRandom(this.#seed);
    const peers = this.links.from(id);
    const { clock } = this;
    const membership = new Membership({
      ...{ self: member, documents, peers, clock, random, log },
      onTable: (table) => tables.push(table),
      onRemoved: (removal) => removals.push(removal),
      onFailure: (error) => failures.push(error),
      mayLeave,
    });
    const operator = new Operator({
      ...{ self: member, joinsByItself, partitionCount: PARTITION_COUNT, documents, membership, peers },
      bootstrap: {
        agreement: () => (membership.isMember ? this.agreement : undefined),
        isEmpty: true,
        adopt: async (proposal, prepare) => {
          await prepare();
          membership.begin(proposal, new Int8Array(PARTITION_COUNT).fill(-1));
          return true;
        },
      },
      linkedNodes: () => [...(this.#linked.get(id) ?? [])],
      ...{ clock, random, log },
    });
    this.links.handlers.set(
      id,
      new Map([
        [RECORDS_OFFER_TOPIC, membership.exchange.offerHandler],
        [RECORDS_EXCHANGE_TOPIC, membership.exchange.exchangeHandler],
        [AGREEMENT_TOPIC, operator.agreementHandler],
        [ORDER_TOPIC, operator.orderHandler],
      ]),
    );
    const node = { id, membership, operator, documents, log, tables, removals, failures };
    this.nodes.set(name, node);
    return node;
  }

  /** A member of the first hour, or one that joined and starts again. */
  begin(name: string, start: RigStart = {}): RigNode {
    const node =
      start.documents === undefined ? (this.nodes.get(name) ?? this.start(name, start)) : this.start(name, start);
    node.membership.begin(this.agreement, firstSlotsOf(this.agreement.config, node.id));
    return node;
  }

  /** Ends the process; its disk is returned. */
  stop(name: string): MemoryDocuments {
    const node = this.node(name);
    node.operator.stop();
    node.membership.stop();
    this.nodes.delete(name);
    this.links.handlers.delete(node.id);
    for (const other of this.#linked.get(node.id) ?? []) {
      this.#linked.get(other)?.delete(node.id);
      for (const one of this.nodes.values()) if (one.id === other) one.membership.exchange.peerDown(node.id);
    }
    this.#linked.delete(node.id);
    return node.documents;
  }

  /** Links between all of them, both ways. */
  link(...names: readonly string[]): void {
    for (const from of names) {
      for (const to of names) if (from < to) this.#linkTwo(this.node(from), this.node(to));
    }
  }

  node(name: string): RigNode {
    const node = this.nodes.get(name);
    assert.ok(node !== undefined, `node ${name} runs`);
    return node;
  }

  /** The key of a member of the first hour. */
  firstKey(name: string): MemberKey {
    return firstKeyOf(this.agreement.config.clusterId, nodeId(name));
  }

  #linkTwo(one: RigNode, other: RigNode): void {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const known = this.#linked.get(from.id) ?? new Set();
      this.#linked.set(from.id, known.add(to.id));
      from.membership.exchange.peerUp(to.id);
    }
  }
}
