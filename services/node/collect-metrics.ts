/** The numbers of tombstone collection under their public names, and as GET /v1/cluster tells them. Read when asked only. */
import type { MetricsRegistry } from "../base/metrics.ts";
import type { CollectStatus } from "../repair/collect.ts";

/** Registers what collecting counts. */
export function registerCollecting(metrics: MetricsRegistry, status: () => CollectStatus): void {
  const gauge = (name: string, help: string, read: (status: CollectStatus) => number): void =>
    metrics.gauge({ name: `gyre_tombstones_${name}`, help }, () => read(status()));
  const total = (name: string, help: string, read: (status: CollectStatus) => number): void =>
    metrics.total({ name: `gyre_tombstones_${name}`, help }, () => read(status()));
  gauge("held", "Tombstones in the store.", ({ count }) => count);
  gauge(
    "oldest_seconds",
    "Age of the oldest tombstone seen in the partitions whose collection this node leads.",
    ({ oldestAgeMs }) => (oldestAgeMs ?? 0) / 1_000,
  );
  total("collected_total", "Tombstones and expired values taken out, since start.", ({ collected }) => collected);
  gauge(
    "waiting_partitions",
    "Partitions led here with tombstones that are old enough and have to wait.",
    ({ waiting }) => Object.values(waiting).reduce((sum, count) => sum + count, 0),
  );
  gauge(
    "behind_partitions",
    "Partitions of which this node took no part in the last collection.",
    ({ behind }) => behind,
  );
  gauge(
    "unproved_keys",
    "Keys of which this node caught up without a word on what was held, until their next collection.",
    ({ unproved }) => unproved,
  );
  total("rounds_total", "Rounds of collection led, since start.", ({ rounds }) => rounds);
}

/** The section `tombstones` of GET /v1/cluster. */
export function tombstonesDocument(status: CollectStatus): Record<string, unknown> {
  return { ...status, oldestAgeMs: status.oldestAgeMs ?? null };
}
