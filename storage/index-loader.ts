/**
 * Fills the index at start from the entries of all segments, in order of seq, so that the newest record of each key
 * wins wherever it lies. Two records of one hash are taken for one key unless one of them was marked when written:
 * then, and only then, keys are compared on disk.
 * Must never order by segment: compaction gives old records to new segments (Bitcask's bug, reliability notes §3.1).
 */
import { CorruptRecordError } from "./errors.ts";
import { entryAt, INDEX_ENTRY_BYTES, type IndexRecord, seqAt } from "./format/index-file.ts";
import { FLAG_SHARED_HASH, kindOf } from "./format/record.ts";
import type { Keyspace, KeyspaceEntry } from "./keyspace.ts";
import { isDropped } from "./manifest-state.ts";
import type { StorageClock } from "./ports.ts";
import type { RecordReader, RecordSpot } from "./record-reader.ts";
import type { Segment } from "./segment-set.ts";

/** The proved entries of one segment, ascending by seq. */
export interface IndexRun {
  readonly segment: Segment;
  readonly entries: Buffer;
}

/** What loading needs. */
export interface LoaderParts {
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly clock: StorageClock;
  /** by partition: records up to this seq are gone */
  readonly dropped: ReadonlyMap<number, number>;
}

interface Cursor {
  readonly run: IndexRun;
  readonly count: number;
  position: number;
  seq: number;
}

/** entries loaded before the event loop gets its turn */
const SLICE_ENTRIES = 20_000;
/** bytes that a key compared on disk is guessed to have */
const TYPICAL_KEY_BYTES = 128;

/** What loading has met. */
export interface LoadedRuns {
  /** entries, those included that newer ones have replaced, but not those that were dropped */
  readonly recordCount: number;
  /** partitions where a record cannot be read of which only its key says what it replaces */
  readonly unreadable: ReadonlySet<number>;
}

/** Loads all runs. Cost: one index operation an entry. */
export async function loadRuns(runs: readonly IndexRun[], parts: LoaderParts): Promise<LoadedRuns> {
  const sharedHashes = sharedHashesOf(runs);
  const shared: { readonly segment: Segment; readonly record: IndexRecord }[] = [];
  const merge = new RunMerge(runs);
  let count = 0;
  let steps = 0;
  for (let next = merge.next(); next !== undefined; next = merge.next()) {
    const record = entryAt(next.run.entries, next.position);
    steps += 1;
    if (steps % SLICE_ENTRIES === 0) await nextTurn(parts.clock);
    if (isDropped(parts.dropped, record.partition, record.seq)) continue;
    if (sharedHashes.size > 0 && sharedHashes.has(record.hash)) shared.push({ segment: next.run.segment, record });
    else publish(parts.keyspace, next.run.segment, record);
    count += 1;
  }
  const unreadable = new Set<number>();
  for (const { segment, record } of shared) {
    if (!(await publishCompared(parts, segment, record))) unreadable.add(record.partition);
  }
  await parts.keyspace.buildTrees(() => nextTurn(parts.clock));
  return { recordCount: count, unreadable };
}

/** Runs merged by seq: yields the place of the next entry. The yielded object is reused. */
export class RunMerge {
  /** a heap: the lowest seq first */
  readonly #cursors: Cursor[];
  readonly #place: { run: IndexRun; position: number } | undefined;

  constructor(runs: readonly IndexRun[]) {
    this.#cursors = runs
      .map((run) => ({ run, count: run.entries.length / INDEX_ENTRY_BYTES, position: 0, seq: 0 }))
      .filter((cursor) => cursor.count > 0);
    for (const cursor of this.#cursors) cursor.seq = seqAt(cursor.run.entries, 0);
    // ascending order is a heap
    this.#cursors.sort((a, b) => a.seq - b.seq);
    const first = this.#cursors[0];
    this.#place = first === undefined ? undefined : { run: first.run, position: 0 };
  }

  /** The entry with the lowest seq not yet yielded. Cost: constant while runs follow each other, else O(log runs). */
  next(): { readonly run: IndexRun; readonly position: number } | undefined {
    const cursor = this.#cursors[0];
    const place = this.#place;
    if (cursor === undefined || place === undefined) return undefined;
    place.run = cursor.run;
    place.position = cursor.position;
    cursor.position += 1;
    if (cursor.position < cursor.count) {
      cursor.seq = seqAt(cursor.run.entries, cursor.position);
      this.#sink(cursor);
    } else {
      const last = this.#cursors.pop();
      if (last !== undefined && last !== cursor) this.#sink(last);
    }
    return place;
  }

  /** Puts a cursor at the top of the heap, and lets it sink to its place. */
  #sink(cursor: Cursor): void {
    const cursors = this.#cursors;
    let at = 0;
    for (;;) {
      const left = cursors[2 * at + 1];
      if (left === undefined) break;
      const right = cursors[2 * at + 2];
      const isRight = right !== undefined && right.seq < left.seq;
      const child = isRight ? right : left;
      if (cursor.seq <= child.seq) break;
      cursors[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    cursors[at] = cursor;
  }
}

/** Resolves in the next turn of the event loop. */
export function nextTurn(clock: StorageClock): Promise<void> {
  return new Promise((resolve) => {
    clock.defer(resolve);
  });
}

function publish(keyspace: Keyspace, segment: Segment, record: IndexRecord): void {
  const slot = keyspace.table(record.partition)?.find(record.hash) ?? -1;
  const entry = keyspaceEntryOf(segment, record);
  if (slot < 0) keyspace.insert(record.partition, entry);
  else keyspace.replace(record.partition, slot, entry);
}

/**
 * False when the record cannot be read: it may be the newest of any key of its hash. It then stands beside them without
 * a version, and a lookup that meets it answers for none of them (`key-lookup.ts`).
 */
async function publishCompared(parts: LoaderParts, segment: Segment, record: IndexRecord): Promise<boolean> {
  const { keyspace, reader } = parts;
  const { partition, hash, offset, length } = record;
  const key = await keyOrUndefined(reader, { segment, offset, length });
  if (key === undefined) {
    keyspace.insert(partition, { ...keyspaceEntryOf(segment, record), digest: 0n });
    return false;
  }
  for (const spot of keyspace.spotsOf(partition, hash)) {
    const other = await keyOrUndefined(reader, spot);
    if (other === undefined || !key.equals(other)) continue;
    const slot = keyspace.slotAt(partition, hash, { segment: spot.segment.id, offset: spot.offset });
    keyspace.replace(partition, slot, keyspaceEntryOf(segment, record));
    return true;
  }
  keyspace.insert(partition, keyspaceEntryOf(segment, record));
  return true;
}

async function keyOrUndefined(reader: RecordReader, spot: RecordSpot): Promise<Buffer | undefined> {
  try {
    return await reader.key(spot, TYPICAL_KEY_BYTES);
  } catch (error) {
    if (error instanceof CorruptRecordError) return undefined;
    throw error;
  }
}

function keyspaceEntryOf(segment: Segment, record: IndexRecord): KeyspaceEntry {
  const { hash, digest, offset, length } = record;
  return { hash, digest, segment: segment.id, offset, length, kind: kindOf(record.flags) };
}

function sharedHashesOf(runs: readonly IndexRun[]): ReadonlySet<bigint> {
  const hashes = new Set<bigint>();
  for (const { entries } of runs) {
    const count = entries.length / INDEX_ENTRY_BYTES;
    for (let position = 0; position < count; position += 1) {
      // the flag's bit in the length word, looked at without reading the rest
      if (((entries[position * INDEX_ENTRY_BYTES + 28] ?? 0) & 2) === 0) continue;
      const record = entryAt(entries, position);
      if ((record.flags & FLAG_SHARED_HASH) !== 0) hashes.add(record.hash);
    }
  }
  return hashes;
}
