/**
 * Which requests the log tells of: those that failed here and those that were slow, a bounded number of them a second, with
 * how many were left out. Must never name a key, and never cost a request anything that went well.
 */
import { LineBudget } from "../base/line-budget.ts";
import { MAX_REQUEST_LINES, REQUEST_LINES_EVERY_MS, SLOW_REQUEST_MS } from "../base/load-limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import { parseTraceparent, type TraceId } from "../base/trace.ts";
import type { Incoming, Route } from "./exchange.ts";

/** How a request ended. */
export interface RequestEnd {
  /** 0: its client went away before an answer */
  readonly status: number;
  readonly durationMs: number;
}

/** Worth a line: it took long, or this node or its peers could not serve it. */
export function isWorthALine({ status, durationMs }: RequestEnd): boolean {
  return durationMs >= SLOW_REQUEST_MS || status >= 500;
}

/** The trace that a request belongs to; undefined when it says none, or no valid one. */
export function traceIdOf(request: Incoming): TraceId | undefined {
  return parseTraceparent(request.headers["traceparent"])?.traceId;
}

/** Tells of requests, `MAX_REQUEST_LINES` in each `REQUEST_LINES_EVERY_MS`. */
export class RequestLog {
  readonly #log: Log;
  readonly #budget: LineBudget;

  constructor({ log, clock }: { readonly log: Log; readonly clock: Clock }) {
    this.#log = log;
    this.#budget = new LineBudget(clock, { maxLines: MAX_REQUEST_LINES, everyMs: REQUEST_LINES_EVERY_MS });
  }

  /** Tells of a request for which `isWorthALine` holds. */
  tell(route: Pick<Route, "method" | "path">, request: Incoming, end: RequestEnd): void {
    const leftOut = this.#budget.take();
    if (leftOut === undefined) return;
    this.#log.warn({
      event: end.status >= 500 ? "http.failed" : "http.slow",
      route: `${route.method} ${route.path}`,
      status: end.status,
      durationMs: Math.round(end.durationMs * 10) / 10,
      requestId: request.id,
      traceId: traceIdOf(request),
      ...leftOut,
    });
  }
}
