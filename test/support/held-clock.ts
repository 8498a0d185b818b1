/** A clock that stands until it is told to go on, while turns of the event loop are real: for tests over real sockets. */
import { FakeClock } from "./fake-clock.ts";

/** Time by hand, turns by themselves. */
export class HeldClock extends FakeClock {
  override defer(run: () => void): void {
    setImmediate(run);
  }
}
