/**
 * The Merkle tree of one partition: 256 leaves under 16 inner nodes under one root, each 64 bits. A leaf is the XOR of
 * one mixed word pair per key, so adding and removing a key is the same `toggle`; inner nodes are the XOR of their
 * children mixed with their places, so equal leaves in swapped places differ above. A leaf covers a contiguous range
 * of hashes: the eight bits behind the partition's. All arithmetic is on u32 words. Must never be taken for a
 * cryptographic commitment: it finds differences between replicas that mean well.
 *
 * Source: Dynamo §4.7 (DeCandia et al., SOSP 2007); DESIGN §5.
 */
import assert from "node:assert";
import { highWord, joinU64, lowWord, splitU64, words } from "./words.ts";

const fanOut = 16;
/** Leaves of a tree. */
export const merkleLeafCount = 256;
/** word offsets of the three levels: root, inner nodes, leaves; two words (high, low) a node */
const innerBase = 2;
const leafBase = innerBase + 2 * fanOut;
const wordCount = leafBase + 2 * merkleLeafCount;

/** result of the last mix, high word first: two words returned without garbage */
const mixed: Uint32Array<ArrayBuffer> = new Uint32Array(2);

/** The tree of one partition; costs nothing until the first key. */
export class MerkleTree {
  readonly #partitionBits: number;
  #nodes: Uint32Array<ArrayBuffer> | undefined;

  /** `partitionBits`: how many top bits all hashes of the partition share, 0 … 24. */
  constructor(partitionBits: number) {
    assert(Number.isInteger(partitionBits) && partitionBits >= 0 && partitionBits <= 24, "partition bits: 0 … 24");
    this.#partitionBits = partitionBits;
  }

  /** Puts a (key hash, digest) pair in, or takes the same pair out. */
  toggle(hash: bigint, digest: bigint): void {
    this.#nodes ??= new Uint32Array(wordCount);
    const nodes = this.#nodes;
    splitU64(digest);
    const digestHigh = words[highWord] ?? 0;
    const digestLow = words[lowWord] ?? 0;
    splitU64(hash);
    const leaf = leafOfWords(words[highWord] ?? 0, this.#partitionBits);
    mixPair(words[highWord] ?? 0, words[lowWord] ?? 0, digestHigh, digestLow);
    const inner = leaf >>> 4;
    flip(nodes, leafBase + 2 * leaf, leaf & 15);
    flip(nodes, innerBase + 2 * inner, inner + fanOut);
    nodes[0] = (nodes[0] ?? 0) ^ (mixed[0] ?? 0);
    nodes[1] = (nodes[1] ?? 0) ^ (mixed[1] ?? 0);
  }

  /** The root; 0n when no key is in. */
  root(): bigint {
    return this.#nodeAt(0);
  }

  /** The 16 children of the root (path []) or of its child i (path [i]). */
  children(path: readonly number[]): readonly bigint[] {
    const [inner] = path;
    assert(path.length <= 1, "a path has 0 or 1 steps");
    assert(inner === undefined || (Number.isInteger(inner) && inner >= 0 && inner < fanOut), "a step is 0 … 15");
    const base = inner === undefined ? innerBase : leafBase + 2 * fanOut * inner;
    return Array.from({ length: fanOut }, (_, child) => this.#nodeAt(base + 2 * child));
  }

  /** The leaf (0 … 255) that a hash belongs to. */
  leafOf(hash: bigint): number {
    splitU64(hash);
    return leafOfWords(words[highWord] ?? 0, this.#partitionBits);
  }

  /** The hashes that a leaf of the given partition covers, both ends included. */
  leafRange(leaf: number, partition = 0): { readonly fromHash: bigint; readonly toHash: bigint } {
    assert(Number.isInteger(leaf) && leaf >= 0 && leaf < merkleLeafCount, "a leaf is 0 … 255");
    const shift = BigInt(56 - this.#partitionBits);
    const fromHash = ((BigInt(partition) << 8n) | BigInt(leaf)) << shift;
    return { fromHash, toHash: fromHash + (1n << shift) - 1n };
  }

  #nodeAt(at: number): bigint {
    return this.#nodes === undefined ? 0n : joinU64(this.#nodes[at] ?? 0, this.#nodes[at + 1] ?? 0);
  }
}

function leafOfWords(high: number, partitionBits: number): number {
  return (high << partitionBits) >>> 24;
}

/** XORs the mixed words into a node, then leaves in them what the node's parent must be XORed with. */
function flip(nodes: Uint32Array<ArrayBuffer>, at: number, place: number): void {
  const oldHigh = nodes[at] ?? 0;
  const oldLow = nodes[at + 1] ?? 0;
  const newHigh = (oldHigh ^ (mixed[0] ?? 0)) >>> 0;
  const newLow = (oldLow ^ (mixed[1] ?? 0)) >>> 0;
  nodes[at] = newHigh;
  nodes[at + 1] = newLow;
  mixPlaced(oldHigh, oldLow, place);
  const beforeHigh = mixed[0] ?? 0;
  const beforeLow = mixed[1] ?? 0;
  mixPlaced(newHigh, newLow, place);
  mixed[0] = (mixed[0] ?? 0) ^ beforeHigh;
  mixed[1] = (mixed[1] ?? 0) ^ beforeLow;
}

/** A child's share in its parent; an empty child has none, so that an empty tree is 0. */
function mixPlaced(high: number, low: number, place: number): void {
  if (high === 0 && low === 0) {
    mixed[0] = 0;
    mixed[1] = 0;
    return;
  }
  mixPair(high, low, Math.imul(place + 1, 0x9e3779b1), place + 0x51ed27);
}

/**
 * Four words to two: rounds of xor-shift-multiply, each lane fed by the other. Each step can be undone, so for one
 * key (a) two different digests (b) never give the same words.
 */
function mixPair(aHigh: number, aLow: number, bHigh: number, bLow: number): void {
  let x = Math.imul(aLow ^ 0x243f6a88, 0x85ebca6b) ^ aHigh;
  let y = Math.imul(x ^ 0x13198a2e, 0xc2b2ae35) ^ aLow;
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) + bLow;
  y = Math.imul(y ^ (y >>> 14), 0x297a2d39) + bHigh;
  x = Math.imul(x ^ (y >>> 13) ^ (y << 7), 0x85ebca6b);
  y = Math.imul(y ^ (x >>> 16) ^ (x << 9), 0xc2b2ae35);
  x = Math.imul(x ^ (x >>> 16) ^ y, 0x7feb352d);
  y = Math.imul(y ^ (y >>> 15) ^ x, 0x846ca68b);
  mixed[0] = (x ^ (x >>> 15) ^ (y << 3)) >>> 0;
  mixed[1] = (y ^ (y >>> 16)) >>> 0;
}
