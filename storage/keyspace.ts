/**
 * What the store holds, in RAM: the index and the Merkle tree of each partition, and how many bytes of each segment
 * are still pointed at. The three change together or not at all.
 * Must never be told of a record that is not durable.
 */
import type { HashRange } from "./engine.ts";
import { KIND_EXPIRING, KIND_REAPED, KIND_TOMBSTONE, type RecordKind } from "./format/record.ts";
import { IndexTable } from "./index-table.ts";
import { MerkleTree } from "./merkle-tree.ts";
import type { RecordSpot } from "./record-reader.ts";
import type { SegmentSet } from "./segment-set.ts";

/** A record as the index knows it. */
export interface KeyspaceEntry {
  readonly hash: bigint;
  readonly digest: bigint;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly kind: RecordKind;
}

/** A place in the log. */
export interface LogPlace {
  readonly segment: number;
  readonly offset: number;
}

const EVERY_HASH: HashRange = { fromHash: 0n, beforeHash: undefined, limit: Number.POSITIVE_INFINITY };

/** All partitions. */
export class Keyspace {
  readonly #segments: SegmentSet;
  readonly #partitionBits: number;
  readonly #tables: (IndexTable | undefined)[];
  readonly #trees: (MerkleTree | undefined)[];
  /** by partition: reap marks, and entries that are tombstones or may expire */
  readonly #reaped: Uint32Array<ArrayBuffer>;
  readonly #collectable: Uint32Array<ArrayBuffer>;
  #entryCount = 0;
  #tombstoneCount = 0;
  #reapedCount = 0;
  /** while the store is loaded, most entries are replaced again: the trees are built once, from what remains */
  #isLoading = true;

  constructor(segments: SegmentSet, partitionCount: number) {
    this.#segments = segments;
    this.#partitionBits = Math.log2(partitionCount);
    this.#tables = Array.from({ length: partitionCount }, () => undefined);
    this.#trees = Array.from({ length: partitionCount }, () => undefined);
    this.#reaped = new Uint32Array(partitionCount);
    this.#collectable = new Uint32Array(partitionCount);
  }

  /** Keys with a record, tombstones included. */
  get entryCount(): number {
    return this.#entryCount;
  }

  /** Keys whose newest record is a tombstone. */
  get tombstoneCount(): number {
    return this.#tombstoneCount;
  }

  /** Reap marks that are still in the index, because an older record of their key may be left on disk. */
  get reapedCount(): number {
    return this.#reapedCount;
  }

  /** Keys of a partition with a record, tombstones included. */
  keyCountOf(partition: number): number {
    return (this.#tables[partition]?.count ?? 0) - (this.#reaped[partition] ?? 0);
  }

  /** Those whose record is a tombstone or may expire. */
  collectableCountOf(partition: number): number {
    return this.#collectable[partition] ?? 0;
  }

  /** Reap marks of a partition. */
  reapedCountOf(partition: number): number {
    return this.#reaped[partition] ?? 0;
  }

  /** Memory of all tables, bytes. */
  get indexBytes(): number {
    let total = 0;
    for (const table of this.#tables) total += table?.bytes ?? 0;
    return total;
  }

  /** The index of a partition; undefined while it is empty. */
  table(partition: number): IndexTable | undefined {
    return this.#tables[partition];
  }

  /** The tree of a partition; undefined while it is empty. */
  tree(partition: number): MerkleTree | undefined {
    return this.#trees[partition];
  }

  /** Ends the loading of a store: builds the tree of one partition after the other, with `pause` in between. */
  async buildTrees(pause: () => Promise<void>): Promise<void> {
    this.#isLoading = false;
    for (const [partition, table] of this.#tables.entries()) {
      if (table === undefined) continue;
      table.forEachFrom(0n, (slot) => {
        this.#toggle(partition, table.hashAt(slot), table.digestAt(slot));
        return true;
      });
      await pause();
    }
  }

  /** Adds an entry beside any of the same hash. */
  insert(partition: number, entry: KeyspaceEntry): void {
    const table = this.#tables[partition] ?? new IndexTable(this.#partitionBits);
    this.#tables[partition] = table;
    table.insert(entry);
    this.#toggle(partition, entry.hash, entry.digest);
    this.#count(entry.segment, entry.length, 1);
    this.#countKind(partition, entry.kind, 1);
  }

  /** Puts an entry in the place of one with the same hash. */
  replace(partition: number, slot: number, entry: KeyspaceEntry): void {
    const table = this.#tables[partition];
    if (table === undefined) return;
    const oldDigest = table.digestAt(slot);
    if (oldDigest !== entry.digest) {
      this.#toggle(partition, entry.hash, oldDigest);
      this.#toggle(partition, entry.hash, entry.digest);
    }
    this.#count(table.segmentAt(slot), table.lengthAt(slot), -1);
    this.#count(entry.segment, entry.length, 1);
    const oldKind = table.kindAt(slot);
    if (oldKind !== entry.kind) {
      this.#countKind(partition, oldKind, -1);
      this.#countKind(partition, entry.kind, 1);
    }
    table.replaceAt(slot, entry);
  }

  /** Takes an entry out. */
  remove(partition: number, slot: number): void {
    const table = this.#tables[partition];
    if (table === undefined) return;
    this.#toggle(partition, table.hashAt(slot), table.digestAt(slot));
    this.#count(table.segmentAt(slot), table.lengthAt(slot), -1);
    this.#countKind(partition, table.kindAt(slot), -1);
    table.removeAt(slot);
  }

  /**
   * Forgets all entries of a partition and gives their memory back. Cost: two additions an entry of that partition, so
   * that a segment always knows what points at it; whatever else the store holds costs nothing.
   */
  drop(partition: number): void {
    const table = this.#tables[partition];
    if (table === undefined) return;
    table.forEachFrom(0n, (slot) => {
      this.#count(table.segmentAt(slot), table.lengthAt(slot), -1);
      this.#countKind(partition, table.kindAt(slot), -1);
      return true;
    });
    this.#tables[partition] = undefined;
    this.#trees[partition] = undefined;
  }

  /** The slot whose entry points exactly at this place, or −1. */
  slotAt(partition: number, hash: bigint, place: LogPlace): number {
    const table = this.#tables[partition];
    if (table === undefined) return -1;
    let slot = table.find(hash);
    while (slot >= 0) {
      if (table.segmentAt(slot) === place.segment && table.offsetAt(slot) === place.offset) return slot;
      slot = table.findNext(slot, hash);
    }
    return -1;
  }

  /** Points an entry at a copy of its record if it still points at `from`: false when a newer record has taken over. */
  relocate(partition: number, hash: bigint, move: { readonly from: LogPlace; readonly to: LogPlace }): boolean {
    const table = this.#tables[partition];
    const slot = this.slotAt(partition, hash, move.from);
    if (table === undefined || slot < 0) return false;
    const length = table.lengthAt(slot);
    this.#count(move.from.segment, length, -1);
    this.#count(move.to.segment, length, 1);
    table.replaceAt(slot, {
      hash,
      digest: table.digestAt(slot),
      segment: move.to.segment,
      offset: move.to.offset,
      length,
      kind: table.kindAt(slot),
    });
    return true;
  }

  /**
   * Forgets the digest of a record that cannot be read, and keeps its place: the tree then tells replicas that the
   * version is missing here, while a read still meets the error. False when it was forgotten before, or has gone.
   */
  disown(partition: number, hash: bigint, place: LogPlace): boolean {
    const table = this.#tables[partition];
    const slot = this.slotAt(partition, hash, place);
    if (table === undefined || slot < 0 || table.digestAt(slot) === 0n) return false;
    this.#toggle(partition, hash, table.digestAt(slot));
    table.replaceAt(slot, {
      hash,
      digest: 0n,
      ...place,
      length: table.lengthAt(slot),
      kind: table.kindAt(slot),
    });
    return true;
  }

  /** The hashes that `disown` was called for and that were not put again, in order. O(keys of the range). */
  unreadableIn(partition: number, { fromHash, beforeHash, limit }: HashRange = EVERY_HASH): readonly bigint[] {
    const hashes: bigint[] = [];
    const table = this.#tables[partition];
    table?.forEachFrom(fromHash, (slot) => {
      if (beforeHash !== undefined && table.hashAt(slot) >= beforeHash) return false;
      if (table.digestAt(slot) === 0n && table.kindAt(slot) !== KIND_REAPED) hashes.push(table.hashAt(slot));
      return hashes.length < limit;
    });
    return hashes;
  }

  /** The (hash, digest) pairs that the tree has of these hashes, both ends included, in hash order. */
  pairsBetween(
    partition: number,
    { fromHash, toHash }: { readonly fromHash: bigint; readonly toHash: bigint },
  ): readonly { readonly hash: bigint; readonly digest: bigint }[] {
    const pairs: { readonly hash: bigint; readonly digest: bigint }[] = [];
    const table = this.#tables[partition];
    table?.forEachFrom(fromHash, (slot) => {
      const hash = table.hashAt(slot);
      if (hash > toHash) return false;
      const digest = table.digestAt(slot);
      // 0: the record cannot be read, or was reaped, and the tree does not claim it
      if (digest !== 0n) pairs.push({ hash, digest });
      return true;
    });
    return pairs;
  }

  /** Where the entry of a slot stands; undefined only if its segment is gone, which is a bug. */
  spotOf(partition: number, slot: number): RecordSpot | undefined {
    const table = this.#tables[partition];
    const segment = table === undefined ? undefined : this.#segments.get(table.segmentAt(slot));
    if (table === undefined || segment === undefined) return undefined;
    return { segment, offset: table.offsetAt(slot), length: table.lengthAt(slot) };
  }

  /** Where all entries of a hash stand. */
  spotsOf(partition: number, hash: bigint): RecordSpot[] {
    const table = this.#tables[partition];
    const spots: RecordSpot[] = [];
    if (table === undefined) return spots;
    for (let slot = table.find(hash); slot >= 0; slot = table.findNext(slot, hash)) {
      const spot = this.spotOf(partition, slot);
      if (spot !== undefined) spots.push(spot);
    }
    return spots;
  }

  #toggle(partition: number, hash: bigint, digest: bigint): void {
    if (digest === 0n || this.#isLoading) return;
    const tree = this.#trees[partition] ?? new MerkleTree(this.#partitionBits);
    this.#trees[partition] = tree;
    tree.toggle(hash, digest);
  }

  #countKind(partition: number, kind: RecordKind, sign: 1 | -1): void {
    if (kind === KIND_REAPED) {
      this.#reapedCount += sign;
      this.#reaped[partition] = (this.#reaped[partition] ?? 0) + sign;
      return;
    }
    this.#entryCount += sign;
    if (kind === KIND_TOMBSTONE) this.#tombstoneCount += sign;
    if (kind === KIND_TOMBSTONE || kind === KIND_EXPIRING) {
      this.#collectable[partition] = (this.#collectable[partition] ?? 0) + sign;
    }
  }

  #count(segmentId: number, length: number, sign: 1 | -1): void {
    const segment = this.#segments.get(segmentId);
    if (segment === undefined) return;
    segment.liveBytes += sign * length;
    segment.liveCount += sign;
  }
}
