/**
 * Brings a sealed segment back: by its index file, or by a scan when that is missing or wrong. Everything in it was
 * durable when it was sealed, so whatever is missing or bad now is a loss. Source: reliability notes §3.6 step 5.
 * Must never take an index file that fails any check.
 */
import { checksum, fileSeed } from "./format/checksum.ts";
import {
  type IndexFile,
  type IndexFileCorrupt,
  type IndexSubject,
  indexSeed,
  openIndexFile,
} from "./format/index-file.ts";
import type { SealedFacts } from "./format/manifest-edit.ts";
import { IndexBuilder } from "./index-builder.ts";
import { type IndexRun, nextTurn } from "./index-loader.ts";
import type { LogSettings } from "./log-options.ts";
import { DiskError, type DiskFile } from "./ports.ts";
import { quarantine } from "./quarantine.ts";
import { joinLoss, lossChangesOf, sealedLossOf } from "./recovery-core.ts";
import type { RecoveryParts } from "./recovery-findings.ts";
import { type FoundRecord, isKeyed, readSegment, type ScannedSegment, scanSegment } from "./segment-scan.ts";
import type { Segment } from "./segment-set.ts";
import { indexPath, segmentPath } from "./store-paths.ts";
import { isUnreadable, readWhole } from "./whole-file.ts";

/** The segment's entries; undefined when its file is gone, which is a loss of whatever it held. Throws `DiskError`. */
export async function recoverSealed(parts: RecoveryParts, sealed: SealedFacts): Promise<IndexRun | undefined> {
  const { settings, manifest, findings, segments } = parts;
  findings.highestSeq = Math.max(findings.highestSeq, sealed.maxSeq);
  const file = await openIfThere(parts, segmentPath(sealed.segment));
  if (file === undefined) {
    settings.log.error({ event: "storage.segment-missing", segment: sealed.segment });
    findings.loss = { kind: "all" };
    findings.corruptRecordCount += 1;
    await manifest.append([{ kind: "removed", segment: sealed.segment }, ...lossChangesOf(findings.loss)]);
    return undefined;
  }
  try {
    const seed = fileSeed(manifest.storeId, "segment", sealed.segment);
    const segment = segments.add({ id: sealed.segment, seed, sizeBytes: sealed.sizeBytes });
    segment.isSealed = true;
    segment.minSeq = sealed.minSeq;
    segment.maxSeq = sealed.maxSeq;
    const sizeBytes = await file.size();
    // cut by a verdict that a crash overtook: the manifest knows the length that counts
    if (sizeBytes > sealed.sizeBytes) await cut(file, sealed.sizeBytes);
    const mustScan = sizeBytes < sealed.sizeBytes || !parts.areIndexFilesTrusted;
    const entries = mustScan ? undefined : await indexEntriesOf(parts, sealed);
    return { segment, entries: entries ?? (await scanSealed(parts, file, segment)) };
  } finally {
    await file.close();
  }
}

/** Entries for the index file of these records. */
export function builderOf(storeId: Uint8Array, segment: number, records: readonly FoundRecord[]): IndexBuilder {
  const builder = new IndexBuilder(storeId, segment);
  for (const record of records) addFound(builder, record);
  return builder;
}

/** Adds a record that was found, if it has a key. */
export function addFound(builder: IndexBuilder, record: FoundRecord): void {
  if (!isKeyed(record)) return;
  const { seq, partition, hash, digest, flags, totalBytes } = record.identity;
  builder.add({ seq, partition, hash, digest, offset: record.offset, length: totalBytes, flags });
}

/**
 * Reads and proves an index file, in slices: one of 16 MiB is never summed up in one go. One that the device does not
 * give back is as good as none. Throws `DiskError`.
 */
export async function readIndexFile(
  { disk, clock }: Pick<LogSettings, "disk" | "clock">,
  subject: IndexSubject,
): Promise<IndexFile | IndexFileCorrupt | { readonly kind: "none" }> {
  const path = indexPath(subject.segment);
  if (!(await disk.exists(path))) return { kind: "none" };
  try {
    const opened = openIndexFile(await readWhole(disk, path), subject);
    if (opened.kind !== "opened") return opened;
    const { count, entries, entriesChecksum } = opened;
    let sum = indexSeed(subject);
    for (let at = 0; at < entries.length; at += SUM_SLICE_BYTES) {
      if (at > 0) await nextTurn(clock);
      sum = checksum(entries.subarray(at, at + SUM_SLICE_BYTES), sum);
    }
    return sum === entriesChecksum ? { kind: "index", count, entries } : { kind: "corrupt", reason: "checksum" };
  } catch (error) {
    if (isUnreadable(error)) return { kind: "none" };
    throw error;
  }
}

/** summed up before the event loop gets its turn: half a millisecond */
const SUM_SLICE_BYTES = 1024 * 1024;

/** Cuts a file to a length, durably. */
export async function cut(file: DiskFile, sizeBytes: number): Promise<void> {
  await file.truncate(sizeBytes);
  await file.fdatasync();
}

async function openIfThere(parts: RecoveryParts, path: string): Promise<DiskFile | undefined> {
  try {
    return await parts.settings.disk.open(path, "read-write");
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function indexEntriesOf(parts: RecoveryParts, sealed: SealedFacts): Promise<Buffer | undefined> {
  const { settings, manifest } = parts;
  const subject = { storeId: manifest.storeId, segment: sealed.segment, segmentBytes: sealed.sizeBytes };
  const index = await readIndexFile(settings, subject);
  if (index.kind === "index") return index.entries;
  if (index.kind === "none") return undefined;
  settings.log.warn({ event: "storage.index-file-ignored", segment: sealed.segment, reason: index.reason });
  return undefined;
}

async function scanSealed(parts: RecoveryParts, file: DiskFile, segment: Segment): Promise<Buffer> {
  const { findings, manifest } = parts;
  const scanned = scanSegment((await readSegment(file, segment.sizeBytes)).bytes, segment.seed);
  findings.scannedBytes += scanned.bytes.length;
  const loss = sealedLossOf(scanned, segment.maxSeq, manifest.state.dropped);
  findings.loss = joinLoss(findings.loss, loss);
  findings.corruptRecordCount += scanned.gaps.length;
  await quarantineGaps(parts, segment.id, scanned);
  const builder = builderOf(manifest.storeId, segment.id, scanned.records);
  if (loss.kind !== "none") await resealAsFound(parts, segment, { builder, sizeBytes: scanned.bytes.length });
  await builder.writeIfRoom(parts.settings.disk, segment.sizeBytes);
  return builder.entries;
}

/** The loss is marked and the segment sealed as it is now, in one edit, so that the next start has nothing new to tell. */
async function resealAsFound(
  parts: RecoveryParts,
  segment: Segment,
  found: { readonly builder: IndexBuilder; readonly sizeBytes: number },
): Promise<void> {
  const { minSeq, maxSeq } = found.builder;
  const facts = { segment: segment.id, sizeBytes: found.sizeBytes, minSeq, maxSeq };
  await parts.manifest.append([{ ...facts, kind: "sealed" }, ...lossChangesOf(parts.findings.loss)]);
  segment.sizeBytes = found.sizeBytes;
  segment.minSeq = minSeq;
  segment.maxSeq = maxSeq;
}

async function quarantineGaps(parts: RecoveryParts, segment: number, scanned: ScannedSegment): Promise<void> {
  for (const gap of scanned.gaps) {
    await quarantine(parts.settings, { segment, offset: gap.from }, scanned.bytes.subarray(gap.from, gap.to));
  }
}
