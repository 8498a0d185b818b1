/**
 * What this node does as a stand-in for owners that cannot be reached: the types that the coordinator, the handler of
 * peers and the joining in `node` speak. No code here.
 *
 * A stand-in keeps versions of keys of which it holds no slot, in a store of their own, until the holders of the slots
 * have them. What it says it has stored is durable, with the note of whom it is for. Source: Dynamo §4.6.
 */
import type {
  HandedVersion,
  KeyLocation,
  LocalReplica,
  Minted,
  ReplicaReadResult,
  ReplicaWriteResult,
  WriteIntent,
} from "../replica/contract.ts";

/** What this node keeps as a stand-in for other nodes' slots. */
export interface FallbackReplica {
  /**
   * From RAM; 0n: nothing is kept, which says nothing of what the owners hold. A key whose version was delivered is
   * nothing too; so is a marker (a note that an owner lacks what this node's main store has).
   */
  digestOf(location: KeyLocation): bigint;
  /** The decoded versions; at once when the bytes are cached. A read error is a refusal, never an absence. */
  read(location: KeyLocation, budgetMs?: number): ReplicaReadResult | Promise<ReplicaReadResult>;
  /** The same, encoded, for the wire. */
  readEncoded(location: KeyLocation, budgetMs?: number): ReturnType<LocalReplica["readEncoded"]>;
  /**
   * Keeps the version for whoever holds `slot` of the key's partition, merged with what is kept of the key already;
   * both are durable before it resolves. Refuses without a trace: `overloaded` when the budget is used up ("hints are
   * full"), `disk_full`, `expired`, `shutting_down`, `corrupt_record`.
   */
  store(location: KeyLocation, slot: number, version: HandedVersion): Promise<ReplicaWriteResult>;
  /**
   * Mints at this node's hint store, under that store's own actor: only for when no owner can. Otherwise like the
   * write of `LocalReplica`, `onMinted` and all; `digest` and `baseDigest` are those of what is kept here.
   */
  write(
    location: KeyLocation,
    slot: number,
    intent: WriteIntent,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult>;
}
