/**
 * What the coordinator wants from others, declared by the one who wants it: bucket settings, the table, a local scan,
 * and the sinks for work that follows an answer. `repair`, `handoff` and `node` satisfy them by shape. Must never hold
 * behaviour.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import type { BucketName, NodeId } from "../base/ids.ts";
import type { PlacementTable, SlotHolder } from "../placement/types.ts";
import type {
  KeyLocation,
  Minted,
  ReadTerm,
  ReplicaReadResult,
  ReplicaWriteResult,
  WriteIntent,
} from "../replica/contract.ts";
import type { SiblingSet } from "../versioning/types.ts";

/** One replica that a request may ask: an owner, or a fallback that stands in for the slot. */
export interface Seat extends SlotHolder {
  readonly role: "owner" | "fallback";
}

/** How far collecting has gone: `services/repair` by shape. */
export interface CollectedHistory {
  /** Dots up to this counter may have been collected: no holder need know of them. Never too low once this node is a member. */
  collectedThrough(partition: number): number;
}

/** What a bucket was told; the defaults for one that nobody made. */
export interface BucketLookup {
  settingsOf(bucket: BucketName): BucketSettings;
}

/**
 * The table of believed holders; undefined before the cluster is made. Another object whenever it has changed, which it
 * may do ten times a second while slots move. It may be wrong: replies name the slot, refusals say where it went.
 */
export interface PlacementSource {
  table(): PlacementTable | undefined;
}

/** Who is alive, as gossip holds it. Says nothing of who belongs or who owns; asked for every seat: must be cheap. */
export interface Liveness {
  stateOf(node: NodeId): "alive" | "suspect" | "dead";
}

/** What this node keeps as a stand-in for owners that cannot be reached: `services/handoff` by shape. */
export interface StandInReplica {
  /** from RAM; 0n: nothing is kept, which says nothing of what the owners hold */
  digestOf(location: KeyLocation): bigint;
  /** like the replica's own */
  read(location: KeyLocation, wanted?: number | ReadTerm): ReplicaReadResult | Promise<ReplicaReadResult>;
  /** Like the replica's own: reads what is kept, mints, and keeps it for whoever holds the slot; durable before it resolves. */
  write(
    location: KeyLocation,
    slot: number,
    intent: WriteIntent,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult>;
}

/** A replica that a read found behind. */
export interface RepairTarget {
  readonly node: NodeId;
  /** digest of what it held when it was asked, 0n = nothing; the repaired object covers that version */
  readonly digest: bigint;
}

/** What a read found: the merged version and who lacks it. */
export interface RepairTask {
  readonly location: KeyLocation;
  readonly set: SiblingSet;
  /** digest of `set` */
  readonly digest: bigint;
  readonly targets: readonly RepairTarget[];
  /** the bucket lets the last write win: whoever joins it with another finding reduces the outcome */
  readonly isLww: boolean;
}

/** Takes repairs that reads have decided. Called after the answer; returns at once and never throws. */
export interface RepairSink {
  repair(task: RepairTask): void;
}

/** A write that an owner did not confirm although it stands, or may stand, elsewhere: what a hint must hold. */
export interface MissedWrite {
  readonly location: KeyLocation;
  /** the slot whose holder missed it: hints go to whoever holds the slot at delivery */
  readonly slot: number;
  readonly owner: NodeId;
  readonly baseDigest: bigint;
  readonly digest: bigint;
  /** the encoded sibling set, whole */
  readonly object: Uint8Array;
  /** refusal reason, `unreachable`, `timeout`, `link_closed` or `failed` */
  readonly reason: string;
}

/**
 * Where writes go that an owner missed. Called for writes that are `applied` or `unknown`, never for `not_applied`
 * ones (a hint would be a trace); at the answer or later; returns at once and never throws.
 */
export interface HandoffSink {
  missed(write: MissedWrite): void;
}

/** One key met by a scan of this node's store. */
export interface ScannedKey {
  readonly hash: bigint;
  /** bucket, 0x00, key */
  readonly key: Uint8Array;
  readonly isTombstone: boolean;
  /** all that is stored of the key has an end: whether it has come, only a look at the record can tell */
  readonly mayExpire?: boolean;
}

/** The keys this node stores, in hash order: `StorageEngine.scan` by shape. */
export interface KeyScan {
  scan(
    partition: number,
    fromHash: bigint,
    limit: number,
  ): Promise<{ readonly entries: readonly ScannedKey[]; readonly nextHash: bigint | undefined }>;
}

/** What happened since start, for metrics: totals, only growing. */
export interface CoordinatorCounters {
  readCount: number;
  writeCount: number;
  listCount: number;
  /** reads answered without a merge */
  agreedReadCount: number;
  hedgeCount: number;
  /** replicas that a read did not need, asked to see whether they have recovered */
  explorationCount: number;
  /** replies that came after the answer */
  lateReplyCount: number;
  forwardCount: number;
  /** writes that told another node to stand in for an owner; and those that this node minted as a stand-in itself */
  sloppyWriteCount: number;
  standInMintCount: number;
  /** reads that asked a stand-in */
  sloppyReadCount: number;
  /** nodes that were asked to stand in */
  standInCount: number;
  /** seats that were followed to whom their slot had moved */
  movedCount: number;
  /** times that a request waited and looked again for the holder of a slot */
  holderLookCount: number;
  repairTaskCount: number;
  missedWriteCount: number;
  appliedCount: number;
  notAppliedCount: number;
  unknownCount: number;
  readFailureCount: number;
}

/** Counters at zero. */
export function newCounters(): CoordinatorCounters {
  return {
    readCount: 0,
    writeCount: 0,
    listCount: 0,
    agreedReadCount: 0,
    hedgeCount: 0,
    explorationCount: 0,
    lateReplyCount: 0,
    forwardCount: 0,
    sloppyWriteCount: 0,
    standInMintCount: 0,
    sloppyReadCount: 0,
    standInCount: 0,
    movedCount: 0,
    holderLookCount: 0,
    repairTaskCount: 0,
    missedWriteCount: 0,
    appliedCount: 0,
    notAppliedCount: 0,
    unknownCount: 0,
    readFailureCount: 0,
  };
}
