/**
 * The entries of a sealed segment, while the store is open: from its index file, or by a scan.
 * Must never answer with fewer entries than the segment has records without saying so.
 */
import { IndexBuilder } from "./index-builder.ts";
import { nextTurn } from "./index-loader.ts";
import type { LogSettings } from "./log-options.ts";
import type { Manifest } from "./manifest.ts";
import { addFound, readIndexFile } from "./sealed-recovery.ts";
import { type FoundRecord, readSegment, scanSegmentSlowly } from "./segment-scan.ts";
import type { Segment, SegmentSet } from "./segment-set.ts";

/** What finding entries needs. */
export interface EntriesParts {
  readonly settings: LogSettings;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
}

/** What is known of the records of a segment. */
export interface SegmentListing {
  /** ascending by seq, those included whose header proves itself while their value does not */
  readonly entries: Buffer;
  /** bytes of which nobody knows what records they were */
  readonly unknown: readonly { readonly from: number; readonly to: number }[];
}

/** The index file of a sealed segment, proved, or why there is none; the caller has pinned it. Throws `DiskError`. */
export function indexFileOf(
  { settings, manifest }: Pick<EntriesParts, "settings" | "manifest">,
  segment: Segment,
): ReturnType<typeof readIndexFile> {
  const subject = { storeId: manifest.storeId, segment: segment.id, segmentBytes: segment.sizeBytes };
  return readIndexFile(settings, subject);
}

/** records listed before the event loop gets its turn */
const SLICE_RECORDS = 4096;

/** Entries of a sealed segment; the caller has pinned it. Throws `DiskError`, not for bytes that cannot be read. Cost: one read of them. */
export async function entriesOf(parts: EntriesParts, segment: Segment): Promise<SegmentListing> {
  const { manifest, segments, settings } = parts;
  const index = await indexFileOf(parts, segment);
  if (index.kind === "index") return { entries: index.entries, unknown: [] };
  const { bytes } = await readSegment(await segments.open(segment), segment.sizeBytes);
  const { records, gaps } = await scanSegmentSlowly(bytes, segment.seed, () => nextTurn(settings.clock));
  const listed: FoundRecord[] = [...records];
  const unknown: { readonly from: number; readonly to: number }[] = [];
  for (const { from, to, damaged } of gaps) {
    if (damaged === undefined) unknown.push({ from, to });
    else listed.push({ identity: damaged, offset: from });
  }
  listed.sort((a, b) => a.identity.seq - b.identity.seq);
  const last = listed.at(-1);
  const end = Math.max(last === undefined ? 0 : last.offset + last.identity.totalBytes, unknown.at(-1)?.to ?? 0);
  // zeros where the log went on when it was sealed
  if (end < segment.sizeBytes) unknown.push({ from: end, to: segment.sizeBytes });
  const builder = new IndexBuilder(manifest.storeId, segment.id);
  for (const [position, record] of listed.entries()) {
    if (position % SLICE_RECORDS === SLICE_RECORDS - 1) await nextTurn(settings.clock);
    addFound(builder, record);
  }
  return { entries: builder.entries, unknown };
}
