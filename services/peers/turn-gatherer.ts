/** Runs whoever has something to send once per turn of the event loop, so that a turn's frames leave together. */
import type { Clock } from "../base/ports.ts";

/** Something that gathers during a turn and sends at its end. Adds itself at most once per turn. */
export interface Flushable {
  flush(): void;
}

/** One per process: a single deferral serves all links. */
export class TurnGatherer {
  readonly #clock: Clock;
  #waiting: Flushable[] = [];
  #running: Flushable[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `flushable` is flushed at the end of this turn. */
  add(flushable: Flushable): void {
    this.#waiting.push(flushable);
    if (this.#waiting.length === 1) this.#clock.defer(this.#run);
  }

  readonly #run = (): void => {
    const running = this.#waiting;
    this.#waiting = this.#running;
    this.#running = running;
    for (const flushable of running) flushable.flush();
    running.length = 0;
  };
}
