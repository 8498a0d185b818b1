/**
 * Brings back the segments that were being written when the store stopped: each is scanned, judged, and sealed where
 * its proved records end. Whole records behind that, which no one can prove durable, are written anew to a segment of
 * their own before anyone reads them: they may live in the page cache only (reliability notes §3.6 step 7).
 * Must never decide on bytes that may not be durable: every file is synced before it is read. One manifest edit is the
 * commit point of all of it; before it nothing is cut or removed.
 */
import { fileSeed } from "./format/checksum.ts";
import type { ManifestChange } from "./format/manifest-edit.ts";
import { encodeRecord, FLAG_BATCH_BEGIN, FLAG_BATCH_END, keyOf, valueOf } from "./format/record.ts";
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES } from "./format/segment-header.ts";
import type { IndexBuilder } from "./index-builder.ts";
import type { IndexRun } from "./index-loader.ts";
import { DiskError, type DiskFile } from "./ports.ts";
import { quarantine } from "./quarantine.ts";
import { joinLoss, lossChangesOf, type TailVerdict, tailVerdictOf } from "./recovery-core.ts";
import type { RecoveryParts } from "./recovery-findings.ts";
import { builderOf, cut } from "./sealed-recovery.ts";
import { type FoundRecord, isKeyed, readSegment, type ScannedSegment, scanSegment } from "./segment-scan.ts";
import { SEGMENTS_DIRECTORY, segmentPath } from "./store-paths.ts";
import { unlinkIfThere, writeFully } from "./whole-file.ts";

interface OpenTail {
  readonly id: number;
  readonly scanned: ScannedSegment;
}

interface JudgedTail extends OpenTail {
  readonly verdict: TailVerdict;
  /** records that are known to have been durable */
  readonly proved: readonly FoundRecord[];
  /** whole records behind them */
  readonly unproved: readonly FoundRecord[];
  /** where the segment is to be sealed */
  readonly sealAt: number;
}

/** Recovers the segments with these ids (ascending); returns the entries of what became of them. Throws `DiskError`. */
export async function recoverTails(parts: RecoveryParts, ids: readonly number[]): Promise<IndexRun[]> {
  const tails: OpenTail[] = [];
  for (const id of ids) {
    const scanned = await scanUnsealed(parts, id);
    if (scanned !== undefined) tails.push({ id, scanned });
  }
  const judged = tails.map((tail) => judge(parts, tail, tails));
  for (const tail of judged) await report(parts, tail);
  const rewritten = await rewriteUnproved(parts, judged);
  await commit(parts, { ids, judged, rewritten });
  const runs: IndexRun[] = [];
  for (const tail of judged) {
    if (tail.proved.some(isKeyed))
      runs.push(await settle(parts, tail.id, { records: tail.proved, sizeBytes: tail.sealAt }));
  }
  if (rewritten !== undefined) runs.push(await settle(parts, rewritten.id, rewritten));
  await removeEmpty(parts, ids);
  return runs;
}

async function scanUnsealed(parts: RecoveryParts, id: number): Promise<ScannedSegment | undefined> {
  const { settings, manifest, findings } = parts;
  let file: DiskFile;
  try {
    file = await settings.disk.open(segmentPath(id), "read-write");
  } catch (error) {
    if (!(error instanceof DiskError && error.code === "ENOENT")) throw error;
    // it was made durable before the manifest named it
    settings.log.error({ event: "storage.segment-missing", segment: id });
    findings.loss = { kind: "all" };
    return undefined;
  }
  try {
    await file.fdatasync();
    const { bytes, unreadableBytes } = await readSegment(file, await file.size());
    // whether anything that counts stood there is not known
    if (unreadableBytes > 0) findings.loss = { kind: "all" };
    const scanned = scanSegment(bytes, fileSeed(manifest.storeId, "segment", id));
    findings.scannedBytes += scanned.bytes.length;
    return scanned;
  } finally {
    await file.close();
  }
}

function judge(parts: RecoveryParts, tail: OpenTail, all: readonly OpenTail[]): JudgedTail {
  const requiredSeq = requiredSeqOf(parts, tail, all);
  const verdict = tailVerdictOf(tail.scanned, requiredSeq, parts.manifest.state.dropped);
  const kept = tail.scanned.records.slice(0, verdict.keptRecords);
  const proved = kept.filter((record) => record.identity.seq <= requiredSeq);
  const unproved = kept.filter((record) => record.identity.seq > requiredSeq && isKeyed(record));
  const lastProved = proved.at(-1);
  const provedEnd =
    lastProved === undefined ? SEGMENT_HEADER_BYTES : lastProved.offset + lastProved.identity.totalBytes;
  const sealAt = Math.max(provedEnd, ...verdict.skipped.map((gap) => gap.to));
  return { ...tail, verdict, proved, unproved, sealAt };
}

/**
 * How far this segment must reach. Groups are written one after the other and seqs are dense, so a record in a later
 * segment proves everything before it; within the last one the records themselves say what was durable.
 */
function requiredSeqOf(parts: RecoveryParts, tail: OpenTail, all: readonly OpenTail[]): number {
  const firstSeq = tail.scanned.records[0]?.identity.seq ?? 0;
  let said = 0;
  let nextFirst = Number.POSITIVE_INFINITY;
  for (const { scanned } of all) {
    for (const { identity } of scanned.records) said = Math.max(said, identity.durableUpTo);
    const first = scanned.records[0]?.identity.seq ?? 0;
    if (first > firstSeq) nextFirst = Math.min(nextFirst, first);
  }
  for (const sealed of parts.manifest.state.segments.values()) {
    if (sealed !== undefined && sealed.minSeq > firstSeq) nextFirst = Math.min(nextFirst, sealed.minSeq);
  }
  if (firstSeq === 0) return 0;
  return nextFirst === Number.POSITIVE_INFINITY ? said : nextFirst - 1;
}

async function report(parts: RecoveryParts, tail: JudgedTail): Promise<void> {
  const { findings, settings } = parts;
  const { scanned, verdict, id } = tail;
  findings.loss = joinLoss(findings.loss, verdict.loss);
  // in this mode acknowledged writes were never more than handed to the operating system, and all of them may be gone
  const { durability } = scanned.header.kind === "segment" ? scanned.header : settings;
  if (durability === "os") findings.loss = { kind: "all" };
  findings.corruptRecordCount += verdict.skipped.length;
  findings.truncatedBytes += verdict.cutBytes;
  for (const { identity } of scanned.records) findings.highestSeq = Math.max(findings.highestSeq, identity.seq);
  for (const gap of verdict.skipped) {
    await quarantine(settings, { segment: id, offset: gap.from }, scanned.bytes.subarray(gap.from, gap.to));
  }
  if (verdict.cutBytes === 0) return;
  const from = verdict.endOffset;
  await quarantine(settings, { segment: id, offset: from }, scanned.bytes.subarray(from, from + verdict.cutBytes));
}

interface RewrittenTail {
  readonly id: number;
  readonly records: readonly FoundRecord[];
  readonly sizeBytes: number;
  readonly builder: IndexBuilder;
}

/** Copies unproved records, with their seqs, to a new segment, durably. It counts only once the manifest names it. */
async function rewriteUnproved(parts: RecoveryParts, tails: readonly JudgedTail[]): Promise<RewrittenTail | undefined> {
  if (tails.every((tail) => tail.unproved.length === 0)) return undefined;
  const { settings, manifest } = parts;
  const { disk, durability } = settings;
  const id = await manifest.allocateSegment();
  const { storeId } = manifest;
  const segmentSeed = fileSeed(storeId, "segment", id);
  const pieces: Buffer[] = [encodeSegmentHeader({ segment: id, storeId, role: "copy", durability })];
  const records: FoundRecord[] = [];
  let offset = SEGMENT_HEADER_BYTES;
  for (const { scanned, unproved } of tails) {
    for (const found of unproved) {
      const flags = found.identity.flags & ~(FLAG_BATCH_BEGIN | FLAG_BATCH_END);
      const identity = { ...found.identity, flags, durableUpTo: 0 };
      const key = keyOf(scanned.bytes, found.offset, identity);
      const value = valueOf(scanned.bytes, found.offset, identity);
      const piece = Buffer.alloc(identity.totalBytes);
      encodeRecord({ ...identity, key, value }, piece, 0, { segmentSeed, offset });
      pieces.push(piece);
      records.push({ identity, offset });
      offset += piece.length;
    }
  }
  const file = await disk.open(segmentPath(id), "create");
  try {
    await writeFully(file, Buffer.concat(pieces), 0);
    await file.fdatasync();
  } finally {
    await file.close();
  }
  await disk.fsyncDirectory(SEGMENTS_DIRECTORY);
  return { id, records, sizeBytes: offset, builder: builderOf(storeId, id, records) };
}

interface TailOutcome {
  readonly ids: readonly number[];
  readonly judged: readonly JudgedTail[];
  readonly rewritten: RewrittenTail | undefined;
}

async function commit(parts: RecoveryParts, outcome: TailOutcome): Promise<void> {
  const { manifest } = parts;
  const changes: ManifestChange[] = [];
  for (const id of outcome.ids) {
    const tail = outcome.judged.find((each) => each.id === id);
    const keyed = tail?.proved.filter(isKeyed) ?? [];
    const minSeq = keyed[0]?.identity.seq ?? 0;
    const maxSeq = keyed.at(-1)?.identity.seq ?? 0;
    if (tail === undefined || maxSeq === 0) changes.push({ kind: "removed", segment: id });
    else changes.push({ kind: "sealed", segment: id, sizeBytes: tail.sealAt, minSeq, maxSeq });
  }
  if (outcome.rewritten !== undefined) {
    const { id, sizeBytes, builder } = outcome.rewritten;
    changes.push({ kind: "sealed", segment: id, sizeBytes, minSeq: builder.minSeq, maxSeq: builder.maxSeq });
  }
  // known with the segments, or not at all: a crash in between must not forget that something was lost
  changes.push(...lossChangesOf(parts.findings.loss));
  if (changes.length > 0) await manifest.append(changes);
}

/** Cuts the file where it was sealed, writes its index file, adds it to the set. */
async function settle(
  parts: RecoveryParts,
  id: number,
  kept: { readonly records: readonly FoundRecord[]; readonly sizeBytes: number },
): Promise<IndexRun> {
  const { settings, manifest, segments } = parts;
  const file = await settings.disk.open(segmentPath(id), "read-write");
  try {
    await cut(file, kept.sizeBytes);
  } finally {
    await file.close();
  }
  const builder = builderOf(manifest.storeId, id, kept.records);
  await builder.writeIfRoom(parts.settings.disk, kept.sizeBytes);
  const seed = fileSeed(manifest.storeId, "segment", id);
  const segment = segments.add({ id, seed, sizeBytes: kept.sizeBytes });
  segment.isSealed = true;
  segment.minSeq = builder.minSeq;
  segment.maxSeq = builder.maxSeq;
  return { segment, entries: builder.entries };
}

async function removeEmpty(parts: RecoveryParts, ids: readonly number[]): Promise<void> {
  const { settings, manifest } = parts;
  const gone = ids.filter((id) => !manifest.state.segments.has(id));
  for (const id of gone) await unlinkIfThere(settings.disk, segmentPath(id));
  if (gone.length > 0) await settings.disk.fsyncDirectory(SEGMENTS_DIRECTORY);
}
