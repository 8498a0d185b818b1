import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MerkleTree, merkleLeafCount } from "../../../storage/merkle-tree.ts";

const partitionBits = 10;
const partition = 0x155;
const prefix = BigInt(partition) << 54n;
const pairArbitrary = fc.record({
  hash: fc.bigInt(0n, (1n << 54n) - 1n).map((low) => prefix + low),
  digest: fc.bigInt(1n, (1n << 64n) - 1n),
});

function treeOf(pairs: readonly { readonly hash: bigint; readonly digest: bigint }[]): MerkleTree {
  const tree = new MerkleTree(partitionBits);
  for (const { hash, digest } of pairs) tree.toggle(hash, digest);
  return tree;
}

function leavesOf(tree: MerkleTree): bigint[] {
  return Array.from({ length: 16 }, (_, inner) => tree.children([inner])).flat();
}

describe("the Merkle tree of a partition", () => {
  test("is 0 everywhere when nothing is in, and again when everything was taken out", () => {
    fc.assert(
      fc.property(fc.array(pairArbitrary, { maxLength: 30 }), (pairs) => {
        const tree = treeOf([...pairs, ...pairs]);
        expect(tree.root()).toBe(0n);
        expect(tree.children([])).toEqual(Array(16).fill(0n));
        expect(leavesOf(tree)).toEqual(Array(merkleLeafCount).fill(0n));
      }),
    );
  });

  test("depends on the set of pairs alone, not on the order they came in", () => {
    fc.assert(
      fc.property(fc.array(pairArbitrary, { maxLength: 40 }), (pairs) => {
        const forth = treeOf(pairs);
        const back = treeOf([...pairs].reverse());
        expect(forth.root()).toBe(back.root());
        expect(leavesOf(forth)).toEqual(leavesOf(back));
      }),
    );
  });

  test("differs at the root, on the path and in the leaf, and only there, when one key's digest differs", () => {
    fc.assert(
      fc.property(fc.array(pairArbitrary, { minLength: 1, maxLength: 40 }), fc.nat(), (pairs, pick) => {
        const changed = pairs[pick % pairs.length];
        if (changed === undefined) return;
        const before = treeOf(pairs);
        const after = treeOf(pairs);
        after.toggle(changed.hash, changed.digest);
        after.toggle(changed.hash, changed.digest ^ 1n);
        const leaf = before.leafOf(changed.hash);
        expect(after.root()).not.toBe(before.root());
        const innerDifferences = after.children([]).map((node, inner) => node !== before.children([])[inner]);
        expect(innerDifferences).toEqual(innerDifferences.map((_, inner) => inner === leaf >> 4));
        const leafDifferences = leavesOf(after).map((node, at) => node !== leavesOf(before)[at]);
        expect(leafDifferences).toEqual(leafDifferences.map((_, at) => at === leaf));
      }),
      { numRuns: 50 },
    );
  });

  test("tells two trees apart whose inner nodes hold the same leaves in other places", () => {
    // Equal leaf words in two places need equal (hash, digest) mixes, so the places are swapped by partition bits.
    const low = new MerkleTree(0);
    const high = new MerkleTree(8);
    const pair = { hash: 0x01_02_00000000000an, digest: 77n };
    low.toggle(pair.hash, pair.digest);
    high.toggle(pair.hash, pair.digest);
    expect(low.leafOf(pair.hash)).not.toBe(high.leafOf(pair.hash));
    expect(leavesOf(low).filter((leaf) => leaf !== 0n)).toEqual(leavesOf(high).filter((leaf) => leaf !== 0n));
    expect(low.root()).not.toBe(high.root());
  });

  test("cuts the partition's hashes into 256 contiguous leaves", () => {
    const tree = new MerkleTree(partitionBits);
    let next = prefix;
    for (let leaf = 0; leaf < merkleLeafCount; leaf += 1) {
      const range = tree.leafRange(leaf, partition);
      expect(range.fromHash).toBe(next);
      expect(tree.leafOf(range.fromHash)).toBe(leaf);
      expect(tree.leafOf(range.toHash)).toBe(leaf);
      next = range.toHash + 1n;
    }
    expect(next).toBe(BigInt(partition + 1) << 54n);
  });

  test("flips about half of the 64 bits of the root for each bit of the hash or the digest", () => {
    const base = { hash: prefix + 0x123456789abn, digest: 0xfedcba9876543210n };
    const root = treeOf([base]).root();
    for (let bit = 0n; bit < 64n; bit += 1n) {
      const roots = [treeOf([{ ...base, digest: base.digest ^ (1n << bit) }]).root()];
      if (bit < 54n) roots.push(treeOf([{ ...base, hash: base.hash ^ (1n << bit) }]).root());
      for (const other of roots) {
        const flipped = (root ^ other).toString(2).replaceAll("0", "").length;
        expect(flipped).toBeGreaterThan(12);
        expect(flipped).toBeLessThan(52);
      }
    }
  });

  test("gives a hundred thousand keys of small and consecutive digests distinct leaf words", () => {
    const seen = new Set<bigint>();
    for (let serial = 0; serial < 100_000; serial += 1) {
      seen.add(treeOf([{ hash: prefix + BigInt(serial % 317), digest: BigInt(1 + Math.floor(serial / 317)) }]).root());
    }
    expect(seen.size).toBe(100_000);
  });
});
