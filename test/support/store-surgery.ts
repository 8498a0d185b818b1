/** Looks into the files of a log store on a simulated disk, and cuts them: for tests of damage only. */
import { fileSeed } from "../../storage/format/checksum.ts";
import type { RecordIdentity } from "../../storage/format/record.ts";
import { isKeyed, scanSegment } from "../../storage/segment-scan.ts";
import { parseSegmentName } from "../../storage/store-paths.ts";
import type { SimDisk } from "../sim/sim-disk.ts";

/** A record of some segment, as it lies on disk. */
export interface PlacedRecord {
  readonly path: string;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly identity: RecordIdentity;
  readonly key: string;
}

/** Paths of all segments, oldest first. */
export function segmentPaths(disk: SimDisk): string[] {
  return disk.paths().filter((path) => path.startsWith("segments/") && path.endsWith(".log"));
}

/** Paths of all index files. */
export function indexPaths(disk: SimDisk): string[] {
  return disk.paths().filter((path) => path.startsWith("segments/") && path.endsWith(".idx"));
}

/** The ids of all segment files. */
export function segmentIds(disk: SimDisk): number[] {
  return segmentPaths(disk).map(idOf);
}

/** The path of the live manifest: the one with the highest number. */
export function manifestOf(disk: SimDisk): string {
  const path = disk.paths().findLast((candidate) => candidate.startsWith("MANIFEST-"));
  if (path === undefined) throw new Error("no manifest");
  return path;
}

/** All whole records that carry a key, in the order of their seq. */
export function recordsOf(disk: SimDisk): PlacedRecord[] {
  const found: PlacedRecord[] = [];
  for (const path of segmentPaths(disk)) {
    const bytes = Buffer.from(disk.peek(path));
    const scanned = scanSegment(bytes, fileSeed(bytes.subarray(16, 32), "segment", idOf(path)));
    for (const record of scanned.records) {
      if (!isKeyed(record)) continue;
      const { identity, offset } = record;
      const keyAt = offset + 48;
      const key = bytes.toString("latin1", keyAt, keyAt + identity.keyLength);
      found.push({ path, segment: idOf(path), offset, length: identity.totalBytes, identity, key });
    }
  }
  return found.sort((a, b) => a.identity.seq - b.identity.seq);
}

/** The newest record of a key. */
export function recordOf(disk: SimDisk, key: Uint8Array): PlacedRecord {
  const name = Buffer.from(key).toString("latin1");
  const found = recordsOf(disk).findLast((record) => record.key === name);
  if (found === undefined) throw new Error(`no record of ${name}`);
  return found;
}

/** Copies a range of a file from one image to another, durably. */
export function transplant(
  from: SimDisk,
  to: SimDisk,
  part: { readonly path: string; readonly offset: number; readonly length: number },
): void {
  to.poke(part.path, part.offset, from.peek(part.path).subarray(part.offset, part.offset + part.length));
}

function idOf(path: string): number {
  return parseSegmentName(path.slice("segments/".length))?.segment ?? Number.NaN;
}
