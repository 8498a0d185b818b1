/**
 * What became of the operations of a bench, in fixed memory: latencies of those that were served, and the others by their code.
 * A latency is known within 0.1 %, from a microsecond to an hour. Must never leave out the slow ones.
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

/** Some operations in numbers; milliseconds. */
export interface LatencySummary {
  readonly count: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const MICROS_PER_MS = 1_000;
const LONGEST_MICROS = 3_600 * MICROS_PER_MS * MICROS_PER_MS;
/** Codes come from nodes: no more than so many different ones are told apart. */
const MAX_CODES = 64;

/** Latencies of operations of one kind. */
export class Latencies {
  readonly #histogram: RecordableHistogram = createHistogram({ lowest: 1, highest: LONGEST_MICROS, figures: 3 });

  get count(): number {
    return this.#histogram.count;
  }

  /** Milliseconds; O(1). */
  record(ms: number): void {
    this.#histogram.record(Math.min(LONGEST_MICROS, Math.max(1, Math.round(ms * MICROS_PER_MS))));
  }

  /** Adds what another has recorded. */
  add(other: Latencies): void {
    this.#histogram.add(other.#histogram);
  }

  /** The latency that the share (0 … 1) of all do not exceed, ms; 0 when there are none. */
  quantileMs(share: number): number {
    return this.count === 0 ? 0 : this.#histogram.percentile(share * 100) / MICROS_PER_MS;
  }

  /** All of it, as of a time of so many seconds. */
  summary(seconds: number): LatencySummary {
    const { count } = this;
    return {
      count,
      perSecond: count / Math.max(seconds, 1e-3),
      p50Ms: this.quantileMs(0.5),
      p95Ms: this.quantileMs(0.95),
      p99Ms: this.quantileMs(0.99),
      maxMs: count === 0 ? 0 : this.#histogram.max / MICROS_PER_MS,
    };
  }
}

/** How often each code was met. */
export class FailureCounts {
  readonly #counts = new Map<string, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** The counts by code, the most frequent first. */
  get byCode(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].toSorted(([, a], [, b]) => b - a));
  }

  add(code: string): void {
    this.#total += 1;
    const name = this.#counts.has(code) || this.#counts.size < MAX_CODES ? code : "other";
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }
}
