/**
 * What a peer's replies usually take, in constant space: a moving average and a moving 95th percentile. The percentile
 * climbs by 19 steps for each sample above it and falls by one for each below, so it rests where 5 % are above
 * (stochastic approximation, Robbins & Monro 1951). Must never be taken for an exact figure.
 */

const AVERAGE_WEIGHT = 1 / 16;
const STEP_RATIO = 1 / 100;
const STEPS_UP = 19;
const MINIMUM_STEP_MS = 0.001;

/** One stream of latencies. */
export class LatencyEstimator {
  #averageMs = 0;
  #p95Ms = 0;
  #sampleCount = 0;

  /** Takes one latency, in milliseconds. */
  record(latencyMs: number): void {
    this.#sampleCount += 1;
    if (this.#sampleCount === 1) {
      this.#averageMs = latencyMs;
      this.#p95Ms = 2 * latencyMs;
      return;
    }
    this.#averageMs += (latencyMs - this.#averageMs) * AVERAGE_WEIGHT;
    const step = Math.max(MINIMUM_STEP_MS, this.#averageMs * STEP_RATIO);
    if (latencyMs > this.#p95Ms) this.#p95Ms += Math.min(STEPS_UP * step, latencyMs - this.#p95Ms);
    else this.#p95Ms -= Math.min(step, this.#p95Ms - latencyMs);
  }

  /** Milliseconds; undefined before the first sample. */
  get averageMs(): number | undefined {
    return this.#sampleCount === 0 ? undefined : this.#averageMs;
  }

  /** Milliseconds; undefined before the first sample. */
  get p95Ms(): number | undefined {
    return this.#sampleCount === 0 ? undefined : this.#p95Ms;
  }
}
