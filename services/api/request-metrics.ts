/**
 * What the API records of every request: duration by route and status class, bound when a route is registered so that
 * recording is one array read and one histogram write. Must never look up a name or make a label per request.
 */
import type { Counter, Histogram, Labels, MetricsRegistry } from "../base/metrics.ts";
import type { Route, WorkClass } from "./exchange.ts";

const CLASSES = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"] as const;

/** The histograms of one route, by the first digit of the status; index 0 is for requests that got no answer. */
export type RouteDurations = readonly Histogram[];

/** Makes the series of one route. Called once per route. */
export function routeDurations(metrics: MetricsRegistry, route: Pick<Route, "method" | "path">): RouteDurations {
  const labels = { method: route.method, route: route.path };
  return CLASSES.map((status) =>
    metrics.durations({
      name: "gyre_http_request_duration_seconds",
      help: "Time from a request's headers to the end of its answer, by route and status class.",
      labels: { ...labels, status },
    }),
  );
}

/** Records one request; `status` 0 when no answer left. */
export function recordDuration(durations: RouteDurations, status: number, micros: number): void {
  durations[Math.floor(status / 100)]?.observe(micros);
}

/** What the listener counts over all routes. */
export interface ListenerCounters {
  readonly shed: Readonly<Record<WorkClass, Counter>>;
  readonly unmatched: Counter;
  /** connections */
  readonly dropped: Counter;
  /** requests that were not begun */
  readonly gone: Counter;
}

/** Makes the counters of the listener, and shows what is under way. Called once. */
export function listenerCounters(
  metrics: MetricsRegistry,
  underWay: { readonly requests: number; readonly bytes: number },
  waitingCount: () => number,
): ListenerCounters {
  const counter = (name: string, help: string, labels: Labels = {}): Counter => metrics.counter({ name, help, labels });
  const shed = (work: WorkClass): Counter =>
    counter("gyre_http_shed_requests_total", "Client requests refused as overload, by class of work.", { class: work });
  const unmatched = counter(
    "gyre_http_unmatched_requests_total",
    "Requests that no route took: unknown paths and methods.",
  );
  const dropped = counter(
    "gyre_http_dropped_connections_total",
    "Client connections closed at once because there were too many.",
  );
  const gone = counter(
    "gyre_http_gone_requests_total",
    "Requests of new connections that were not begun, for their client had ended its side.",
  );
  metrics.gauge(
    { name: "gyre_http_inflight_requests", help: "Client requests under way, or done for clients that have gone." },
    () => underWay.requests,
  );
  metrics.gauge(
    { name: "gyre_http_inflight_bytes", help: "Bytes of client requests under way." },
    () => underWay.bytes,
  );
  metrics.gauge(
    { name: "gyre_http_waiting_requests", help: "Client requests that wait for room: not begun, not refused yet." },
    waitingCount,
  );
  return {
    shed: { control: shed("control"), write: shed("write"), read: shed("read"), list: shed("list") },
    unmatched,
    dropped,
    gone,
  };
}
