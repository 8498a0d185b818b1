/** The gauges and counters that the rooms keep as plain numbers, given their public names. Read at scrape only. */
import type { DiskLevel, ScrubState, StorageEngine } from "../../storage/engine.ts";
import type { MetricsRegistry } from "../base/metrics.ts";
import type { QuorumCoordinator } from "../coordinator/coordinator.ts";
import type { PeerView, Standing } from "../coordinator/peer-health.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import type { ReadRepair } from "../repair/read-repair.ts";
import type { ReplicaCounters } from "../replica/parts.ts";
import type { Liveness } from "./liveness.ts";
import { metricReaders } from "./metric-readers.ts";
import type { Moving } from "./moving.ts";
import type { RingState } from "./ring-state.ts";

/** Whose numbers are shown. */
export interface MetricSources {
  readonly engine: Pick<StorageEngine, "stats" | "disk" | "suspectPartitions">;
  readonly links: Pick<PeerLinks, "stats">;
  readonly coordinator: Pick<QuorumCoordinator, "counters" | "peerViews">;
  readonly ring: Pick<RingState, "table">;
  readonly replica: { readonly counters: Pick<ReplicaCounters, "crowdedWriteCount"> };
  readonly repairs: Pick<ReadRepair, "counts">;
  readonly moving: Pick<Moving, "totals" | "onSealed">;
  readonly liveness: Pick<Liveness, "stats">;
}

/** Registers everything that the rooms count. */
export function registerNodeMetrics(metrics: MetricsRegistry, sources: MetricSources): void {
  registerStorage(metrics, sources.engine);
  registerLinks(metrics, sources.links);
  registerCoordinator(metrics, sources.coordinator);
  registerPeerViews(metrics, sources);
  registerMoves(metrics, sources.moving);
  registerGossip(metrics, sources.liveness);
  const { repairs, replica } = sources;
  const { gauge, total } = metricReaders(metrics);
  total(
    "gyre_replica_crowded_writes_total",
    "Writes made here after which their key had more than 10 siblings or 4 MiB, since start.",
    () => replica.counters.crowdedWriteCount,
  );
  gauge("gyre_read_repair_queued", "Read repairs that wait.", () => repairs.counts().queuedNow);
  total(
    "gyre_read_repair_repaired_total",
    "Replicas repaired after reads, since start.",
    () => repairs.counts().repairedCount,
  );
  total(
    "gyre_read_repair_failed_total",
    "Replicas that refused a repair after a read, or did not answer, since start.",
    () => repairs.counts().failedCount,
  );
  total(
    "gyre_read_repair_dropped_total",
    "Read repairs forgotten for newer ones, since start.",
    () => repairs.counts().droppedCount,
  );
}

function registerMoves(metrics: MetricsRegistry, moving: MetricSources["moving"]): void {
  const { gauge, total } = metricReaders(metrics);
  gauge("gyre_handover_left", "Slots that this node should hold and does not yet.", () => moving.totals().leftCount);
  total("gyre_handover_taken_total", "Slots taken since start.", () => moving.totals().takenCount);
  total("gyre_handover_minted_total", "Of them, made anew after a removal.", () => moving.totals().mintedCount);
  gauge("gyre_handover_old_copies", "Copies given away and kept for now.", () => moving.totals().oldCopyCount);
  const sealed = {
    name: "gyre_handover_sealed_seconds",
    help: "How long writes of a partition waited for its hand-over.",
  };
  const histogram = metrics.durations(sealed);
  moving.onSealed((micros) => histogram.observe(micros));
  total(
    "gyre_handover_received_bytes_total",
    "Bytes of copies received since start.",
    () => moving.totals().receivedBytes,
  );
}

function registerGossip(metrics: MetricsRegistry, liveness: MetricSources["liveness"]): void {
  metrics.gauge({ name: "gyre_gossip_members", help: "Members as gossip knows them, by state." }, () =>
    Object.entries(liveness.stats()?.membersByState ?? {}).map(([state, value]) => ({ labels: { state }, value })),
  );
  const { gauge } = metricReaders(metrics);
  gauge("gyre_gossip_health", "Local health: 0 (well) to 7.", () => liveness.stats()?.health ?? 0);
}

function registerStorage(metrics: MetricsRegistry, engine: MetricSources["engine"]): void {
  const { gauge, total } = metricReaders(metrics);
  gauge("gyre_storage_keys", "Keys with a value, all partitions of this node.", () => engine.stats().keyCount);
  gauge("gyre_storage_tombstones", "Tombstones held.", () => engine.stats().tombstoneCount);
  gauge("gyre_storage_live_bytes", "Bytes of the newest records.", () => engine.stats().liveBytes);
  gauge("gyre_storage_disk_bytes", "Bytes of all segments.", () => engine.stats().diskBytes);
  gauge("gyre_storage_index_bytes", "Memory of the index.", () => engine.stats().indexBytes);
  gauge("gyre_storage_segments", "Segments on disk.", () => engine.stats().segmentCount);
  total("gyre_storage_puts_total", "Records written since start.", () => engine.stats().putCount);
  total("gyre_storage_commits_total", "Group commits since start.", () => engine.stats().commitCount);
  total(
    "gyre_storage_compacted_bytes_total",
    "Bytes copied by compaction since start.",
    () => engine.stats().compactedBytes,
  );
  total(
    "gyre_storage_corrupt_reads_total",
    "Reads that failed their checksum since start.",
    () => engine.stats().corruptReadCount,
  );
  registerUpkeep(metrics, engine);
  gauge(
    "gyre_storage_suspect_partitions",
    "Partitions that may lack acknowledged writes here.",
    () => engine.suspectPartitions().length,
  );
}

/** Rot that is looked for, and space that is watched. */
function registerUpkeep(metrics: MetricsRegistry, engine: MetricSources["engine"]): void {
  const { gauge, total } = metricReaders(metrics);
  const scrub = (): ScrubState => engine.stats().scrub;
  gauge("gyre_storage_reaped", "Records collected whose marks are still kept.", () => engine.stats().reapedCount);
  total("gyre_storage_scrub_bytes_total", "Bytes re-read by the scrub since start.", () => scrub().readBytes);
  gauge("gyre_storage_scrub_bytes_per_second", "Pace of the scrub now.", () => scrub().bytesPerSecond);
  total("gyre_storage_scrub_passes_total", "Passes over the whole store, of all starts.", () => scrub().passCount);
  gauge(
    "gyre_storage_scrub_last_pass_timestamp_seconds",
    "End of the last; 0: none.",
    () => scrub().passEndedAtMs / 1_000,
  );
  total("gyre_storage_scrub_rot_total", "Rotten places found since start, dead records' too.", () => scrub().badCount);
  total("gyre_storage_scrub_lost_total", "Newest records found rotten since start.", () => scrub().lostCount);
  total(
    "gyre_storage_scrub_rebuilt_index_files_total",
    "Index files made anew since start.",
    () => scrub().rebuiltIndexCount,
  );
  gauge("gyre_disk_free_bytes", "Free space of the disk, as last seen.", () => engine.disk.freeBytes);
  gauge("gyre_disk_total_bytes", "Free and taken space of the disk.", () => engine.disk.totalBytes);
  metrics.gauge({ name: "gyre_disk_level", help: "1 at the level that the disk is at." }, () =>
    DISK_LEVELS.map((level) => ({ labels: { level }, value: engine.disk.level === level ? 1 : 0 })),
  );
}

const DISK_LEVELS: readonly DiskLevel[] = ["ok", "warn", "no_growth", "no_puts", "compaction_only"];

function registerLinks(metrics: MetricsRegistry, links: MetricSources["links"]): void {
  const { gauge, total } = metricReaders(metrics);
  gauge("gyre_peer_links_up", "Peers that a data link leads to.", () => links.stats().reachablePeerCount);
  gauge("gyre_peer_known", "Peers known.", () => links.stats().knownPeerCount);
  total("gyre_peer_sent_bytes_total", "Bytes sent to peers over links, since start.", () => links.stats().bytesSent);
  total("gyre_peer_received_bytes_total", "Bytes received over links, since start.", () => links.stats().bytesReceived);
  total(
    "gyre_peer_expired_requests_total",
    "Requests of peers refused because their time was up, since start.",
    () => links.stats().requestsExpired,
  );
  gauge("gyre_peer_queued_bytes", "Bytes that wait to leave for peers.", () => links.stats().queuedBytes);
  metrics.total({ name: "gyre_peer_calls_total", help: "Calls to peers since start, by what they ended in." }, () =>
    Object.entries(links.stats().callsByResult).map(([result, value]) => ({ labels: { result }, value })),
  );
}

const STANDINGS: readonly Standing[] = ["well", "doubtful", "unreachable"];

/** How this node chooses whom to ask. Who belongs no more is not shown. */
function registerPeerViews(metrics: MetricsRegistry, { coordinator, ring }: MetricSources): void {
  const views = (): readonly PeerView[] =>
    coordinator.peerViews(ring.table === undefined ? [] : ring.table.all.map(({ nodeId }) => nodeId));
  const standing = {
    name: "gyre_peer_standing",
    help: "1 at when this node asks the other: in its turn, after the others, or when nobody else is left.",
  };
  metrics.gauge(standing, () =>
    views().flatMap((view) =>
      STANDINGS.map((one) => ({ labels: { node: view.node, standing: one }, value: view.standing === one ? 1 : 0 })),
    ),
  );
  const mean = {
    name: "gyre_peer_read_seconds",
    help: "Mean time in which the other node answered reads lately, by which replicas are ranked; 0: it was asked for none.",
  };
  metrics.gauge(mean, () => views().map(({ node, meanReadMs }) => ({ labels: { node }, value: meanReadMs / 1_000 })));
}

function registerCoordinator(metrics: MetricsRegistry, coordinator: MetricSources["coordinator"]): void {
  metrics.total({ name: "gyre_coordinator_events_total", help: "What the coordinator did since start, by kind." }, () =>
    Object.entries(coordinator.counters).map(([kind, value]: readonly [string, number]) => ({
      labels: { kind },
      value,
    })),
  );
}
