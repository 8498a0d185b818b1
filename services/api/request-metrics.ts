/**
 * What the API records of every request: duration by route and status class, bound when a route is registered so that
 * recording is one array read and one histogram write. Must never look up a name or make a label per request.
 */
import type { Counter, Histogram, MetricsRegistry } from "../base/metrics.ts";
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

/** Makes the counters of refused requests, one per class of work. Called once. */
export function shedCounters(metrics: MetricsRegistry): Readonly<Record<WorkClass, Counter>> {
  const counter = (work: WorkClass): Counter =>
    metrics.counter({
      name: "gyre_http_shed_requests_total",
      help: "Client requests refused as overload, by class of work.",
      labels: { class: work },
    });
  return { control: counter("control"), write: counter("write"), read: counter("read"), list: counter("list") };
}
