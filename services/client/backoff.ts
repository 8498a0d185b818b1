/** How long a client waits between attempts. Pure. Must never be the same for all clients: they would come back together. */

const BACKOFF_MIN_MS = 25;
const BACKOFF_MAX_MS = 1_000;

/** A pause with full jitter, from nothing to what grows with the attempts, milliseconds. Source: exponential backoff and jitter (Brooker 2015). */
export function backoffMs(attempt: number, random: () => number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt, 10));
  return ceiling * random();
}
