/**
 * Bytes that recovery, compaction or the scrub gives up are first laid down in quarantine, for whoever wants to look. It
 * is bounded: the newest stay. Must never keep a store from starting: without space they are only counted.
 */
import { hexName } from "./format/bytes.ts";
import type { Disk, StorageLog } from "./ports.ts";
import { parseSegmentName, QUARANTINE_DIRECTORY } from "./store-paths.ts";
import { isOutOfRoom, replaceWhole, unlinkIfThere } from "./whole-file.ts";

/** Where quarantine is written, and told of. */
export interface QuarantineParts {
  readonly disk: Disk;
  readonly log: StorageLog;
}

/** What is kept of pieces of segments, and of whole segments that no edit names. */
export const MAX_QUARANTINE_BYTES: number = 64 * 1024 * 1024;
/** Files with pieces, however small. */
export const MAX_QUARANTINE_FILES = 256;
/** Whole segments: as they may be only copies, more of them than of pieces. */
export const MAX_QUARANTINE_SEGMENTS = 8;

/** Lays down bytes that stood at `offset` of a segment. Throws `DiskError`, but not for lack of space. */
export async function quarantine(
  parts: QuarantineParts,
  place: { readonly segment: number; readonly offset: number },
  bytes: Uint8Array,
): Promise<void> {
  const name = `${hexName(place.segment)}-${hexName(place.offset)}`;
  const path = `${QUARANTINE_DIRECTORY}/${name}`;
  parts.log.warn({ event: "storage.quarantined", ...place, sizeBytes: bytes.length, path });
  try {
    if (bytes.length <= MAX_QUARANTINE_BYTES) await replaceWhole(parts.disk, path, [bytes]);
    await trimQuarantine(parts, name);
  } catch (error) {
    if (!isOutOfRoom(error)) throw error;
    parts.log.warn({ event: "storage.quarantine-skipped", ...place });
  }
}

/**
 * Removes the oldest, by the ids of their segments, until what is left is within the bounds; `newest` stays. Throws
 * `DiskError`. Cost: a look at each file, of which there are few.
 */
export async function trimQuarantine({ disk, log }: QuarantineParts, newest = ""): Promise<void> {
  const names = await disk.list(QUARANTINE_DIRECTORY);
  const segments = names.filter((name) => parseSegmentName(name) !== undefined);
  const pieces = names.filter((name) => parseSegmentName(name) === undefined && name !== newest).toReversed();
  const tooMany = segments.slice(0, Math.max(0, segments.length - MAX_QUARANTINE_SEGMENTS));
  let bytes = newest === "" ? 0 : await sizeOf(disk, newest);
  for (const [at, name] of pieces.entries()) {
    bytes += await sizeOf(disk, name);
    if (bytes > MAX_QUARANTINE_BYTES || at + 1 >= MAX_QUARANTINE_FILES) tooMany.push(name);
  }
  if (tooMany.length === 0) return;
  log.warn({ event: "storage.quarantine-trimmed", fileCount: tooMany.length });
  for (const name of tooMany) await unlinkIfThere(disk, `${QUARANTINE_DIRECTORY}/${name}`);
  await disk.fsyncDirectory(QUARANTINE_DIRECTORY);
}

/** Bytes of a file; 0 when it is not there, as one that is larger than the bound is not. */
async function sizeOf(disk: Disk, name: string): Promise<number> {
  const path = `${QUARANTINE_DIRECTORY}/${name}`;
  if (!(await disk.exists(path))) return 0;
  const file = await disk.open(path, "read");
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}
