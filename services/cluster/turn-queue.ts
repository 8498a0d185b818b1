/** TurnQueue: few pieces of work of one kind at a time, the rest in the order in which they came. Must never drop one but by `stop`. */

/** What waits, and how much runs. */
export class TurnQueue {
  readonly #limit: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #runningCount = 0;
  #isStopped = false;

  /** `limit`: so many at a time, at least 1. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get runningCount(): number {
    return this.#runningCount;
  }

  /** Runs `work`, which must not reject, when there is room. */
  run(work: () => Promise<void>): void {
    if (this.#isStopped) return;
    if (this.#runningCount >= this.#limit) {
      this.#waiting.push(work);
      return;
    }
    this.#runningCount += 1;
    void work().finally(() => {
      this.#runningCount -= 1;
      const next = this.#waiting.shift();
      if (next !== undefined) this.run(next);
    });
  }

  /** What waits is never run. */
  stop(): void {
    this.#isStopped = true;
    this.#waiting.length = 0;
  }
}
