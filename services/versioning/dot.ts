/** The dot: the name of one write, (actor, counter). Orders and equality of dots; must never know of clocks or values. */
import type { Dot } from "./types.ts";

/** Actors are 1 … 2^48 − 1. */
export const MAX_ACTOR: number = 2 ** 48 - 1;
/** Counters are 1 … 2^53 − 1. */
export const MAX_COUNTER: number = Number.MAX_SAFE_INTEGER;

/** True when both name the same write. */
export function isSameDot(a: Dot, b: Dot): boolean {
  return a.counter === b.counter && a.actor === b.actor;
}

/** Negative, zero, positive: by time (counter, then actor), oldest first. It is also the order of last-write-wins. */
export function compareByAge(a: Dot, b: Dot): number {
  return a.counter - b.counter || a.actor - b.actor;
}

/** Negative, zero, positive: by actor, then counter. The order of entries in a clock. */
export function compareByActor(a: Dot, b: Dot): number {
  return a.actor - b.actor || a.counter - b.counter;
}

/** Where `dot` stands, or would stand, among dots sorted by actor and counter. O(log dots). */
export function indexOfFirst(sorted: readonly Dot[], dot: Dot): number {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const candidate = sorted[middle];
    if (candidate !== undefined && compareByActor(candidate, dot) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** What is wrong with dots that should be in range and strictly rising by `compare`; undefined when nothing is. */
export function orderFlawOf(dots: readonly Dot[], compare: (a: Dot, b: Dot) => number): string | undefined {
  let previous: Dot | undefined;
  for (const dot of dots) {
    if (dot.actor < 1 || dot.actor > MAX_ACTOR || dot.counter < 1 || dot.counter > MAX_COUNTER)
      return "a dot out of range";
    if (previous !== undefined && compare(previous, dot) >= 0) return "dots out of order";
    previous = dot;
  }
  return undefined;
}
