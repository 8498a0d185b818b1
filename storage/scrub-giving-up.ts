/**
 * What becomes of bytes that a scrub found rotten: the index gives up what it has there, the partition is suspect, the bytes
 * go to quarantine. Must never give up a record whose bytes are not among them.
 */
import { KIND_REAPED } from "./format/record.ts";
import { nextTurn } from "./index-loader.ts";
import type { KeyLookup } from "./key-lookup.ts";
import type { Keyspace } from "./keyspace.ts";
import type { LogSettings } from "./log-options.ts";
import { quarantine } from "./quarantine.ts";
import type { RecordReader } from "./record-reader.ts";
import type { BadRange } from "./scrub-segment.ts";
import type { Segment } from "./segment-set.ts";

/** What giving up works with. */
export interface GivingUpParts {
  readonly settings: LogSettings;
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly lookup: KeyLookup;
}

/** Gives up what the index has in a range that is bad; answers how many newest records of keys that took. */
export async function giveUpRange(parts: GivingUpParts, segment: Segment, range: BadRange): Promise<number> {
  const { keyspace, lookup, settings, reader } = parts;
  const { from, to } = range;
  let lostCount = 0;
  settings.log.error({ event: "storage.rot-found", segment: segment.id, offset: from, sizeBytes: to - from });
  const records = range.isUnknown ? await recordsIn(parts, segment, range) : range.records;
  for (const { partition, hash, offset } of records) {
    const slot = keyspace.slotAt(partition, hash, { segment: segment.id, offset });
    const table = keyspace.table(partition);
    // a reap mark still says in the index what is true
    if (table === undefined || slot < 0 || table.kindAt(slot) === KIND_REAPED) continue;
    const isNew = table.digestAt(slot) !== 0n;
    lookup.noteUnreadable({ partition, hash }, { segment, offset, length: table.lengthAt(slot) });
    if (!isNew) continue;
    lostCount += 1;
    const bytes = await reader.range(segment, offset, to - offset).catch(() => undefined);
    if (bytes === undefined) continue;
    await quarantine(settings, { segment: segment.id, offset }, bytes).catch((error: unknown) => {
      settings.log.warn({ event: "storage.quarantine-skipped", segment: segment.id, offset, cause: String(error) });
    });
  }
  return lostCount;
}

/** What the index has in bytes of which nobody knows what stood there. Cost: a look at every entry. */
async function recordsIn(
  { keyspace, settings }: GivingUpParts,
  segment: Segment,
  { from, to }: BadRange,
): Promise<BadRange["records"]> {
  const records: BadRange["records"][number][] = [];
  for (let partition = 0; partition < settings.partitionCount; partition += 1) {
    const table = keyspace.table(partition);
    table?.forEachFrom(0n, (slot) => {
      const offset = table.offsetAt(slot);
      const isThere = table.segmentAt(slot) === segment.id && offset >= from && offset < to;
      if (isThere) records.push({ partition, hash: table.hashAt(slot), offset });
      return true;
    });
    await nextTurn(settings.clock);
  }
  return records;
}
