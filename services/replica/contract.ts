/** What one node does with one key: the types that `coordinator`, `peers` handlers and tests speak. No code here. */
import type { ReadTerm } from "../../storage/engine.ts";
import type { CausalContext, Dot, SiblingSet } from "../versioning/types.ts";

export type { ReadTerm };

/** Same shape as storage's KeyAddress and the wire's KeyOnWire. */
export interface KeyLocation {
  readonly partition: number;
  /** unsigned 64-bit xxh64 of `key`; its top bits are the partition */
  readonly hash: bigint;
  /** bucket, 0x00, key */
  readonly key: Uint8Array;
}

/** How long an operation may wait for its turn and for reads before it stores anything. */
export interface Budgeted {
  /** milliseconds from the call on; once they are over, nothing is read, minted or stored any more; undefined: no end */
  readonly budgetMs?: number;
}

/** A version as another replica hands it in. */
export interface HandedVersion extends Budgeted {
  /** digest of what it was made from, 0n = nothing */
  readonly baseDigest: bigint;
  readonly digest: bigint;
  /** an encoded sibling set */
  readonly object: Uint8Array;
}

/** What a client wants done to a key, whole and unminted. */
export type WriteIntent = Budgeted & WriteChange;

type WriteChange =
  | {
      readonly kind: "put";
      readonly contentType: string;
      readonly bytes: Uint8Array;
      /** wall-clock milliseconds; 0 = never */
      readonly expiresAtMs: number;
      readonly context: CausalContext | undefined;
      /** what a blind put replaces: all that this replica holds, or nothing */
      readonly blind: "overwrite" | "sibling";
    }
  | { readonly kind: "delete"; readonly context: CausalContext | undefined };

/** A write that has its dot, before it is durable anywhere. */
export interface Minted {
  /** digest of what this replica held before, 0n = nothing */
  readonly baseDigest: bigint;
  readonly digest: bigint;
  /** the encoded sibling set, whole: what goes to the other owners */
  readonly object: Uint8Array;
  readonly dot: Dot;
  /** what the writer may be told it has seen (see the contract of the coordinator) */
  readonly context: CausalContext;
  readonly siblingCount: number;
}

/** Why a replica did nothing; no trace was left. */
export interface ReplicaRefusal {
  readonly kind: "refused";
  readonly reason:
    | "not_owner"
    /** no slot is held any more; `facts.to`: the node it went to */
    | "moved"
    | "disk_full"
    | "too_many_siblings"
    | "object_too_large"
    | "corrupt_record"
    /** it brings nothing: what of it is not held here was deleted for certain, and its tombstone has gone */
    | "collected"
    /** the same of a node that cannot say now whether it was deleted: it may live elsewhere, and is to be kept there */
    | "uncertain"
    | "shutting_down"
    | "overloaded"
    | "expired";
  readonly detail: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** What became of a write or a store at this node. */
export type ReplicaWriteResult =
  | {
      readonly kind: "stored";
      readonly digest: bigint;
      readonly isDurable: boolean;
      /**
       * Of a version that was handed in, siblings with counters up to this one were left out, deleted for certain; the rest
       * stands. No word for a write whose own dot was left out, but a trace of it. Absent: all of it stands.
       */
      readonly keptAbove?: number;
    }
  | ReplicaRefusal
  /** the store failed while writing: the write may or may not be there */
  | { readonly kind: "failed"; readonly detail: string };

/** What this node holds of a key, decoded. */
export type ReplicaReadResult =
  | { readonly kind: "object" /** undefined: nothing here */; readonly set: SiblingSet | undefined }
  | ReplicaRefusal;

/** The replica of this node, as the coordinator and the handler of peers see it. */
export interface LocalReplica {
  /** The slot this node holds of the partition by its own durable record, −1 for none. */
  slotOf(partition: number): number;
  isSuspect(partition: number): boolean;
  /**
   * What is held of a key (undefined: of any key of the partition) is no answer to a read: it may be older than what was
   * collected elsewhere. Absent: all of it is.
   */
  isHidden?(partition: number, key: Uint8Array | undefined): boolean;
  /** From RAM; 0n = nothing. */
  digestOf(location: KeyLocation): bigint;
  /**
   * The decoded versions; at once when the bytes are cached. Refused as `expired` when the disk had no time while it was wanted:
   * for so many ms, or by a term.
   */
  read(location: KeyLocation, wanted?: number | ReadTerm): ReplicaReadResult | Promise<ReplicaReadResult>;
  /** The same, encoded, for the wire. */
  readEncoded(
    location: KeyLocation,
    budgetMs?: number,
  ):
    | { readonly kind: "object"; readonly object: Uint8Array | undefined }
    | ReplicaRefusal
    | Promise<{ readonly kind: "object"; readonly object: Uint8Array | undefined } | ReplicaRefusal>;
  /**
   * Reads, mints a dot, stores. `onMinted` is called once, in the turn in which the store took the write and before it
   * is durable, so that the other owners are asked at the same time; on a full disk, after it is durable. It is never
   * called when nothing was kept nor will be: such a refusal leaves no trace. A refusal or failure AFTER it means that
   * this node has no trace of the write while those who were asked may have one. Writes of one key are serialized;
   * whoever waits beyond its budget is refused as `expired`, and has done nothing.
   */
  write(location: KeyLocation, intent: WriteIntent, onMinted: (minted: Minted) => void): Promise<ReplicaWriteResult>;
  /**
   * Takes a finished version from another replica: appended without reading when what is held has `baseDigest` (or
   * nothing is held), merged otherwise. Client limits never apply here.
   */
  store(location: KeyLocation, version: HandedVersion): Promise<ReplicaWriteResult>;
}
