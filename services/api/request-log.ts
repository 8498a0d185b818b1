/**
 * Which requests the log tells of: those that failed here and those that were slow, a bounded number of them a second, with
 * how many were left out. Must never name a key, and never cost a request anything that went well.
 */
import { MAX_REQUEST_LINES, REQUEST_LINES_EVERY_MS, SLOW_REQUEST_MS } from "../base/load-limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { Incoming, Route } from "./exchange.ts";

/** How a request ended. */
export interface RequestEnd {
  /** 0: its client went away before an answer */
  readonly status: number;
  readonly durationMs: number;
}

/** `traceparent` of W3C's Trace Context, level 1: version, trace id, parent id, flags. */
const TRACE_PARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}(?:-|$)/;
const NO_TRACE = "0".repeat(32);

/** Worth a line: it took long, or this node or its peers could not serve it. */
export function isWorthALine({ status, durationMs }: RequestEnd): boolean {
  return durationMs >= SLOW_REQUEST_MS || status >= 500;
}

/** The trace that a request belongs to; undefined when it says none, or no valid one. */
export function traceIdOf(request: Incoming): string | undefined {
  const header = request.headers["traceparent"];
  const id = typeof header === "string" ? TRACE_PARENT.exec(header)?.[1] : undefined;
  return id === NO_TRACE ? undefined : id;
}

/** Tells of requests, `MAX_REQUEST_LINES` in each `REQUEST_LINES_EVERY_MS`. */
export class RequestLog {
  readonly #parts: { readonly log: Log; readonly clock: Clock };
  #windowEndsMs = 0;
  #lineCount = 0;
  #leftOutCount = 0;

  constructor(parts: { readonly log: Log; readonly clock: Clock }) {
    this.#parts = parts;
  }

  /** Tells of a request for which `isWorthALine` holds. */
  tell(route: Pick<Route, "method" | "path">, request: Incoming, end: RequestEnd): void {
    const { log, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (nowMs >= this.#windowEndsMs) {
      this.#windowEndsMs = nowMs + REQUEST_LINES_EVERY_MS;
      this.#lineCount = 0;
    }
    if (this.#lineCount >= MAX_REQUEST_LINES) {
      this.#leftOutCount += 1;
      return;
    }
    this.#lineCount += 1;
    const leftOutCount = this.#leftOutCount;
    this.#leftOutCount = 0;
    log.warn({
      event: end.status >= 500 ? "http.failed" : "http.slow",
      route: `${route.method} ${route.path}`,
      status: end.status,
      durationMs: Math.round(end.durationMs * 10) / 10,
      requestId: request.id,
      traceId: traceIdOf(request),
      ...(leftOutCount > 0 && { leftOutCount }),
    });
  }
}
