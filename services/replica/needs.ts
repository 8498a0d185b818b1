/**
 * What the replica wants from others, declared by the one who wants it: which slots this node holds, which buckets let
 * the last write win, and the part of the storage engine that it uses. Must never hold behaviour.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import type { KeyLocation } from "./contract.ts";

/** The slots that this node holds by its own durable record. */
export interface SlotHoldings {
  /** 0 … N − 1, −1 for none */
  slotOf(partition: number): number;
  /** Whom the slot that this node held of the partition went to; undefined: it held none, or nothing is known. */
  movedTo?(partition: number): NodeId | undefined;
}

/** The conflict rule of the bucket that a key belongs to. Asked once an operation: must be cheap. */
export interface ConflictRules {
  /** true when the bucket's `conflicts` is `lww` */
  isLastWriteWins(location: KeyLocation): boolean;
}

/** What was collected of a partition's tombstones, by a proof that all holders had the same. Asked often: must be cheap. */
export interface CollectedLines {
  /** up to where: a counter, 0 = nothing was */
  lineOf(partition: number): number;
  /**
   * What is at or below the line and not held of the key was deleted, for certain; else (a copy that is older, or lacks
   * records, or a slot that the key is left out of) nothing follows from its not being here. Absent: always.
   */
  isCertain?(location: KeyLocation, isSuspect: boolean): boolean;
  /**
   * What is held of a key (undefined: of any key of the partition) may be older than what was collected: then it is no answer
   * to a read, neither what is there nor what is not. `isSuspect`: records of the partition were lost.
   */
  isHidden?(partition: number, key: Uint8Array | undefined, isSuspect: boolean): boolean;
}

/** Watches how long the store takes to make a write durable. Told of every one: must be cheap. */
export interface StorePulse {
  /** A write was handed to the store; when, monotonic ms. */
  began(): number;
  /** The one that began then has ended. `isDurable`: it is kept; false: it was refused, or failed. */
  ended(beganMs: number, isDurable: boolean): void;
}

/** Leases of counters, as the storage engine grants them. */
export type LeaseStore = Pick<StorageEngine, "identity" | "leaseCounters">;

/** Who this store is, and the way to become someone new. */
export type ActorStore = Pick<StorageEngine, "identity" | "renewActor">;

/** What minting needs of the storage engine. */
export type MintStore = LeaseStore & ActorStore & Pick<StorageEngine, "recovery" | "suspectPartitions">;

/** The storage engine as the replica uses it. */
export type ReplicaStore = MintStore & Pick<StorageEngine, "digestOf" | "get" | "put" | "isSuspect" | "dropPartition">;
