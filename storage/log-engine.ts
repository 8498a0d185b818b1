/**
 * The log engine: StorageEngine on one append-only log for all partitions and an index in RAM (Bitcask, Sheehy &
 * Smith, 2010; DESIGN §5). This file holds what the contract asks for; each part keeps its own promise.
 * Must never answer a write before it is durable and visible, nor call an unreadable record absent.
 */
import assert from "node:assert";
import type {
  DiskState,
  HashRange,
  KeyAddress,
  PutRequest,
  ReadTerm,
  ReapEntry,
  RecoveryReport,
  ScanPage,
  ScrubReport,
  StorageEngine,
  StorageStats,
  StoredRecord,
  StoreIdentity,
} from "./engine.ts";
import { type EngineParts, openParts } from "./engine-parts.ts";
import { statsOf } from "./engine-stats.ts";
import { DiskFullError, StoreBusyError, StoreClosedError } from "./errors.ts";
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from "./format/record.ts";
import { recordJudgement } from "./hash-judge.ts";
import type { IndexTable } from "./index-table.ts";
import type { LogEngineOptions } from "./log-options.ts";
import { MerkleTree, merkleLeafCount } from "./merkle-tree.ts";
import { type PendingWrite, pendingWriteOf } from "./pending-write.ts";
import { reapRecords } from "./reaper.ts";
import { drawActor } from "./recovery.ts";
import { type ScanRange, scanPage } from "./scan.ts";
import { highWord, splitU64, words } from "./words.ts";

/** The log engine: the contract, and compaction on demand. */
export interface LogEngine extends StorageEngine {
  /** Compacts until the share of dead bytes in sealed segments is below `garbageRatio` (0 … 1) or nothing helps. */
  compact(garbageRatio: number): Promise<void>;
}

/**
 * Opens the store in the disk's directory, or makes it. Rejects with StoreUnusableError (the message says what to do)
 * or `DiskError` (LOCKED: another process has it).
 */
export async function openLogEngine(options: LogEngineOptions): Promise<LogEngine> {
  return new OpenLogEngine(await openParts(options));
}

class OpenLogEngine implements LogEngine {
  readonly #parts: EngineParts;
  readonly #partitionBits: number;
  readonly #emptyTree: MerkleTree;
  #closing: Promise<void> | undefined;
  /** reads under way through the thread pool: a closing store waits for them, for they may find damage */
  #readCount = 0;
  #whenRead: (() => void) | undefined;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#partitionBits = Math.log2(parts.settings.partitionCount);
    this.#emptyTree = new MerkleTree(this.#partitionBits);
  }

  get partitionCount(): number {
    return this.#parts.settings.partitionCount;
  }

  get recovery(): RecoveryReport {
    return this.#parts.recovery;
  }

  get identity(): StoreIdentity {
    const { actor, pastActors, leasedThrough } = this.#parts.manifest.state;
    return { actor, pastActors: [...pastActors], leasedThrough };
  }

  get failure(): Error | undefined {
    return this.#parts.health.failure;
  }

  get disk(): DiskState {
    return this.#parts.space.state;
  }

  onFailure(listen: (error: Error) => void): void {
    this.#parts.health.onFailure(listen);
  }

  digestOf(address: KeyAddress): bigint {
    const table = this.#parts.keyspace.table(address.partition);
    const slot = table === undefined ? -1 : table.find(address.hash);
    if (table === undefined || slot < 0) return 0n;
    const digest = table.digestAt(slot);
    return digest === 0n ? digestBehind(table, slot, address.hash) : digest;
  }

  get(address: KeyAddress, until?: number | ReadTerm): StoredRecord | undefined | Promise<StoredRecord | undefined> {
    if (this.#closing !== undefined) throw new StoreClosedError();
    const found = this.#parts.lookup.get(address, until);
    return found instanceof Promise ? this.#counted(found) : found;
  }

  put(request: PutRequest): Promise<void> {
    const { health, drops, space } = this.#parts;
    if (health.failure !== undefined) return Promise.reject(health.failure);
    if (this.#closing !== undefined) return Promise.reject(new StoreClosedError());
    if (space.isPutRefused && (!request.isTombstone || space.isTombstoneRefused)) {
      return Promise.reject(new DiskFullError({ isReserved: true }));
    }
    this.#assertRequest(request);
    return new Promise((resolve, reject) => {
      const write = pendingWriteOf(request, { resolve, reject });
      if (drops.isIdle) this.#accept(write);
      else if (!drops.follow(request.address.partition, write.totalBytes, () => this.#accept(write))) {
        reject(new StoreBusyError());
      }
    });
  }

  #accept(write: PendingWrite): void {
    const { health, queue, judge, writer } = this.#parts;
    if (health.failure !== undefined) write.reject(health.failure);
    else if (!queue.hasRoomFor(write.totalBytes)) write.reject(new StoreBusyError());
    else {
      recordJudgement(write, judge.sharesHash(write.request));
      queue.add(write);
      writer.wake();
    }
  }

  scan(partition: number, fromHash: bigint, limit: number): Promise<ScanPage> {
    return this.#scan({ partition, fromHash, isCollectableOnly: false }, limit);
  }

  scanCollectable(partition: number, fromHash: bigint, limit: number): Promise<ScanPage> {
    return this.#scan({ partition, fromHash, isCollectableOnly: true }, limit);
  }

  #scan(range: ScanRange, limit: number): Promise<ScanPage> {
    if (this.#closing !== undefined) return Promise.reject(new StoreClosedError());
    assert(Number.isInteger(limit) && limit >= 1, "limit: ≥ 1");
    const { settings } = this.#parts;
    const lowest = BigInt(range.partition) << BigInt(64 - this.#partitionBits);
    const from = { ...range, fromHash: range.fromHash > lowest ? range.fromHash : lowest };
    return this.#counted(scanPage({ ...this.#parts, clock: settings.clock }, from, limit));
  }

  keyCountOf(partition: number): number {
    return this.#parts.keyspace.keyCountOf(partition);
  }

  collectableCountOf(partition: number): number {
    return this.#parts.keyspace.collectableCountOf(partition);
  }

  merkleRoot(partition: number): bigint {
    return this.#parts.keyspace.tree(partition)?.root() ?? 0n;
  }

  merkleChildren(partition: number, path: readonly number[]): readonly bigint[] {
    return (this.#parts.keyspace.tree(partition) ?? this.#emptyTree).children(path);
  }

  merkleLeaf(partition: number, leaf: number): readonly { readonly hash: bigint; readonly digest: bigint }[] {
    assert(Number.isInteger(leaf) && leaf >= 0 && leaf < merkleLeafCount, "a leaf is 0 … 255");
    const range = this.#emptyTree.leafRange(leaf, partition);
    return this.#parts.keyspace.pairsBetween(partition, range);
  }

  isSuspect(partition: number): boolean {
    return this.#parts.suspicion.has(partition);
  }

  suspectPartitions(): readonly number[] {
    return this.#parts.suspicion.all();
  }

  unreadableIn(partition: number, range?: HashRange): readonly bigint[] {
    return this.#parts.keyspace.unreadableIn(partition, range);
  }

  async clearSuspect(partition: number): Promise<void> {
    this.#assertOpen();
    await this.#parts.suspicion.clear(partition);
    // what kept a segment from being compacted may have been repaired
    this.#parts.compactor.wake();
  }

  async dropPartition(partition: number): Promise<void> {
    this.#assertOpen();
    const { drops, settings } = this.#parts;
    assert(partition >= 0 && partition < settings.partitionCount, "partition: 0 … Q − 1");
    // a store that closes waits for it, and for the puts that follow it
    await this.#counted(drops.drop(partition));
  }

  async reap(partition: number, entries: readonly ReapEntry[]): Promise<number> {
    this.#assertOpen();
    const { compactor } = this.#parts;
    const parts = { ...this.#parts, accept: (write: PendingWrite) => this.#accept(write) };
    // a store that closes waits for it
    const count = await this.#counted(reapRecords(parts, partition, entries));
    if (count > 0) compactor.wake();
    return count;
  }

  async leaseCounters(through: number): Promise<void> {
    this.#assertOpen();
    assert(Number.isSafeInteger(through) && through >= 0, "through: a safe integer");
    const { manifest } = this.#parts;
    if (through > manifest.state.leasedThrough) await manifest.append([{ kind: "lease", through }]);
  }

  async renewActor(): Promise<void> {
    this.#assertOpen();
    const { manifest, settings } = this.#parts;
    const actor = drawActor(settings.random, [...manifest.state.pastActors, manifest.state.actor]);
    await manifest.append([{ kind: "actor", actor }]);
  }

  async writeDocument(name: string, bytes: Uint8Array): Promise<void> {
    this.#assertOpen();
    await this.#parts.documents.write(name, bytes);
  }

  readDocument(name: string): Uint8Array | undefined {
    return this.#parts.documents.read(name);
  }

  async scrub(): Promise<ScrubReport> {
    this.#assertOpen();
    const report = await this.#parts.scrubber.scrubNow();
    this.#assertOpen();
    return report;
  }

  paceBackgroundBy(share: () => number): void {
    this.#parts.background.share = share;
  }

  stats(): StorageStats {
    return statsOf(this.#parts);
  }

  async compact(garbageRatio: number): Promise<void> {
    this.#assertOpen();
    await this.#parts.compactor.compactNow(garbageRatio);
  }

  close({ isClean = true }: { readonly isClean?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#close(isClean);
    return this.#closing;
  }

  async #close(isClean: boolean): Promise<void> {
    if (this.#readCount > 0) {
      await new Promise<void>((resolve) => {
        this.#whenRead = resolve;
      });
    }
    await this.#parts.close(isClean);
  }

  #counted<T>(read: Promise<T>): Promise<T> {
    this.#readCount += 1;
    const leave = (): void => {
      this.#readCount -= 1;
      if (this.#readCount === 0) this.#whenRead?.();
    };
    read.then(leave, leave);
    return read;
  }

  #assertOpen(): void {
    if (this.#parts.health.failure !== undefined) throw this.#parts.health.failure;
    if (this.#closing !== undefined) throw new StoreClosedError();
  }

  /** A request that breaks the contract is a bug of the caller, found here before it can spoil the index. */
  #assertRequest(request: PutRequest): void {
    const { partition, hash, key } = request.address;
    assert(key.length >= 1 && key.length <= MAX_KEY_BYTES, "a key has 1 … 2048 bytes");
    assert(request.value.length <= MAX_VALUE_BYTES, "a value has at most 64 MiB");
    assert(request.digest !== 0n, "0 is the digest of absence");
    assert(!(request.isTombstone && request.mayExpire === true), "a tombstone does not expire");
    splitU64(hash);
    const top = this.#partitionBits === 0 ? 0 : (words[highWord] ?? 0) >>> (32 - this.#partitionBits);
    assert(top === partition, "the partition is the top bits of the hash");
  }
}

/** The digest of another key of this hash: the first entry is a reap mark, or cannot be read. */
function digestBehind(table: IndexTable, slot: number, hash: bigint): bigint {
  let digest = 0n;
  for (let next = table.findNext(slot, hash); next >= 0 && digest === 0n; next = table.findNext(next, hash)) {
    digest = table.digestAt(next);
  }
  return digest;
}
