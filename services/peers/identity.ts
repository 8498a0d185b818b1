/** Who is on the other side of a link, as the handshake proved it. No code here. */
import type { NodeId } from "../base/ids.ts";

/** A node as it presents itself; proven means only: it knows the cluster's secret. */
export interface PeerIdentity {
  readonly nodeId: NodeId;
  /** 32 hex digits, drawn at each start: tells a restart (or a clone) from the process that we knew */
  readonly bootNonce: string;
  /** the cluster's name as configured on both sides */
  readonly clusterName: string;
  /** minted at bootstrap; undefined before that */
  readonly clusterId: string | undefined;
  /** `host:port` where the node accepts links */
  readonly address: string;
  readonly zone: string;
  readonly host: string;
  /** > 0 */
  readonly weight: number;
}

/** What a link carries: the requests of clients, or background work in bulk that must never stand in their way. */
export type LinkPurpose = "data" | "bulk";

/** Which of our secrets a peer's proof was made with: the one that we speak with, or one that we only believe. */
export type ProvenBy = "primary" | "previous";

/** Why a handshake did not end in a link. */
export type HandshakeRefusal =
  | "malformed"
  | "other_version"
  | "other_cluster_name"
  | "other_cluster_id"
  /** the node dialled itself */
  | "self"
  /** another process has our node id: a clone */
  | "same_node_id"
  | "wrong_secret"
  /** an older process of this node id, after a newer one was met: a clone */
  | "retired_process"
  | "shutting_down";
