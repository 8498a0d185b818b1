/**
 * What a "disk" of the memory engine holds, and what can be counted in it. Must never hold more than a real disk would.
 */
import type { KeyAddress, ScanEntry, ScrubReport, StorageStats, StoredRecord, StoreIdentity } from "./engine.ts";

/** A record of the memory engine. */
export interface MemoryRecord extends StoredRecord, ScanEntry {
  /** number of the put that wrote it */
  readonly seq: number;
}

/** What a "disk" of the memory engine holds. Hand the same one to the next start to keep it; a new one is a new store. */
export interface MemoryImage {
  readonly records: Map<number, Map<string, MemoryRecord>>;
  readonly documents: Map<string, Uint8Array>;
  identity: StoreIdentity | undefined;
  /** set by `close`, taken away by the next open: without it a start is unclean and draws a new actor */
  isClean: boolean;
  /** fixed by the first open */
  partitionCount: number | undefined;
  readonly suspects: Set<number>;
}

/** What a scrub of memory finds. */
export const NOTHING_SCRUBBED: ScrubReport = {
  segmentCount: 0,
  readBytes: 0,
  badCount: 0,
  lostCount: 0,
  rebuiltIndexCount: 0,
};

/** An empty image. */
export function newMemoryImage(): MemoryImage {
  return {
    records: new Map(),
    documents: new Map(),
    identity: undefined,
    isClean: false,
    partitionCount: undefined,
    suspects: new Set(),
  };
}

/** Whether garbage collection may want the record one day. */
export function isCollectable(record: MemoryRecord): boolean {
  return record.isTombstone || record.mayExpire;
}

/** What an image holds. */
export function statsOfImage(image: MemoryImage): Omit<StorageStats, "putCount" | "commitCount"> {
  const records = [...image.records.values()].flatMap((partition) => [...partition.values()]);
  const bytes = records.reduce((total, record) => total + record.key.length + record.value.length, 0);
  return {
    keyCount: records.filter((record) => !record.isTombstone).length,
    tombstoneCount: records.filter((record) => record.isTombstone).length,
    reapedCount: 0,
    liveBytes: bytes,
    diskBytes: bytes,
    indexBytes: 0,
    segmentCount: 0,
    compactedBytes: 0,
    corruptReadCount: 0,
    scrub: { ...NOTHING_SCRUBBED, bytesPerSecond: 0, passCount: 0, passEndedAtMs: 0 },
  };
}

/** What a record is kept under: hash and key. */
export function nameOf({ hash, key }: KeyAddress): string {
  return `${hash}:${Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1")}`;
}
