/**
 * Opens what is on disk, step by step in the order of reliability notes §3.6. Every step may be cut short by a crash
 * and done again. Actor rule (§3.7): every stop that was not clean, and every loss, draws a new actor before it is used.
 * Must never let a store serve before what it will serve is durable.
 */

import { cleanStopOf, forgetCleanStop } from "./clean-stop.ts";
import type { RecoveryReport } from "./engine.ts";
import { StoreUnusableError } from "./errors.ts";
import type { CleanFacts } from "./format/clean-marker.ts";
import type { ManifestChange, SealedFacts } from "./format/manifest-edit.ts";
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  type SegmentHeaderCorrupt,
} from "./format/segment-header.ts";
import { type IndexRun, loadRuns } from "./index-loader.ts";
import { Keyspace } from "./keyspace.ts";
import type { LogSettings } from "./log-options.ts";
import { type LoadedManifest, loadManifest, Manifest } from "./manifest.ts";
import { emptyManifestState } from "./manifest-state.ts";
import type { Disk, StorageRandom } from "./ports.ts";
import { trimQuarantine } from "./quarantine.ts";
import { RecordReader } from "./record-reader.ts";
import { joinLoss, lossChangesOf } from "./recovery-core.ts";
import { emptyFindings, type RecoveryFindings, type RecoveryParts } from "./recovery-findings.ts";
import { recoverSealed } from "./sealed-recovery.ts";
import { SegmentSet } from "./segment-set.ts";
import type { StoreHealth } from "./store-health.ts";
import {
  CURRENT_PATH,
  DOCUMENTS_DIRECTORY,
  parseManifestName,
  parseSegmentName,
  QUARANTINE_DIRECTORY,
  SEGMENTS_DIRECTORY,
  segmentPath,
  TEMPORARY_SUFFIX,
} from "./store-paths.ts";
import { recoverTails } from "./tail-recovery.ts";
import { isUnreadable, readStart, unlinkIfThere } from "./whole-file.ts";

/** A store that is ready to serve. */
export interface RecoveredStore {
  /** as asked for, but for what was fixed when the store was made */
  readonly settings: LogSettings;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  /** every seq up to this one may have been used */
  readonly lastSeq: number;
  readonly clean: CleanFacts | undefined;
  readonly report: RecoveryReport;
}

/** seqs left out after a stop that was not clean: those of writes that left no trace are not used again */
const SEQ_GAP = 2 ** 20;

/** Brings the store back, or makes it; one that is there keeps its partition count. Throws StoreUnusableError or `DiskError`. */
export async function recoverStore(asked: LogSettings, health: StoreHealth): Promise<RecoveredStore> {
  const startedMs = asked.clock.monotonicMs();
  const loaded = await loadManifest(asked.disk);
  const settings = loaded === undefined ? asked : { ...asked, partitionCount: loaded.partitionCount };
  if (loaded !== undefined) await refuseNewerSegments(settings.disk, loaded);
  const stop = loaded === undefined ? undefined : await cleanStopOf(settings.disk, loaded);
  const clean = stop?.kind === "clean" ? stop.facts : undefined;
  const mode = loaded === undefined ? "fresh" : clean === undefined ? "unclean" : "clean";
  const manifest =
    loaded === undefined ? await makeStore(settings, health) : await reopen(settings, health, { loaded, mode });
  const areIndexFilesTrusted = stop?.kind !== "contradicted";
  // a marker that was contradicted is kept until what is gone is known, durably
  if (areIndexFilesTrusted) await forgetCleanStop(settings.disk);
  const segments = new SegmentSet(settings.disk, settings.openSegmentFiles);
  const { dropped } = manifest.state;
  const findings = emptyFindings();
  // what was dropped may have left no segment behind: a record with a seq that a drop covers would be dead at birth
  findings.highestSeq = Math.max(0, ...dropped.values());
  const parts: RecoveryParts = { settings, manifest, segments, findings, areIndexFilesTrusted };
  const runs = await recoverSegments(parts);
  const keyspace = new Keyspace(segments, settings.partitionCount);
  const reader = new RecordReader(segments, settings);
  const { recordCount, unreadable } = await loadRuns(runs, { keyspace, reader, clock: settings.clock, dropped });
  // of those that are suspect already it has been told
  const partitions = [...unreadable].filter((partition) => !manifest.state.suspects.has(partition));
  if (partitions.length > 0) findings.loss = joinLoss(findings.loss, { kind: "partitions", partitions });
  const isLossy = await markLoss(parts, mode);
  if (!areIndexFilesTrusted) await forgetCleanStop(settings.disk);
  await sweep(parts);
  const lastSeq = clean === undefined ? lastSeqOf(findings, mode) : Math.max(clean.lastSeq, findings.highestSeq);
  const { scannedBytes, truncatedBytes, corruptRecordCount } = findings;
  const isNewActor = mode !== "clean" || isLossy;
  const durationMs = settings.clock.monotonicMs() - startedMs;
  const counts = { recordCount, scannedBytes, truncatedBytes, corruptRecordCount };
  const report: RecoveryReport = { mode, ...counts, isNewActor, durationMs };
  settings.log.info({ event: "storage.opened", ...report });
  return { settings, manifest, segments, keyspace, reader, lastSeq, clean, report };
}

/** A store that a newer version has written to is not touched. Throws StoreUnusableError before anything is changed. */
async function refuseNewerSegments(disk: Disk, loaded: LoadedManifest): Promise<void> {
  for (const segment of loaded.state.segments.keys()) {
    const header = await headerOf(disk, segment);
    if (header.kind === "corrupt" && header.reason === "version") {
      throw new StoreUnusableError(
        `${segmentPath(segment)} was written by a newer version of this program. Start the newer version, or restore ` +
          `a backup that is older than the upgrade.`,
      );
    }
  }
}

async function headerOf(disk: Disk, segment: number): Promise<SegmentHeader | SegmentHeaderCorrupt> {
  try {
    return decodeSegmentHeader(await readStart(disk, segmentPath(segment), SEGMENT_HEADER_BYTES));
  } catch (error) {
    // lost, which is for the scan to tell: no reason to refuse
    if (isUnreadable(error)) return decodeSegmentHeader(Buffer.alloc(0));
    throw error;
  }
}

/** A random actor that this store has not had. */
export function drawActor(random: StorageRandom, taken: readonly number[]): number {
  for (;;) {
    const actor = Buffer.from(random.bytes(6)).readUIntLE(0, 6);
    if (actor !== 0 && !taken.includes(actor)) return actor;
  }
}

async function makeStore(settings: LogSettings, health: StoreHealth): Promise<Manifest> {
  const { disk, random, partitionCount } = settings;
  const strays = (await disk.list(SEGMENTS_DIRECTORY)).filter((name) => parseSegmentName(name) !== undefined);
  if (strays.length > 0) {
    throw new StoreUnusableError(
      `${CURRENT_PATH} is missing, but there are segments: this is not an empty store, and not a whole one. ` +
        `Restore a backup of the whole directory, or move it aside and start the node empty.`,
    );
  }
  for (const path of [SEGMENTS_DIRECTORY, DOCUMENTS_DIRECTORY, QUARANTINE_DIRECTORY]) await disk.makeDirectory(path);
  await disk.fsyncDirectory("");
  const storeId = random.bytes(16);
  const actor = drawActor(random, []);
  const made = { number: 0, storeId, partitionCount, state: emptyManifestState() };
  return Manifest.open(manifestContext(settings, health), made, [{ kind: "actor", actor }]);
}

async function reopen(
  settings: LogSettings,
  health: StoreHealth,
  found: { readonly loaded: LoadedManifest; readonly mode: RecoveryReport["mode"] },
): Promise<Manifest> {
  const { loaded, mode } = found;
  const { state } = loaded;
  const changes: ManifestChange[] = loaded.tornBytes === 0 ? [] : await keepOrphans(settings, loaded);
  const taken = [...state.pastActors, state.actor];
  const actor = drawActor(settings.random, taken);
  // durable before anything is read: a dot of the old actor may have been lost with the tail
  if (mode !== "clean") changes.push({ kind: "actor", actor });
  return Manifest.open(manifestContext(settings, health), loaded, changes);
}

/**
 * An edit that was torn never counted; one that is rotten did, and what it named may be the only copies. The two cannot be
 * told apart: segments that no edit names are put in quarantine, before a new manifest makes the torn one forgotten,
 * and their ids are not used again.
 */
async function keepOrphans({ disk, log }: LogSettings, loaded: LoadedManifest): Promise<ManifestChange[]> {
  let nextSegment = loaded.state.nextSegment;
  await disk.makeDirectory(QUARANTINE_DIRECTORY);
  let hasMoved = false;
  for (const name of await disk.list(SEGMENTS_DIRECTORY)) {
    const parsed = parseSegmentName(name);
    if (parsed?.kind !== "log" || loaded.state.segments.has(parsed.segment)) continue;
    log.warn({ event: "storage.segment-quarantined", segment: parsed.segment });
    await disk.rename(`${SEGMENTS_DIRECTORY}/${name}`, `${QUARANTINE_DIRECTORY}/${name}`);
    nextSegment = Math.max(nextSegment, parsed.segment + 1);
    hasMoved = true;
  }
  if (!hasMoved) return [];
  for (const directory of [QUARANTINE_DIRECTORY, SEGMENTS_DIRECTORY]) await disk.fsyncDirectory(directory);
  await trimQuarantine({ disk, log });
  return [{ kind: "ids", nextSegment }];
}

function manifestContext(
  settings: LogSettings,
  health: StoreHealth,
): { disk: LogSettings["disk"]; health: StoreHealth; rotateBytes: number; idBlock: number } {
  return { disk: settings.disk, health, rotateBytes: settings.manifestBytes, idBlock: settings.idBlock };
}

async function recoverSegments(parts: RecoveryParts): Promise<IndexRun[]> {
  const sealed: SealedFacts[] = [];
  const unsealed: number[] = [];
  for (const [segment, facts] of parts.manifest.state.segments) {
    if (facts === undefined) unsealed.push(segment);
    else sealed.push(facts);
  }
  const runs: IndexRun[] = [];
  for (const facts of sealed) {
    const run = await recoverSealed(parts, facts);
    if (run !== undefined) runs.push(run);
  }
  unsealed.sort((a, b) => a - b);
  runs.push(...(await recoverTails(parts, unsealed)));
  return runs;
}

/** Marks what was lost, durably; a loss that a clean marker hid costs the actor too. True when something was lost. */
async function markLoss(parts: RecoveryParts, mode: RecoveryReport["mode"]): Promise<boolean> {
  const { manifest, settings, findings } = parts;
  if (findings.loss.kind === "none") return false;
  const { state } = manifest;
  const actor = drawActor(settings.random, [...state.pastActors, state.actor]);
  const changes = lossChangesOf(findings.loss);
  settings.log.error({ event: "storage.records-lost", loss: findings.loss });
  await manifest.append(mode === "clean" ? [{ kind: "actor", actor }, ...changes] : changes);
  return true;
}

function lastSeqOf(findings: RecoveryFindings, mode: RecoveryReport["mode"]): number {
  return mode === "fresh" ? 0 : findings.highestSeq + SEQ_GAP;
}

/** Removes what no manifest names: files of steps that a crash cut short. */
async function sweep(parts: RecoveryParts): Promise<void> {
  const { disk } = parts.settings;
  const { state, place } = parts.manifest;
  const isOrphan = (directory: string, name: string): boolean => {
    if (name.endsWith(TEMPORARY_SUFFIX)) return true;
    if (directory === "") return (parseManifestName(name) ?? place.number) !== place.number;
    const segment = directory === SEGMENTS_DIRECTORY ? parseSegmentName(name)?.segment : undefined;
    return segment !== undefined && !state.segments.has(segment);
  };
  for (const directory of ["", SEGMENTS_DIRECTORY, DOCUMENTS_DIRECTORY, QUARANTINE_DIRECTORY]) {
    const orphans = (await disk.list(directory)).filter((name) => isOrphan(directory, name));
    for (const name of orphans) await unlinkIfThere(disk, directory === "" ? name : `${directory}/${name}`);
    if (orphans.length > 0) await disk.fsyncDirectory(directory);
  }
}
