/**
 * What a machine has given to those who run on it, second by second, as the kernel counts it: how much of each processor its host gave to
 * others, and for how much of it all that could go on waited for the disk; and how late one came who only wanted to look. Where the kernel does
 * not tell, nothing was ever missing.
 */
import { readFileSync } from "node:fs";

/** what the kernel counts in: a hundredth of a second wherever Linux runs Node */
const TICK_MS = 10;
const EVERY_MS = 1_000;
/** how long a stretch is that is looked at: longer than a stall that every machine has now and then */
const STRETCH_MS = 10_000;
/** a day of records: enough for any run, and a bound */
const MOST_MOMENTS = 86_400;
/** On a machine of one's own a run of all tests sees 1 %, 5 % and 3 ms. */
const MOST_TAKEN = 0.1;
const MOST_WAITED = 0.5;
const MOST_LATE_MS = 500;

/** Sums since the machine's start, ms, by processor. */
export interface HostMoment {
  readonly atMs: number;
  readonly takenMs: readonly number[];
  readonly waitedMs: readonly number[];
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

  /** What was missing at its worst between two times of the wall clock, in words; undefined: nothing that matters. */
  missing(fromMs: number, toMs: number): string | undefined {
    this.#note();
    return missingIn(this.#moments, fromMs, toMs);
  }

  #note(): void {
    if (this.#moments.length < MOST_MOMENTS) this.#moments.push(momentOf(kernelStat(), Date.now()));
  }
}

/** The same of a record, ascending in time. The stretch that begins before the time, and the one that ends after it, count. */
export function missingIn(moments: readonly HostMoment[], fromMs: number, toMs: number): string | undefined {
  let [taken, waited, lateMs] = [0, 0, 0];
  let first = 0;
  for (const [at, last] of moments.entries()) {
    while ((moments[first + 1]?.atMs ?? Number.POSITIVE_INFINITY) <= last.atMs - STRETCH_MS) first += 1;
    const begin = moments[first] ?? last;
    if (last.atMs < fromMs || begin.atMs > toMs) continue;
    lateMs = Math.max(lateMs, last.atMs - (moments[at - 1] ?? last).atMs - EVERY_MS);
    const lengthMs = last.atMs - begin.atMs;
    if (lengthMs < STRETCH_MS) continue;
    taken = Math.max(taken, mostOf(begin.takenMs, last.takenMs) / lengthMs);
    waited = Math.max(waited, mostOf(begin.waitedMs, last.waitedMs) / lengthMs);
  }
  if (taken < MOST_TAKEN && waited < MOST_WAITED && lateMs < MOST_LATE_MS) return undefined;
  const [ofTaken, ofWaited] = [percentOf(taken), percentOf(waited)];
  return `the host took ${ofTaken} of a processor, it waited for the disk for ${ofWaited}, of ${STRETCH_MS / 1_000} s; a timer was ${lateMs} ms late`;
}

/** From `/proc/stat`: a line for all processors together, then one for each. */
export function momentOf(stat: string, atMs: number): HostMoment {
  const lines = stat.split("\n").filter((line) => /^cpu\d/.test(line));
  const fields = lines.map((line) => line.split(/\s+/).map((field) => Number(field) * TICK_MS));
  return { atMs, takenMs: fields.map((of) => of[8] ?? 0), waitedMs: fields.map((of) => of[5] ?? 0) };
}

function mostOf(before: readonly number[], after: readonly number[]): number {
  return Math.max(0, ...after.map((ms, processor) => ms - (before[processor] ?? ms)));
}

function percentOf(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function kernelStat(): string {
  try {
    return readFileSync("/proc/stat", "utf8");
  } catch {
    return "";
  }
}
