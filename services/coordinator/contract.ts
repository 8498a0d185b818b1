/** What the coordinator is asked and what it answers: the types that `api`, `node` and tests speak. No code here. */

import type { ErrorCode, Outcome } from "../base/errors.ts";
import type { BucketName, NodeId } from "../base/ids.ts";
import type { TraceId } from "../base/trace.ts";
import type { CausalContext, Dot, SiblingSet } from "../versioning/types.ts";

/** How many replicas: a number (1 … 7) or a name for 1, ⌊n/2⌋+1, n. */
export type QuorumLevel = number | "one" | "quorum" | "all";

/** The knobs of one request; what is absent comes from the bucket. */
export interface Knobs {
  readonly r?: QuorumLevel;
  readonly w?: QuorumLevel;
  readonly pr?: QuorumLevel;
  readonly pw?: QuorumLevel;
  readonly sloppy: boolean;
  readonly timeoutMs: number;
  readonly explain: boolean;
  /** the sampled trace that the request is a part of: replicas are told of it, for their logs */
  readonly trace?: TraceId;
}

/** A key by its bucket and its own bytes. */
export interface KeyName {
  readonly bucket: BucketName;
  /** 1 … 1024 bytes */
  readonly key: Uint8Array;
}

/** A read as a client asks for it. */
export interface GetRequest {
  readonly name: KeyName;
  readonly knobs: Knobs;
  /** answer at least this version, or `stale` */
  readonly atLeast?: CausalContext;
  /** undefined: it is wanted until its time is up, whoever has gone meanwhile */
  readonly asker?: Asker | undefined;
}

/** Whoever asked, and may go before the answer. */
export interface Asker {
  /** Calls when he goes. Who asks again is told instead of the one before. */
  whenGone(run: () => void): void;
}

/** A write of a value as a client asks for it. */
export interface PutRequest {
  readonly name: KeyName;
  readonly knobs: Knobs;
  readonly contentType: string;
  readonly bytes: Uint8Array;
  /** undefined: a blind write */
  readonly context: CausalContext | undefined;
  /** for blind writes; undefined: as the bucket says */
  readonly blind?: "overwrite" | "sibling" | "reject";
  /** seconds that the value lives, from when its dot is minted; 0: for ever; undefined: as the bucket says */
  readonly ttlSeconds?: number;
}

/** A removal as a client asks for it. */
export interface DeleteRequest {
  readonly name: KeyName;
  readonly knobs: Knobs;
  readonly context: CausalContext | undefined;
}

/** One replica's part in a request, for `explain` and for the reasons in an error. */
export interface ReplicaReport {
  readonly node: NodeId;
  readonly role: "owner" | "fallback";
  readonly slot: number;
  readonly zone: string;
  readonly asked: "object" | "digest" | "store" | "nothing";
  /** `ok`, a refusal reason, `timeout`, `unreachable`, `link_closed`, `pending`, `failed`, `not_asked`, `in_doubt` */
  readonly answer: string;
  /** version digest, 16 hex digits; absent when unknown */
  readonly digest?: string;
  /** when it was asked: milliseconds after the node that coordinates began; absent when it was not */
  readonly askedAfterMs?: number;
  readonly latencyMs?: number;
  readonly hint: boolean;
}

/** What `explain=true` adds to an answer: whom the request met and what they said. */
export interface Explain {
  readonly partition: number;
  /** 16 hex digits */
  readonly ringHash: string;
  readonly coordinator: NodeId;
  readonly replicas: readonly ReplicaReport[];
  readonly repaired: readonly NodeId[];
  readonly hedged: boolean;
  /** this node forwarded the write to that owner */
  readonly forwardedTo?: NodeId;
}

/** Stored copies behind a write, counted in distinct slots at the moment of the answer. */
export interface Acks {
  readonly required: number;
  readonly received: number;
  readonly owners: number;
  readonly fallbacks: number;
  readonly durable: number;
}

/** A request that was not answered as asked. */
export interface Failure {
  readonly kind: "failed";
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  readonly retryable: boolean;
  /** in words, what was wrong and what to do */
  readonly detail: string;
  readonly required?: number;
  readonly received?: number;
  readonly replicas?: readonly ReplicaReport[];
  /** further facts for the problem document, e.g. limit and size */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly explain?: Explain;
}

/** How a read ends. `fallbacks`: the nodes that stood in for owners in it, where there were any. */
export type GetAnswer =
  /** `set` has one sibling or more */
  | {
      readonly kind: "found";
      readonly set: SiblingSet;
      readonly digest: bigint;
      readonly fallbacks?: readonly NodeId[];
      readonly explain?: Explain;
    }
  /** there was a value once; `context` lets a re-create follow the delete */
  | {
      readonly kind: "deleted";
      readonly context: CausalContext;
      /** nobody deleted it: its time was over then, wall-clock milliseconds */
      readonly expiredAtMs?: number;
      readonly fallbacks?: readonly NodeId[];
      readonly explain?: Explain;
    }
  | { readonly kind: "not_found"; readonly explain?: Explain }
  | Failure;

/** How a write ends. */
export type WriteAnswer =
  | {
      readonly kind: "applied";
      /** covers what the writer had seen or replaced, and the new dot; never a sibling that the writer has not seen */
      readonly context: CausalContext;
      readonly dot: Dot;
      /** siblings that stand now, at the coordinating replica */
      readonly siblingCount: number;
      /** wall-clock milliseconds at which the written value is gone; undefined: never, or a delete */
      readonly expiresAtMs?: number;
      readonly acks: Acks;
      readonly explain?: Explain;
    }
  | Failure;

/** A page of a bucket's keys as a client asks for it. */
export interface ListRequest {
  readonly bucket: BucketName;
  readonly limit: number;
  /** where to go on, as an earlier page gave it: a hash position, unsigned 64-bit */
  readonly from: bigint;
  readonly prefix: Uint8Array;
  readonly timeoutMs: number;
}

/** A page of keys in hash order; it may be short, even empty, and still have a `next`. */
export type ListAnswer =
  | {
      readonly kind: "page";
      readonly keys: readonly Uint8Array[] /** undefined: complete */;
      readonly next: bigint | undefined;
    }
  | Failure;

/** Takes the requests of clients at any node. Every promise settles within its timeout and a few milliseconds. */
export interface Coordinator {
  get(request: GetRequest): Promise<GetAnswer>;
  put(request: PutRequest): Promise<WriteAnswer>;
  delete(request: DeleteRequest): Promise<WriteAnswer>;
  list(request: ListRequest): Promise<ListAnswer>;
}
