/** What a read must reach, and how it ends. No code here; the rules are `read-core.ts`'s. */
import type { CausalContext, SiblingSet } from "../versioning/types.ts";

/** How a read ends, as far as the replicas are concerned. */
export type ReadVerdict =
  | { readonly kind: "pending" }
  /** `set` undefined: R owners have nothing, digest 0n */
  | { readonly kind: "known"; readonly set: SiblingSet | undefined; readonly digest: bigint }
  /** all that could be reached is older than the reader demands */
  | { readonly kind: "stale"; readonly received: number }
  /** `isGone`: enough have answered, but too few of them were sound owners to say that nothing is there; these are `received` */
  | { readonly kind: "unmet"; readonly received: number; readonly isGone?: true };

/** Knows the date: the one thing about values that a read must ask while it goes on. */
export interface Calendar {
  /** Nothing of it is alive now: deleted, or ended. `isLww`: only the last write counts. */
  isGone(set: SiblingSet, isLww: boolean): boolean;
}

/** A calendar on which nothing ends: what has no sibling is gone. */
export const BY_SIBLINGS: Calendar = { isGone: ({ siblings }) => siblings.length === 0 };

/** What a read must reach. */
export interface ReadNeed {
  /** distinct slots */
  readonly total: number;
  /** of these, from owners */
  readonly owners: number;
  /** slots of the bucket; others never count */
  readonly n: number;
  readonly atLeast: CausalContext | undefined;
  /** dots up to this counter may have been collected: a quorum that knows nothing of them is not behind. Absent: none may */
  readonly collectedThrough?: number | undefined;
  /** the bucket lets the last write win: what is merged is reduced as the replicas reduce it, or repair never ends */
  readonly isLww: boolean;
  /** how many nodes may be asked to stand in for owners; absent: none */
  readonly standIns?: number;
}

/** What becomes of a read whose client has gone. */
export const FOR_NOBODY: ReadVerdict & { readonly kind: "unmet" } = { kind: "unmet", received: 0 };
