/**
 * The obviously right engine: one map per partition, sorted when a scan asks. It is the model that the log engine is
 * tested against, and serves simulations whose subject is not the disk. Everything lives in a `MemoryImage`, which may
 * be handed to the next start as a disk would be. Must never be clever: whoever doubts it should be able to read it.
 */
import assert from "node:assert";
import type {
  KeyAddress,
  PutRequest,
  ReapEntry,
  RecoveryReport,
  ScanPage,
  ScrubReport,
  StorageEngine,
  StorageStats,
  StoredRecord,
  StoreIdentity,
} from "./engine.ts";
import { StoreClosedError } from "./errors.ts";
import {
  isCollectable,
  type MemoryImage,
  type MemoryRecord,
  NOTHING_SCRUBBED,
  nameOf,
  newMemoryImage,
  statsOfImage,
} from "./memory-image.ts";
import { MerkleTree } from "./merkle-tree.ts";
import type { StorageRandom } from "./ports.ts";

/** What `openMemoryEngine` takes. */
export interface MemoryEngineOptions {
  /** a power of two, for a new image; one that was open before keeps its own */
  readonly partitionCount: number;
  readonly random: StorageRandom;
  /** default: a new, empty one */
  readonly image?: MemoryImage;
}

/** what opening memory costs and finds amiss */
const NO_WORK = { scannedBytes: 0, truncatedBytes: 0, corruptRecordCount: 0, durationMs: 0 };
const MAX_DOCUMENT_BYTES = 1024 * 1024;

/** Opens the memory engine, on what an image holds when one is given. Everything it resolves is "durable" in the image. */
export function openMemoryEngine(options: MemoryEngineOptions): StorageEngine {
  return new MemoryEngine(options);
}

class MemoryEngine implements StorageEngine {
  readonly partitionCount: number;
  readonly recovery: RecoveryReport;
  readonly failure: undefined;
  readonly disk: StorageEngine["disk"] = { level: "ok", freeBytes: 0, totalBytes: 0, hasBallast: false };
  readonly #partitionBits: number;
  readonly #random: StorageRandom;
  readonly #image: MemoryImage;
  readonly #trees = new Map<number, MerkleTree>();
  #identity: StoreIdentity;
  #putCount = 0;
  #seq = 0;
  #isClosed = false;

  constructor(options: MemoryEngineOptions) {
    this.#random = options.random;
    this.#image = options.image ?? newMemoryImage();
    this.partitionCount = this.#image.partitionCount ?? options.partitionCount;
    this.#image.partitionCount = this.partitionCount;
    this.#partitionBits = Math.log2(this.partitionCount);
    assert(Number.isInteger(this.#partitionBits), "partitionCount: a power of two");
    const before = this.#image.identity;
    const mode = before === undefined ? "fresh" : this.#image.isClean ? "clean" : "unclean";
    this.#identity = before ?? { actor: this.#drawActor(), pastActors: [], leasedThrough: 0 };
    if (mode === "unclean") this.#identity = this.#withNewActor();
    this.#image.identity = this.#identity;
    this.#image.isClean = false;
    this.recovery = { ...NO_WORK, mode, recordCount: this.#rebuild(), isNewActor: mode !== "clean" };
  }

  get identity(): StoreIdentity {
    return this.#identity;
  }

  digestOf(address: KeyAddress): bigint {
    const own = this.#partition(address.partition).get(nameOf(address));
    if (own !== undefined) return own.digest;
    return this.#sorted(address.partition).find((entry) => entry.hash === address.hash)?.digest ?? 0n;
  }

  get(address: KeyAddress): StoredRecord | undefined {
    if (this.#isClosed) throw new StoreClosedError();
    const found = this.#partition(address.partition).get(nameOf(address));
    if (found === undefined) return undefined;
    return { value: found.value.slice(), digest: found.digest, isTombstone: found.isTombstone };
  }

  async put(request: PutRequest): Promise<void> {
    if (this.#isClosed) throw new StoreClosedError();
    const { address, digest, isTombstone, mayExpire = false } = request;
    this.#assertAddress(address);
    assert(!(isTombstone && mayExpire), "a tombstone does not expire");
    assert(digest > 0n && digest < 1n << 64n, "digest: 1 … 2^64 − 1");
    const records = this.#partition(address.partition);
    const before = records.get(nameOf(address));
    this.#seq += 1;
    this.#putCount += 1;
    records.set(nameOf(address), {
      hash: address.hash,
      key: address.key.slice(),
      value: request.value.slice(),
      digest,
      isTombstone,
      mayExpire,
      seq: this.#seq,
    });
    const tree = this.#tree(address.partition);
    if (before !== undefined) tree.toggle(before.hash, before.digest);
    tree.toggle(address.hash, digest);
  }

  async scan(partition: number, fromHash: bigint, limit: number): Promise<ScanPage> {
    return this.#page(this.#sorted(partition), fromHash, limit);
  }

  async scanCollectable(partition: number, fromHash: bigint, limit: number): Promise<ScanPage> {
    return this.#page(this.#sorted(partition).filter(isCollectable), fromHash, limit);
  }

  #page(sorted: readonly MemoryRecord[], fromHash: bigint, limit: number): ScanPage {
    if (this.#isClosed) throw new StoreClosedError();
    assert(limit >= 1, "limit: at least 1");
    const rest = sorted.filter((entry) => entry.hash >= fromHash);
    let end = Math.min(limit, rest.length);
    while (end > 0 && end < rest.length && rest[end]?.hash === rest[end - 1]?.hash) end += 1;
    const entries = rest.slice(0, end).map(({ hash, key, digest, isTombstone, mayExpire }) => {
      return { hash, key: key.slice(), digest, isTombstone, mayExpire };
    });
    return { entries, nextHash: rest[end]?.hash };
  }

  keyCountOf(partition: number): number {
    return this.#partition(partition).size;
  }

  collectableCountOf(partition: number): number {
    return this.#sorted(partition).filter(isCollectable).length;
  }

  merkleRoot(partition: number): bigint {
    return this.#tree(partition).root();
  }

  merkleChildren(partition: number, path: readonly number[]): readonly bigint[] {
    return this.#tree(partition).children(path);
  }

  merkleLeaf(partition: number, leaf: number): readonly { readonly hash: bigint; readonly digest: bigint }[] {
    const tree = this.#tree(partition);
    return this.#sorted(partition)
      .filter((entry) => tree.leafOf(entry.hash) === leaf)
      .map(({ hash, digest }) => ({ hash, digest }));
  }

  isSuspect(partition: number): boolean {
    return this.#image.suspects.has(partition);
  }

  suspectPartitions(): readonly number[] {
    return [...this.#image.suspects].sort((a, b) => a - b);
  }

  readonly unreadableIn = (): readonly bigint[] => [];

  async clearSuspect(partition: number): Promise<void> {
    if (this.#isClosed) throw new StoreClosedError();
    this.#image.suspects.delete(partition);
  }

  async dropPartition(partition: number): Promise<void> {
    if (this.#isClosed) throw new StoreClosedError();
    this.#partition(partition).clear();
    this.#trees.delete(partition);
    this.#image.suspects.delete(partition);
  }

  async reap(partition: number, entries: readonly ReapEntry[]): Promise<number> {
    if (this.#isClosed) throw new StoreClosedError();
    let count = 0;
    for (const { hash, digest } of entries) {
      const record = this.#sorted(partition).find((each) => each.hash === hash && each.digest === digest);
      if (record === undefined) continue;
      this.#partition(partition).delete(nameOf({ partition, ...record }));
      this.#tree(partition).toggle(hash, digest);
      count += 1;
    }
    return count;
  }

  async leaseCounters(through: number): Promise<void> {
    if (this.#isClosed) throw new StoreClosedError();
    this.#keep({ ...this.#identity, leasedThrough: Math.max(through, this.#identity.leasedThrough) });
  }

  async renewActor(): Promise<void> {
    if (this.#isClosed) throw new StoreClosedError();
    this.#keep(this.#withNewActor());
  }

  async writeDocument(name: string, bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) throw new StoreClosedError();
    assert(/^[a-z0-9-]{1,32}$/.test(name), "a document's name: [a-z0-9-]{1,32}");
    assert(bytes.length <= MAX_DOCUMENT_BYTES, "a document has at most 1 MiB");
    this.#image.documents.set(name, bytes.slice());
  }

  readDocument(name: string): Uint8Array | undefined {
    return this.#image.documents.get(name)?.slice();
  }

  async scrub(): Promise<ScrubReport> {
    if (this.#isClosed) throw new StoreClosedError();
    return NOTHING_SCRUBBED;
  }

  paceBackgroundBy(_share: () => number): void {
    // there is none
  }

  stats(): StorageStats {
    return { ...statsOfImage(this.#image), putCount: this.#putCount, commitCount: this.#putCount };
  }

  onFailure(_listen: (error: Error) => void): void {
    // memory does not fail
  }

  async close({ isClean = true }: { readonly isClean?: boolean } = {}): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#image.isClean = isClean;
  }

  #partition(partition: number): Map<string, MemoryRecord> {
    assert(partition >= 0 && partition < this.partitionCount, "partition: 0 … partitionCount − 1");
    let records = this.#image.records.get(partition);
    if (records === undefined) {
      records = new Map();
      this.#image.records.set(partition, records);
    }
    return records;
  }

  #tree(partition: number): MerkleTree {
    let tree = this.#trees.get(partition);
    if (tree === undefined) {
      tree = new MerkleTree(this.#partitionBits);
      this.#trees.set(partition, tree);
    }
    return tree;
  }

  /** By hash; of one hash, the newest first. */
  #sorted(partition: number): MemoryRecord[] {
    const newestFirst = [...this.#partition(partition).values()].sort((a, b) => b.seq - a.seq);
    return newestFirst.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
  }

  #rebuild(): number {
    let count = 0;
    for (const [partition, records] of this.#image.records) {
      for (const record of records.values()) {
        this.#tree(partition).toggle(record.hash, record.digest);
        this.#seq = Math.max(this.#seq, record.seq);
        count += 1;
      }
    }
    return count;
  }

  #assertAddress({ partition, hash, key }: KeyAddress): void {
    assert(key.length >= 1 && key.length <= 2048, "key: 1 … 2048 bytes");
    assert(hash >> BigInt(64 - this.#partitionBits) === BigInt(partition), "the hash's top bits are the partition");
  }

  #keep(identity: StoreIdentity): void {
    this.#identity = identity;
    this.#image.identity = identity;
  }

  #withNewActor(): StoreIdentity {
    const { actor, pastActors, leasedThrough } = this.#identity;
    return { actor: this.#drawActor(), pastActors: [...pastActors, actor], leasedThrough };
  }

  #drawActor(): number {
    const bytes = this.#random.bytes(6);
    const drawn = bytes.reduce((value, byte) => value * 256 + byte, 0);
    return drawn === 0 ? 1 : drawn;
  }
}
