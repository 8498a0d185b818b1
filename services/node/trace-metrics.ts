/** What became of the spans of sampled requests, for metrics. */
import type { MetricsRegistry } from "../base/metrics.ts";
import type { SpanExporter } from "../tracing/span-exporter.ts";
import { metricReaders } from "./metric-readers.ts";

/** Registers the exporter's counts; there are none on a node that has no collector. */
export function registerTraces(
  metrics: MetricsRegistry,
  exporter: Pick<SpanExporter, "queuedCount" | "sentCount" | "dropped">,
): void {
  const { gauge, total } = metricReaders(metrics);
  gauge("gyre_trace_spans_queued", "Spans that wait to be sent to the collector.", () => exporter.queuedCount);
  total("gyre_trace_spans_sent_total", "Spans that the collector has taken since start.", () => exporter.sentCount);
  const help = "Spans that the collector never got since start, by reason.";
  metrics.total({ name: "gyre_trace_spans_dropped_total", help }, () =>
    Object.entries(exporter.dropped).map(([reason, value]) => ({ labels: { reason }, value })),
  );
}
