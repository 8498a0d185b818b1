/**
 * The storage engine that hints lie in: how it is opened, and how the hints of a partition are told from its markers.
 * It has twice the node's partitions: objects of partition p in p, markers in Q + p, so that either kind is counted,
 * compared and dropped for itself. Must never let compaction drop a hinted delete: only what was taken out goes.
 */
import type { LogEngineOptions } from "../../storage/index.ts";
import type { Disk } from "../../storage/ports.ts";
import { folderOn } from "./disk-folder.ts";

/** The directory of the hint store, in the node's data directory. */
export const HINTS_DIRECTORY = "hints";
/** Digest of the record that stands where a hint was taken out. A version's digest is equal once in 2^64. */
export const REMOVED_DIGEST = 1n;

const MIB = 1024 * 1024;

/** Partitions of the hint store of a node with Q partitions. */
export function hintPartitionsOf(partitionCount: number): number {
  return 2 * partitionCount;
}

/** What the hint store of a node with `partitionCount` partitions is opened with, beside windows and durability. */
export function hintEngineOptions(
  disk: Disk,
  partitionCount: number,
): Pick<LogEngineOptions, "disk" | "partitionCount" | "mayDropTombstone" | HintLimits> {
  return {
    disk: folderOn(disk, HINTS_DIRECTORY),
    partitionCount: hintPartitionsOf(partitionCount),
    mayDropTombstone: ({ digest }) => digest === REMOVED_DIGEST,
    segmentBytes: 8 * MIB,
    queueBytes: 32 * MIB,
    openSegmentFiles: 64,
    reserveBytes: 16 * MIB,
    // what waits for others gives way to what clients write here; the main store keeps a ballast for both
    refusesPutsFrom: "no_growth",
    ballastBytes: 0,
  };
}

type HintLimits =
  | "segmentBytes"
  | "queueBytes"
  | "openSegmentFiles"
  | "reserveBytes"
  | "refusesPutsFrom"
  | "ballastBytes";
