/**
 * What the API records of every request: duration by route and status class, bound when a route is registered so that
 * recording is one array read and one histogram write. Must never look up a name or make a label per request.
 */
import type { Counter, Histogram, MetricsRegistry } from "../base/metrics.ts";
import type { Route, WorkClass } from "./exchange.ts";
import type { Hindrance, ShedReason } from "./front-gate.ts";

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

type ByReason = Readonly<Record<ShedReason, Counter>>;

/** Requests that were turned away: all of them, and those for which the node was short of room. */
export class ShedCounters {
  readonly #all: Readonly<Record<WorkClass, ByReason>>;
  readonly #short: Record<WorkClass, number> = { control: 0, write: 0, read: 0, list: 0 };

  /** Makes the series: all of them are there from the start. */
  constructor(metrics: MetricsRegistry) {
    this.#all = {
      control: byReason(metrics, "control"),
      write: byReason(metrics, "write"),
      read: byReason(metrics, "read"),
      list: byReason(metrics, "list"),
    };
  }

  /** One was turned away, and why. */
  note(work: WorkClass, { kind, reason }: Pick<Hindrance, "kind" | "reason">): void {
    this.#all[work][reason].add();
    if (kind !== "own") this.#short[work] += 1;
  }

  /** How many since the start for want of room, not for what they were themselves: those say nothing of the node. */
  shortOf(work: WorkClass): number {
    return this.#short[work];
  }
}

function byReason(metrics: MetricsRegistry, work: WorkClass): ByReason {
  const what = {
    name: "gyre_http_shed_requests_total",
    help: "Client requests refused as overload, by class of work and by reason.",
  };
  const of = (reason: ShedReason): Counter => metrics.counter({ ...what, labels: { class: work, reason } });
  return {
    bytes: of("bytes"),
    requests: of("requests"),
    limit: of("limit"),
    memory: of("memory"),
    event_loop: of("event_loop"),
    hot_key: of("hot_key"),
    principal: of("principal"),
    waited: of("waited"),
    crowded_out: of("crowded_out"),
    behind: of("behind"),
  };
}

/** What the listener counts over all routes. */
export interface ListenerCounters {
  readonly shed: ShedCounters;
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
  const counter = (name: string, help: string): Counter => metrics.counter({ name, help });
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
    shed: new ShedCounters(metrics),
    unmatched,
    dropped,
    gone,
  };
}
