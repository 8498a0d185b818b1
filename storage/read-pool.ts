/**
 * Bounds the reads that wait in the runtime's thread pool, so that a crowd of cold reads never keeps the writer's
 * thread from it. First come, first served; what nobody waits for any more when its turn comes is not done. Must never run a
 * task twice, or drop one that is still wanted.
 */
import { ReadExpiredError } from "./errors.ts";
import type { StorageClock } from "./ports.ts";

/** slots of those who had their turn that are not worth moving the others for */
const SMALL_GAP = 1024;

/** At most `limit` tasks at a time. */
export class ReadPool {
  readonly #limit: number;
  readonly #clock: Pick<StorageClock, "monotonicMs">;
  /** slots before `#head` are empty */
  readonly #waiting: ((() => void) | undefined)[] = [];
  #head = 0;
  #running = 0;

  constructor(limit: number, clock: Pick<StorageClock, "monotonicMs">) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Runs the task when its turn comes, if that is before `byMs` (monotonic): else ReadExpiredError. Settles as it does. */
  async run<T>(task: () => Promise<T>, byMs?: number): Promise<T> {
    if (this.#running >= this.#limit) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    } else {
      this.#running += 1;
    }
    try {
      if (byMs !== undefined && this.#clock.monotonicMs() >= byMs) throw new ReadExpiredError();
      return await task();
    } finally {
      this.#passOn();
    }
  }

  /** Hands the place to the one who waits longest. */
  #passOn(): void {
    const next = this.#waiting[this.#head];
    if (next === undefined) {
      this.#waiting.length = 0;
      this.#head = 0;
      this.#running -= 1;
      return;
    }
    this.#waiting[this.#head] = undefined;
    this.#head += 1;
    if (this.#head > SMALL_GAP && this.#head * 2 > this.#waiting.length) {
      this.#waiting.splice(0, this.#head);
      this.#head = 0;
    }
    next();
  }
}
