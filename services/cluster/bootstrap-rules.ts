/** The rules of who may propose and what may be promised, as functions of what a node sees. Pure; no state of its own. */
import type { BucketSettings } from "../base/bucket-settings.ts";
import type { NodeId } from "../base/ids.ts";
import type { BootstrapRefusal } from "./bootstrap-messages.ts";
import type { ClusterMember } from "./cluster-config.ts";
import type { Proposal } from "./own-record.ts";

/** This node and the cluster it wants, as configured. */
export interface BootstrapSettings {
  readonly node: ClusterMember;
  readonly clusterName: string;
  /** members to wait for, at least `replicaCount` */
  readonly expect: number;
  /** Q of the store, which is fixed when the store is made */
  readonly partitionCount: number;
  /** Q as configured, when it may be another: then it is warned about, and has no effect */
  readonly configuredPartitionCount?: number;
  readonly replicaCount: number;
  readonly bucketDefaults: BucketSettings;
}

/** A node to which a link stands. */
export interface SeenPeer {
  readonly member: ClusterMember;
  /** the cluster that it is known to be a member of */
  readonly clusterId: string | undefined;
}

/** Whom this node sees, by id, without itself. */
export type SeenPeers = ReadonlyMap<NodeId, SeenPeer>;

/** Why something is not promised, with both sides' values in words. */
export interface Objection {
  readonly reason: BootstrapRefusal;
  readonly detail: string;
}

/**
 * The members that this node may propose: itself and the lowest others, when it is the lowest of at least `expect` nodes
 * that belong to no cluster, and sees none that belongs to one. Undefined otherwise.
 */
export function proposableMembers(settings: BootstrapSettings, seen: SeenPeers): readonly ClusterMember[] | undefined {
  if (clusterSeen(seen) !== undefined) return undefined;
  const candidates = [settings.node, ...[...seen.values()].map((peer) => peer.member)].toSorted(byId);
  if (candidates.length < settings.expect || candidates[0]?.id !== settings.node.id) return undefined;
  return candidates.slice(0, settings.expect);
}

/** A node that is known to be in a cluster, other than `clusterId`. */
export function clusterSeen(seen: SeenPeers, clusterId?: string): SeenPeer | undefined {
  for (const peer of seen.values()) if (peer.clusterId !== undefined && peer.clusterId !== clusterId) return peer;
  return undefined;
}

/** Why this node, free to promise, does not promise the proposal; undefined when it does. */
export function objectionTo(settings: BootstrapSettings, seen: SeenPeers, proposal: Proposal): Objection | undefined {
  return (
    settingsObjection(settings, proposal) ??
    identityObjection(settings, proposal) ??
    viewObjection(settings, seen, proposal)
  );
}

/** True when both name the same members with the same labels and addresses, in the same order. */
export function areSameMembers(left: readonly ClusterMember[], right: readonly ClusterMember[]): boolean {
  return left.length === right.length && left.every((member, at) => isSameMember(member, right[at]));
}

/** Asks for a proposal's settings to be those that this node was configured with. */
export function settingsObjection(settings: BootstrapSettings, { proposer, config }: Proposal): Objection | undefined {
  const compared = [
    ["cluster name", settings.clusterName, config.clusterName],
    ["partitions (Q)", settings.partitionCount, config.partitionCount],
    ["replicas (N)", settings.replicaCount, config.replicaCount],
    ["members expected", settings.expect, config.members.length],
  ] as const;
  for (const [what, ours, theirs] of compared) {
    if (ours === theirs) continue;
    const detail = `${what}: ${ours} at node ${settings.node.id}, ${theirs} in the proposal of node ${proposer}`;
    return { reason: "settings_differ", detail };
  }
  return undefined;
}

function identityObjection({ node }: BootstrapSettings, { config }: Proposal): Objection | undefined {
  const named = config.members.find((member) => member.id === node.id);
  // Its address is the links' business: a name here and a number there must not keep a cluster from being made.
  if (named !== undefined && isSameMember({ ...node, address: named.address }, named)) return undefined;
  const detail = `node ${node.id} is ${JSON.stringify(node)}, the proposal says ${JSON.stringify(named ?? "nothing")}`;
  return { reason: "stale_identity", detail };
}

function viewObjection({ node }: BootstrapSettings, seen: SeenPeers, proposal: Proposal): Objection | undefined {
  const { proposer, config } = proposal;
  const other = clusterSeen(seen, config.clusterId);
  if (other !== undefined) {
    const detail = `node ${other.member.id} is a member of cluster ${other.clusterId} already`;
    return { reason: "cluster_exists", detail };
  }
  const unseen = config.members.filter((member) => member.id !== node.id && !seen.has(member.id));
  if (unseen.length > 0) {
    const names = unseen.map((member) => `${member.id} (${member.address})`).join(", ");
    return { reason: "not_visible", detail: `node ${node.id} has no link to ${names}` };
  }
  const lower = [node.id, ...seen.keys()].toSorted()[0] ?? node.id;
  if (lower < proposer) return { reason: "not_lowest", detail: `node ${node.id} sees ${lower}, which proposes first` };
  return undefined;
}

function isSameMember(left: ClusterMember, right: ClusterMember | undefined): boolean {
  return (
    left.id === right?.id &&
    left.zone === right.zone &&
    left.host === right.host &&
    left.weight === right.weight &&
    left.address === right.address
  );
}

function byId(left: ClusterMember, right: ClusterMember): number {
  return left.id < right.id ? -1 : 1;
}
