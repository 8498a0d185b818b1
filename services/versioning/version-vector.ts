/**
 * Version vectors: actor → counter, sorted by actor, one entry an actor. Must never be changed in place: vectors are
 * shared between sets. Arrays instead of maps, because a vector has about N entries and is walked, copied and encoded
 * far more often than it is searched. Source: Parker et al. 1983; Almeida et al. 2014.
 */
import { indexOfFirst } from "./dot.ts";
import type { Dot, VersionVector } from "./types.ts";

/** Up to here a plain walk is faster than halving; nearly every vector is shorter. */
const LINEAR_ENTRIES = 16;

/** The counter up to which the vector has seen the actor; 0 = nothing. O(log entries). */
export function counterOf(vector: VersionVector, actor: number): number {
  if (vector.length > LINEAR_ENTRIES) {
    const found = vector[indexOfFirst(vector, { actor, counter: 0 })];
    return found?.actor === actor ? found.counter : 0;
  }
  for (const entry of vector) {
    if (entry.actor === actor) return entry.counter;
  }
  return 0;
}

/** The vector with the dot's actor raised to the dot's counter; the same vector when it is there already. */
export function raise(vector: VersionVector, dot: Dot): VersionVector {
  let at = 0;
  while (at < vector.length) {
    const entry = vector[at];
    if (entry === undefined || entry.actor >= dot.actor) break;
    at += 1;
  }
  const found = vector[at];
  const isPresent = found?.actor === dot.actor;
  if (isPresent && found.counter >= dot.counter) return vector;
  const raised = vector.slice();
  raised.splice(at, isPresent ? 1 : 0, dot);
  return raised;
}

/** True when every entry of `inner` is reached by `outer`. O(entries). */
export function includesVector(outer: VersionVector, inner: VersionVector): boolean {
  let at = 0;
  for (const entry of inner) {
    let other = outer[at];
    while (other !== undefined && other.actor < entry.actor) other = outer[++at];
    if (other === undefined || other.actor !== entry.actor || other.counter < entry.counter) return false;
  }
  return true;
}

/** The greater counter of each actor; `a` or `b` itself when it includes the other. O(entries). */
export function joinVectors(a: VersionVector, b: VersionVector): VersionVector {
  if (a === b || includesVector(a, b)) return a;
  if (includesVector(b, a)) return b;
  const joined: Dot[] = [];
  let left = 0;
  let right = 0;
  for (;;) {
    const x = a[left];
    const y = b[right];
    if (x === undefined || y === undefined) {
      return joined.concat(x === undefined ? b.slice(right) : a.slice(left));
    }
    if (x.actor === y.actor) joined.push(x.counter >= y.counter ? x : y);
    else joined.push(x.actor < y.actor ? x : y);
    if (x.actor <= y.actor) left += 1;
    if (y.actor <= x.actor) right += 1;
  }
}
