/**
 * Whether a machine was there for those who ran on it: how much of each processor its host gave to others, second by second, and how late
 * one came who only wanted to look; and whether its disk is there now that nobody uses it. Must never look at the disk while anything runs.
 */
import { spawnSync } from "node:child_process";
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stolenOfEach } from "./host-time.ts";
import { steadyMs } from "./run-report.ts";

const EVERY_MS = 1_000;
/** how long a stretch is that is looked at: longer than a stall that every machine has now and then */
const STRETCH_MS = 10_000;
/** a day of records: enough for any run, and a bound */
const MOST_MOMENTS = 86_400;
/** On a machine of one's own a run of all tests sees 1 % of a processor, 3 ms, and a flush of 1 ms. */
const MOST_TAKEN = 0.1;
const MOST_LATE_MS = 500;
const MOST_FLUSH_MS = 25;
const FLUSHES = 50;
const FLUSHED_WITHIN_MS = 10_000;
const FLUSHED_BYTES = 4_096;
const SYNCED_WITHIN_MS = 60_000;

/** What each processor had lost to others by then, ms since the machine's start. */
export interface HostMoment {
  readonly atMs: number;
  readonly takenMs: readonly number[];
}

/** Keeps the record until it is ended. */
export class HostRecord implements Disposable {
  readonly #moments: HostMoment[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#note();
    this.#timer = setInterval(() => {
      this.#note();
    }, EVERY_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** What was missing at its worst between two times, in words; undefined: nothing that matters. */
  missing(fromMs: number, toMs: number): string | undefined {
    return missingIn(this.#moments, fromMs, toMs);
  }

  #note(): void {
    if (this.#moments.length < MOST_MOMENTS) this.#moments.push({ atMs: steadyMs(), takenMs: stolenOfEach() });
  }
}

/**
 * The same of a record, ascending in time. The stretches that end in the time count: of a shorter time the one that ends with it begins
 * before it.
 */
export function missingIn(moments: readonly HostMoment[], fromMs: number, toMs: number): string | undefined {
  let [taken, lateMs] = [0, 0];
  let first = 0;
  for (const [at, last] of moments.entries()) {
    if (last.atMs > toMs + EVERY_MS) break;
    while ((moments[first + 1]?.atMs ?? Number.POSITIVE_INFINITY) <= last.atMs - STRETCH_MS) first += 1;
    if (last.atMs < fromMs) continue;
    lateMs = Math.max(lateMs, last.atMs - (moments[at - 1] ?? last).atMs - EVERY_MS);
    const begin = moments[first] ?? last;
    const lengthMs = last.atMs - begin.atMs;
    const isWithin = begin.atMs >= fromMs || last.atMs > toMs - EVERY_MS;
    if (lengthMs >= STRETCH_MS && isWithin) taken = Math.max(taken, mostOf(begin.takenMs, last.takenMs) / lengthMs);
  }
  if (taken < MOST_TAKEN && lateMs < MOST_LATE_MS) return undefined;
  const share = `${Math.round(taken * 100)} %`;
  return `in some ${STRETCH_MS / 1_000} s the host took ${share} of a processor, and a timer was ${Math.round(lateMs)} ms late`;
}

function mostOf(before: readonly number[], after: readonly number[]): number {
  return Math.max(0, ...after.map((ms, processor) => ms - (before[processor] ?? ms)));
}

/** What others take of the disk under the temporary folder while nothing runs here, in words; undefined: nothing that matters. */
export function missingOfDisk(): string | undefined {
  // what was written here before is no work of others
  spawnSync("sync", { timeout: SYNCED_WITHIN_MS });
  const path = join(tmpdir(), `gyre-flush-${process.pid}`);
  const file = openSync(path, "w");
  const tookMs: number[] = [];
  try {
    const endMs = steadyMs() + FLUSHED_WITHIN_MS;
    for (let flush = 0; flush < FLUSHES && steadyMs() < endMs; flush += 1) {
      const beganMs = steadyMs();
      writeSync(file, Buffer.alloc(FLUSHED_BYTES, flush), 0, FLUSHED_BYTES, 0);
      fdatasyncSync(file);
      tookMs.push(steadyMs() - beganMs);
    }
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
  const middleMs = tookMs.toSorted((a, b) => a - b)[tookMs.length >> 1] ?? 0;
  if (middleMs < MOST_FLUSH_MS) return undefined;
  return `with nothing running here the disk takes ${Math.round(middleMs)} ms for ${FLUSHED_BYTES} bytes`;
}
