/** The clock window on virtual time, one per process: with an offset, a drift, and jumps of the wall clock. */
import type { Clock, Timer } from "../../services/base/ports.ts";
import type { Scheduler, SimProcess } from "./scheduler.ts";

/** The simulated wall clock at virtual time 0: 2030-01-01T00:00:00Z, in microseconds. */
const EPOCH_MICROS = 1_893_456_000_000_000;
/** The same in milliseconds: the true time of a simulation is this and its virtual time. */
export const EPOCH_MS: number = EPOCH_MICROS / 1_000;
/** Node rounds shorter timers up to this. */
const SHORTEST_TIMER_MS = 1;

/** How a process's clock is wrong. */
export interface ClockFaults {
  /** of the wall clock, microseconds */
  readonly offsetMicros: number;
  /** of both clocks, parts per million: +100 runs 100 µs a second too fast */
  readonly driftPpm: number;
}

/** The clock of one process. */
export class SimClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #process: SimProcess;
  readonly #startedMs: number;
  #offsetMicros: number;
  readonly #rate: number;

  constructor(scheduler: Scheduler, process: SimProcess, faults: ClockFaults = { offsetMicros: 0, driftPpm: 0 }) {
    this.#scheduler = scheduler;
    this.#process = process;
    this.#startedMs = scheduler.nowMs;
    this.#offsetMicros = faults.offsetMicros;
    this.#rate = 1 + faults.driftPpm / 1_000_000;
  }

  monotonicMs(): number {
    return (this.#scheduler.nowMs - this.#startedMs) * this.#rate;
  }

  wallMicros(): number {
    return Math.floor(EPOCH_MICROS + this.#offsetMicros + this.#scheduler.nowMs * this.#rate * 1_000);
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const event = this.#scheduler.timer(Math.max(SHORTEST_TIMER_MS, delayMs) / this.#rate, run, this.#process);
    return {
      cancel: () => {
        event.isCancelled = true;
      },
    };
  }

  defer(run: () => void): void {
    this.#scheduler.defer(run, this.#process);
  }

  /** Moves the wall clock, as an operator or NTP does; the monotonic one does not notice. */
  jump(byMicros: number): void {
    this.#offsetMicros += byMicros;
  }
}
