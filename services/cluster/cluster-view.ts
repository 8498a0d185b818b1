/**
 * ClusterView: what the rest of the node may know of the cluster: before the bootstrap, in words, what is waited for; after
 * it, the table and this node's own slots. Slots come from this node's own durable record, never from the table.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import { buildPlacementTable } from "../placement/placement-table.ts";
import type { PlacementTable } from "../placement/types.ts";
import { clusterSeen } from "./bootstrap-rules.ts";
import type { BootstrapState } from "./bootstrap-state.ts";
import type { ClusterMember } from "./cluster-config.ts";
import type { BootstrapStage } from "./own-record.ts";

/** The view of a member. It does not change while the process lives. */
export interface MemberView {
  readonly isBootstrapped: true;
  readonly clusterId: string;
  readonly table: PlacementTable;
  /** sorted by id, with the addresses known at bootstrap */
  readonly members: readonly ClusterMember[];
  readonly bucketDefaults: BucketSettings;
  /** the slot that this node holds of the partition by its own record, −1 for none */
  slotOf(partition: number): number;
}

/** The view of a node that is no member yet. */
export interface WaitingView {
  readonly isBootstrapped: false;
  /** for `/readyz` and logs: one sentence that says what is missing */
  readonly waitingFor: string;
}

/** Either of them. */
export type ClusterView = MemberView | WaitingView;

/** The view of a member by its record. Builds the table, about 10 ms: once for each process. */
export function memberViewOf(stage: Extract<BootstrapStage, { readonly kind: "member" }>): MemberView {
  const { config } = stage.proposal;
  const { slots } = stage;
  return {
    isBootstrapped: true,
    clusterId: config.clusterId,
    table: buildPlacementTable(config),
    members: config.members,
    bucketDefaults: config.bucketDefaults,
    slotOf: (partition) => slots[partition] ?? -1,
  };
}

/** What keeps a node from being a member, in one sentence. */
export function waitingTextOf(state: BootstrapState): string {
  const { settings, seen, promised, record } = state;
  const { stage } = record;
  const self = settings.node.id;
  const objections = [...state.objections].map(([node, detail]) => ` Node ${node} objects: ${detail}.`).join("");
  const foreign = clusterSeen(seen);
  if (stage.kind === "prepared" && stage.proposal.proposer !== self) {
    const { proposer } = stage.proposal;
    const where = seen.has(proposer) ? "" : ", which cannot be reached";
    return `waiting for node ${proposer}${where}, to which this node has promised itself, to complete the cluster.`;
  }
  if (stage.kind === "prepared") {
    const missing = stage.proposal.config.members.map((member) => member.id).filter((id) => !promised.has(id));
    return `waiting for ${missing.join(", ")} to promise to be members of the proposed cluster.${objections}`;
  }
  if (foreign !== undefined) {
    const others = `node ${foreign.member.id} belongs to cluster ${foreign.clusterId}`;
    return `${others}, which was made without this node: \`gyre join ${self}\` (or GYRE_JOIN=auto) makes it a member.`;
  }
  const names = [self, ...seen.keys()].toSorted();
  const count = `${names.length} of ${settings.expect} expected members seen (${names.join(", ")})`;
  if (names.length < settings.expect) return `${count}; waiting for ${settings.expect - names.length} more.`;
  if (names[0] !== self) return `${count}; waiting for node ${names[0]} to propose the cluster.${objections}`;
  return `${count}; about to propose the cluster.${objections}`;
}
