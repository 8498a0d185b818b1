/**
 * What a holder shows of a partition to the holder of another slot: its leaf hashes and the states of its hashes, without
 * the keys that the higher of the two slots does not hold. A bucket with fewer replicas than slots leaves the upper ones
 * empty, and that is no difference. While no bucket does, everything comes from RAM; else the keys of a leaf are read
 * once, until the leaf changes. Must never leave out a key that both slots should hold.
 */
import type { ScanEntry, StorageEngine } from "../../storage/engine.ts";
import { MerkleTree } from "../../storage/merkle-tree.ts";
import { LIST_SCAN_STEP } from "../base/limits.ts";
import {
  type HashRange,
  type HashState,
  isLeafSet,
  LEAVES,
  LEAVES_PER_INNER,
  type LeafRange,
  rootOfLeaves,
  statesOf,
} from "./exchange-core.ts";
import { leafHashesOf } from "./transfer-listing.ts";

/** Which keys a slot does not hold, by the settings of their buckets. */
export interface SlotRules {
  /** whether any bucket leaves this slot empty. Asked often: must be cheap. */
  isAnyExempt(slot: number): boolean;
  /** the bucket of the key leaves this slot empty */
  isExempt(key: Uint8Array, slot: number): boolean;
  /** equal while all buckets leave empty what they left empty before */
  fingerprint(): bigint;
}

/** The part of the store that is shown. */
export type ViewedStore = Pick<
  StorageEngine,
  "scan" | "merkleRoot" | "merkleChildren" | "merkleLeaf" | "partitionCount"
>;

/** A partition as one pair of slots sees it. */
export interface PairSight {
  readonly partition: number;
  /** the higher of both slots */
  readonly higherSlot: number;
  /** keys that it does not hold are left out; both sides must say the same */
  readonly isFiltered: boolean;
}

interface FilteredLeaves {
  readonly fingerprint: bigint;
  /** leaf hashes of all keys, and of those that are shown */
  readonly plain: Uint8Array;
  readonly shown: Uint8Array;
}

/** The views of all partitions of one node. */
export class PairViews {
  readonly #store: ViewedStore;
  readonly #rules: SlotRules;
  readonly #tree: MerkleTree;
  readonly #partitionBits: number;
  /** by partition and slot: only where keys are left out */
  readonly #filtered = new Map<string, FilteredLeaves>();

  constructor(store: ViewedStore, rules: SlotRules) {
    this.#store = store;
    this.#rules = rules;
    this.#partitionBits = Math.log2(store.partitionCount);
    this.#tree = new MerkleTree(this.#partitionBits);
  }

  /** How a pair of slots sees a partition now. */
  sightOf(partition: number, slots: { readonly own: number; readonly peer: number }): PairSight {
    const higherSlot = Math.max(slots.own, slots.peer);
    const isFiltered = this.#rules.isAnyExempt(higherSlot);
    if (!isFiltered) this.#filtered.delete(nameOf(partition, higherSlot));
    return { partition, higherSlot, isFiltered };
  }

  /** The hashes that a leaf covers. */
  rangeOf(partition: number, leaf: number): HashRange {
    return this.#tree.leafRange(leaf, partition);
  }

  /** One number for all that is shown; at once while nothing is left out. Rejects as the store does. */
  root(sight: PairSight): bigint | Promise<bigint> {
    if (!sight.isFiltered) return this.#store.merkleRoot(sight.partition);
    return this.#filteredLeaves(sight).then(rootOfLeaves);
  }

  /** The hashes of all 256 leaves, 8 bytes each. Rejects as the store does. */
  async leaves(sight: PairSight): Promise<Uint8Array> {
    return sight.isFiltered ? this.#filteredLeaves(sight) : leafHashesOf(this.#store, sight.partition);
  }

  /**
   * What is shown in these leaves from `fromHash` to `toHash`, ascending: at most `limit` hashes. `throughHash`: how far the
   * list goes.
   * Rejects as the store does.
   */
  async states(
    sight: PairSight,
    range: LeafRange,
    limit: number,
  ): Promise<{ readonly states: readonly HashState[]; readonly throughHash: bigint }> {
    const listed: HashState[] = [];
    for (let leaf = this.#tree.leafOf(range.fromHash); leaf < LEAVES; leaf += 1) {
      const { fromHash } = this.rangeOf(sight.partition, leaf);
      if (fromHash > range.toHash) break;
      if (!isLeafSet(range.leaves, leaf)) continue;
      const inLeaf = sight.isFiltered ? await this.#shownIn(sight, leaf) : this.#heldIn(sight.partition, leaf);
      for (const one of inLeaf) {
        if (one.hash < range.fromHash || one.hash > range.toHash) continue;
        listed.push(one);
        if (listed.length >= limit) return { states: listed, throughHash: one.hash };
      }
    }
    return { states: listed, throughHash: range.toHash };
  }

  /** What is shown under each of these hashes, 0n = nothing. Rejects as the store does. */
  async statesOf(sight: PairSight, hashes: readonly bigint[]): Promise<readonly bigint[]> {
    const states: bigint[] = [];
    const leaves = new Map<number, ReadonlyMap<bigint, bigint>>();
    for (const hash of hashes) {
      const leaf = this.#tree.leafOf(hash);
      let found = leaves.get(leaf);
      if (found === undefined) {
        const inLeaf = sight.isFiltered ? await this.#shownIn(sight, leaf) : this.#heldIn(sight.partition, leaf);
        found = new Map(inLeaf.map((one) => [one.hash, one.state]));
        leaves.set(leaf, found);
      }
      states.push(found.get(hash) ?? 0n);
    }
    return states;
  }

  /** The keys that are shown under a hash. Rejects as the store does. */
  async keysOf(sight: PairSight, hash: bigint): Promise<readonly ScanEntry[]> {
    const { entries } = await this.#store.scan(sight.partition, hash, 1);
    return entries.filter((entry) => entry.hash === hash && this.isShown(sight, entry.key));
  }

  /** Whether a key is part of what the pair compares. */
  isShown(sight: PairSight, key: Uint8Array): boolean {
    return !(sight.isFiltered && this.#rules.isExempt(key, sight.higherSlot));
  }

  #heldIn(partition: number, leaf: number): readonly HashState[] {
    return statesOf(this.#store.merkleLeaf(partition, leaf));
  }

  async #shownIn(sight: PairSight, leaf: number): Promise<readonly HashState[]> {
    return statesOf(await this.#scanLeaf(sight, leaf));
  }

  async #scanLeaf(sight: PairSight, leaf: number): Promise<readonly ScanEntry[]> {
    const { fromHash, toHash } = this.rangeOf(sight.partition, leaf);
    const shown: ScanEntry[] = [];
    let next: bigint | undefined = fromHash;
    while (next !== undefined && next <= toHash) {
      const { entries, nextHash } = await this.#store.scan(sight.partition, next, LIST_SCAN_STEP);
      for (const entry of entries) {
        if (entry.hash <= toHash && entry.digest !== 0n && this.isShown(sight, entry.key)) shown.push(entry);
      }
      next = nextHash;
    }
    return shown;
  }

  /** Only the leaves that have changed since the last time are read. */
  async #filteredLeaves(sight: PairSight): Promise<Uint8Array> {
    const name = nameOf(sight.partition, sight.higherSlot);
    const plain = leafHashesOf(this.#store, sight.partition);
    const fingerprint = this.#rules.fingerprint();
    const kept = this.#filtered.get(name);
    const before = kept?.fingerprint === fingerprint ? kept : undefined;
    const shown = Buffer.alloc(LEAVES * 8);
    for (let leaf = 0; leaf < LEAVES; leaf += 1) {
      const at = leaf * 8;
      const hash = Buffer.from(plain.buffer, plain.byteOffset + at, 8);
      if (before !== undefined && hash.equals(before.plain.subarray(at, at + 8))) {
        shown.set(before.shown.subarray(at, at + 8), at);
      } else if (hash.readBigUInt64BE(0) !== 0n) {
        shown.writeBigUInt64BE(await this.#shownLeafHash(sight, leaf), at);
      }
    }
    // What changed while it was read is of another moment than its hash.
    const after = leafHashesOf(this.#store, sight.partition);
    for (let at = 0; at < plain.length; at += 8) {
      if (Buffer.compare(plain.subarray(at, at + 8), after.subarray(at, at + 8)) !== 0) {
        for (let byte = at; byte < at + 8; byte += 1) plain[byte] = ~(plain[byte] ?? 0) & 0xff;
      }
    }
    this.#filtered.set(name, { fingerprint, plain, shown });
    return shown;
  }

  async #shownLeafHash(sight: PairSight, leaf: number): Promise<bigint> {
    const tree = new MerkleTree(this.#partitionBits);
    for (const { hash, digest } of await this.#scanLeaf(sight, leaf)) tree.toggle(hash, digest);
    return tree.children([Math.floor(leaf / LEAVES_PER_INNER)])[leaf % LEAVES_PER_INNER] ?? 0n;
  }
}

function nameOf(partition: number, slot: number): string {
  return `${partition}/${slot}`;
}
