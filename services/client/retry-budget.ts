/**
 * What a client may spend on asking again: a part of what it asks, and a few more after a quiet time. Pure. Must never let
 * retries grow with refusals: where each request is tried three times, a cluster that can serve four fifths is asked for
 * three times as much and serves nobody. Source: Finagle's RetryBudget; Amazon Builders' Library, "Timeouts, retries, and
 * backoff with jitter"; reliability notes §4 O6.
 */

/** A retry costs as much as so many requests earn. */
const REQUESTS_PER_RETRY = 10;
/** So many at once: more than any one request may spend by default. */
const RETRY_BURST = 10;

/** A bucket of tokens; full at first. */
export class RetryBudget {
  /** in requests, so that nothing is lost by rounding */
  #saved = RETRY_BURST * REQUESTS_PER_RETRY;

  /** A request begins. */
  earn(): void {
    this.#saved = Math.min(RETRY_BURST * REQUESTS_PER_RETRY, this.#saved + 1);
  }

  /** Pays for a retry; false when there is too little to pay with. */
  take(): boolean {
    if (this.#saved < REQUESTS_PER_RETRY) return false;
    this.#saved -= REQUESTS_PER_RETRY;
    return true;
  }
}
