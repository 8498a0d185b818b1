/**
 * What the process itself takes, under the names that Prometheus' own client libraries use, and which build it is. Read at
 * scrape only.
 */
import { constants, PerformanceObserver } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { MetricsRegistry } from "../base/metrics.ts";

const PAUSES: Readonly<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: "major",
  [constants.NODE_PERFORMANCE_GC_MINOR]: "minor",
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: "incremental",
};

/** Registers them; `node` is this node's name. */
export function registerProcessMetrics(
  metrics: MetricsRegistry,
  facts: { readonly node: string; readonly version: string },
): void {
  const { node, version } = facts;
  metrics.gauge({ name: "gyre_build_info", help: "1, with what runs here." }, () => [
    { labels: { node, version, runtime: process.version }, value: 1 },
  ]);
  metrics.total({ name: "process_cpu_seconds_total", help: "Processor time, user and system." }, () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  metrics.gauge({ name: "process_resident_memory_bytes", help: "Memory that is in RAM." }, () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge(
    { name: "process_start_time_seconds", help: "When the process started, since 1970." },
    () => performance.timeOrigin / 1_000,
  );
  metrics.gauge({ name: "nodejs_heap_used_bytes", help: "Heap in use." }, () => getHeapStatistics().used_heap_size);
  metrics.gauge(
    { name: "nodejs_heap_limit_bytes", help: "Heap at which the process ends." },
    () => getHeapStatistics().heap_size_limit,
  );
  registerCollector(metrics);
}

/** The garbage collector's pauses: an observer that V8 calls after the fact, some times a second. */
function registerCollector(metrics: MetricsRegistry): void {
  const series = Object.entries(PAUSES).map(([kind, name]) => {
    const what = {
      name: "nodejs_gc_duration_seconds",
      help: "Pauses of the garbage collector.",
      labels: { kind: name },
    };
    return [Number(kind), metrics.durations(what)] as const;
  });
  const byKind = new Map(series);
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { detail } = entry as { readonly detail?: { readonly kind?: number } };
      byKind.get(detail?.kind ?? -1)?.observe(entry.duration * 1_000);
    }
  }).observe({ entryTypes: ["gc"] });
}
