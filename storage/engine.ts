/**
 * StorageEngine: bytes by key, durably. The contract that the memory engine and the log engine both keep, and
 * that one suite (`test/contract/storage-engine.contract.ts`) checks on both. Storage knows records, partitions
 * and version digests; it never looks inside a value, and never knows of quorums.
 */

/** Where a record lives. `hash` is the 64-bit hash of `key`, whose top bits are the partition. */
export interface KeyAddress {
  /** 0 … partitionCount − 1 */
  readonly partition: number;
  /** unsigned 64-bit */
  readonly hash: bigint;
  /** 1 … 2048 bytes; storage compares it, nothing else */
  readonly key: Uint8Array;
}

/** One write. The engine may keep `key` and `value` until the promise settles: callers must not change them before. */
export interface PutRequest {
  readonly address: KeyAddress;
  readonly value: Uint8Array;
  /** version digest of the value, unsigned 64-bit, never 0 */
  readonly digest: bigint;
  readonly isTombstone: boolean;
  /** Its value may expire: the store says so to whoever collects, without reading it. Default false; never with a tombstone. */
  readonly mayExpire?: boolean;
  /**
   * The digest of the record that the caller knows to be THIS key's newest here (from `get`, or a replica's equal
   * base digest). A hint only: when it agrees with the index, storage need not read the old record's key to tell an
   * overwrite from another key of the same hash. Never 0.
   */
  readonly replaces?: bigint;
  /** By when it is wanted (monotonic ms): one that still waits for its group then is rejected, and never written. */
  readonly byMs?: number | undefined;
}

/** How long a read is wanted, where that may end before its time. */
export interface ReadTerm {
  /** monotonic ms */
  readonly byMs: number;
  /** Calls once nobody wants it any more, at once if that is so already. Who asks again is told instead of the one before. */
  whenOver(run: () => void): void;
}

/** The newest record of a key. */
export interface StoredRecord {
  readonly value: Uint8Array;
  readonly digest: bigint;
  readonly isTombstone: boolean;
}

/** One key met by a scan. */
export interface ScanEntry {
  readonly hash: bigint;
  readonly key: Uint8Array;
  readonly digest: bigint;
  readonly isTombstone: boolean;
  /** as its put said */
  readonly mayExpire: boolean;
}

/** One record that is to leave: exactly this one, no older and no newer one of the key. */
export interface ReapEntry {
  readonly hash: bigint;
  readonly digest: bigint;
}

/** Hashes from one on, those before another (undefined: to the end), and so many at most (≥ 1). */
export interface HashRange {
  readonly fromHash: bigint;
  readonly beforeHash: bigint | undefined;
  readonly limit: number;
}

/** A page of a scan in hash order. */
export interface ScanPage {
  readonly entries: readonly ScanEntry[];
  /** hash to go on from (inclusive); undefined when the partition is exhausted. All keys of one hash come in one page. */
  readonly nextHash: bigint | undefined;
  /** hashes, in order, of keys of this page that could not be read, though they may be by now; not there: none */
  readonly unread?: readonly bigint[];
}

/** Who this store is: the actor that dots carry, and how far its counters are leased. */
export interface StoreIdentity {
  /** random, 1 … 2^48 − 1; drawn anew whenever local data may have been lost */
  readonly actor: number;
  /** actors that this store had before, oldest first */
  readonly pastActors: readonly number[];
  /** counters up to and including this may have been used by this store (any actor); new ones must be above */
  readonly leasedThrough: number;
}

/** How the store came up. */
export interface RecoveryReport {
  readonly mode: "fresh" | "clean" | "unclean";
  readonly recordCount: number;
  readonly scannedBytes: number;
  readonly truncatedBytes: number;
  readonly corruptRecordCount: number;
  /** the actor was drawn anew at this start */
  readonly isNewActor: boolean;
  readonly durationMs: number;
}

/** What a scrub has read and found. */
export interface ScrubReport {
  readonly segmentCount: number;
  readonly readBytes: number;
  /** places whose bytes are not what was written, in live records, dead ones and headers */
  readonly badCount: number;
  /** of them, newest records of keys: the index has given them up, their partitions are suspect */
  readonly lostCount: number;
  /** index files that were missing or wrong, and were made anew */
  readonly rebuiltIndexCount: number;
}

/** Scrubbing: what was done since the start, and the passes of all starts. */
export interface ScrubState extends ScrubReport {
  /** the pace now, 0 while it stands still */
  readonly bytesPerSecond: number;
  readonly passCount: number;
  /** milliseconds since 1970 by the wall clock; 0: never */
  readonly passEndedAtMs: number;
}

/**
 * How scarce space is. `warn`: someone should look; `no_growth`: what fills the disk beside clients (hints, copies of
 * partitions) should wait; `no_puts`: the store refuses puts, but tombstones; `compaction_only`: these too. Reads, reaping
 * and documents go on at any level, and the store goes on by itself when space comes back.
 */
export type DiskLevel = "ok" | "warn" | "no_growth" | "no_puts" | "compaction_only";

/** The disk as it was seen last, some seconds ago at most. */
export interface DiskState {
  readonly level: DiskLevel;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** a file is held that will be thrown off when nothing else helps */
  readonly hasBallast: boolean;
}

/** What the store holds and takes. */
export interface StorageStats {
  readonly keyCount: number;
  readonly tombstoneCount: number;
  /** reaped records of which a mark is still in the index, because an older record of the key may be left on disk */
  readonly reapedCount: number;
  readonly liveBytes: number;
  readonly diskBytes: number;
  readonly indexBytes: number;
  readonly segmentCount: number;
  readonly putCount: number;
  readonly commitCount: number;
  readonly compactedBytes: number;
  readonly corruptReadCount: number;
  readonly scrub: ScrubState;
}

/** Bytes by key, durably. Implementations: the log engine, and the memory engine that is its model. */
export interface StorageEngine {
  /** fixed when the store is made: one that is there keeps its own, whatever it is opened with */
  readonly partitionCount: number;
  readonly recovery: RecoveryReport;
  readonly identity: StoreIdentity;

  /**
   * The digest of the newest record of the key's HASH, from RAM; 0n when there is none. When two keys share a hash
   * it may belong to the other one: digests of different keys never agree, so a caller only ever sees a difference
   * that a `get` then settles.
   */
  digestOf(address: KeyAddress): bigint;
  /**
   * The newest durable record, or undefined. Returns at once when the bytes are believed cached, a promise otherwise.
   * Throws (or rejects with) CorruptRecordError when the stored bytes fail their checksum: an error is not an absence.
   * StoreClosedError from the call of `close` on, of a scan as well. `until` (monotonic, or a term): a read that still waits for its
   * turn at the disk then rejects with ReadExpiredError, and never touches it.
   */
  get(address: KeyAddress, until?: number | ReadTerm): StoredRecord | undefined | Promise<StoredRecord | undefined>;
  /**
   * Resolves when the record is durable (by the engine's durability) and visible. Rejects with DiskFullError (nothing
   * was kept, ever; also when what is left of the disk is reserved, see `DiskLevel`), StoreFailedError (unknown; the store takes no more writes), StoreBusyError or
   * WriteExpiredError (nothing was kept) or
   * StoreClosedError.
   * Two puts of one key that overlap are ordered by call. Callers serialize read-modify-write themselves.
   */
  put(request: PutRequest): Promise<void>;
  /** Up to `limit` keys (≥ 1) of a partition from `fromHash` on, in hash order, tombstones included. */
  scan(partition: number, fromHash: bigint, limit: number): Promise<ScanPage>;

  /**
   * The same, of collectable keys only: those whose record is a tombstone or may expire. Others cost a look in RAM, and
   * no read.
   */
  scanCollectable(partition: number, fromHash: bigint, limit: number): Promise<ScanPage>;

  /** Keys of a partition that have a record, those of tombstones included. From RAM. */
  keyCountOf(partition: number): number;
  /** Those of them whose record is a tombstone or may expire. From RAM. */
  collectableCountOf(partition: number): number;
  /** Merkle tree of a partition over (key hash, digest): the root, 0n when empty. From RAM. */
  merkleRoot(partition: number): bigint;
  /** The 16 children of a node: path [] is the root's, path [i] that of child i. From RAM. */
  merkleChildren(partition: number, path: readonly number[]): readonly bigint[];
  /** What a leaf (0 … 255) holds, in hash order. From RAM. */
  merkleLeaf(partition: number, leaf: number): readonly { readonly hash: bigint; readonly digest: bigint }[];

  /** True when acknowledged records of the partition may be missing here: an absence proves nothing. */
  isSuspect(partition: number): boolean;
  suspectPartitions(): readonly number[];
  /**
   * Hashes, in order, of keys of a partition whose newest record the index has given up, because it cannot be read; all,
   * or those of a range. From RAM, O(keys of the range).
   */
  unreadableIn(partition: number, range?: HashRange): readonly bigint[];
  /** Declares a partition whole again, durably. A record that was given up before makes it suspect no more. */
  clearSuspect(partition: number): Promise<void>;

  /**
   * Forgets all records of a partition, durably, in one edit: after a crash at any point they are all there or all gone.
   * Puts of the partition that were called before are forgotten too, those that are called later are kept. The
   * partition is no longer suspect. Disk space comes back by compaction. Rejects with DiskFullError (all are there),
   * StoreFailedError or StoreClosedError. Cost: one edit, and a few additions a key of this partition.
   */
  dropPartition(partition: number): Promise<void>;

  /**
   * Takes these records out, of whatever kind they are, and resolves to how many: whoever calls has proof that nobody needs
   * them. Their keys are then as if they had never been written (`get`, `digestOf`, scans, trees, counts), over any
   * restart, and no older record of them ever comes back; a later put is a put like any other. An entry that is not
   * the key's newest record stays, silently, and so does one of a hash with a write under way, or whose key cannot be read.
   * After a crash before it resolves each of them is as it was, or gone. Rejects with DiskFullError, StoreBusyError,
   * StoreFailedError or StoreClosedError: some may be gone then. Cost: a small record and a read of the key for each, in
   * groups; its space and its 28 bytes of index come back by compaction.
   */
  reap(partition: number, entries: readonly ReapEntry[]): Promise<number>;

  /** Resolves when the promise "no counter ≤ through will be reused" is durable. `through` only grows. */
  leaseCounters(through: number): Promise<void>;
  /** Draws a new actor, durably: a peer has seen a dot of ours that we do not know. */
  renewActor(): Promise<void>;

  /** A small named document (≤ 1 MiB; name [a-z0-9-]{1,32}), atomically replaced, durable when resolved. */
  writeDocument(name: string, bytes: Uint8Array): Promise<void>;
  readDocument(name: string): Uint8Array | undefined;

  /**
   * Re-reads and proves every record that is visible now, as fast as the disk gives it: what is being written is sealed first.
   * The store also does so by itself, within weeks. What is bad is no longer claimed by the trees, and its partition is
   * suspect: whoever repairs puts it again. Rejects with StoreFailedError or StoreClosedError, or when a segment could not be
   * sealed or looked at.
   */
  scrub(): Promise<ScrubReport>;
  /** What background work in the store asks from now on for its share, 0 … 1 (default: always 1). */
  paceBackgroundBy(share: () => number): void;

  stats(): StorageStats;
  /** From RAM. */
  readonly disk: DiskState;
  /** Set when the store has failed for good (fsync error): the process should end. */
  readonly failure: Error | undefined;
  onFailure(listen: (error: Error) => void): void;
  /**
   * Finishes accepted writes, writes the clean marker, releases the lock. Idempotent: the first call decides.
   * `isClean` false (default true): no marker, because the caller doubts its actor; the next start draws a new one.
   */
  close(options?: { readonly isClean?: boolean }): Promise<void>;
}
