/** What nodes say to each other, as values. The frame codec turns them into bytes; must never know about sockets. */
import type { NodeId } from "../base/ids.ts";
import type { TraceId } from "../base/trace.ts";

/** Which key, on the wire: the hash is carried so that nobody computes it twice. */
export interface KeyOnWire {
  readonly partition: number;
  readonly hash: bigint;
  /** bucket, 0x00, key */
  readonly key: Uint8Array;
}

/** The slot that a node stands in for; it keeps what it takes as hints, unless it holds a slot of the bucket itself. */
export interface StandIn {
  /** 0 … n − 1 */
  readonly slot: number;
  /** replicas of the bucket, 1 … 7: who holds a slot from n on is no owner of its keys */
  readonly n: number;
}

/**
 * What one node asks of another; with `standIn` the node is asked in the place of an owner. `trace`: the sampled trace that it is a
 * part of, for the other's log; not told to nodes that do not understand it. An `ask` has it in its body, as `trace`.
 */
export type PeerRequest =
  | { readonly kind: "digest"; readonly key: KeyOnWire; readonly standIn?: StandIn; readonly trace?: TraceId }
  | { readonly kind: "fetch"; readonly key: KeyOnWire; readonly standIn?: StandIn; readonly trace?: TraceId }
  | {
      readonly kind: "store";
      readonly key: KeyOnWire;
      readonly standIn?: StandIn;
      readonly trace?: TraceId;
      /** digest of the version that the writer's object was made from; 0n = from nothing */
      readonly baseDigest: bigint;
      /** digest of `object` */
      readonly digest: bigint;
      /** an encoded sibling set, whole */
      readonly object: Uint8Array;
    }
  | { readonly kind: "ping" }
  /** Everything rare: `topic` names the handler, `body` is a MessagePack-able value. */
  | { readonly kind: "ask"; readonly topic: string; readonly body: unknown };

/** Why a replica did nothing. Nothing was stored in any of these cases. */
export type RefusalReason =
  | "not_owner"
  | "overloaded"
  | "disk_full"
  | "expired"
  | "shutting_down"
  | "not_ready"
  | "corrupt_record"
  | "too_many_siblings"
  | "unknown_topic"
  | "bad_request"
  /** no slot is held here any more; `to` names whom it went to, where that is known */
  | "moved"
  /** as old as what was collected there, and unknown: deleted, for certain */
  | "collected"
  /** the same of one that cannot say now that it was deleted */
  | "uncertain";

/** What a node answers. `isStandIn`: by its hints, for the slot that was asked; absent from the word of an owner. */
export type PeerReply =
  | {
      readonly kind: "digest";
      readonly slot: number;
      readonly digest: bigint;
      readonly isSuspect: boolean;
      readonly isStandIn?: true;
    }
  | {
      readonly kind: "object";
      readonly slot: number;
      /** undefined: this replica has nothing for the key */
      readonly object: Uint8Array | undefined;
      readonly isSuspect: boolean;
      readonly isStandIn?: true;
    }
  | {
      readonly kind: "stored";
      readonly slot: number;
      /** digest of what the replica holds now (after a merge it may differ from the one sent) */
      readonly digest: bigint;
      readonly isDurable: boolean;
      /** siblings with counters up to this one were left out as deleted, the rest was stored; absent: all was */
      readonly keptAbove?: number;
      readonly isStandIn?: true;
    }
  | { readonly kind: "pong" }
  | { readonly kind: "answer"; readonly body: unknown }
  | {
      readonly kind: "refused";
      readonly reason: RefusalReason;
      readonly detail: string;
      /** with `moved` only: who holds the slot now, or held it after this node */
      readonly to?: NodeId;
    }
  /** The replica's store failed while writing: the write may or may not be there. */
  | { readonly kind: "failed"; readonly detail: string };

/** What a call ends in: a reply, or the link's own word. */
export type CallResult =
  | PeerReply
  /** never left this node: no link, or its queue is full */
  | { readonly kind: "unsent"; readonly reason: "no_link" | "queue_full" }
  /** left this node, no reply: the link broke or the time was up. Whether it was done is unknown. */
  | { readonly kind: "lost"; readonly reason: "link_closed" | "timeout" };

/** The way to the other nodes. */
export interface Peers {
  /**
   * Sends a request; `onResult` is called exactly once, possibly before `call` returns (`unsent`). The other side gets
   * the budget and starts no storage work after it; a late reply is counted and dropped.
   */
  call(to: NodeId, request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void): void;
  /** A link stands and answers: what routing believes until gossip says more. */
  isReachable(node: NodeId): boolean;
}

/** What a node does with a request that came in; `reply` is called exactly once, now or later. */
export type PeerHandler = (
  from: NodeId,
  request: PeerRequest,
  budgetMs: number,
  reply: (reply: PeerReply) => void,
) => void;
