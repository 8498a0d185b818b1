/** Two short hands for numbers that a room keeps by itself: shown as they are now, or as what has been counted since start. */
import type { MetricsRegistry } from "../base/metrics.ts";

/** Shows the number that `read` answers under this name. */
export type ShowNumber = (name: string, help: string, read: () => number) => void;

/** Readers of one registry; `gauge` goes up and down, `total` only up, and its names end in `_total`. */
export function metricReaders(metrics: MetricsRegistry): { readonly gauge: ShowNumber; readonly total: ShowNumber } {
  return {
    gauge: (name, help, read) => metrics.gauge({ name, help }, read),
    total: (name, help, read) => metrics.total({ name, help }, read),
  };
}
