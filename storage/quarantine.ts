/**
 * Bytes that recovery or compaction gives up are first laid down in quarantine, for whoever wants to look.
 * Must never keep a store from starting: without space they are only counted.
 */
import { hexName } from "./format/bytes.ts";
import type { Disk, StorageLog } from "./ports.ts";
import { QUARANTINE_DIRECTORY } from "./store-paths.ts";
import { isDiskFull, replaceWhole } from "./whole-file.ts";

/** Where quarantine is written, and told of. */
export interface QuarantineParts {
  readonly disk: Disk;
  readonly log: StorageLog;
}

/** Lays down bytes that stood at `offset` of a segment. Throws `DiskError`, but not for lack of space. */
export async function quarantine(
  parts: QuarantineParts,
  place: { readonly segment: number; readonly offset: number },
  bytes: Uint8Array,
): Promise<void> {
  const path = `${QUARANTINE_DIRECTORY}/${hexName(place.segment)}-${hexName(place.offset)}`;
  parts.log.warn({ event: "storage.quarantined", ...place, sizeBytes: bytes.length, path });
  try {
    await replaceWhole(parts.disk, path, [bytes]);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    parts.log.warn({ event: "storage.quarantine-skipped", ...place });
  }
}
