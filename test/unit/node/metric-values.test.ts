/**
 * That each name shows the number of its own source: every number of every fake is another one, so that two readers that change
 * places are two wrong lines. What a source has and no line shows does not matter; a line that nothing here expects does.
 */
import { expect, test } from "vitest";
import type { GossipStats } from "../../../gossip/options.ts";
import { listenerCounters } from "../../../services/api/request-metrics.ts";
import { parseNodeId } from "../../../services/base/ids.ts";
import { MetricsRegistry } from "../../../services/base/metrics.ts";
import type { CalmView } from "../../../services/calm/calm.ts";
import { newCounters } from "../../../services/coordinator/needs.ts";
import type { PeerView } from "../../../services/coordinator/peer-health.ts";
import type { HintsView } from "../../../services/handoff/hints-view.ts";
import { registerCalm } from "../../../services/node/calm-metrics.ts";
import { registerCollecting } from "../../../services/node/collect-metrics.ts";
import { registerHints } from "../../../services/node/hint-metrics.ts";
import { type MetricSources, registerNodeMetrics } from "../../../services/node/node-metrics.ts";
import { registerAntiEntropy } from "../../../services/node/repair-metrics.ts";
import { registerTraces } from "../../../services/node/trace-metrics.ts";
import { newLinkStats } from "../../../services/peers/link-stats.ts";
import type { HolderTable } from "../../../services/placement/holder-table.ts";
import type { AntiEntropyStatus } from "../../../services/repair/anti-entropy.ts";
import type { CollectStatus } from "../../../services/repair/collect.ts";
import type { StorageStats } from "../../../storage/engine.ts";

type Expected = Readonly<Record<string, number>>;

const NODES = ["n1", "n2", "n3"].map((name) => {
  const node = parseNodeId(name);
  if (node === undefined) throw new Error(name);
  return node;
});
const [N1, N2, N3] = NODES as [PeerView["node"], PeerView["node"], PeerView["node"]];

let last = 1_000;
/** A number that nothing else here has, nor a thousandth of it. */
function another(): number {
  last += 1;
  return last;
}

/** Another number in the place of each. */
function numbered<T extends object>(zeros: T): { [Name in keyof T]: number } {
  return Object.fromEntries(Object.keys(zeros).map((name) => [name, another()])) as { [Name in keyof T]: number };
}

/** Every line that is shown, by name and labels; of a histogram its sum. */
function shownBy(register: (metrics: MetricsRegistry) => void): Record<string, number> {
  const metrics = new MetricsRegistry();
  register(metrics);
  const lines = metrics.render().split("\n");
  const series = lines.filter((line) => line !== "" && !/^#|_bucket\{|_count /.test(line));
  return Object.fromEntries(
    series.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]),
  );
}

/** What is expected tells all of its lines apart, but those of states, of which one is 1. */
function expectShown(register: (metrics: MetricsRegistry) => void, expected: Expected): void {
  const numbers = Object.entries(expected).filter(([name]) => !/(?:state|standing|level)="/.test(name));
  const told = Object.entries(expected).filter(([name]) => name.startsWith("gyre_gossip_members"));
  expect(new Set([...numbers, ...told].map(([, value]) => value)).size).toBe(numbers.length + told.length);
  expect(shownBy(register)).toEqual(expected);
}

/** One line for each entry of `counts`, told apart by one label. */
function byLabel(name: string, label: string, counts: Readonly<Record<string, number>>): Expected {
  return Object.fromEntries(Object.entries(counts).map(([one, value]) => [`${name}{${label}="${one}"}`, value]));
}

test("calm's", () => {
  const limits = { read: another(), write: another(), list: another() };
  const view: CalmView = {
    backgroundShare: another(),
    pressure: another(),
    readP99Ms: another(),
    writeP99Ms: another(),
    targetsMs: { read: another(), write: another() },
    loopDelayMs: another(),
    loopUtilisation: another(),
    strain: "none",
    memory: "roomy",
    memoryShare: another(),
    startShare: another(),
    limits,
  };
  const pulse = { state: "slow", medianMs: another(), stallMs: another(), canaryCount: another() } as const;
  const [front, replica] = [{ sharedCount: another() }, { keyRefusedCount: another() }];
  expectShown((metrics) => registerCalm(metrics, { calm: { view: () => view }, pulse, front, replica }), {
    gyre_background_share_ratio: view.backgroundShare,
    gyre_foreground_pressure_ratio: view.pressure,
    gyre_loop_delay_seconds: view.loopDelayMs / 1_000,
    gyre_reads_shared_total: front.sharedCount,
    gyre_key_queue_refused_total: replica.keyRefusedCount,
    gyre_memory_share_ratio: view.memoryShare,
    gyre_start_share_ratio: view.startShare,
    ...byLabel("gyre_admitted_requests", "class", limits),
    gyre_loop_utilisation_ratio: view.loopUtilisation,
    ...byLabel("gyre_disk_state", "state", { well: 0, slow: 1, degraded: 0 }),
    gyre_disk_put_seconds: pulse.medianMs / 1_000,
    gyre_disk_stall_seconds: pulse.stallMs / 1_000,
    gyre_disk_canaries_total: pulse.canaryCount,
  });
});

test("anti-entropy's", () => {
  const ageMs = another();
  const status: AntiEntropyStatus = {
    suspectPartitions: another(),
    flaggedPartitions: another(),
    unreadableKeys: another(),
    lostKeys: another(),
    pairs: another(),
    neverVerified: another(),
    oldestUnverified: { peer: N2, partition: another(), ageMs, wasVerified: true },
    running: another(),
    comparedRoots: another(),
    exchanges: another(),
    pulledKeys: another(),
    pushedKeys: another(),
    receivedBytes: another(),
    sentBytes: another(),
    lastError: undefined,
  };
  expectShown((metrics) => registerAntiEntropy(metrics, () => status), {
    gyre_anti_entropy_pairs: status.pairs,
    gyre_anti_entropy_never_verified: status.neverVerified,
    gyre_anti_entropy_oldest_verified_seconds: ageMs / 1_000,
    gyre_anti_entropy_running: status.running,
    gyre_anti_entropy_compared_roots_total: status.comparedRoots,
    gyre_anti_entropy_exchanges_total: status.exchanges,
    gyre_anti_entropy_pulled_keys_total: status.pulledKeys,
    gyre_anti_entropy_pushed_keys_total: status.pushedKeys,
    gyre_anti_entropy_received_bytes_total: status.receivedBytes,
    gyre_anti_entropy_sent_bytes_total: status.sentBytes,
    gyre_anti_entropy_unreadable_keys: status.unreadableKeys,
    gyre_anti_entropy_lost_keys: status.lostKeys,
  });
});

test("those of tombstones", () => {
  const status: CollectStatus = {
    count: another(),
    oldestAgeMs: another(),
    collected: another(),
    waiting: { young: another(), away: another() },
    behind: another(),
    rounds: another(),
    unproved: another(),
  };
  expectShown((metrics) => registerCollecting(metrics, () => status), {
    gyre_tombstones_held: status.count,
    gyre_tombstones_oldest_seconds: (status.oldestAgeMs ?? 0) / 1_000,
    gyre_tombstones_collected_total: status.collected,
    gyre_tombstones_waiting_partitions: Object.values(status.waiting).reduce((sum, one) => sum + one, 0),
    gyre_tombstones_behind_partitions: status.behind,
    gyre_tombstones_unproved_keys: status.unproved,
    gyre_tombstones_rounds_total: status.rounds,
  });
});

test("those of hints", () => {
  const targets = [N2, N3].map((node) => ({
    ...{ node, count: another(), markerCount: another() * 10_000 },
    ...{ bytes: another(), oldestAgeMs: another() },
  }));
  const view: HintsView = {
    ...{ count: another(), markerCount: another(), bytes: another(), budgetBytes: another() },
    ...{ flaggedPartitions: another(), oldestAgeMs: another(), targets },
    delivered: {
      ...{ offeredCount: another(), sentCount: another(), sentBytes: another() },
      ...{ deliveredCount: another(), givenUpCount: another(), failedRunCount: another() },
    },
    taken: { offeredCount: another(), takenCount: another(), takenBytes: another() },
    missed: { count: another(), flagged: another(), markersGivenUp: another() },
  };
  const { delivered, taken, missed } = view;
  expectShown((metrics) => registerHints(metrics, () => view), {
    gyre_hints_kept: view.count,
    gyre_hints_markers: view.markerCount,
    gyre_hints_bytes: view.bytes,
    gyre_hints_budget_bytes: view.budgetBytes,
    gyre_hints_oldest_age_seconds: view.oldestAgeMs / 1_000,
    gyre_hints_flagged_partitions: view.flaggedPartitions,
    ...byLabel(
      "gyre_hints_waiting",
      "node",
      Object.fromEntries(targets.map(({ node, count, markerCount }) => [node, count + markerCount])),
    ),
    ...byLabel("gyre_hints_events_total", "kind", {
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
    }),
  });
});

test("those of traces", () => {
  const dropped = { queue_full: another(), refused: another(), stopped: another() };
  const exporter = { queuedCount: another(), sentCount: another(), dropped };
  expectShown((metrics) => registerTraces(metrics, exporter), {
    gyre_trace_spans_queued: exporter.queuedCount,
    gyre_trace_spans_sent_total: exporter.sentCount,
    ...byLabel("gyre_trace_spans_dropped_total", "reason", dropped),
  });
});

test("the listener's", () => {
  const underWay = { requests: another(), bytes: another() };
  const [waiting, unmatched, dropped, gone] = [another(), another(), another(), another()];
  const register = (metrics: MetricsRegistry): void => {
    const counters = listenerCounters(metrics, underWay, () => waiting);
    counters.unmatched.add(unmatched);
    counters.dropped.add(dropped);
    counters.gone.add(gone);
  };
  const shown = Object.entries(shownBy(register)).filter(([name]) => !name.includes("shed"));
  expect(Object.fromEntries(shown)).toEqual({
    gyre_http_inflight_requests: underWay.requests,
    gyre_http_inflight_bytes: underWay.bytes,
    gyre_http_waiting_requests: waiting,
    gyre_http_unmatched_requests_total: unmatched,
    gyre_http_dropped_connections_total: dropped,
    gyre_http_gone_requests_total: gone,
  });
});

/** Storage's part of the sources, and its lines. */
function storage(): { readonly engine: MetricSources["engine"]; readonly expected: Expected } {
  const stats: StorageStats = {
    ...{ keyCount: another(), tombstoneCount: another(), reapedCount: another(), liveBytes: another() },
    ...{ diskBytes: another(), indexBytes: another(), segmentCount: another(), putCount: another() },
    ...{ commitCount: another(), compactedBytes: another(), corruptReadCount: another() },
    scrub: {
      ...{ segmentCount: another(), readBytes: another(), badCount: another(), lostCount: another() },
      ...{ rebuiltIndexCount: another(), bytesPerSecond: another(), passCount: another(), passEndedAtMs: another() },
    },
  };
  const { scrub } = stats;
  const disk = { level: "no_growth", freeBytes: another(), totalBytes: another(), hasBallast: true } as const;
  const expected = {
    gyre_storage_keys: stats.keyCount,
    gyre_storage_tombstones: stats.tombstoneCount,
    gyre_storage_live_bytes: stats.liveBytes,
    gyre_storage_disk_bytes: stats.diskBytes,
    gyre_storage_index_bytes: stats.indexBytes,
    gyre_storage_segments: stats.segmentCount,
    gyre_storage_puts_total: stats.putCount,
    gyre_storage_commits_total: stats.commitCount,
    gyre_storage_compacted_bytes_total: stats.compactedBytes,
    gyre_storage_corrupt_reads_total: stats.corruptReadCount,
    gyre_storage_reaped: stats.reapedCount,
    gyre_storage_scrub_bytes_total: scrub.readBytes,
    gyre_storage_scrub_bytes_per_second: scrub.bytesPerSecond,
    gyre_storage_scrub_passes_total: scrub.passCount,
    gyre_storage_scrub_last_pass_timestamp_seconds: scrub.passEndedAtMs / 1_000,
    gyre_storage_scrub_rot_total: scrub.badCount,
    gyre_storage_scrub_lost_total: scrub.lostCount,
    gyre_storage_scrub_rebuilt_index_files_total: scrub.rebuiltIndexCount,
    gyre_disk_free_bytes: disk.freeBytes,
    gyre_disk_total_bytes: disk.totalBytes,
    ...byLabel("gyre_disk_level", "level", { ok: 0, warn: 0, no_growth: 1, no_puts: 0, compaction_only: 0 }),
    gyre_storage_suspect_partitions: 3,
  };
  return { engine: { stats: () => stats, disk, suspectPartitions: () => [7, 8, 9] }, expected };
}

/** The parts of the links and of the coordinator, and their lines. */
function others(): {
  readonly sources: Pick<MetricSources, "links" | "coordinator" | "ring">;
  readonly expected: Expected;
} {
  const { callsByResult, ...rest } = newLinkStats();
  const own = { queuedBytes: another(), knownPeerCount: another(), reachablePeerCount: another() };
  const links = { ...numbered(rest), ...own, callsByResult: numbered(callsByResult) };
  const counters = numbered(newCounters());
  const views: readonly PeerView[] = [
    { node: N2, standing: "doubtful", meanReadMs: another() },
    { node: N3, standing: "unreachable", meanReadMs: another() },
  ];
  const expected = {
    gyre_peer_links_up: links.reachablePeerCount,
    gyre_peer_known: links.knownPeerCount,
    gyre_peer_sent_bytes_total: links.bytesSent,
    gyre_peer_received_bytes_total: links.bytesReceived,
    gyre_peer_expired_requests_total: links.requestsExpired,
    gyre_peer_queued_bytes: links.queuedBytes,
    ...byLabel("gyre_peer_calls_total", "result", links.callsByResult),
    ...byLabel("gyre_coordinator_events_total", "kind", counters),
    'gyre_peer_standing{node="n2",standing="well"}': 0,
    'gyre_peer_standing{node="n2",standing="doubtful"}': 1,
    'gyre_peer_standing{node="n2",standing="unreachable"}': 0,
    'gyre_peer_standing{node="n3",standing="well"}': 0,
    'gyre_peer_standing{node="n3",standing="doubtful"}': 0,
    'gyre_peer_standing{node="n3",standing="unreachable"}': 1,
    'gyre_peer_read_seconds{node="n2"}': (views[0]?.meanReadMs ?? 0) / 1_000,
    'gyre_peer_read_seconds{node="n3"}': (views[1]?.meanReadMs ?? 0) / 1_000,
  };
  const table = { all: NODES.map((nodeId) => ({ nodeId })) } as unknown as HolderTable;
  const peerViews = (nodes: readonly PeerView["node"][]): readonly PeerView[] =>
    views.filter(({ node }) => nodes.includes(node) && nodes.includes(N1));
  return {
    sources: { links: { stats: () => links }, coordinator: { counters, peerViews }, ring: { table } },
    expected,
  };
}

test("those of storage, links, coordinator, read repair, hand-overs and gossip", () => {
  const { engine, expected: ofStorage } = storage();
  const { sources, expected: ofOthers } = others();
  const repairs = {
    ...{ queuedNow: another(), queuedBytesNow: another(), runningNow: another(), takenCount: another() },
    ...{ repairedCount: another(), failedCount: another(), droppedCount: another() },
  };
  const totals = {
    ...{ takenCount: another(), mintedCount: another(), receivedBytes: another() },
    ...{ oldCopyCount: another(), leftCount: another() },
  };
  const sealedSeconds = another();
  const moving: MetricSources["moving"] = { totals: () => totals, onSealed: (note) => note(sealedSeconds * 1_000_000) };
  const membersByState = { alive: another(), suspect: another(), dead: another(), left: another() };
  const gossip = { health: another(), generation: another(), incarnation: another(), membersByState };
  const liveness = { stats: () => gossip as unknown as GossipStats };
  const replica = { counters: { crowdedWriteCount: another() } };
  const all = { engine, ...sources, replica, repairs: { counts: () => repairs }, moving, liveness };
  expectShown((metrics) => registerNodeMetrics(metrics, all), {
    ...ofStorage,
    ...ofOthers,
    gyre_replica_crowded_writes_total: replica.counters.crowdedWriteCount,
    gyre_read_repair_queued: repairs.queuedNow,
    gyre_read_repair_repaired_total: repairs.repairedCount,
    gyre_read_repair_failed_total: repairs.failedCount,
    gyre_read_repair_dropped_total: repairs.droppedCount,
    gyre_handover_left: totals.leftCount,
    gyre_handover_taken_total: totals.takenCount,
    gyre_handover_minted_total: totals.mintedCount,
    gyre_handover_old_copies: totals.oldCopyCount,
    gyre_handover_sealed_seconds_sum: sealedSeconds,
    gyre_handover_received_bytes_total: totals.receivedBytes,
    ...byLabel("gyre_gossip_members", "state", membersByState),
    gyre_gossip_health: gossip.health,
  });
});
