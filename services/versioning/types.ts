/**
 * The shapes of versions. Source: dotted version vector sets (Almeida et al. 2014), with node-wide counters.
 *
 * A clock is a version vector AND a few detached dots. The vector entry (A, n) claims every event of A up to n for this
 * key. Counters are node-wide and so have gaps: a client that knows only A's event 7 must not claim A's unseen event 5.
 * Its knowledge is the detached dot (A, 7), which joins the vector once the vector covers it.
 */

/** The name of one write: who minted it, and its count. */
export interface Dot {
  /** 1 … 2^48 − 1 */
  readonly actor: number;
  /** 1 … 2^53 − 1: a hybrid-logical time in microseconds */
  readonly counter: number;
}

/** Entries sorted by actor, one per actor. */
export type VersionVector = readonly Dot[];

/** What has been seen: everything the vector covers, and the detached dots (sorted, none covered by the vector). */
export interface CausalContext {
  readonly vector: VersionVector;
  readonly detached: readonly Dot[];
}

/** One value with the dot that names it for ever. */
export interface Sibling {
  readonly dot: Dot;
  /** wall-clock milliseconds after which the value is gone; 0 = never */
  readonly expiresAtMs: number;
  /** media type as sent */
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** One key's versions. No siblings = a tombstone. Siblings are sorted by dot (counter, then actor), newest first. */
export interface SiblingSet {
  readonly clock: CausalContext;
  readonly siblings: readonly Sibling[];
}
