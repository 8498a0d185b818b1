/**
 * The entries of a sealed segment, while the store is open: from its index file, or by a scan.
 * Must never answer with fewer entries than the segment has records.
 */
import { decodeIndexFile } from "./format/index-file.ts";
import type { LogSettings } from "./log-options.ts";
import type { Manifest } from "./manifest.ts";
import { builderOf } from "./sealed-recovery.ts";
import { readSegment, scanSegment } from "./segment-scan.ts";
import type { Segment, SegmentSet } from "./segment-set.ts";
import { indexPath } from "./store-paths.ts";
import { readWhole } from "./whole-file.ts";

/** What finding entries needs. */
export interface EntriesParts {
  readonly settings: LogSettings;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
}

/** Entries of a sealed segment, ascending by seq; the caller has pinned it. Throws `DiskError`. Cost: one read of them. */
export async function entriesOf(parts: EntriesParts, segment: Segment): Promise<Buffer> {
  const { settings, manifest, segments } = parts;
  const path = indexPath(segment.id);
  if (await settings.disk.exists(path)) {
    const subject = { storeId: manifest.storeId, segment: segment.id, segmentBytes: segment.sizeBytes };
    const index = decodeIndexFile(await readWhole(settings.disk, path), subject);
    if (index.kind === "index") return index.entries;
  }
  const scanned = scanSegment(await readSegment(await segments.open(segment), segment.sizeBytes), segment.seed);
  return builderOf(manifest.storeId, segment.id, scanned.records).entries;
}
