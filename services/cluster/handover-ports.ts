/**
 * What the hand-over of slots wants from others, declared by the one who wants it; `repair`, `replica` and `membership`
 * satisfy these by shape, `node` joins them. Must never hold behaviour.
 *
 * Pages of objects are opaque here: whatever the data ports of one node hand out, those of another take in.
 */
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { MemberKey } from "../placement/member-record.ts";
import type { LedgerChange, SlotLedger } from "./slot-ledger.ts";

/** The bulk links: one question, one answer. */
export interface HandoverPeers {
  /** The answer's body, or undefined when there was none in time, for whatever reason. Never rejects. */
  ask(node: NodeId, topic: string, body: unknown, timeoutMs: number): Promise<unknown>;
}

/** The node's durable hand-over state. */
export interface LedgerStore {
  /** as issued: `commit` changes it at once, before it is durable. What others may hear of waits for the promise */
  readonly ledger: SlotLedger;
  /**
   * Applies the changes to `ledger` before it returns; resolves when they, and all that were issued before them, are
   * durable together with this node's record (its version one higher whenever slots changed). Rejects only when the
   * store has failed: then this node must end.
   */
  commit(changes: readonly LedgerChange[]): Promise<void>;
}

/** Writes of clients to one partition, held back for the moment in which its slot changes hands. Reads go on. */
export interface PartitionGate {
  /** From now on writes wait (bounded); resolves when those under way are done, their keys noted by open attempts. */
  close(partition: number): Promise<void>;
  /** Writes go on, those that waited first: by then `hold` has said by which slot, or that there is none. */
  open(partition: number): void;
  /** This node serves the partition by this slot from now on; −1: by none. Called when that is durable. */
  hold(partition: number, slot: number): void;
}

/** What a donor says of a partition under the seal. */
export interface FinalPage {
  /** the first page of what was written since the last `changes`; more is fetched by `changes` under the seal */
  readonly body: unknown;
  /** keys in the partition, those of tombstones too */
  readonly count: number;
  /** Merkle root of the partition, in hex */
  readonly root: string;
}

/** The holder's side of the data. An attempt is named by its `tx`; it lives in memory only. */
export interface DonorData {
  /** From now on every key of the partition that is written is noted for this attempt. */
  openAttempt(partition: number, tx: number): void;
  /** A page of objects in the leaves that differ; `body` is what the receiver's `receive` gave to `PageSource.pull`. */
  pull(partition: number, tx: number, body: unknown): Promise<unknown>;
  /** A page of keys written since the attempt began; asking again for what was not acknowledged answers it again. */
  changes(partition: number, tx: number, body: unknown): Promise<unknown>;
  /** The last page. Called with the gate closed. */
  seal(partition: number, tx: number): Promise<FinalPage>;
  /** Notes nothing more for the attempt. Unknown attempts are ignored. */
  closeAttempt(partition: number, tx: number): void;
  /**
   * As `pull`, for a node that mints: no attempt is open, nothing is noted. A suspect copy is refused, as by `pull`, unless
   * `takesSuspect`: then what can be read of it is given.
   */
  copy(partition: number, body: unknown, takesSuspect: boolean): Promise<unknown>;
  /**
   * For the old copy of a slot that was given away: true when the holder, whose `pull` answers as `copy` does, has said of all of it
   * that it has it, as it is or newer. What it lacks is given to it.
   */
  isCoveredBy(partition: number, holder: Pick<PageSource, "pull"> & { readonly node: NodeId }): Promise<boolean>;
}

/** The way to one donor's pages, for one attempt. Both answer undefined when the donor is silent or the attempt over. */
export interface PageSource {
  pull(body: unknown): Promise<unknown>;
  changes(body: unknown): Promise<unknown>;
}

/** What came of copying. */
export type ReceiveResult =
  /** little is left to copy: time to seal */
  | { readonly kind: "copied" }
  /** `isSuspect`: the donor may lack what it had, and says so */
  | { readonly kind: "failed"; readonly reason: string; readonly isSuspect?: boolean };

/** What came of the last step under the seal. */
export type FinishResult =
  /** the same keys and versions as the donor's, all durable */
  | { readonly kind: "equal" }
  | { readonly kind: "differs"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

/** The receiver's side of the data. One call at a time for each partition. */
export interface ReceiverData {
  /** Drops what an older tenure left of the partition; durable when it resolves. */
  clearLeftovers(partition: number): Promise<void>;
  /**
   * Copies until the rest is below 256 keys and 1 MiB: pulls differing leaves, then rounds of `changes`. What it holds
   * beyond the donor's copy it removes. Paces itself; tells `onProgress` of every page.
   */
  receive(partition: number, source: PageSource, onProgress: (sizeBytes: number) => void): Promise<ReceiveResult>;
  /** Takes the last page and what `changes` still has, makes all durable, and compares count and root. */
  finish(partition: number, source: PageSource, last: FinalPage): Promise<FinishResult>;
  /** For minting: merges all that the source has (`pull` only) into what is held; durable when it resolves. */
  merge(partition: number, source: PageSource, onProgress: (sizeBytes: number) => void): Promise<ReceiveResult>;
  /** Keys and Merkle root of what is held of the partition. */
  summary(partition: number): Promise<{ readonly count: number; readonly root: string }>;
  /** Removes an old copy for good, all of the partition. Durable when it resolves. */
  dropPartition(partition: number): Promise<void>;
}

/** A partition of which this node should hold a slot and holds none. */
export interface WantedPartition {
  readonly partition: number;
  /** departing holders, whom to ask first at the front */
  readonly donors: readonly MemberKey[];
  /** seats whose holder looks alive: the fewest are served first */
  readonly liveHolderCount: number;
  /** the donor leaves or is replaced: before those that only make room for a newcomer */
  readonly isUrgent: boolean;
}

/** A vacant slot that this node, and by these records only this node, is entitled to. */
export interface EntitledMint {
  readonly partition: number;
  readonly slot: number;
  /** the removed member that held it; undefined: the slot may as well be on its way, and only time tells that it is not */
  readonly removed: MemberKey | undefined;
}

/** What the records and gossip say, as of now. All but `learn` are cheap and synchronous. */
export interface HandoverView {
  readonly ownKey: MemberKey;
  /** in T(partition), by the records known here */
  isTarget(partition: number, key: MemberKey): boolean;
  isRemoved(key: MemberKey): boolean;
  /** Its record says `left`: it holds nothing, has nothing staged, and never will again; its node may go on under another key. */
  hasLeft(key: MemberKey): boolean;
  /**
   * This node joins or is a member, as was last decided, durable or not: who leaves begins to hold nothing, whatever a table
   * says that is about to be made anew.
   */
  isStaying(): boolean;
  /** where a member is reached that is known and not removed, `left` ones too */
  nodeOf(key: MemberKey): NodeId | undefined;
  /** believed holders of the partition's slots, removed ones left out */
  holdersOf(partition: number): readonly { readonly key: MemberKey; readonly slot: number }[];
  isAlive(key: MemberKey): boolean;
  /** all members that are not removed and not `left`, this node left out */
  others(): readonly MemberKey[];
  /** equal on two nodes iff they know the same members and the same removals, whatever the versions */
  membersHash(): string;
  /** records were exchanged, both ways, with more than half of the members for a while (`introduction-core.ts`) */
  isIntroduced(): boolean;
  /** another member was asked what it knows of this one, or there is none: this disk is no old copy of the node's, as far as can be told */
  isConfirmed(): boolean;
  wanted(): readonly WantedPartition[];
  mints(): readonly EntitledMint[];
  /** this node's record and all removals, as bytes for `learn` of another */
  news(): Uint8Array;
  /** Merges; resolves when durable. Malformed bytes change nothing. */
  learn(news: Uint8Array): Promise<void>;
}

/** All that the hand-over works with. */
export interface HandoverParts {
  readonly peers: HandoverPeers;
  readonly store: LedgerStore;
  readonly gate: PartitionGate;
  readonly donorData: DonorData;
  readonly receiverData: ReceiverData;
  readonly view: HandoverView;
  /** false while the disk is too full for more copies; what is under way is finished. Default: true */
  readonly hasRoom?: () => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}
