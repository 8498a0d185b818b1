/**
 * Bounds the reads that wait in the runtime's thread pool, so that a crowd of cold reads never keeps the writer's
 * thread from it. First come, first served; what nobody waits for any more when its turn comes is not done, and whoever stops
 * waiting before that leaves the line at once. Must never run a task twice, or drop one that is still wanted.
 */
import type { ReadTerm } from "./engine.ts";
import { ReadExpiredError } from "./errors.ts";
import type { StorageClock } from "./ports.ts";

/** slots of those who had their turn, or have left, that are not worth moving the others for */
const SMALL_GAP = 1024;

/** One who waits for a turn. */
interface Waiting {
  readonly begin: () => void;
  hasLeft: boolean;
}

/** At most `limit` tasks at a time. */
export class ReadPool {
  readonly #limit: number;
  readonly #clock: Pick<StorageClock, "monotonicMs">;
  /** slots before `#head` are empty */
  #waiting: (Waiting | undefined)[] = [];
  #head = 0;
  #leftCount = 0;
  #running = 0;

  constructor(limit: number, clock: Pick<StorageClock, "monotonicMs">) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Tasks that wait for their turn, and are wanted. */
  get waitingCount(): number {
    return this.#waiting.length - this.#head - this.#leftCount;
  }

  /**
   * Runs the task when its turn comes, if it is wanted until then: else ReadExpiredError. `until`: monotonic, or a term that may
   * end before its time. Settles as the task does.
   */
  async run<T>(task: () => Promise<T>, until?: number | ReadTerm): Promise<T> {
    if (this.#running >= this.#limit) await this.#turn(until);
    else this.#running += 1;
    try {
      const byMs = typeof until === "object" ? until.byMs : until;
      if (byMs !== undefined && this.#clock.monotonicMs() >= byMs) throw new ReadExpiredError();
      return await task();
    } finally {
      this.#passOn();
    }
  }

  /** Resolves with a place; rejects without one, when the term ends before. */
  #turn(until: number | ReadTerm | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      let hasBegun = false;
      const begin = (): void => {
        hasBegun = true;
        resolve();
      };
      const waiting: Waiting = { begin, hasLeft: false };
      this.#waiting.push(waiting);
      if (typeof until !== "object") return;
      until.whenOver(() => {
        if (hasBegun || waiting.hasLeft) return;
        waiting.hasLeft = true;
        this.#leftCount += 1;
        reject(new ReadExpiredError());
        if (this.#leftCount > SMALL_GAP && this.#leftCount * 2 > this.#waiting.length) this.#closeUp();
      });
    });
  }

  /** Hands the place to the one who waits longest. */
  #passOn(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (next.hasLeft) continue;
      next.begin();
      return;
    }
    this.#running -= 1;
  }

  #next(): Waiting | undefined {
    const next = this.#waiting[this.#head];
    if (next === undefined) {
      this.#waiting.length = 0;
      this.#head = 0;
      return undefined;
    }
    this.#waiting[this.#head] = undefined;
    this.#head += 1;
    if (next.hasLeft) this.#leftCount -= 1;
    if (this.#head > SMALL_GAP && this.#head * 2 > this.#waiting.length) this.#closeUp();
    return next;
  }

  /** Leaves out those who have left, and the slots of those who had their turn. */
  #closeUp(): void {
    this.#waiting = this.#waiting.filter((one) => one !== undefined && !one.hasLeft);
    this.#head = 0;
    this.#leftCount = 0;
  }
}
