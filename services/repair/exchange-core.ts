/**
 * One exchange of one partition between two holders, as the asking side goes through it: root, 16 inner hashes, leaves,
 * lists of (hash, state), objects. A state machine: it says what to do next and is told what came of it. The pure
 * comparisons of the answering side are here too, so that both are one page. A hash's *state* is the XOR of the digests
 * of the keys that have it, 0n = none: keys that share a hash are compared together and told apart by their bytes.
 * Must never call a pair equal that was not compared to its end, nor take a key that is being written for a difference
 * when it was told to be patient. Sources: Dynamo §4.7; research: features §4.9 (confirm twice), reliability §4 O11.
 */
import { xxh64 } from "../base/hash.ts";

/** Leaves of a partition's tree, and how many of them an inner hash covers. */
export const LEAVES = 256;
export const LEAVES_PER_INNER = 16;

/** What stands under one hash. */
export interface HashState {
  readonly hash: bigint;
  /** 0n: nothing */
  readonly state: bigint;
}

/** A hash under which the two sides hold different things. */
export interface Difference {
  readonly hash: bigint;
  /** 0n: nothing */
  readonly ours: bigint;
  readonly theirs: bigint;
}

/** Hashes, both ends included. */
export interface HashRange {
  readonly fromHash: bigint;
  readonly toHash: bigint;
}

/** Those hashes of a range that lie in leaves whose bits are set: differing leaves seldom lie side by side. */
export interface LeafRange extends HashRange {
  /** 256 bits */
  readonly leaves: Uint8Array;
}

/** How an exchange ended. */
export type ExchangeEnd =
  /** nothing differed, or all that did was moved both ways */
  | { readonly kind: "complete"; readonly isEqual: boolean }
  /** so many hashes were still being written, or could not be moved */
  | { readonly kind: "unsettled"; readonly hashCount: number }
  /** enough for one round: there is more */
  | { readonly kind: "more" };

/** What the asking side does next. */
export type ExchangeStep =
  /** take the hashes of our leaves as they are now: `compared`. Not for the first time: pause before. */
  | { readonly kind: "compare"; readonly isAgain: boolean }
  /** ask which of the 16 inner hashes differ: `innerDiffer` */
  | { readonly kind: "ask-inner"; readonly inner: Uint8Array }
  /** ask which leaves under the inner nodes `at` (one bit each) differ: `leavesDiffer` */
  | { readonly kind: "ask-leaves"; readonly at: number; readonly leaves: Uint8Array }
  /** list what is held in the range, ask what differs: `listed` */
  | { readonly kind: "ask-list"; readonly range: LeafRange }
  /** pause, and see which of them still differ in the same way: `settled` */
  | { readonly kind: "settle"; readonly differences: readonly Difference[] }
  /** move the objects both ways: `moved` */
  | { readonly kind: "move"; readonly differences: readonly Difference[] }
  | { readonly kind: "end"; readonly end: ExchangeEnd };

/** How an exchange goes about it. */
export interface ExchangeManner {
  /** keys that are being written are left alone: false where acknowledged records may be missing */
  readonly isPatient: boolean;
  /** hashes that are moved before the exchange ends with `more` */
  readonly maxHashes: number;
  /** comparisons from the beginning, when something was unsettled */
  readonly maxPasses: number;
  /** the hashes that a leaf covers */
  readonly rangeOf: (leaf: number) => HashRange;
}

/** One exchange. Each method answers with the next step. */
export class Exchange {
  readonly #manner: ExchangeManner;
  #leaves: Uint8Array = new Uint8Array(0);
  #range: LeafRange | undefined;
  #passCount = 0;
  #unsettledCount = 0;
  #movedCount = 0;

  constructor(manner: ExchangeManner) {
    this.#manner = manner;
  }

  /** The first step. */
  begin(): ExchangeStep {
    return { kind: "compare", isAgain: false };
  }

  /** The hashes of our leaves: 256 × 8 bytes. */
  compared(leaves: Uint8Array): ExchangeStep {
    this.#leaves = leaves;
    this.#passCount += 1;
    this.#unsettledCount = 0;
    return { kind: "ask-inner", inner: innerHashesOf(leaves) };
  }

  /** One bit for each inner node that differs. */
  innerDiffer(bits: number): ExchangeStep {
    if (bits === 0) return { kind: "end", end: { kind: "complete", isEqual: true } };
    return { kind: "ask-leaves", at: bits, leaves: leavesUnder(this.#leaves, bits) };
  }

  /** One bit for each leaf that differs. */
  leavesDiffer(bits: Uint8Array): ExchangeStep {
    this.#range = rangeOver(bits, this.#manner.rangeOf);
    return this.#nextList();
  }

  /** What differs in the range, up to and with `throughHash`. */
  listed(differences: readonly Difference[], throughHash: bigint): ExchangeStep {
    const range = this.#range;
    const isOver = range === undefined || throughHash >= range.toHash;
    this.#range = isOver ? undefined : { ...range, fromHash: throughHash + 1n };
    if (differences.length === 0) return this.#nextList();
    return { kind: this.#manner.isPatient ? "settle" : "move", differences };
  }

  /** Those that still differ in the same way; `movingCount` others differ in another way now. */
  settled(differences: readonly Difference[], movingCount: number): ExchangeStep {
    this.#unsettledCount += movingCount;
    return differences.length === 0 ? this.#nextList() : { kind: "move", differences };
  }

  /** The objects were moved, but for those of `failedCount` hashes. */
  moved(movedCount: number, failedCount: number): ExchangeStep {
    this.#movedCount += movedCount;
    this.#unsettledCount += failedCount;
    return this.#nextList();
  }

  #nextList(): ExchangeStep {
    const range = this.#range;
    if (range !== undefined) {
      if (this.#movedCount >= this.#manner.maxHashes) return { kind: "end", end: { kind: "more" } };
      return { kind: "ask-list", range };
    }
    if (this.#unsettledCount === 0) return { kind: "end", end: { kind: "complete", isEqual: false } };
    if (this.#passCount < this.#manner.maxPasses) return { kind: "compare", isAgain: true };
    return { kind: "end", end: { kind: "unsettled", hashCount: this.#unsettledCount } };
  }
}

/** The 16 hashes over 16 leaf hashes each: 16 × 8 bytes. */
export function innerHashesOf(leaves: Uint8Array): Uint8Array {
  const inner = Buffer.allocUnsafe(LEAVES_PER_INNER * 8);
  const width = LEAVES_PER_INNER * 8;
  for (let at = 0; at < LEAVES_PER_INNER; at += 1) {
    inner.writeBigUInt64BE(xxh64(leaves.subarray(at * width, (at + 1) * width)), at * 8);
  }
  return inner;
}

/** One number for all leaves: equal when they are. */
export function rootOfLeaves(leaves: Uint8Array): bigint {
  return xxh64(leaves);
}

/** One bit for each of the 16 inner hashes that differs. */
export function differingInner(ours: Uint8Array, theirs: Uint8Array): number {
  let bits = 0;
  for (let at = 0; at < LEAVES_PER_INNER; at += 1) if (!isSameAt(ours, theirs, at, at)) bits |= 1 << at;
  return bits;
}

/** The leaf hashes under the inner nodes whose bits are set, in order. */
export function leavesUnder(leaves: Uint8Array, bits: number): Uint8Array {
  const width = LEAVES_PER_INNER * 8;
  const parts: Uint8Array[] = [];
  for (let at = 0; at < LEAVES_PER_INNER; at += 1) {
    if ((bits & (1 << at)) !== 0) parts.push(leaves.subarray(at * width, (at + 1) * width));
  }
  return Buffer.concat(parts);
}

/** One bit for each leaf that differs, of those under the inner nodes `at`; undefined when `theirs` has another length. */
export function differingUnder(ours: Uint8Array, at: number, theirs: Uint8Array): Uint8Array | undefined {
  const mine = leavesUnder(ours, at);
  if (mine.length !== theirs.length) return undefined;
  const bits = new Uint8Array(LEAVES / 8);
  let place = 0;
  for (let inner = 0; inner < LEAVES_PER_INNER; inner += 1) {
    if ((at & (1 << inner)) === 0) continue;
    for (let child = 0; child < LEAVES_PER_INNER; child += 1, place += 1) {
      const leaf = inner * LEAVES_PER_INNER + child;
      if (!isSameAt(mine, theirs, place, place)) bits[leaf >>> 3] = (bits[leaf >>> 3] ?? 0) | (1 << (leaf & 7));
    }
  }
  return bits;
}

/**
 * Where two lists, ascending by hash, differ: what `theirs` has under each such hash. At most `limit`; `throughHash`: how
 * far the lists were compared, undefined = to their ends.
 */
export function differingStates(
  ours: readonly HashState[],
  theirs: readonly HashState[],
  limit: number,
): { readonly differences: readonly Difference[]; readonly throughHash: bigint | undefined } {
  const differences: Difference[] = [];
  let i = 0;
  let j = 0;
  for (;;) {
    const mine = ours[i];
    const other = theirs[j];
    if (mine === undefined && other === undefined) return { differences, throughHash: undefined };
    const hash = lowest(mine?.hash, other?.hash);
    const isMine = mine?.hash === hash;
    const isOther = other?.hash === hash;
    if (isMine) i += 1;
    if (isOther) j += 1;
    const left = isMine ? mine.state : 0n;
    const right = isOther ? other.state : 0n;
    if (left === right) continue;
    differences.push({ hash, ours: left, theirs: right });
    if (differences.length >= limit) return { differences, throughHash: hash };
  }
}

/** The states under each hash, of pairs that ascend by hash: keys of one hash become one. */
export function statesOf(pairs: Iterable<{ readonly hash: bigint; readonly digest: bigint }>): readonly HashState[] {
  const states: { hash: bigint; state: bigint }[] = [];
  for (const { hash, digest } of pairs) {
    const last = states.at(-1);
    if (last?.hash === hash) last.state ^= digest;
    else states.push({ hash, state: digest });
  }
  return states;
}

function lowest(a: bigint | undefined, b: bigint | undefined): bigint {
  if (a === undefined) return b ?? 0n;
  return b === undefined || a < b ? a : b;
}

function isSameAt(a: Uint8Array, b: Uint8Array, i: number, j: number): boolean {
  for (let byte = 0; byte < 8; byte += 1) if (a[i * 8 + byte] !== b[j * 8 + byte]) return false;
  return true;
}

/** From the first to the last leaf whose bit is set; undefined when none is. */
function rangeOver(leaves: Uint8Array, rangeOf: (leaf: number) => HashRange): LeafRange | undefined {
  let range: LeafRange | undefined;
  for (let leaf = 0; leaf < LEAVES; leaf += 1) {
    if (!isLeafSet(leaves, leaf)) continue;
    const { fromHash, toHash } = rangeOf(leaf);
    range = { fromHash: range?.fromHash ?? fromHash, toHash, leaves };
  }
  return range;
}

/** Whether the bit of a leaf is set. */
export function isLeafSet(leaves: Uint8Array, leaf: number): boolean {
  return ((leaves[leaf >>> 3] ?? 0) & (1 << (leaf & 7))) !== 0;
}
