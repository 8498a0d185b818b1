/**
 * Whether the last stop was in order: CLEAN is believed only if every fact in it agrees with what is on disk, for a
 * copied or left-over marker lies (reliability notes §3.7). One that speaks of this store and does not agree says that
 * the disk has lost something since.
 * Must never be believed in part.
 */
import { StoreUnusableError } from "./errors.ts";
import { bufferOver } from "./format/bytes.ts";
import { fileSeed } from "./format/checksum.ts";
import { type CleanFacts, decodeCleanMarker, encodeCleanMarker } from "./format/clean-marker.ts";
import { decodeIdentity, RECORD_HEADER_BYTES } from "./format/record.ts";
import type { LoadedManifest } from "./manifest.ts";
import { type Disk, DiskError } from "./ports.ts";
import { CLEAN_PATH, manifestPath, segmentPath } from "./store-paths.ts";
import { isUnreadable, readWhole, replaceWhole, unlinkIfThere } from "./whole-file.ts";

/** What CLEAN says, judged by the disk. */
export type CleanStop =
  | { readonly kind: "none" }
  /** the store was closed in order, and is not any more what was closed: its index files tell of records that may be gone */
  | { readonly kind: "contradicted" }
  | { readonly kind: "clean"; readonly facts: CleanFacts };

/** longest key, and the header before it */
const IDENTITY_BYTES: number = RECORD_HEADER_BYTES + 2048;

/** How the store was stopped. Throws StoreUnusableError when its manifest has lost edits since, or `DiskError`. */
export async function cleanStopOf(disk: Disk, loaded: LoadedManifest): Promise<CleanStop> {
  const facts = await factsOf(disk);
  if (facts === undefined || facts.storeId !== bufferOver(loaded.storeId).toString("hex")) return { kind: "none" };
  if (facts.manifestNumber === loaded.number && facts.manifestBytes > loaded.goodBytes) {
    throw new StoreUnusableError(
      `${manifestPath(loaded.number)} is damaged at byte ${loaded.goodBytes}: it was whole when the store was closed. ` +
        `Restore a backup of the whole directory, or move it aside and start the node empty, so that it is filled ` +
        `again from its peers.`,
    );
  }
  const isThisManifest =
    facts.actor === loaded.state.actor &&
    facts.manifestNumber === loaded.number &&
    facts.manifestBytes === loaded.goodBytes &&
    loaded.tornBytes === 0;
  const isWhole =
    isThisManifest && (await areSegmentsWhole(disk, loaded)) && (await isLastRecordThere(disk, loaded, facts));
  return isWhole ? { kind: "clean", facts } : { kind: "contradicted" };
}

/** Writes CLEAN, durably. Throws `DiskError`. */
export async function markCleanStop(disk: Disk, facts: CleanFacts): Promise<void> {
  await replaceWhole(disk, CLEAN_PATH, [encodeCleanMarker(facts)]);
}

/**
 * Removes CLEAN, durably. It names a manifest by number, so that it cannot speak for a store that went on: this may wait
 * until nothing can refuse the start any more.
 */
export async function forgetCleanStop(disk: Disk): Promise<void> {
  if (!(await disk.exists(CLEAN_PATH))) return;
  await unlinkIfThere(disk, CLEAN_PATH);
  await disk.fsyncDirectory("");
}

async function factsOf(disk: Disk): Promise<CleanFacts | undefined> {
  if (!(await disk.exists(CLEAN_PATH))) return undefined;
  try {
    const marker = decodeCleanMarker(await readWhole(disk, CLEAN_PATH));
    return marker.kind === "clean" ? marker.facts : undefined;
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

async function areSegmentsWhole(disk: Disk, loaded: LoadedManifest): Promise<boolean> {
  for (const [segment, sealed] of loaded.state.segments) {
    if (sealed === undefined || (await sizeOf(disk, segmentPath(segment))) !== sealed.sizeBytes) return false;
  }
  return true;
}

/** A disk that lied about its last writes shows here: the last record is not where it was. */
async function isLastRecordThere(disk: Disk, loaded: LoadedManifest, facts: CleanFacts): Promise<boolean> {
  if (facts.lastSegment === 0) return true;
  if (!loaded.state.segments.has(facts.lastSegment)) return false;
  const file = await disk.open(segmentPath(facts.lastSegment), "read");
  try {
    const bytes = Buffer.alloc(IDENTITY_BYTES);
    const count = await file.read(bytes, facts.lastOffset);
    const segmentSeed = fileSeed(loaded.storeId, "segment", facts.lastSegment);
    const record = decodeIdentity(bytes.subarray(0, count), 0, { segmentSeed, offset: facts.lastOffset });
    return record.kind === "identity" && record.seq === facts.lastSeq;
  } catch (error) {
    if (isUnreadable(error)) return false;
    throw error;
  } finally {
    await file.close();
  }
}

/** Bytes of a file, or undefined when it is not there. */
async function sizeOf(disk: Disk, path: string): Promise<number | undefined> {
  try {
    const file = await disk.open(path, "read");
    try {
      return await file.size();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
}
