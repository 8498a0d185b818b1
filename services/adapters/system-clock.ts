/**
 * The clock window on the operating system's clocks and Node's timers. A timer that comes late comes after all that had arrived
 * before it: a process that was stopped, or had no processor, finds its timers due first and then what came meanwhile, and would
 * tell of answers that it holds that they never came. Must never be imported by anything but `services/main.ts`, the CLI and
 * tests of real processes: everybody else is handed a `Clock`.
 */
import type { Clock, Timer } from "../base/ports.ts";

const MICROS_PER_MS = 1_000;
/** `Date.now()` counts whole milliseconds: an estimate further off than this means that the wall clock was moved. */
const REANCHOR_AFTER_MICROS = 2 * MICROS_PER_MS;
/** A timer this late is not run before what has arrived is read. */
const LATE_MS = 10;

/** A clock on the machine's time; makes no timers of its own. Each reading costs well under a microsecond. */
export function createSystemClock(): Clock {
  let anchorWallMicros = 0;
  let anchorMonotonicMs = 0;
  let lateCount = 0;

  return {
    monotonicMs: () => performance.now(),
    // Microseconds come from the monotonic clock, but the wall clock stays the master: `performance.timeOrigin` alone
    // would never follow an adjustment of the system's time.
    wallMicros: () => {
      const monotonicMs = performance.now();
      const coarseMicros = Date.now() * MICROS_PER_MS;
      const estimate = anchorWallMicros + Math.round((monotonicMs - anchorMonotonicMs) * MICROS_PER_MS);
      if (Math.abs(estimate - coarseMicros) <= REANCHOR_AFTER_MICROS) return estimate;
      anchorWallMicros = coarseMicros;
      anchorMonotonicMs = monotonicMs;
      return coarseMicros;
    },
    setTimer: (delayMs, run): Timer => {
      const dueMs = performance.now() + delayMs;
      let isCancelled = false;
      const runOnce = (): void => {
        if (!isCancelled) run();
      };
      const timeout = setTimeout(() => {
        // behind one that is late, too: timers keep their order
        if (lateCount === 0 && performance.now() - dueMs < LATE_MS) return runOnce();
        lateCount += 1;
        // two turns: one to read what has arrived, one for what is done with it at the end of that
        setImmediate(() =>
          setImmediate(() => {
            lateCount -= 1;
            runOnce();
          }),
        );
      }, delayMs);
      return {
        cancel: () => {
          isCancelled = true;
          clearTimeout(timeout);
        },
      };
    },
    defer: (run) => {
      setImmediate(run);
    },
  };
}
