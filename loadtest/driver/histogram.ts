/**
 * Latencies by logarithmic buckets, in the way of HdrHistogram (Tene): 64 buckets for each doubling, so that every value is
 * known within 1.6 %, from a microsecond to over an hour, in fixed memory. Histograms of equal kind can be added up.
 */
import type { SparseHistogram } from "../plan.ts";

const BITS = 6;
const PER_DOUBLING = 2 ** BITS;
const DOUBLINGS = 26;

function bucketOf(micros: number): number {
  const value = Math.max(0, Math.round(micros));
  if (value < PER_DOUBLING) return value;
  const doubling = Math.floor(Math.log2(value)) - BITS;
  const bucket = (doubling + 1) * PER_DOUBLING + Math.floor(value / 2 ** doubling) - PER_DOUBLING;
  return Math.min(bucket, (DOUBLINGS + 1) * PER_DOUBLING - 1);
}

/** The highest value that falls into a bucket, microseconds. */
function topOf(bucket: number): number {
  if (bucket < PER_DOUBLING) return bucket;
  const doubling = Math.floor(bucket / PER_DOUBLING) - 1;
  return (PER_DOUBLING + (bucket % PER_DOUBLING) + 1) * 2 ** doubling - 1;
}

/** Counts of latencies. */
export class Histogram {
  readonly #counts: Uint32Array = new Uint32Array((DOUBLINGS + 1) * PER_DOUBLING);
  #count = 0;

  /** A histogram that has travelled. */
  static from(...sparse: readonly SparseHistogram[]): Histogram {
    const histogram = new Histogram();
    for (const one of sparse) {
      for (let i = 0; i + 1 < one.length; i += 2) histogram.#add(one[i] ?? 0, one[i + 1] ?? 0);
    }
    return histogram;
  }

  /** How many were recorded. */
  get count(): number {
    return this.#count;
  }

  /** Adds one latency. */
  recordMs(ms: number): void {
    this.#add(bucketOf(ms * 1_000), 1);
  }

  /** The latency that the share `quantile` (0 to 1) of all do not exceed, milliseconds; 0 when there are none. */
  quantileMs(quantile: number): number {
    const wanted = Math.max(1, Math.ceil(quantile * this.#count));
    let seen = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      seen += count;
      if (seen >= wanted) return topOf(bucket) / 1_000;
    }
    return 0;
  }

  /** As it travels. */
  toSparse(): SparseHistogram {
    return [...this.#counts.entries()].flatMap(([bucket, count]) => (count === 0 ? [] : [bucket, count]));
  }

  #add(bucket: number, count: number): void {
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    this.#count += count;
  }
}
