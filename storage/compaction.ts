/**
 * One compaction: the live records of some sealed segments are copied to new ones, which take their place by ONE edit
 * of the manifest, the commit point; then the index follows, entry by entry, wherever no newer record has come; then
 * the inputs go. Before the commit nothing has changed; after it a crash finds the same live set.
 * Source: Bitcask (Sheehy & Smith, 2010); reliability notes §3.5. Must never copy what it has not proved.
 */
import assert from "node:assert";
import { type CompactionOutput, CompactionWriter } from "./compaction-output.ts";
import { CorruptRecordError } from "./errors.ts";
import { entryAt } from "./format/index-file.ts";
import type { ManifestChange } from "./format/manifest-edit.ts";
import { type IndexRun, nextTurn, RunMerge } from "./index-loader.ts";
import { InputWindow } from "./input-window.ts";
import type { Keyspace } from "./keyspace.ts";
import type { LogSettings } from "./log-options.ts";
import type { Manifest } from "./manifest.ts";
import type { RecordReader } from "./record-reader.ts";
import { entriesOf } from "./segment-entries.ts";
import type { SegmentPreparer } from "./segment-preparer.ts";
import { endRemoval } from "./segment-removal.ts";
import type { Segment, SegmentSet } from "./segment-set.ts";
import type { StoreHealth } from "./store-health.ts";
import { indexPath, segmentPath } from "./store-paths.ts";
import { droppableTombstones } from "./tombstone-proof.ts";
import { unlinkIfThere } from "./whole-file.ts";

/** What compaction works with. */
export interface CompactionParts {
  readonly settings: LogSettings;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly preparer: SegmentPreparer;
  readonly health: StoreHealth;
  /** resolves when compaction may go on; rejects with CompactionStopped when it is to be given up */
  readonly pace: (copiedBytes: number) => Promise<void>;
}

/** A live record that cannot be proved: the compaction was given up, its segment must be left alone. */
export class CorruptInputError extends Error {
  readonly code = "CORRUPT_INPUT";
  readonly segment: Segment;
  readonly partition: number;
  readonly hash: bigint;
  readonly offset: number;
  readonly length: number;

  constructor(
    segment: Segment,
    record: { readonly partition: number; readonly hash: bigint; readonly offset: number; readonly length: number },
    options: ErrorOptions,
  ) {
    super(`a live record of segment ${segment.id} cannot be copied`, options);
    this.name = "CorruptInputError";
    this.segment = segment;
    this.partition = record.partition;
    this.hash = record.hash;
    this.offset = record.offset;
    this.length = record.length;
  }
}

/** The store is closing: the compaction was given up without a trace. */
export class CompactionStopped extends Error {
  readonly code = "COMPACTION_STOPPED";
  constructor() {
    super("the compaction was given up because the store is closing");
    this.name = "CompactionStopped";
  }
}

/** What a compaction did. */
export interface CompactionResult {
  readonly inputBytes: number;
  readonly copiedBytes: number;
  readonly droppedTombstones: number;
}

/** Compacts these sealed segments. Rejects with CorruptInputError, CompactionStopped, `DiskError` or the manifest's errors. */
export async function compactSegments(parts: CompactionParts, inputs: readonly Segment[]): Promise<CompactionResult> {
  const { segments } = parts;
  const writer = new CompactionWriter(parts);
  for (const segment of inputs) segments.pin(segment);
  let stage: "copying" | "committing" | "committed" = "copying";
  try {
    const runs: IndexRun[] = [];
    for (const segment of inputs) runs.push({ segment, entries: await listedEntries(parts, segment) });
    const dropped = await droppableTombstones(parts, runs);
    await copyLive(parts, { runs, writer, dropped });
    const outputs = await writer.finish();
    if (parts.settings.durability === "os") await syncUnsealed(parts, outputs);
    stage = "committing";
    await commit(parts, inputs, outputs);
    stage = "committed";
    for (const output of outputs) await moveIndex(parts, output);
    await dropTombstones(parts, runs, dropped);
    const inputBytes = inputs.reduce((sum, segment) => sum + segment.sizeBytes, 0);
    return { inputBytes, copiedBytes: writer.copiedBytes, droppedTombstones: dropped.size };
  } finally {
    for (const segment of inputs) segments.unpin(segment);
    if (stage === "committed") await removeInputs(parts, inputs);
    // a failed write may have left the edit on disk: then the outputs are the only copies that the next start knows
    else if (stage === "copying" || parts.health.failure === undefined) await writer.discard();
  }
}

/** All entries that can be live. Throws CorruptInputError when something live stands where nothing can be listed. */
async function listedEntries(parts: CompactionParts, segment: Segment): Promise<Buffer> {
  const { keyspace, settings } = parts;
  const { entries, unknown } = await entriesOf(parts, segment);
  // only a segment with no index file, and rot: the one way to what is live in it is through all of the index
  for (let partition = 0; unknown.length > 0 && partition < settings.partitionCount; partition += 1) {
    const table = keyspace.table(partition);
    table?.forEachFrom(0n, (slot) => {
      const offset = table.offsetAt(slot);
      const isLost =
        table.segmentAt(slot) === segment.id && unknown.some(({ from, to }) => offset >= from && offset < to);
      if (!isLost) return true;
      const record = { partition, hash: table.hashAt(slot), offset, length: table.lengthAt(slot) };
      throw new CorruptInputError(segment, record, {});
    });
    await nextTurn(settings.clock);
  }
  return entries;
}

interface CopyPlan {
  readonly runs: readonly IndexRun[];
  readonly writer: CompactionWriter;
  /** seqs of tombstones to leave out */
  readonly dropped: ReadonlySet<number>;
}

/** Copies in order of seq, so that outputs are sorted as every segment is; slices keep the event loop free. */
async function copyLive(parts: CompactionParts, plan: CopyPlan): Promise<void> {
  const { keyspace, reader, settings, pace } = parts;
  const windows = new Map(plan.runs.map((run) => [run, new InputWindow(reader, run.segment)]));
  const merge = new RunMerge(plan.runs);
  let sliceCount = 0;
  for (let next = merge.next(); next !== undefined; next = merge.next()) {
    sliceCount += 1;
    if (sliceCount >= settings.compactionSliceRecords) {
      sliceCount = 0;
      await pace(plan.writer.copiedBytes);
    }
    const { segment, entries } = next.run;
    const record = entryAt(entries, next.position);
    const place = { segment: segment.id, offset: record.offset };
    if (keyspace.slotAt(record.partition, record.hash, place) < 0 || plan.dropped.has(record.seq)) continue;
    const window = windows.get(next.run);
    assert(window !== undefined, "every run has a window");
    if (!window.holds(record.offset, record.length)) await moveWindow(window, segment, record);
    if (plan.writer.needsRoom(record.length)) await plan.writer.makeRoom(record.length);
    plan.writer.add(proved(window, segment, record), place);
  }
  await pace(plan.writer.copiedBytes);
}

type EntryFacts = {
  readonly partition: number;
  readonly hash: bigint;
  readonly offset: number;
  readonly length: number;
};

async function moveWindow(window: InputWindow, segment: Segment, record: EntryFacts): Promise<void> {
  try {
    await window.moveTo(record.offset, record.length);
  } catch (error) {
    throw asCorruptInput(error, segment, record);
  }
}

function proved(window: InputWindow, segment: Segment, record: EntryFacts): ReturnType<InputWindow["record"]> {
  try {
    return window.record(record.offset, record.length);
  } catch (error) {
    throw asCorruptInput(error, segment, record);
  }
}

function asCorruptInput(error: unknown, segment: Segment, record: EntryFacts): unknown {
  return error instanceof CorruptRecordError ? new CorruptInputError(segment, record, { cause: error }) : error;
}

/**
 * A record that was left out because a newer one took its place may be the only durable one of its key: the newer one
 * becomes durable first. A failed fdatasync is final, as everywhere.
 */
async function syncUnsealed(parts: CompactionParts, outputs: readonly CompactionOutput[]): Promise<void> {
  const { segments, settings, health } = parts;
  const made = new Set(outputs.map((output) => output.target.segment));
  const unsealed = [...segments.all()].filter((segment) => !segment.isSealed && !made.has(segment));
  for (const segment of unsealed) segments.pin(segment);
  try {
    for (const segment of unsealed) {
      if (segments.get(segment.id) !== segment) continue;
      const file = await settings.disk.open(segmentPath(segment.id), "read-write");
      try {
        await file.fdatasync();
      } catch (error) {
        throw health.fail(error);
      } finally {
        await file.close();
      }
    }
  } finally {
    for (const segment of unsealed) segments.unpin(segment);
  }
}

async function commit(
  parts: CompactionParts,
  inputs: readonly Segment[],
  outputs: readonly CompactionOutput[],
): Promise<void> {
  const changes: ManifestChange[] = [];
  for (const { target, sizeBytes } of outputs) {
    const { minSeq, maxSeq } = target.builder;
    changes.push({ kind: "sealed", segment: target.segment.id, sizeBytes, minSeq, maxSeq });
  }
  for (const input of inputs) changes.push({ kind: "removed", segment: input.id });
  await parts.manifest.append(changes);
  for (const { target } of outputs) {
    target.segment.minSeq = target.builder.minSeq;
    target.segment.maxSeq = target.builder.maxSeq;
    target.segment.isSealed = true;
  }
}

/** Compare and swap, entry by entry: a record that was overwritten meanwhile stays overwritten. */
async function moveIndex(parts: CompactionParts, output: CompactionOutput): Promise<void> {
  const { keyspace, settings } = parts;
  const { target, origins } = output;
  const segment = target.segment.id;
  for (let position = 0; position < origins.length; position += 1) {
    const from = origins[position];
    if (from === undefined) continue;
    const { partition, hash, offset } = entryAt(target.builder.entries, position);
    keyspace.relocate(partition, hash, { from, to: { segment, offset } });
    if (position % settings.compactionSliceRecords === settings.compactionSliceRecords - 1) {
      await nextTurn(settings.clock);
    }
  }
}

async function dropTombstones(
  parts: CompactionParts,
  runs: readonly IndexRun[],
  dropped: ReadonlySet<number>,
): Promise<void> {
  if (dropped.size === 0) return;
  const { keyspace, settings } = parts;
  const merge = new RunMerge(runs);
  let count = 0;
  for (let next = merge.next(); next !== undefined; next = merge.next()) {
    count += 1;
    if (count % settings.compactionSliceRecords === 0) await nextTurn(settings.clock);
    const { seq, partition, hash, offset } = entryAt(next.run.entries, next.position);
    if (!dropped.has(seq)) continue;
    const slot = keyspace.slotAt(partition, hash, { segment: next.run.segment.id, offset });
    if (slot >= 0) keyspace.remove(partition, slot);
  }
}

/** Unlinks the inputs once nobody reads them; the directory is made durable so that they do not come back as orphans. */
async function removeInputs(parts: CompactionParts, inputs: readonly Segment[]): Promise<void> {
  const { segments, settings } = parts;
  for (const input of inputs) {
    assert(input.liveCount === 0, "nothing points at a segment that compaction has replaced");
    await segments.remove(input);
    await unlinkIfThere(settings.disk, segmentPath(input.id));
    await unlinkIfThere(settings.disk, indexPath(input.id));
  }
  await endRemoval(settings);
}
