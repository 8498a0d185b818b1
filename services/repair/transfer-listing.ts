/**
 * Which keys a page may hold, in hash order, a few at a time: those in differing leaves, or those that have changed. Must
 * never leave out a key that the store can list.
 */
import type { ScanEntry, StorageEngine } from "../../storage/engine.ts";
import { MerkleTree, merkleLeafCount } from "../../storage/merkle-tree.ts";
import { TRANSFER_SCAN_KEYS } from "../base/limits.ts";
import type { HashState } from "./exchange-core.ts";

/** Some keys from a hash on, and the hash to go on from; undefined = there are no more. All keys of one hash come together. */
export interface KeyList {
  readonly entries: readonly ScanEntry[];
  readonly nextHash: bigint | undefined;
}

/** Lists keys from a hash on. */
export type KeyLister = (fromHash: bigint) => Promise<KeyList>;

/** The part of the store that lists. */
export type ListedStore = Pick<StorageEngine, "scan" | "merkleChildren" | "partitionCount">;

/** The hashes of all leaves of a partition: u64 big-endian each. From RAM. */
export function leafHashesOf(store: Pick<ListedStore, "merkleChildren">, partition: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(merkleLeafCount * 8);
  for (let inner = 0; inner < 16; inner += 1) {
    for (const [child, hash] of store.merkleChildren(partition, [inner]).entries()) {
      bytes.writeBigUInt64BE(hash, (inner * 16 + child) * 8);
    }
  }
  return bytes;
}

/** One bit for each leaf in which two lists of leaf hashes differ. */
export function differingLeaves(ours: Uint8Array, theirs: Uint8Array): Uint8Array {
  const bits = new Uint8Array(merkleLeafCount / 8);
  for (let leaf = 0; leaf < merkleLeafCount; leaf += 1) {
    const at = leaf * 8;
    const isSame = Buffer.compare(ours.subarray(at, at + 8), theirs.subarray(at, at + 8)) === 0;
    if (!isSame) bits[leaf >>> 3] = (bits[leaf >>> 3] ?? 0) | (1 << (leaf & 7));
  }
  return bits;
}

/** Whether the bit of a leaf is set. */
export function isLeafIn(bits: Uint8Array, leaf: number): boolean {
  return ((bits[leaf >>> 3] ?? 0) & (1 << (leaf & 7))) !== 0;
}

/** One bit set: that of the leaf in which a hash lies. */
export function leafBitsOf({ partitionCount }: Pick<ListedStore, "partitionCount">, hash: bigint): Uint8Array {
  const leaf = new MerkleTree(Math.log2(partitionCount)).leafOf(hash);
  const bits = new Uint8Array(merkleLeafCount / 8);
  bits[leaf >>> 3] = 1 << (leaf & 7);
  return bits;
}

/** What stands under each hash of a list: the XOR of the digests of its keys. In the order of the list. */
export function statesOf(entries: readonly ScanEntry[]): readonly HashState[] {
  const states = new Map<bigint, bigint>();
  for (const { hash, digest } of entries) states.set(hash, (states.get(hash) ?? 0n) ^ digest);
  return [...states].map(([hash, state]) => ({ hash, state }));
}

/** Lists the keys in the leaves whose bits are set. */
export function leafLister(store: ListedStore, partition: number, bits: Uint8Array): KeyLister {
  const tree = new MerkleTree(Math.log2(store.partitionCount));
  const firstIn = (hash: bigint): bigint | undefined => {
    const from = tree.leafRange(0, partition).fromHash > hash ? 0 : tree.leafOf(hash);
    for (let leaf = from; leaf < merkleLeafCount; leaf += 1) {
      const { fromHash } = tree.leafRange(leaf, partition);
      if (isLeafIn(bits, leaf)) return fromHash > hash ? fromHash : hash;
    }
    return undefined;
  };
  return async (fromHash) => {
    const first = firstIn(fromHash);
    if (first === undefined) return { entries: [], nextHash: undefined };
    const { entries, nextHash } = await store.scan(partition, first, TRANSFER_SCAN_KEYS);
    return {
      entries: entries.filter((entry) => isLeafIn(bits, tree.leafOf(entry.hash))),
      nextHash: nextHash === undefined ? undefined : firstIn(nextHash),
    };
  };
}

/** Where the first hash that is not below `from` stands among ascending ones; their number when there is none. */
function firstNotBelow(hashes: readonly bigint[], from: bigint): number {
  let low = 0;
  let high = hashes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((hashes[middle] ?? from) < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Lists the keys that have these hashes, which ascend. */
export function hashLister(store: ListedStore, partition: number, hashes: readonly bigint[]): KeyLister {
  return async (fromHash) => {
    const at = firstNotBelow(hashes, fromHash);
    const hash = hashes[at];
    if (hash === undefined) return { entries: [], nextHash: undefined };
    const { entries } = await store.scan(partition, hash, 1);
    return { entries: entries.filter((entry) => entry.hash === hash), nextHash: hashes[at + 1] };
  };
}
