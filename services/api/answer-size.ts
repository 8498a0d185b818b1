/**
 * How many bytes the answers of a route hold on average. Until an answer is made nobody knows how much its request will hold; of many
 * requests the average does, and a thousand reads of large values are not let in as if they held nothing. Pure.
 * Source: reader admission by a base cost until the real one is known (ScyllaDB's reader concurrency semaphore).
 */
import { ANSWER_GUESS_MAX_BYTES, ANSWERS_REMEMBERED } from "../base/load-limits.ts";

/** What is known of one route's answers. */
export class AnswerSize {
  #meanBytes = 0;

  /** What the next answer is taken to hold. */
  get bytes(): number {
    return Math.min(ANSWER_GUESS_MAX_BYTES, Math.round(this.#meanBytes));
  }

  /** An answer was made. */
  saw(bytes: number): void {
    this.#meanBytes += (bytes - this.#meanBytes) / ANSWERS_REMEMBERED;
  }
}
