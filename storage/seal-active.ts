/**
 * Seals the segment that is being written although it is not full: only what is sealed is scrubbed, and a store that takes
 * little would write to one segment for years. The next one is made ready first, so that no write waits for it, and so that
 * a disk without room for it keeps the one there is. Must never seal a segment that holds no record, nor give up a write.
 */
import type { LogWriter } from "./log-writer.ts";
import type { StorageClock } from "./ports.ts";
import type { SegmentPreparer } from "./segment-preparer.ts";
import type { SegmentSealer } from "./segment-sealer.ts";

/** What it works with. */
export interface SealActiveParts {
  readonly writer: Pick<LogWriter, "active" | "end">;
  readonly preparer: Pick<SegmentPreparer, "ready">;
  readonly sealer: Pick<SegmentSealer, "retry">;
  readonly clock: StorageClock;
}

/** When, and how. */
export interface SealRule {
  /** a segment is left alone while its first record is younger */
  readonly minAgeMs: number;
  /** someone waits for it */
  readonly isHurried: boolean;
}

/**
 * Seals what is being written if it is old enough, and what waits for space since it ended. Resolves to the segments that
 * could not be sealed for want of space. Never rejects: anything else that goes wrong fails the store.
 */
export async function sealActive(parts: SealActiveParts, rule: SealRule): Promise<readonly number[]> {
  const { writer, preparer, sealer, clock } = parts;
  const { segment, sinceMs } = writer.active ?? {};
  const isDue = segment !== undefined && sinceMs !== undefined && clock.monotonicMs() - sinceMs >= rule.minAgeMs;
  if (!isDue) return sealer.retry();
  if (await preparer.ready(rule.isHurried)) await writer.end(segment.id);
  const waiting = await sealer.retry();
  return writer.active?.segment === segment ? [segment.id, ...waiting] : waiting;
}
