/** The numbers of overload and of gray failure, given their public names. Read at scrape only. */
import type { MetricsRegistry } from "../base/metrics.ts";
import type { Calm } from "../calm/calm.ts";
import type { DiskPulse } from "../calm/disk-pulse.ts";
import { metricReaders } from "./metric-readers.ts";

/** Whose numbers are shown. */
export interface CalmSources {
  readonly calm: Pick<Calm, "view">;
  readonly pulse: Pick<DiskPulse, "state" | "medianMs" | "stallMs" | "canaryCount">;
  readonly front: { readonly sharedCount: number };
  readonly replica: { readonly keyRefusedCount: number };
}

/** Registers everything that calm counts. */
export function registerCalm(metrics: MetricsRegistry, { calm, pulse, front, replica }: CalmSources): void {
  const { gauge, total } = metricReaders(metrics);
  gauge(
    "gyre_background_share_ratio",
    "Share of its full pace that background work has.",
    () => calm.view().backgroundShare,
  );
  gauge(
    "gyre_foreground_pressure_ratio",
    "How much clients feel: above 1 is too much; 2 where the disk is slow.",
    () => calm.view().pressure,
  );
  gauge("gyre_loop_delay_seconds", "Longest event-loop delay of the last look.", () => calm.view().loopDelayMs / 1_000);
  total("gyre_reads_shared_total", "Reads answered by another request's, since start.", () => front.sharedCount);
  total(
    "gyre_key_queue_refused_total",
    "Operations refused because too many waited for their key, since start.",
    () => replica.keyRefusedCount,
  );
  gauge("gyre_memory_share_ratio", "Of the memory that the process may have.", () => calm.view().memoryShare);
  gauge(
    "gyre_start_share_ratio",
    "Of its limits, that a node admits soon after a start.",
    () => calm.view().startShare,
  );
  metrics.gauge({ name: "gyre_admitted_requests", help: "Requests that may be under way, by class." }, () =>
    Object.entries(calm.view().limits).map(([work, value]) => ({ labels: { class: work }, value })),
  );
  gauge("gyre_loop_utilisation_ratio", "Event-loop utilisation of the last look.", () => calm.view().loopUtilisation);
  metrics.gauge({ name: "gyre_disk_state", help: "1 for the state in which the disk is." }, () =>
    ["well", "slow", "degraded"].map((state) => ({ labels: { state }, value: pulse.state === state ? 1 : 0 })),
  );
  gauge("gyre_disk_put_seconds", "Median time of a write to become durable.", () => pulse.medianMs / 1_000);
  gauge("gyre_disk_stall_seconds", "For how long nothing has become durable.", () => pulse.stallMs / 1_000);
  total(
    "gyre_disk_canaries_total",
    "Writes made only to see how the disk fares, since start.",
    () => pulse.canaryCount,
  );
}
