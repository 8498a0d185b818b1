/** The names of the files of a store, relative to its data directory. FORMAT.md §1. */
import { hexName, parseHexName } from "./format/bytes.ts";

/** Directory of segments and their index files. */
export const SEGMENTS_DIRECTORY = "segments";
/** Directory of documents. */
export const DOCUMENTS_DIRECTORY = "documents";
/** Where recovery lays down bytes before it gives them up. */
export const QUARANTINE_DIRECTORY = "quarantine";
/** Names the live manifest. */
export const CURRENT_PATH = "CURRENT";
/** Only there after a clean stop. */
export const CLEAN_PATH = "CLEAN";
/** Held while a process has the store open. */
export const LOCK_PATH = "LOCK";
/** Space that is given back when nothing else helps. */
export const BALLAST_PATH = "BALLAST";
/** Ending of a file that is not finished. */
export const TEMPORARY_SUFFIX = ".tmp";

const MANIFEST_PREFIX = "MANIFEST-";

/** Path of a segment's records. */
export function segmentPath(segment: number): string {
  return `${SEGMENTS_DIRECTORY}/${hexName(segment)}.log`;
}

/** Path of a segment's index file. */
export function indexPath(segment: number): string {
  return `${SEGMENTS_DIRECTORY}/${hexName(segment)}.idx`;
}

/** The segment that a file name in the segments directory belongs to, or undefined. */
export function parseSegmentName(name: string): { readonly segment: number; readonly kind: "log" | "idx" } | undefined {
  const log = parseHexName(name, ".log");
  if (log !== undefined) return { segment: log, kind: "log" };
  const index = parseHexName(name, ".idx");
  return index === undefined ? undefined : { segment: index, kind: "idx" };
}

/** Path of a manifest. */
export function manifestPath(number: number): string {
  return `${MANIFEST_PREFIX}${hexName(number)}`;
}

/** The number of a manifest's file name, or undefined. */
export function parseManifestName(name: string): number | undefined {
  return name.startsWith(MANIFEST_PREFIX) ? parseHexName(name.slice(MANIFEST_PREFIX.length), "") : undefined;
}

/** Path of a document. */
export function documentPath(name: string): string {
  return `${DOCUMENTS_DIRECTORY}/${name}`;
}
