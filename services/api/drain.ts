/**
 * The end of a listener: what is under way is finished, for a bounded time, and idle connections are closed again and again, for
 * one may fall idle after the framework has looked. Must never hang.
 */
import { DRAIN_TIMEOUT_MS } from "../base/limits.ts";
import type { Clock, Log, Timer } from "../base/ports.ts";

const SWEEP_MS = 25;

/** What ends. */
export interface Draining {
  readonly clock: Clock;
  readonly log: Log;
  readonly server: { closeIdleConnections(): void; closeAllConnections(): void };
  /** client requests under way */
  readonly requestCount: () => number;
  /** refuses new connections; resolves when the last has gone */
  readonly close: () => PromiseLike<unknown>;
}

/** Ends it; resolves when no connection is left, 10 seconds after the call at the latest. Rejects as `close` does. */
export async function drain({ clock, log, server, requestCount, close }: Draining): Promise<void> {
  const deadlineMs = clock.monotonicMs() + DRAIN_TIMEOUT_MS;
  let timer: Timer | undefined;
  const sweep = (): void => {
    if (clock.monotonicMs() < deadlineMs) server.closeIdleConnections();
    else {
      log.warn({ event: "api.drain-timed-out", requestCount: requestCount() });
      server.closeAllConnections();
    }
    timer = clock.setTimer(SWEEP_MS, sweep);
  };
  timer = clock.setTimer(SWEEP_MS, sweep);
  try {
    await close();
  } finally {
    timer.cancel();
  }
}
