/**
 * Whether the last stop was in order: CLEAN is believed only if every fact in it agrees with what is on disk, for a
 * copied or left-over marker lies (reliability notes §3.7).
 * Must never be believed in part.
 */
import { bufferOver } from "./format/bytes.ts";
import { fileSeed } from "./format/checksum.ts";
import { type CleanFacts, decodeCleanMarker, encodeCleanMarker } from "./format/clean-marker.ts";
import { decodeIdentity, RECORD_HEADER_BYTES } from "./format/record.ts";
import type { LoadedManifest } from "./manifest.ts";
import { type Disk, DiskError } from "./ports.ts";
import { CLEAN_PATH, segmentPath } from "./store-paths.ts";
import { readWhole, replaceWhole, unlinkIfThere } from "./whole-file.ts";

/** longest key, and the header before it */
const IDENTITY_BYTES: number = RECORD_HEADER_BYTES + 2048;

/** The facts of the last clean stop, or undefined when there was none that can be believed. */
export async function cleanStopOf(disk: Disk, loaded: LoadedManifest): Promise<CleanFacts | undefined> {
  if (!(await disk.exists(CLEAN_PATH))) return undefined;
  const marker = decodeCleanMarker(await readWhole(disk, CLEAN_PATH));
  if (marker.kind === "corrupt") return undefined;
  const { facts } = marker;
  const isThisManifest =
    facts.storeId === bufferOver(loaded.storeId).toString("hex") &&
    facts.actor === loaded.state.actor &&
    facts.manifestNumber === loaded.number &&
    facts.manifestBytes === loaded.goodBytes &&
    loaded.tornBytes === 0;
  if (!isThisManifest) return undefined;
  for (const [segment, sealed] of loaded.state.segments) {
    if (sealed === undefined || (await sizeOf(disk, segmentPath(segment))) !== sealed.sizeBytes) return undefined;
  }
  return (await isLastRecordThere(disk, loaded, facts)) ? facts : undefined;
}

/** Writes CLEAN, durably. Throws `DiskError`. */
export async function markCleanStop(disk: Disk, facts: CleanFacts): Promise<void> {
  await replaceWhole(disk, CLEAN_PATH, [encodeCleanMarker(facts)]);
}

/** Removes CLEAN, durably: before the first append, so that it can never speak for a store that went on. */
export async function forgetCleanStop(disk: Disk): Promise<void> {
  if (!(await disk.exists(CLEAN_PATH))) return;
  await unlinkIfThere(disk, CLEAN_PATH);
  await disk.fsyncDirectory("");
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
