/**
 * What the log engine is opened with, and every bound it keeps. Each limit can be set, so that tests run with
 * segments of a few hundred bytes. Must never be changed after the store is open.
 */
import assert from "node:assert";
import { RECORD_HEADER_BYTES } from "./format/record.ts";
import { SEGMENT_HEADER_BYTES } from "./format/segment-header.ts";
import type { Disk, StorageClock, StorageLog, StorageRandom } from "./ports.ts";

/** A tombstone that compaction would like to drop. */
export interface TombstoneFacts {
  readonly partition: number;
  readonly hash: bigint;
  readonly digest: bigint;
}

/** Bounds of the log engine. */
export interface LogLimits {
  /** bytes of a segment; a record that needs more gets a segment of its own */
  readonly segmentBytes: number;
  /** bytes and records written at once */
  readonly groupBytes: number;
  readonly groupRecords: number;
  /** bytes and number of writes accepted and not yet durable; beyond, a put is refused with StoreBusyError */
  readonly queueBytes: number;
  readonly queueRecords: number;
  /** sealed segments whose files are kept open */
  readonly openSegmentFiles: number;
  /** reads in the thread pool at a time; one of its (usually four) threads is left to the writer */
  readonly poolReads: number;
  /** a store that is idle for this long says on disk what is durable */
  readonly idleMarkMs: number;
  /** a synchronous read slower than this came from the device, not from memory */
  readonly slowReadMs: number;
  /** share of dead bytes in sealed segments above which compaction runs, 0 … 1 */
  readonly garbageRatio: number;
  /** dead bytes in segments' worth that are tolerated whatever their share, as long as space is not short */
  readonly garbageSegments: number;
  /** segments compacted together */
  readonly compactionInputs: number;
  /** records copied before the event loop gets its turn */
  readonly compactionSliceRecords: number;
  /** compaction is started by the engine itself; else only by `compact()` */
  readonly isCompactionAutomatic: boolean;
  /** the index files of a store are read to forget reap marks no more often than this */
  readonly reapSweepMs: number;
  /** free space that writes must leave to compaction */
  readonly reserveBytes: number;
  /**
   * What is kept free on large disks: puts are refused when less is left than this and than a tenth of the disk; the other
   * levels are in proportion. 0: no levels, writes go on until the disk refuses them.
   */
  readonly diskReserveBytes: number;
  /** from which level on puts are refused that are no tombstones */
  readonly refusesPutsFrom: "no_growth" | "no_puts";
  /** size of the file that is thrown off when nothing else helps; 0: none */
  readonly ballastBytes: number;
  /** a pass of the scrub over a large store takes about this long at a full share; 0: only when it is asked for */
  readonly scrubPassMs: number;
  /** a pass takes no longer than about this, however small the share is, unless it is nothing */
  readonly scrubBoundMs: number;
  /** pace below which the scrub of a small store does not go */
  readonly scrubBytesPerSecond: number;
  /** the scrub begins so long after a start, and a pass so long after the one before began, and was over */
  readonly scrubDelayMs: number;
  readonly scrubRestMs: number;
  /** a pass that begins seals what is being written, when that began so long before: else it would never be read */
  readonly scrubSealAfterMs: number;
  /** size at which the manifest is written anew */
  readonly manifestBytes: number;
  /** segment ids reserved on disk at a time */
  readonly idBlock: number;
  /** opening waits so long for the first segment, which the first put would wait for otherwise; 0: a put makes it */
  readonly firstSegmentMs: number;
}

/** What `openLogEngine` takes: the windows, what is fixed for the store, and any limit that differs from the default. */
export interface LogEngineOptions extends Partial<LogLimits> {
  readonly disk: Disk;
  readonly clock: StorageClock;
  readonly random: StorageRandom;
  readonly log: StorageLog;
  /** a power of two, 1 … 65,536, for a store that is made now; one that is there keeps its own */
  readonly partitionCount: number;
  /** `fsync`: durable before acknowledged; `os`: acknowledged when the operating system has it */
  readonly durability: "fsync" | "os";
  /**
   * Asked for each tombstone that compaction meets: true when every replica has it and no older version can come
   * back from elsewhere. The engine itself proves that no older record of the key is left on this disk. Default: never.
   */
  readonly mayDropTombstone?: (tombstone: TombstoneFacts) => boolean;
}

/** The options with every default filled in. */
export interface LogSettings extends LogLimits {
  readonly disk: Disk;
  readonly clock: StorageClock;
  readonly random: StorageRandom;
  readonly log: StorageLog;
  readonly partitionCount: number;
  readonly durability: "fsync" | "os";
  readonly mayDropTombstone: (tombstone: TombstoneFacts) => boolean;
}

const MIB = 1024 * 1024;

/** The limits of a production store. */
export const defaultLogLimits: LogLimits = {
  segmentBytes: 32 * MIB,
  groupBytes: 4 * MIB,
  groupRecords: 1024,
  queueBytes: 64 * MIB,
  queueRecords: 65_536,
  openSegmentFiles: 256,
  poolReads: 3,
  idleMarkMs: 100,
  slowReadMs: 0.03,
  garbageRatio: 0.25,
  garbageSegments: 4,
  compactionInputs: 8,
  compactionSliceRecords: 64,
  isCompactionAutomatic: true,
  reapSweepMs: 10 * 60_000,
  reserveBytes: 64 * MIB,
  diskReserveBytes: 8192 * MIB,
  refusesPutsFrom: "no_puts",
  ballastBytes: 64 * MIB,
  // half of the 30 days in which every record is read: the other half is for times of a small share
  scrubPassMs: 15 * 24 * 3_600_000,
  scrubBoundMs: 30 * 24 * 3_600_000,
  scrubBytesPerSecond: 256 * 1024,
  scrubDelayMs: 60_000,
  scrubRestMs: 24 * 3_600_000,
  // a start that comes often seals often enough as it is, and its first pass comes within a minute; the others are a day apart
  scrubSealAfterMs: 3_600_000,
  manifestBytes: MIB,
  idBlock: 16,
  // three stores of one machine took two seconds at the same time
  firstSegmentMs: 10_000,
};

/** Fills in the defaults and asserts the relations between the limits. */
export function settingsOf(options: LogEngineOptions): LogSettings {
  const settings: LogSettings = { ...defaultLogLimits, mayDropTombstone: () => false, ...options };
  const { partitionCount } = settings;
  assert(Number.isInteger(Math.log2(partitionCount)) && partitionCount <= 65_536, "partitionCount: a power of two");
  assert(
    settings.segmentBytes >= SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 8,
    "segmentBytes: too small for a record",
  );
  assert(settings.segmentBytes % 8 === 0 && settings.segmentBytes <= 2 ** 31, "segmentBytes: a multiple of 8, ≤ 2 GiB");
  assert(settings.groupBytes >= 1 && settings.groupRecords >= 1 && settings.idBlock >= 1, "group bounds: ≥ 1");
  assert(settings.queueBytes >= 1 && settings.queueRecords >= 1, "queue bounds: ≥ 1");
  assert(settings.openSegmentFiles >= 1 && settings.poolReads >= 1, "open files and pool reads: ≥ 1");
  assert(settings.compactionInputs >= 1 && settings.compactionSliceRecords >= 1, "compaction bounds: ≥ 1");
  assert(settings.garbageSegments >= 0, "garbageSegments: ≥ 0");
  assert(settings.diskReserveBytes >= 0 && settings.ballastBytes >= 0, "reserve and ballast: ≥ 0");
  assert(settings.garbageRatio > 0 && settings.garbageRatio <= 1, "garbageRatio: above 0, up to 1");
  return settings;
}
