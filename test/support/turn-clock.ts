/** A clock of which each turn of the event loop is ended by hand: what is deferred waits for that. For unit tests. */
import { FakeClock } from "./fake-clock.ts";

/** Turns, all at one time unless it is moved on. */
export class TurnClock extends FakeClock {
  readonly #deferred: (() => void)[] = [];

  override defer(run: () => void): void {
    this.#deferred.push(run);
  }

  override get plannedCount(): number {
    return super.plannedCount + this.#deferred.length;
  }

  /** Runs what was deferred in this turn; what that defers is of the next one. */
  endTurn(): void {
    for (const run of this.#deferred.splice(0)) run();
  }
}
