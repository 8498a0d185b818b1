/** Waiting that ends at once when whoever waits is stopped. Must never leave a timer behind after `end`. */
import type { Clock, Timer } from "../base/ports.ts";

/** The pauses of one room. */
export class Pauses {
  readonly #clock: Pick<Clock, "setTimer">;
  readonly #waiting = new Map<Timer, () => void>();

  constructor(clock: Pick<Clock, "setTimer">) {
    this.#clock = clock;
  }

  /** Resolves after so many ms, or with `end`. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(ms, () => {
        this.#waiting.delete(timer);
        resolve();
      });
      this.#waiting.set(timer, resolve);
    });
  }

  /** Ends all that are under way, at once. */
  end(): void {
    for (const [timer, goOn] of this.#waiting) {
      timer.cancel();
      goOn();
    }
    this.#waiting.clear();
  }
}
