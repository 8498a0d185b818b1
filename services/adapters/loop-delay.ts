/**
 * How long the event loop makes others wait, as the failure detector wants to know of itself. Must never hold the
 * process open. Source: Lifeguard's idea that a slow observer is no witness; gossip-ring notes §A.6.
 *
 * Not `monitorEventLoopDelay`: after a reset its histogram drops the first sample, which after a stall is the stall.
 */

/** Between two looks at the clock: of the few dozen in a reading the slowest is as good as their p99. */
const LOOK_INTERVAL_MS = 20;

/** A meter of the event loop's delay. */
export interface LoopDelayMeter {
  /** the longest delay in ms since the last reading, also of a look that is still overdue */
  read(): number;
  close(): void;
}

/** Begins to measure; costs a timer of the loop every 20 ms, which does not hold the process open. */
export function createLoopDelayMeter(): LoopDelayMeter {
  let lookedMs = performance.now();
  let longestMs = 0;
  const look = (): void => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lookedMs - LOOK_INTERVAL_MS);
    lookedMs = nowMs;
  };
  const timer = setInterval(look, LOOK_INTERVAL_MS);
  timer.unref();
  return {
    read: () => {
      look();
      const delayMs = longestMs;
      longestMs = 0;
      return delayMs;
    },
    close: () => clearInterval(timer),
  };
}
