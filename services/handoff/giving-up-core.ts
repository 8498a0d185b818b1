/**
 * What goes when hints are too old or too many: markers first, then objects that an owner can confirm, the oldest
 * partitions first. Decides, for whole partitions; pure. Must never say that an object may simply be dropped: what it names
 * is flagged, and each object goes only after some owner of its key has it. Source: research: features §4.5, reliability O10.
 */

/** One partition's hints of one kind. */
export interface KeptPartition {
  readonly partition: number;
  readonly kind: "object" | "marker";
  readonly count: number;
  /** wall-clock milliseconds since when the oldest is kept */
  readonly oldestMs: number;
}

/** How things stand. */
export interface KeptFacts {
  readonly kept: readonly KeptPartition[];
  readonly nowMs: number;
  readonly windowMs: number;
  /** bytes that have to go; 0: there is room */
  readonly excessBytes: number;
  /** bytes that one hint takes on average */
  readonly averageBytes: number;
  /** this node is leaving: nothing shall stay */
  readonly isLeaving: boolean;
}

/** Partitions whose markers are dropped once they are flagged, and those whose objects go when any owner has them. */
export interface GivenUp {
  readonly markers: readonly number[];
  readonly objects: readonly number[];
}

/** What a marker takes, about. */
const MARKER_BYTES = 96;

/** What is given up now. */
export function givenUpOf({ kept, nowMs, windowMs, excessBytes, averageBytes, isLeaving }: KeptFacts): GivenUp {
  const markers: number[] = [];
  const objects: number[] = [];
  let leftBytes = excessBytes;
  const oldestFirst = kept.toSorted(
    (left, right) => left.oldestMs - right.oldestMs || left.partition - right.partition,
  );
  for (const { partition, kind, count, oldestMs } of oldestFirst) {
    if (kind !== "marker") continue;
    if (!isLeaving && nowMs - oldestMs <= windowMs && leftBytes <= 0) continue;
    markers.push(partition);
    leftBytes -= count * MARKER_BYTES;
  }
  for (const { partition, kind, count, oldestMs } of oldestFirst) {
    if (kind !== "object") continue;
    if (!isLeaving && nowMs - oldestMs <= windowMs && leftBytes <= 0) continue;
    objects.push(partition);
    leftBytes -= count * averageBytes;
  }
  return { markers, objects };
}
