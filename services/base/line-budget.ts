/** How many lines of one kind the log gets: so many in so long, and then how many were left out. Must never forget to say so. */
import type { Clock } from "./ports.ts";

/** The budget of one kind of line. */
export class LineBudget {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #maxLines: number;
  readonly #everyMs: number;
  #windowEndsMs = 0;
  #lineCount = 0;
  #leftOutCount = 0;

  /** `maxLines` in each `everyMs`. */
  constructor(clock: Pick<Clock, "monotonicMs">, bounds: { readonly maxLines: number; readonly everyMs: number }) {
    this.#clock = clock;
    this.#maxLines = bounds.maxLines;
    this.#everyMs = bounds.everyMs;
  }

  /** Takes a line: facts to add to it, `leftOutCount` where there were some before it; undefined: it is left out. */
  take(): { readonly leftOutCount?: number } | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= this.#windowEndsMs) {
      this.#windowEndsMs = nowMs + this.#everyMs;
      this.#lineCount = 0;
    }
    if (this.#lineCount >= this.#maxLines) {
      this.#leftOutCount += 1;
      return undefined;
    }
    this.#lineCount += 1;
    const leftOutCount = this.#leftOutCount;
    this.#leftOutCount = 0;
    return leftOutCount > 0 ? { leftOutCount } : {};
  }
}
