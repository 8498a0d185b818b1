/** The gauges and counters that the rooms keep as plain numbers, given their public names. Read at scrape only. */
import type { StorageEngine } from "../../storage/engine.ts";
import type { MetricsRegistry } from "../base/metrics.ts";
import type { CoordinatorCounters } from "../coordinator/needs.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import type { ReadRepair } from "../repair/read-repair.ts";

/** Whose numbers are shown. */
export interface MetricSources {
  readonly engine: StorageEngine;
  readonly links: PeerLinks;
  readonly coordinator: { readonly counters: CoordinatorCounters };
  readonly repairs: ReadRepair;
}

/** Registers everything that the rooms count. */
export function registerNodeMetrics(metrics: MetricsRegistry, sources: MetricSources): void {
  registerStorage(metrics, sources.engine);
  registerLinks(metrics, sources.links);
  registerCoordinator(metrics, sources.coordinator);
  const { repairs } = sources;
  const gauge = (name: string, help: string, read: () => number): void => metrics.gauge({ name, help }, read);
  gauge("gyre_read_repair_queued", "Read repairs that wait.", () => repairs.counts().queuedNow);
  gauge(
    "gyre_read_repair_repaired",
    "Replicas repaired after reads, since start.",
    () => repairs.counts().repairedCount,
  );
  gauge(
    "gyre_read_repair_dropped",
    "Read repairs forgotten for newer ones, since start.",
    () => repairs.counts().droppedCount,
  );
}

function registerStorage(metrics: MetricsRegistry, engine: StorageEngine): void {
  const gauge = (name: string, help: string, read: () => number): void => metrics.gauge({ name, help }, read);
  gauge("gyre_storage_keys", "Keys with a value, all partitions of this node.", () => engine.stats().keyCount);
  gauge("gyre_storage_tombstones", "Tombstones held.", () => engine.stats().tombstoneCount);
  gauge("gyre_storage_live_bytes", "Bytes of the newest records.", () => engine.stats().liveBytes);
  gauge("gyre_storage_disk_bytes", "Bytes of all segments.", () => engine.stats().diskBytes);
  gauge("gyre_storage_index_bytes", "Memory of the index.", () => engine.stats().indexBytes);
  gauge("gyre_storage_segments", "Segments on disk.", () => engine.stats().segmentCount);
  gauge("gyre_storage_puts", "Records written since start.", () => engine.stats().putCount);
  gauge("gyre_storage_commits", "Group commits since start.", () => engine.stats().commitCount);
  gauge("gyre_storage_compacted_bytes", "Bytes copied by compaction since start.", () => engine.stats().compactedBytes);
  gauge(
    "gyre_storage_corrupt_reads",
    "Reads that failed their checksum since start.",
    () => engine.stats().corruptReadCount,
  );
  gauge(
    "gyre_storage_suspect_partitions",
    "Partitions that may lack acknowledged writes here.",
    () => engine.suspectPartitions().length,
  );
}

function registerLinks(metrics: MetricsRegistry, links: PeerLinks): void {
  const gauge = (name: string, help: string, read: () => number): void => metrics.gauge({ name, help }, read);
  gauge("gyre_peer_links_up", "Peers that a data link leads to.", () => links.stats().reachablePeerCount);
  gauge("gyre_peer_known", "Peers known.", () => links.stats().knownPeerCount);
  gauge("gyre_peer_queued_bytes", "Bytes that wait to leave for peers.", () => links.stats().queuedBytes);
  metrics.gauge({ name: "gyre_peer_calls", help: "Calls to peers since start, by what they ended in." }, () =>
    Object.entries(links.stats().callsByResult).map(([result, value]) => ({ labels: { result }, value })),
  );
}

function registerCoordinator(metrics: MetricsRegistry, coordinator: { readonly counters: CoordinatorCounters }): void {
  metrics.gauge({ name: "gyre_coordinator_events", help: "What the coordinator did since start, by kind." }, () =>
    Object.entries(coordinator.counters).map(([kind, value]: readonly [string, number]) => ({
      labels: { kind },
      value,
    })),
  );
}
