/**
 * What the generator records while it runs: latencies by kind of operation, from the planned start and from the sending, a row
 * for every second, failures by name. Only the measured time goes into the histograms.
 */
import type { OperationKind, RunCounts, RunResult, SecondRow } from "../plan.ts";
import { Histogram } from "./histogram.ts";
import type { OperationEnd } from "./operations.ts";

interface Both {
  readonly planned: Histogram;
  readonly service: Histogram;
}

interface Second {
  doneCount: number;
  failedCount: number;
  readonly latencies: number[];
}

/** When an operation was planned, sent and over, milliseconds since the measured time began; negative in the warm-up. */
export interface OperationTimes {
  readonly plannedMs: number;
  readonly sentMs: number;
  readonly doneMs: number;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** To a microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

/** Collects the ends of operations. */
export class Recorder {
  readonly #operations = new Map<string, Both>();
  readonly #seconds = new Map<number, Second>();
  readonly #errors = new Map<string, number>();
  readonly #counts = {
    doneCount: 0,
    failedCount: 0,
    retryCount: 0,
    readCount: 0,
    staleReadCount: 0,
    siblingReadCount: 0,
    mostSiblings: 0,
    standInWriteCount: 0,
    damagedValueCount: 0,
  } satisfies RunCounts;

  /** Adds an operation that is over. */
  add(kind: OperationKind, times: OperationTimes, end: OperationEnd): void {
    const isFailed = end.failure !== undefined;
    // A timer may fire a millisecond early: then it was felt from there on.
    const feltMs = times.doneMs - Math.min(times.plannedMs, times.sentMs);
    const at = Math.floor(times.plannedMs / 1_000);
    const second = this.#seconds.get(at) ?? { doneCount: 0, failedCount: 0, latencies: [] };
    this.#seconds.set(at, second);
    second.doneCount += 1;
    second.failedCount += isFailed ? 1 : 0;
    second.latencies.push(feltMs);
    if (times.plannedMs < 0) return;
    this.#count(kind, end);
    const both = this.#operations.get(kind) ?? { planned: new Histogram(), service: new Histogram() };
    this.#operations.set(kind, both);
    both.planned.recordMs(feltMs);
    both.service.recordMs(times.doneMs - times.sentMs);
  }

  /** What was recorded, without the generator's own health. */
  result(): Omit<RunResult, "generator"> {
    const series = [...this.#seconds.entries()].toSorted(([a], [b]) => a - b);
    return {
      operations: Object.fromEntries(
        [...this.#operations].map(([kind, { planned, service }]) => [
          kind,
          { planned: planned.toSparse(), service: service.toSparse() },
        ]),
      ),
      series: series.map(([second, row]): SecondRow => {
        const sorted = row.latencies.toSorted((a, b) => a - b);
        const { doneCount, failedCount } = row;
        const p50Ms = rounded(quantile(sorted, 0.5));
        const p99Ms = rounded(quantile(sorted, 0.99));
        return { second, doneCount, failedCount, p50Ms, p99Ms, maxMs: rounded(sorted.at(-1) ?? 0) };
      }),
      errors: Object.fromEntries(this.#errors),
      counts: this.#counts,
    };
  }

  #count(kind: OperationKind, end: OperationEnd): void {
    const counts = this.#counts;
    counts.doneCount += 1;
    counts.retryCount += end.retryCount;
    counts.readCount += kind === "read" || kind === "modify" ? 1 : 0;
    counts.staleReadCount += end.isStale ? 1 : 0;
    counts.siblingReadCount += end.siblingCount > 1 ? 1 : 0;
    counts.mostSiblings = Math.max(counts.mostSiblings, end.siblingCount);
    counts.standInWriteCount += end.isByStandIn ? 1 : 0;
    counts.damagedValueCount += end.damagedCount;
    if (end.failure === undefined) return;
    counts.failedCount += 1;
    this.#errors.set(end.failure, (this.#errors.get(end.failure) ?? 0) + 1);
  }
}
