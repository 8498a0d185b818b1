/**
 * What a version handed in still brings to a partition whose tombstones were collected. The *line* of a partition is the
 * counter up to which every holder had the same, by proof, when its tombstones were taken out: a sibling at or below it
 * that is not held here was deleted or replaced, though nothing here tells so any more. Pure. Must never be asked for
 * what comes from a holder that took part in that proof, nor where records may have been lost: there it would drop what
 * lives. Source: DESIGN §8; features notes §4.4, §4.14.
 */
import { covers } from "../versioning/causal-context.ts";
import { decodeSet, encodeSet } from "../versioning/object-codec.ts";
import { encodedGreatestCounterOf, encodedLeastSiblingCounterOf } from "../versioning/object-header.ts";
import { holds, merge } from "../versioning/sibling-set.ts";
import type { SiblingSet } from "../versioning/types.ts";

/** The version without siblings that are at or below the line and neither held nor known to `held`; the same when none is. */
export function withoutStale(incoming: SiblingSet, held: SiblingSet, line: number): SiblingSet {
  const siblings = incoming.siblings.filter(
    ({ dot }) => dot.counter > line || holds(held, dot) || covers(held.clock, dot),
  );
  return siblings.length === incoming.siblings.length ? incoming : { clock: incoming.clock, siblings };
}

/** Whether some sibling of an encoded version is at or below the line. O(header), makes no garbage. */
export function hasOld(object: Uint8Array, line: number): boolean {
  if (line === 0) return false;
  const least = encodedLeastSiblingCounterOf(object);
  return least !== 0 && least <= line;
}

/**
 * What is left of an encoded version where nothing of its key is held: itself, less, or undefined when all of it was
 * collected. Bytes that cannot be decoded are given back: whoever stores them finds the flaw. O(header) for new ones.
 */
export function leftOfStale(object: Uint8Array, line: number): Uint8Array | undefined {
  const least = encodedLeastSiblingCounterOf(object);
  if (least > line) return object;
  const isOld = encodedGreatestCounterOf(object) <= line;
  if (isOld || least === 0) return isOld ? undefined : object;
  const decoded = decodeSet(object);
  if (decoded.kind === "corrupt") return object;
  const { clock, siblings } = decoded.set;
  return encodeSet({ clock, siblings: siblings.filter(({ dot }) => dot.counter > line) });
}

/**
 * What a holder that took no part in the proof keeps of a key, next to what one has that did: all of theirs, and of its own
 * what is above the line or theirs too. The clock stays, so that what was dropped is dropped wherever it still is.
 */
export function caughtUp(held: SiblingSet, their: SiblingSet, line: number): SiblingSet {
  const siblings = held.siblings.filter(({ dot }) => dot.counter > line || holds(their, dot));
  return merge({ clock: held.clock, siblings }, their);
}
