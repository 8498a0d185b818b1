/** A clock that only moves when told: timers and deferred work run in order of time, then of asking. For unit tests. */
import type { Clock, Timer } from "../../services/base/ports.ts";

interface Planned {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  isCancelled: boolean;
}

/** Virtual time from 0; the wall clock starts at a fixed date. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #planned: Planned[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMicros(): number {
    return 1_800_000_000_000_000 + Math.round(this.#nowMs * 1_000);
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const planned: Planned = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order, run, isCancelled: false };
    this.#order += 1;
    this.#planned.push(planned);
    return {
      cancel: () => {
        planned.isCancelled = true;
      },
    };
  }

  defer(run: () => void): void {
    this.setTimer(0, run);
  }

  /** Timers that wait. */
  get plannedCount(): number {
    return this.#planned.filter((planned) => !planned.isCancelled).length;
  }

  /** Runs what is due within `ms`, letting promises settle after each; time ends `ms` later. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (let next = this.#take(untilMs); next !== undefined; next = this.#take(untilMs)) {
      this.#nowMs = next.atMs;
      next.run();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  #take(untilMs: number): Planned | undefined {
    this.#planned = this.#planned.filter((planned) => !planned.isCancelled);
    let first: Planned | undefined;
    for (const planned of this.#planned) {
      if (planned.atMs > untilMs) continue;
      if (
        first === undefined ||
        planned.atMs < first.atMs ||
        (planned.atMs === first.atMs && planned.order < first.order)
      )
        first = planned;
    }
    if (first !== undefined) this.#planned.splice(this.#planned.indexOf(first), 1);
    return first;
  }
}

/** Lets all promises that can settle do so. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
