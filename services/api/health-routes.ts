/**
 * /livez, /readyz, /startupz and /metrics (API §4): for probes and scrapers, always answered, whatever the load. Must
 * never depend on other nodes: a split must not empty the Service.
 */
import type { MetricsRegistry } from "../base/metrics.ts";
import { type Incoming, NO_BODY_BYTES, type Reply, type Route, type RouteAccess } from "./exchange.ts";
import type { HealthCheck, NodeStatus } from "./ports.ts";
import { refusalForNow } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { namesOf, PROBE_QUERY } from "./query-rules.ts";
import { failureReply } from "./reply.ts";
import { queryOf } from "./target.ts";

const PROBE_NAMES = namesOf(PROBE_QUERY);

/** Who may read the metrics, unless the node is told to show them to everybody. */
export const METRICS_ACCESS: RouteAccess = { kind: "cluster", right: "metrics" };

/** What these routes need. */
export interface HealthDependencies {
  readonly status: NodeStatus;
  readonly metrics: MetricsRegistry;
  readonly isClosing: () => boolean;
  /** /metrics answers without a token */
  readonly isMetricsOpen?: boolean | undefined;
}

/** The routes of probes and metrics. */
export function healthRoutes(deps: HealthDependencies): readonly Route[] {
  const { status, metrics, isClosing } = deps;
  const serving: () => HealthCheck = () =>
    isClosing()
      ? { name: "serving", isOk: false, reason: "this node is stopping" }
      : { name: "serving", isOk: true, reason: "taking requests" };
  return [
    probe("/livez", "Whether the process works.", () => status.livez()),
    probe("/readyz", "Whether this node takes requests.", () => [serving(), ...status.readyz()]),
    probe("/startupz", "Whether the store has recovered.", () => status.startupz()),
    {
      method: "GET",
      path: "/metrics",
      summary: "Metrics for Prometheus.",
      access: deps.isMetricsOpen === true ? { kind: "open" } : METRICS_ACCESS,
      work: "control",
      bodyLimitBytes: NO_BODY_BYTES,
      handle: () => metricsReply(metrics),
    },
  ];
}

/** A text reply. */
export function textReply(text: string, contentType = "text/plain; charset=utf-8"): Reply {
  return { status: 200, headers: { "content-type": contentType }, body: text };
}

function probe(path: string, summary: string, checks: () => readonly HealthCheck[]): Route {
  const handle = (request: Incoming): Reply => probeReply(checks(), queryOf(request.raw.url));
  const access = { kind: "open" } as const;
  return { method: "GET", path, summary, access, work: "control", bodyLimitBytes: NO_BODY_BYTES, handle };
}

function probeReply(checks: readonly HealthCheck[], queryText: string): Reply {
  const query = parseQuery(queryText, PROBE_NAMES);
  if (query.kind === "failed") return failureReply(query);
  const failed = checks.filter((check) => !check.isOk);
  if (failed.length > 0) {
    const words = failed.map((check) => `${check.name}: ${check.reason}`).join("; ");
    const failure = refusalForNow("not_ready", words);
    return failureReply({ ...failure, facts: { checks: checks.map(document) } });
  }
  if (!query.values.has("verbose")) return textReply("ok\n");
  return textReply(`${checks.map((check) => `[+] ${check.name}: ${check.reason}\n`).join("")}ok\n`);
}

function document(check: HealthCheck): Record<string, unknown> {
  return { name: check.name, ok: check.isOk, reason: check.reason };
}

function metricsReply(metrics: MetricsRegistry): Reply {
  return textReply(metrics.render(), "text/plain; version=0.0.4; charset=utf-8");
}
