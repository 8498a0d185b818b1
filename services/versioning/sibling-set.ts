/**
 * One key's versions: put, remove, merge, and what a writer may be told. A set is never changed; each operation gives
 * a new one, or the same one when nothing changes. Invariants: the clock covers every sibling's dot; siblings are newest
 * first, one per dot. Must never look at bodies: a dot names its body for ever.
 * Source: dotted version vector sets (Almeida et al. 2014), with node-wide counters (DESIGN §4).
 */
import assert from "node:assert/strict";
import {
  addDot,
  advance,
  bounded,
  covers,
  EMPTY_CONTEXT,
  greatestCounterOf,
  includes,
  join,
} from "./causal-context.ts";
import { compareByAge, isSameDot } from "./dot.ts";
import type { CausalContext, Dot, Sibling, SiblingSet } from "./types.ts";
import { counterOf } from "./version-vector.ts";

/** No versions, nothing seen: what a replica has of a key that it never met. */
export const EMPTY: SiblingSet = { clock: EMPTY_CONTEXT, siblings: [] };

/** A new value. `context` is what the writer has seen; the sibling's dot was minted here, and by an actor that holds all it ever minted for this key. */
export interface Put {
  readonly context: CausalContext;
  readonly sibling: Sibling;
}

/** A delete: a dot without a sibling. */
export interface Removal {
  readonly context: CausalContext;
  readonly dot: Dot;
}

/** Replaces the siblings that the context covers by the new one; the others stand. The dot must be new (a bug otherwise). */
export function put(set: SiblingSet, write: Put): SiblingSet {
  const { context, sibling } = write;
  const siblings = unseen(set, context);
  let at = 0;
  for (const other of siblings) {
    if (compareByAge(other.dot, sibling.dot) < 0) break;
    at += 1;
  }
  siblings.splice(at, 0, sibling);
  return { clock: clockAfter(set, context, sibling.dot), siblings };
}

/** Removes the siblings that the context covers. Without any left the set is a tombstone. */
export function remove(set: SiblingSet, removal: Removal): SiblingSet {
  return { clock: clockAfter(set, removal.context, removal.dot), siblings: unseen(set, removal.context) };
}

/** What both know: a sibling stays if both have it, or if the other has not seen it. Commutative, associative, idempotent. */
export function merge(a: SiblingSet, b: SiblingSet): SiblingSet {
  if (a === b) return a;
  const clock = join(a.clock, b.clock);
  const siblings: Sibling[] = [];
  for (const sibling of a.siblings) {
    if (holds(b, sibling.dot) || !covers(b.clock, sibling.dot)) siblings.push(sibling);
  }
  for (const sibling of b.siblings) {
    if (!covers(a.clock, sibling.dot)) siblings.push(sibling);
  }
  siblings.sort((x, y) => compareByAge(y.dot, x.dot));
  return { clock, siblings };
}

/**
 * Last write wins, for buckets that ask for it: a sibling stays only if its dot is the greatest of all that the clock
 * names (counter, then actor). So a newer delete wins over a value. Whoever mints in such a bucket must mint above
 * everything that it holds, else its write loses at once.
 */
export function reduceLww(set: SiblingSet): SiblingSet {
  const newest = set.siblings[0];
  if (newest === undefined) return set;
  const isNewestOfAll = !isNamedAbove(set.clock, newest.dot);
  if (isNewestOfAll && set.siblings.length === 1) return set;
  return { clock: set.clock, siblings: isNewestOfAll ? [newest] : [] };
}

/** True when the sibling's time is over: it is not there for any read from then on. */
export function isExpired(sibling: Sibling, nowMs: number): boolean {
  return sibling.expiresAtMs !== 0 && sibling.expiresAtMs <= nowMs;
}

/**
 * The set without siblings whose time is over at `nowMs` (wall-clock milliseconds); the same set when none is. The clock
 * stays: it has seen them. Where the last write wins, reduce first: what the newest value replaced must not come back.
 */
export function livingAt(set: SiblingSet, nowMs: number): SiblingSet {
  for (const sibling of set.siblings) {
    if (!isExpired(sibling, nowMs)) continue;
    return { clock: set.clock, siblings: set.siblings.filter((other) => !isExpired(other, nowMs)) };
  }
  return set;
}

/** A write as it happened at one replica, for `contextAfterWrite`. */
export interface DoneWrite {
  readonly before: SiblingSet;
  readonly after: SiblingSet;
  /** what the writer had seen: for a blind overwrite that is the clock it replaced */
  readonly given: CausalContext;
  readonly dot: Dot;
}

/**
 * What the writer may be told that it has seen: all that was given and its own dot, and never a sibling that it has
 * not seen. When nothing but its own write stands, that is the whole clock. Otherwise the dot stays detached, unless
 * the writer had seen all that the minting actor did before (nothing lies between, so the vector claims nothing new).
 * Telling the whole clock always would let the next write replace siblings that nobody read.
 * It never has more than MAX_CONTEXT_ENTRIES, and always its own dot: what is older is forgotten (see `bounded`).
 */
export function contextAfterWrite(write: DoneWrite): CausalContext {
  const { before, after, given, dot } = write;
  const standing = after.siblings[0];
  const isAlone = standing === undefined || (after.siblings.length === 1 && isSameDot(standing.dot, dot));
  if (isAlone) return bounded(after.clock, dot);
  const seenOfActor = counterOf(given.vector, dot.actor);
  if (greatestCounterOf(before.clock, dot.actor) <= seenOfActor) return bounded(advance(given, dot), dot);
  return bounded(addDot(given, dot), dot);
}

/** True when the set has a sibling of that dot. */
export function holds(set: SiblingSet, dot: Dot): boolean {
  for (const sibling of set.siblings) {
    if (isSameDot(sibling.dot, dot)) return true;
  }
  return false;
}

function unseen(set: SiblingSet, context: CausalContext): Sibling[] {
  // The common write replaces all that stands: a context that includes the whole clock needs no look at each dot.
  if (set.siblings.length === 0 || context === set.clock || includes(context, set.clock)) return [];
  return set.siblings.filter((sibling) => !covers(context, sibling.dot));
}

function clockAfter(set: SiblingSet, context: CausalContext, dot: Dot): CausalContext {
  const known = join(set.clock, context);
  // A dot met twice would let one of two writes vanish as "already seen": better to stop than to lose it.
  assert.ok(!covers(known, dot), "a dot is minted once");
  return advance(known, dot);
}

function isNamedAbove(clock: CausalContext, dot: Dot): boolean {
  return (
    clock.vector.some((entry) => compareByAge(entry, dot) > 0) ||
    clock.detached.some((entry) => compareByAge(entry, dot) > 0)
  );
}
