/**
 * One page of a partition in hash order: places from RAM, keys from disk, proved. Warm keys are read in small slices,
 * cold ones through the thread pool. Must never split the keys of one hash over two pages.
 */
import type { ScanEntry, ScanPage } from "./engine.ts";
import { CorruptRecordError } from "./errors.ts";
import { KIND_EXPIRING, KIND_REAPED, KIND_TOMBSTONE, KIND_VALUE, type RecordKind } from "./format/record.ts";
import { nextTurn } from "./index-loader.ts";
import type { KeyLookup } from "./key-lookup.ts";
import type { Keyspace } from "./keyspace.ts";
import type { StorageClock } from "./ports.ts";
import type { RecordReader, RecordSpot } from "./record-reader.ts";
import type { SegmentSet } from "./segment-set.ts";

/** What a scan works with. */
export interface ScanParts {
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly segments: SegmentSet;
  readonly lookup: KeyLookup;
  readonly clock: StorageClock;
}

interface FoundSlot {
  readonly spot: RecordSpot;
  readonly hash: bigint;
  readonly digest: bigint;
  readonly kind: RecordKind;
}

/** Where a scan begins, and whom it is after. */
export interface ScanRange {
  readonly partition: number;
  readonly fromHash: bigint;
  /** only keys whose record is a tombstone or may expire */
  readonly isCollectableOnly: boolean;
}

/** keys read before the event loop gets its turn */
const SLICE_KEYS = 64;
/** bytes that most keys do not exceed; longer ones cost a second read */
const TYPICAL_KEY_BYTES = 128;

/** Up to `limit` keys from `fromHash` on, more only to keep one hash together. A key that cannot be read is left out, and its partition suspect. */
export async function scanPage(parts: ScanParts, range: ScanRange, limit: number): Promise<ScanPage> {
  const { found, nextHash } = slotsFrom(parts.keyspace, range, limit);
  for (const { spot } of found) parts.segments.pin(spot.segment);
  // Kept, not thrown: a promise that rejects while the loop waits for its next turn must find someone listening, and
  // the segments stay pinned until the last read is done.
  const failures: unknown[] = [];
  const keep = (error: unknown): undefined => {
    failures.push(error);
  };
  try {
    const entries: Promise<ScanEntry | undefined>[] = [];
    for (const slot of found) {
      if (entries.length % SLICE_KEYS === SLICE_KEYS - 1) await nextTurn(parts.clock);
      if (failures.length > 0) break;
      entries.push(entryOf(parts, range.partition, slot).catch(keep));
    }
    const read = await Promise.all(entries);
    if (failures.length > 0) throw failures[0];
    const shown = read.filter((entry) => entry !== undefined);
    if (shown.length === found.length) return { entries: shown, nextHash };
    const unread = found.filter((_, at) => read[at] === undefined).map(({ hash }) => hash);
    return { entries: shown, nextHash, unread };
  } finally {
    for (const { spot } of found) parts.segments.unpin(spot.segment);
  }
}

function slotsFrom(
  keyspace: Keyspace,
  range: ScanRange,
  limit: number,
): { readonly found: readonly FoundSlot[]; readonly nextHash: bigint | undefined } {
  const { partition, fromHash, isCollectableOnly } = range;
  const table = keyspace.table(partition);
  const found: FoundSlot[] = [];
  let nextHash: bigint | undefined;
  table?.forEachFrom(fromHash, (slot) => {
    const kind = table.kindAt(slot);
    if (kind === KIND_REAPED || (isCollectableOnly && kind === KIND_VALUE)) return true;
    const hash = table.hashAt(slot);
    if (found.length >= limit && hash !== found.at(-1)?.hash) {
      nextHash = hash;
      return false;
    }
    const spot = keyspace.spotOf(partition, slot);
    if (spot !== undefined) found.push({ spot, hash, digest: table.digestAt(slot), kind });
    return true;
  });
  return { found, nextHash };
}

/** Rejects for anything but a record that cannot be read. */
async function entryOf(parts: ScanParts, partition: number, slot: FoundSlot): Promise<ScanEntry | undefined> {
  const { spot, hash, digest, kind } = slot;
  try {
    const found = parts.reader.key(spot, TYPICAL_KEY_BYTES);
    const key = found instanceof Promise ? await found : found;
    return { hash, key, digest, isTombstone: kind === KIND_TOMBSTONE, mayExpire: kind === KIND_EXPIRING };
  } catch (error) {
    if (!(error instanceof CorruptRecordError)) throw error;
    parts.lookup.noteUnreadable({ partition, hash }, spot);
    return undefined;
  }
}
