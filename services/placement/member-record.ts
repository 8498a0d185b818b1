/**
 * MemberRecord: what a node says of its place in the ring, and Removal: what an operator said of a node that cannot say it
 * itself. Records say who BELONGS; who is alive is gossip's, and changes nothing here. No code here.
 * Source: DESIGN §3; gossip-ring notes §A.8.
 */
import type { NodeId } from "../base/ids.ts";

/** 16 hex digits: one life of one disk. A node that lost its disk comes back under another key. */
export type MemberKey = string;

/** `joining` and `normal` members should hold slots; `leaving` ones hand theirs over; `left` ones have none. */
export type MemberStatus = "joining" | "normal" | "leaving" | "left";

/** Written by the node itself alone, durable before anyone is told. */
export interface MemberRecord {
  readonly key: MemberKey;
  readonly nodeId: NodeId;
  /** counts the writes of this record, 1 …; never a clock */
  readonly version: number;
  readonly status: MemberStatus;
  readonly zone: string;
  readonly host: string;
  /** > 0 */
  readonly weight: number;
  /** `host:port` of the peer listener; a live link's is newer */
  readonly address: string;
  /** what the ring hashes: the node id, or the position of the member that this one replaced */
  readonly position: string;
  /** the slot held of each partition, −1 for none; as long as Q. By this and nothing else a slot is held */
  readonly slots: Int8Array;
  /** the member that this one stands in for, as its own operator said */
  readonly replaces: MemberKey | undefined;
}

/** A member that is out for ever, whatever its record says: keys are never used again. */
export interface Removal {
  readonly key: MemberKey;
  /** the member that wrote it; of two removals of one key the smaller `by` is kept */
  readonly by: MemberKey;
  /** the member that takes its slots; undefined: whoever the ring names */
  readonly replacedBy: MemberKey | undefined;
}
