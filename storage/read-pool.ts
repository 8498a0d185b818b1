/**
 * Bounds the reads that wait in the runtime's thread pool, so that a crowd of cold reads never keeps the writer's
 * thread from it. First come, first served. Must never run a task twice or drop one.
 */

/** At most `limit` tasks at a time. */
export class ReadPool {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #head = 0;
  #running = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs the task when its turn comes; settles as it does. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    } else {
      this.#running += 1;
    }
    try {
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
    this.#head += 1;
    next();
  }
}
