/**
 * The dumb model of versions: every write has an id, and all knowledge is a set of ids. No dots, no vectors, no
 * counters, so nothing of what it is compared with can be wrong here in the same way.
 * Source: causal histories (Schwarz & Mattern 1994).
 */

/** What a replica has of one key: the writes it knows of, and those of them whose values stand. */
export interface History {
  readonly seen: ReadonlySet<number>;
  readonly standing: ReadonlySet<number>;
}

/** Nothing known. */
export const NO_HISTORY: History = { seen: new Set(), standing: new Set() };

/** A put or a delete (`isValue` false) by a writer who had seen `known`. */
export function write(
  history: History,
  step: { readonly id: number; readonly known: ReadonlySet<number>; readonly isValue: boolean },
): History {
  const standing = new Set([...history.standing].filter((id) => !step.known.has(id)));
  if (step.isValue) standing.add(step.id);
  return { seen: new Set([...history.seen, ...step.known, step.id]), standing };
}

/** A value stands if both have it, or if the other never heard of it. */
export function unite(a: History, b: History): History {
  const standing = [...a.standing].filter((id) => b.standing.has(id) || !b.seen.has(id));
  const others = [...b.standing].filter((id) => !a.seen.has(id));
  return { seen: new Set([...a.seen, ...b.seen]), standing: new Set([...standing, ...others]) };
}

/** What a writer knows after its write: all, when nothing but its own write stands; else what it knew, and that write. */
export function knownAfter(
  after: History,
  step: { readonly id: number; readonly known: ReadonlySet<number> },
): ReadonlySet<number> {
  const isAlone = [...after.standing].every((id) => id === step.id);
  return isAlone ? after.seen : new Set([...step.known, step.id]);
}
