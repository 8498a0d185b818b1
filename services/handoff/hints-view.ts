/** What is told of a node's hints: in GET /v1/cluster, in metrics. Numbers from memory; must never wait. */
import type { NodeId } from "../base/ids.ts";
import type { DeliveryCounts, HintDelivery } from "./delivery.ts";
import type { HintIntake, IntakeCounts } from "./hint-intake.ts";
import type { HintRoom } from "./hint-room.ts";
import type { HintStore } from "./hint-store.ts";
import type { MarkerStore } from "./marker-store.ts";
import type { MissedWrites } from "./missed-writes.ts";
import type { RepairFlags } from "./repair-flags.ts";

/** What is kept for one node: exact by partition, so a key that waits for two slots of its partition counts for both. */
export interface HintsOfTarget {
  readonly node: NodeId;
  /** versions kept here, and notes that it lacks what is held here */
  readonly count: number;
  readonly markerCount: number;
  /** estimated from the average */
  readonly bytes: number;
  /** of its oldest hint */
  readonly oldestAgeMs: number;
}

/** All of it. */
export interface HintsView {
  readonly count: number;
  readonly markerCount: number;
  readonly bytes: number;
  readonly budgetBytes: number;
  /** partitions that anti-entropy has to compare because hints were given up */
  readonly flaggedPartitions: number;
  readonly oldestAgeMs: number;
  readonly targets: readonly HintsOfTarget[];
  readonly delivered: Readonly<DeliveryCounts>;
  readonly taken: IntakeCounts;
  readonly missed: { readonly count: number; readonly flagged: number; readonly markersGivenUp: number };
}

/** What the view is made of. */
export interface ViewParts {
  readonly store: HintStore;
  readonly markers: MarkerStore;
  readonly delivery: HintDelivery;
  readonly intake: HintIntake;
  readonly missed: MissedWrites;
  readonly flags: RepairFlags;
  readonly room: HintRoom;
  /** wall clock */
  readonly nowMs: number;
}

/** What a marker takes, about, and what stands where a hint was taken out. */
const MARKER_BYTES = 64;
const MARK_BYTES = 64;

/** The view as of now. O(partitions) while anything is kept. */
export function hintsViewOf({ store, markers, delivery, intake, missed, flags, room, nowMs }: ViewParts): HintsView {
  room.refresh();
  const count = store.tally.total;
  const markerCount = markers.tally.total;
  const markBytes = Math.max(0, room.recordCount - count - markerCount) * MARK_BYTES;
  const keptBytes = count + markerCount === 0 ? 0 : Math.max(0, room.usedBytes - markBytes);
  const averageBytes = count === 0 ? 0 : Math.max(0, keptBytes - markerCount * MARKER_BYTES) / count;
  const targets = new Map<NodeId, { count: number; markerCount: number; oldestMs: number }>();
  let oldestMs = nowMs;
  delivery.forEachPlace(({ holder, partition, tally }) => {
    const target = targets.get(holder) ?? { count: 0, markerCount: 0, oldestMs: nowMs };
    targets.set(holder, target);
    if (tally === store.tally) target.count += tally.countOf(partition);
    else target.markerCount += tally.countOf(partition);
    const sinceMs = tally.oldestMsOf(partition);
    if (sinceMs > 0) target.oldestMs = Math.min(target.oldestMs, sinceMs);
    oldestMs = Math.min(oldestMs, target.oldestMs);
  });
  return {
    count,
    markerCount,
    bytes: keptBytes,
    budgetBytes: room.budgetBytes,
    flaggedPartitions: flags.count,
    oldestAgeMs: Math.round(nowMs - oldestMs),
    targets: [...targets]
      .map(([node, target]) => ({
        node,
        count: target.count,
        markerCount: target.markerCount,
        bytes: Math.round(target.count * averageBytes + target.markerCount * MARKER_BYTES),
        oldestAgeMs: Math.round(nowMs - target.oldestMs),
      }))
      .sort((left, right) => (left.node < right.node ? -1 : 1)),
    delivered: { ...delivery.counts },
    taken: intake.counts(),
    missed: { count: missed.missedCount, flagged: missed.flaggedCount, markersGivenUp: markers.givenUpCount },
  };
}
