/**
 * What has been seen of one key: a version vector and a few detached dots, always in canonical form (sorted, no
 * duplicates, no detached dot that the vector covers), so that equal knowledge has equal bytes. Must never turn a
 * detached dot into a vector entry by itself: that would claim unseen events below it (see types.ts).
 * Source: causal contexts of dotted version vectors (Almeida et al. 2014).
 */
import { MAX_CONTEXT_ENTRIES } from "../base/limits.ts";
import { compareByActor, compareByAge, indexOfFirst, isSameDot, orderFlawOf } from "./dot.ts";
import type { CausalContext, Dot, VersionVector } from "./types.ts";
import { counterOf, includesVector, joinVectors, raise } from "./version-vector.ts";

const NO_DOTS: readonly Dot[] = [];

/** Nothing seen. */
export const EMPTY_CONTEXT: CausalContext = { vector: NO_DOTS, detached: NO_DOTS };

/** True when the context has seen the write that the dot names. O(log entries). */
export function covers(context: CausalContext, dot: Dot): boolean {
  if (counterOf(context.vector, dot.actor) >= dot.counter) return true;
  const found = context.detached[indexOfFirst(context.detached, dot)];
  return found !== undefined && isSameDot(found, dot);
}

/** The canonical context of any entries and dots, in any order, with any duplicates. O(n²) in entries: for tests and rare paths. */
export function contextOf(vector: readonly Dot[], detached: readonly Dot[] = NO_DOTS): CausalContext {
  let joined: VersionVector = NO_DOTS;
  for (const entry of vector) joined = raise(joined, entry);
  let context: CausalContext = { vector: joined, detached: NO_DOTS };
  for (const dot of detached) context = addDot(context, dot);
  return context;
}

/** Everything that either has seen; `a` or `b` itself when it includes the other. O(entries). */
export function join(a: CausalContext, b: CausalContext): CausalContext {
  if (a === b) return a;
  const vector = joinVectors(a.vector, b.vector);
  if (a.detached.length === 0 && b.detached.length === 0) {
    if (vector === a.vector) return a;
    return vector === b.vector ? b : { vector, detached: NO_DOTS };
  }
  return { vector, detached: uncovered(vector, uniqueSorted([...a.detached, ...b.detached])) };
}

/** The context that has seen the dot as well and claims nothing below it: detached unless covered. */
export function addDot(context: CausalContext, dot: Dot): CausalContext {
  if (covers(context, dot)) return context;
  return { vector: context.vector, detached: uniqueSorted([...context.detached, dot]) };
}

/** The context that has seen EVERYTHING of the dot's actor up to the dot: only for whoever holds all of that. */
export function advance(context: CausalContext, dot: Dot): CausalContext {
  const vector = raise(context.vector, dot);
  if (vector === context.vector) return context;
  return { vector, detached: uncovered(vector, context.detached) };
}

/** True when `outer` claims everything that `inner` claims. O(entries). */
export function includes(outer: CausalContext, inner: CausalContext): boolean {
  return includesVector(outer.vector, inner.vector) && inner.detached.every((dot) => covers(outer, dot));
}

/** How two contexts stand: `before` when `b` claims all that `a` claims and more. */
export function compare(a: CausalContext, b: CausalContext): "equal" | "before" | "after" | "concurrent" {
  const isWithin = includes(b, a);
  const isAround = includes(a, b);
  if (isWithin && isAround) return "equal";
  if (isWithin) return "before";
  return isAround ? "after" : "concurrent";
}

/** What of the context is above `counter`. */
export function youngerThan(context: CausalContext, counter: number): CausalContext {
  const isYounger = (dot: Dot): boolean => dot.counter > counter;
  return { vector: context.vector.filter(isYounger), detached: context.detached.filter(isYounger) };
}

/** The greatest counter named anywhere in the context; 0 = none. O(entries). */
export function greatestCounter(context: CausalContext): number {
  let greatest = 0;
  for (const entry of context.vector) greatest = Math.max(greatest, entry.counter);
  for (const dot of context.detached) greatest = Math.max(greatest, dot.counter);
  return greatest;
}

/**
 * The greatest counter of one actor named anywhere in the context; 0 = none. O(entries).
 */
export function greatestCounterOf(context: CausalContext, actor: number): number {
  let greatest = counterOf(context.vector, actor);
  for (const dot of context.detached) {
    if (dot.actor === actor && dot.counter > greatest) greatest = dot.counter;
  }
  return greatest;
}

/**
 * At most MAX_CONTEXT_ENTRIES of the context, the same one when it has no more: what a client is told, by token or
 * through a forward. Its oldest detached dots are forgotten first, then the oldest of the vector, and never what covers
 * `kept`. Claiming less is always safe: it can only leave a value standing. O(entries log entries), beyond the bound.
 */
export function bounded(context: CausalContext, kept?: Dot): CausalContext {
  const { vector, detached } = context;
  if (vector.length + detached.length <= MAX_CONTEXT_ENTRIES) return context;
  const newestFirst = (a: Dot, b: Dot): number => compareByAge(b, a);
  const ranked = [...vector.toSorted(newestFirst), ...detached.toSorted(newestFirst)];
  const own = kept && ranked.find((entry) => entry.actor === kept.actor && entry.counter >= kept.counter);
  // A set keeps the order of adding: what covers `kept` goes in first, wherever it ranks.
  const told = new Set((own === undefined ? ranked : [...new Set([own, ...ranked])]).slice(0, MAX_CONTEXT_ENTRIES));
  return { vector: vector.filter((entry) => told.has(entry)), detached: detached.filter((dot) => told.has(dot)) };
}

/** What is not canonical about a clock; undefined when it is as it must be. O(entries²) at worst, with detached dots. */
export function clockFlawOf(clock: CausalContext): string | undefined {
  const { vector, detached } = clock;
  for (let i = 1; i < vector.length; i += 1) {
    if ((vector[i - 1]?.actor ?? 0) >= (vector[i]?.actor ?? 0)) return "vector out of order";
  }
  return (
    orderFlawOf(vector, compareByActor) ??
    orderFlawOf(detached, compareByActor) ??
    (detached.some((dot) => counterOf(vector, dot.actor) >= dot.counter) ? "a detached dot that is covered" : undefined)
  );
}

function uncovered(vector: VersionVector, detached: readonly Dot[]): readonly Dot[] {
  if (detached.length === 0) return NO_DOTS;
  return detached.filter((dot) => counterOf(vector, dot.actor) < dot.counter);
}

function uniqueSorted(dots: Dot[]): readonly Dot[] {
  dots.sort(compareByActor);
  return dots.filter((dot, at) => {
    const previous = dots[at - 1];
    return previous === undefined || !isSameDot(previous, dot);
  });
}
