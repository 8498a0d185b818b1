/**
 * `npm run accept:outage`: four nodes under steady load, one of which is away for a while and comes back: what clients of the
 * returning node feel while hints are delivered to it, how soon it has everything, and whether anything acknowledged is gone.
 * Ends with exit code 1 when something is. Options: `--seconds N` of outage (default 40), `--share S` of the measured capacity
 * (default 0.7). Generator and servers share the machine's cores.
 */
import { parseArgs } from "node:util";
import { fillBulk } from "./bulk-keys.ts";
import { pause, RealCluster, until } from "./cluster.ts";
import type { TargetResult } from "./generator.ts";
import { GeneratorProcess } from "./generator-process.ts";
import { ask, tryAsk } from "./http.ts";

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "40" },
    share: { type: "string", default: "0.7" },
    keys: { type: "string", default: "2000" },
  },
});
const AWAY = 3;
const ALL = [0, 1, 2, AWAY];
const OTHERS = [0, 1, 2];
const DEADLINE_MS = 2_000;
const QUIET_MS = 10_000;
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

interface Stretch {
  readonly nodes: readonly number[];
  readonly durationMs: number;
  /** requests a second; undefined: as many as the nodes can do */
  readonly rate: number | undefined;
}

/** Loads these nodes; the results by node. */
async function load(
  { cluster, generator }: { readonly cluster: RealCluster; readonly generator: GeneratorProcess },
  { nodes, durationMs, rate }: Stretch,
): Promise<readonly TargetResult[]> {
  const ports = nodes.map((node) => Number(new URL(cluster.url(node)).port));
  const shape = { keyCount: Number(flags.keys), writeShare: 0.5, hotShare: 0, deadlineMs: DEADLINE_MS };
  const order = { kind: "load", ports, connectionsPerTarget: 16, durationMs, rate, ...shape } as const;
  return (await generator.order(order)).targets;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function told(results: readonly TargetResult[]): string {
  const good = results.flatMap(({ goodMs }) => goodMs);
  const others = results.reduce(
    (sum, one) => sum + one.lateCount + one.lostCount + Object.values(one.refusedByStatus).reduce((a, b) => a + b, 0),
    0,
  );
  return `${good.length} answered, p50 ${percentile(good, 0.5).toFixed(1)} p99 ${percentile(good, 0.99).toFixed(1)} ms; refused, late or lost ${others}`;
}

async function hintsAt(cluster: RealCluster, node: number): Promise<number> {
  const answer = await tryAsk(`${cluster.url(node)}/metrics`);
  const counts = [...(answer?.text.matchAll(/^gyre_hints_(?:kept|markers)(?:\{[^}]*\})? (\d+)$/gm) ?? [])];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

async function keptHints(cluster: RealCluster): Promise<number> {
  const counts = await Promise.all(OTHERS.map((node) => hintsAt(cluster, node)));
  return counts.reduce((sum, count) => sum + count, 0);
}

await using cluster = await RealCluster.start(ALL.length, { GYRE_PARTITIONS: "256" });
using generator = new GeneratorProcess();
const parts = { cluster, generator };
await fillBulk(cluster, Number(flags.keys));
await load(parts, { nodes: ALL, durationMs: 4_000, rate: undefined });
const peak = await load(parts, { nodes: ALL, durationMs: 6_000, rate: undefined });
const capacity = peak.reduce((sum, { goodMs }) => sum + goodMs.length, 0) / 6;
const rate = Math.floor(capacity * Number(flags.share));
tell(`capacity ${Math.round(capacity)} requests a second; load from here on ${rate}`);
const quiet = await load(parts, { nodes: ALL, durationMs: QUIET_MS, rate });
const quietMs = percentile(quiet[AWAY]?.goodMs ?? [], 0.99);
tell(`quiet: ${told(quiet)}; n4 alone p99 ${quietMs.toFixed(1)} ms`);

await cluster.kill(AWAY);
const outage = await load(parts, { nodes: OTHERS, durationMs: Number(flags.seconds) * 1_000, rate });
tell(`n4 away: ${told(outage)}; hints kept ${await keptHints(cluster)}`);

cluster.spawn(AWAY);
await cluster.untilReady([AWAY]);
const readyAt = performance.now();
tell("n4 is ready");
const delivered = until("all hints are delivered", async () => (await keptHints(cluster)) === 0, 600_000);
const back = await load(parts, { nodes: ALL, durationMs: QUIET_MS, rate });
const backMs = percentile(back[AWAY]?.goodMs ?? [], 0.99);
tell(`n4 back: ${told(back)}; n4 alone p99 ${backMs.toFixed(1)} ms = ${(backMs / quietMs).toFixed(2)} × quiet`);
await delivered;
tell(`all hints delivered ${((performance.now() - readyAt) / 1_000).toFixed(1)} s after n4 was ready`);

await pause(1_000);
const repaired = await ask(`${cluster.url(0)}/v1/repair?all=true&timeout=300000`, { method: "POST" });
tell(`everything compared: ${repaired.status} ${repaired.text.slice(0, 200)}`);
const ports = ALL.map((node) => Number(new URL(cluster.url(node)).port));
const verified = await generator.order({ kind: "verify", ports, sampleCount: 20_000 });
tell(
  `acknowledged writes ${verified.acknowledgedCount}, read back ${verified.readCount}: lost ${verified.lostCount}, unread ${verified.unreadCount}`,
);
if (repaired.status !== 200 || verified.lostCount + verified.unreadCount > 0) process.exitCode = 1;
