/**
 * What damage means: a torn tail that nobody was promised, or the loss of something acknowledged. Pure.
 * The table is reliability notes §3.6. Must never call a loss a tear; the other mistake only costs a repair.
 */
import type { ManifestChange } from "./format/manifest-edit.ts";
import { SEGMENT_HEADER_BYTES } from "./format/segment-header.ts";
import { isDropped } from "./manifest-state.ts";
import type { FoundRecord, Gap, ScannedSegment } from "./segment-scan.ts";

/** What is to be done about a segment that was not sealed. */
export interface TailVerdict {
  /** records to keep: the first so many that were found */
  readonly keptRecords: number;
  /** the log ends here; what lies behind goes to quarantine and is cut off */
  readonly endOffset: number;
  /** damaged ranges before `endOffset` that are stepped over */
  readonly skipped: readonly Gap[];
  /** bytes behind `endOffset` that were something */
  readonly cutBytes: number;
  readonly loss: Loss;
}

/** Which partitions may miss acknowledged records. */
export type Loss =
  | { readonly kind: "none" }
  | { readonly kind: "partitions"; readonly partitions: readonly number[] }
  | { readonly kind: "all" };

/** By partition: up to which seq its records were dropped, so that their damage costs nothing. */
export type Dropped = ReadonlyMap<number, number>;

const NOTHING_DROPPED: Dropped = new Map();

/** Judges a segment of which every seq up to `requiredSeq` is known to have been durable. */
export function tailVerdictOf(
  scanned: ScannedSegment,
  requiredSeq: number,
  dropped: Dropped = NOTHING_DROPPED,
): TailVerdict {
  const skipped: Gap[] = [];
  let loss: Loss = { kind: "none" };
  for (const gap of scanned.gaps) {
    const lastSeq = seqOf(scanned.records[gap.recordsBefore - 1]);
    const nextSeq = seqOf(scanned.records[gap.recordsBefore]);
    // the next record is known to have been durable, or the last one that is known to have been lies in the gap
    const isMidLog = nextSeq !== 0 && (nextSeq <= requiredSeq || lastDurable(skipped, lastSeq) < requiredSeq);
    const wasDurable = gap.damaged !== undefined && gap.damaged.seq <= requiredSeq;
    if (isMidLog || wasDurable) {
      skipped.push(gap);
      loss = joinLoss(loss, lossOf(gap, dropped));
      continue;
    }
    const isLoss = gap.damaged === undefined && lastDurable(skipped, lastSeq) < requiredSeq;
    return cutAt(scanned, gap, { skipped, loss: isLoss ? { kind: "all" } : loss });
  }
  const end = endOf(scanned);
  const last = lastDurable(skipped, seqOf(scanned.records.at(-1)));
  return {
    keptRecords: scanned.records.length,
    endOffset: end,
    skipped,
    cutBytes: 0,
    loss: last < requiredSeq ? { kind: "all" } : loss,
  };
}

/** Judges a segment that was sealed with `maxSeq`: whatever is missing was durable. */
export function sealedLossOf(scanned: ScannedSegment, maxSeq: number, dropped: Dropped = NOTHING_DROPPED): Loss {
  let loss: Loss = { kind: "none" };
  for (const gap of scanned.gaps) loss = joinLoss(loss, lossOf(gap, dropped));
  const last = lastDurable(scanned.gaps, seqOf(scanned.records.at(-1)));
  return last < maxSeq ? { kind: "all" } : loss;
}

/** The union of two losses. */
export function joinLoss(a: Loss, b: Loss): Loss {
  if (a.kind === "all" || b.kind === "all") return { kind: "all" };
  if (a.kind === "none") return b;
  if (b.kind === "none") return a;
  return { kind: "partitions", partitions: [...new Set([...a.partitions, ...b.partitions])] };
}

/** The changes of the manifest that mark a loss. */
export function lossChangesOf(loss: Loss): ManifestChange[] {
  switch (loss.kind) {
    case "none":
      return [];
    case "all":
      return [{ kind: "all-suspect" }];
    case "partitions":
      return loss.partitions.map((partition) => ({ kind: "suspect", partition }));
  }
}

function cutAt(
  scanned: ScannedSegment,
  gap: Gap,
  so: { readonly skipped: readonly Gap[]; readonly loss: Loss },
): TailVerdict {
  const lastSomething = Math.max(gap.to, endOf(scanned));
  return { ...so, keptRecords: gap.recordsBefore, endOffset: gap.from, cutBytes: lastSomething - gap.from };
}

/** Whose record a gap was: its header may say, else nobody knows. */
function lossOf(gap: Gap, dropped: Dropped): Loss {
  if (gap.damaged === undefined) return { kind: "all" };
  if (isDropped(dropped, gap.damaged.partition, gap.damaged.seq)) return { kind: "none" };
  return { kind: "partitions", partitions: [gap.damaged.partition] };
}

/** The highest seq that was met: in a record, or in a skipped one whose header proved itself. */
function lastDurable(skipped: readonly Gap[], lastSeq: number): number {
  return Math.max(lastSeq, ...skipped.map((gap) => gap.damaged?.seq ?? 0));
}

/** Where the last thing found ends. */
function endOf(scanned: ScannedSegment): number {
  const last = scanned.records.at(-1);
  const recordsEnd = last === undefined ? SEGMENT_HEADER_BYTES : last.offset + last.identity.totalBytes;
  return Math.max(recordsEnd, scanned.gaps.at(-1)?.to ?? 0);
}

function seqOf(record: FoundRecord | undefined): number {
  return record?.identity.seq ?? 0;
}
