/** The log engine on a simulated disk, with segments so small that three writes cross every border. */
import { type LogEngine, openLogEngine } from "../../storage/log-engine.ts";
import type { LogEngineOptions } from "../../storage/log-options.ts";
import type { Disk, StorageRandom } from "../../storage/ports.ts";
import { SimDisk } from "../sim/sim-disk.ts";
import { seededDraws } from "./seeded.ts";
import { HandClock, TEST_PARTITIONS } from "./storage-fixtures.ts";

/** One line of a store's log. */
export type LoggedFacts = { readonly event: string } & Readonly<Record<string, unknown>>;

/** What a test may set for one start. */
export interface LogStart extends Partial<Omit<LogEngineOptions, "disk" | "random" | "log">> {
  readonly random?: StorageRandom;
  /** gets the names of what is logged */
  readonly events?: string[];
  /** gets all that is logged */
  readonly facts?: LoggedFacts[];
}

/** Limits that make every mechanism run within a few writes. */
export const TINY_LIMITS = {
  segmentBytes: 1024,
  openSegmentFiles: 3,
  isCompactionAutomatic: false,
  scrubPassMs: 0,
  reserveBytes: 0,
  manifestBytes: 600,
  idBlock: 2,
  // a put makes it: what is on the disk is then what the test wrote
  firstSegmentMs: 0,
  compactionInputs: 8,
  compactionSliceRecords: 2,
} as const;

/** Share of dead bytes above which tests compact: more than the header of a tiny segment. */
export const TINY_GARBAGE = 0.1;

/** A simulated disk whose chance comes from a seed. */
export function simDisk(seed = 1): SimDisk {
  return new SimDisk({ random: seededDraws(seed) });
}

/** Opens the log engine with tiny limits. */
export function openTiny(disk: Disk, start: LogStart = {}): Promise<LogEngine> {
  const { events = [], facts = [], ...options } = start;
  const note = (one: LoggedFacts): void => {
    events.push(one.event);
    facts.push(one);
  };
  const log = { info: note, warn: note, error: note };
  return openLogEngine({
    ...TINY_LIMITS,
    disk,
    clock: new HandClock(),
    random: seededDraws(7),
    log,
    partitionCount: TEST_PARTITIONS,
    durability: "fsync",
    ...options,
  });
}
