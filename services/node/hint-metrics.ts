/** The numbers of hints under their public names, and as GET /v1/cluster tells them. Read when asked only. */
import type { MetricsRegistry } from "../base/metrics.ts";
import type { HintsView } from "../handoff/hints-view.ts";

/** Registers what handoff counts. */
export function registerHints(metrics: MetricsRegistry, view: () => HintsView): void {
  const gauge = (name: string, help: string, read: (hints: HintsView) => number): void =>
    metrics.gauge({ name, help }, () => read(view()));
  gauge("gyre_hints_kept", "Versions kept for slots of other nodes.", ({ count }) => count);
  gauge("gyre_hints_markers", "Notes of versions that other owners lack.", ({ markerCount }) => markerCount);
  gauge("gyre_hints_bytes", "Bytes of all hints.", ({ bytes }) => bytes);
  gauge("gyre_hints_budget_bytes", "Bytes that hints may take.", ({ budgetBytes }) => budgetBytes);
  gauge("gyre_hints_oldest_age_seconds", "Age of the oldest hint.", ({ oldestAgeMs }) => oldestAgeMs / 1_000);
  gauge(
    "gyre_hints_flagged_partitions",
    "Partitions that anti-entropy has to compare because hints of them were given up.",
    ({ flaggedPartitions }) => flaggedPartitions,
  );
  metrics.gauge({ name: "gyre_hints_waiting", help: "Hints that wait, by the node they are for." }, () =>
    view().targets.map(({ node, count, markerCount }) => ({ labels: { node }, value: count + markerCount })),
  );
  metrics.total({ name: "gyre_hints_events_total", help: "What happened to hints since start, by kind." }, () =>
    Object.entries(eventsOf(view())).map(([kind, value]) => ({ labels: { kind }, value })),
  );
}

/** The section `hints` of GET /v1/cluster. */
export function hintsDocument(view: HintsView): Record<string, unknown> {
  const { count, markerCount, bytes, budgetBytes, oldestAgeMs, flaggedPartitions, targets } = view;
  const events = eventsOf(view);
  return { count, markers: markerCount, bytes, budgetBytes, oldestAgeMs, flaggedPartitions, targets, events };
}

function eventsOf({ delivered, taken, missed }: HintsView): Readonly<Record<string, number>> {
  return {
    offered: delivered.offeredCount,
    sent: delivered.sentCount,
    sent_bytes: delivered.sentBytes,
    delivered: delivered.deliveredCount,
    given_up: delivered.givenUpCount,
    failed_runs: delivered.failedRunCount,
    offered_here: taken.offeredCount,
    taken: taken.takenCount,
    taken_bytes: taken.takenBytes,
    missed_writes: missed.count,
    missed_flagged: missed.flagged,
    markers_given_up: missed.markersGivenUp,
  };
}
