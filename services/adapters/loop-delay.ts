/** How late the event loop runs what is due: Node's own histogram, read and emptied at each call. */
import { monitorEventLoopDelay } from "node:perf_hooks";

/** How finely the delay is sampled. */
const RESOLUTION_MS = 20;

/** Answers the p99 since the last call, in milliseconds beyond what sampling itself waits. */
export function createLoopDelay(): () => number {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  return () => {
    const delayMs = histogram.count === 0 ? 0 : histogram.percentile(99) / 1e6 - RESOLUTION_MS;
    histogram.reset();
    return Math.max(0, delayMs);
  };
}
