/**
 * The latencies of a short while, in constant space: eight buckets an octave, so a quantile is off by at most 9 %. Must
 * never allocate on `observe`, never read a clock.
 */

const BUCKETS_PER_OCTAVE = 8;
/** 1 µs … 134 s */
const OCTAVES = 27;
const LAST = OCTAVES * BUCKETS_PER_OCTAVE - 1;
const MICROS_PER_MS = 1_000;

/** The latencies since the last `clear`. */
export class LatencyWindow {
  readonly #counts: Uint32Array = new Uint32Array(LAST + 1);
  #count = 0;

  /** Latencies in the window. */
  get count(): number {
    return this.#count;
  }

  /** Takes one latency in milliseconds, ≥ 0. O(1). */
  observe(latencyMs: number): void {
    const octaves = Math.log2(latencyMs * MICROS_PER_MS + 1);
    const index = Math.min(LAST, Math.floor(octaves * BUCKETS_PER_OCTAVE));
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#count += 1;
  }

  /** The upper end of the bucket in which the quantile (0 … 1) lies, in milliseconds; 0 when the window is empty. */
  quantileMs(quantile: number): number {
    const wanted = Math.ceil(this.#count * quantile);
    let seen = 0;
    for (let index = 0; index <= LAST && wanted > 0; index += 1) {
      seen += this.#counts[index] ?? 0;
      if (seen >= wanted) return (2 ** ((index + 1) / BUCKETS_PER_OCTAVE) - 1) / MICROS_PER_MS;
    }
    return 0;
  }

  /** Takes what the other window holds, and empties it. */
  take(other: LatencyWindow): void {
    for (let index = 0; index <= LAST && other.#count > 0; index += 1) {
      this.#counts[index] = (this.#counts[index] ?? 0) + (other.#counts[index] ?? 0);
    }
    this.#count += other.#count;
    other.clear();
  }

  /** Begins a new window. */
  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
  }
}
