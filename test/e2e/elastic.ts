/**
 * `npm run accept:elastic`: 3 → 5 → 8 → 5 → 3 nodes under steady load with the oracle on, joins and leaves overlapping, one
 * receiver and one donor killed in mid-transfer; prints what was lost, how long anything failed, and what was moved.
 * `--keys 20000 --sessions 8`. Ends with exit code 1 when a promise was broken.
 */
import { parseArgs } from "node:util";
import { fillBulk, wrongBulk } from "./bulk-keys.ts";
import { pause, RealCluster } from "./cluster.ts";
import {
  change,
  crowdedPartitions,
  nameOf,
  ringText,
  untilEmpty,
  untilNoOldCopies,
  untilSettled,
  zoneEnv,
} from "./elastic-story.ts";
import { type Moved, MovedBytes, movedText } from "./moved-bytes.ts";
import { OracleLoad } from "./oracle-load.ts";
import { SealedTimes } from "./sealed-times.ts";

const { values: flags } = parseArgs({
  options: {
    keys: { type: "string", default: "20000" },
    sessions: { type: "string", default: "8" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    partitions: { type: "string", default: "1024" },
  },
});
const keyCount = Number(flags.keys);
const SETTLE_MS = 240_000;
/** What may be moved at most, as a multiple of the least: partitions whose receiver was killed may begin again. */
const MOST_MOVED = 1.5;
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function latencyText(values: readonly number[]): string {
  return `p50 ${percentile(values, 0.5).toFixed(1)} p99 ${percentile(values, 0.99).toFixed(1)} ms`;
}

/** Waits for these nodes alone; then all must tell one ring, each partition on three nodes in three zones. */
async function isWellSpread(cluster: RealCluster, nodes: readonly number[]): Promise<boolean> {
  await untilSettled(cluster, nodes, SETTLE_MS);
  const texts = await Promise.all(nodes.map((node) => ringText(cluster, node)));
  const crowded = crowdedPartitions(texts[0] ?? "");
  const tables = new Set(texts).size;
  const words = `${tables} table(s), ${crowded.length} partitions without three owners in three zones`;
  tell(`${nodes.length} nodes, settled: ${words} ${crowded.slice(0, 3).join("; ")}`);
  return tables === 1 && crowded.length === 0;
}

/** Prints what a phase moved; false when that is far more than it had to be. */
function tellMoved(phase: string, moved: Moved): boolean {
  tell(`${phase}: ${movedText(moved)}`);
  return moved.receivedBytes <= MOST_MOVED * moved.leastBytes;
}

async function main(): Promise<boolean> {
  await using cluster = await RealCluster.start(3, { GYRE_PARTITIONS: flags.partitions }, zoneEnv);
  let live: readonly number[] = [0, 1, 2];
  tell(`3 nodes in 3 zones, seed ${flags.seed}`);
  await fillBulk(cluster, keyCount);
  tell(`${keyCount} keys of 1 KB written`);
  const plan = { sessionCount: Number(flags.sessions), keyCount: 200, seed: Number(flags.seed), thinkMs: 5 };
  const load = new OracleLoad(cluster, plan, () => live);
  load.start();
  await pause(5_000);
  const quiet = load.counts.latenciesMs.splice(0);
  tell(`quiet: ${latencyText(quiet)}`);
  const moved = new MovedBytes(cluster);
  const sealed = new SealedTimes(cluster);
  await moved.begin(live);

  const [four, five] = await cluster.grow(2);
  await cluster.untilReady([four ?? 3, five ?? 4]);
  live = [0, 1, 2, 3, 4];
  tell("n4 and n5 are joining");
  await pause(2_000);
  const added = await cluster.grow(3);
  await cluster.untilReady(added);
  live = [0, 1, 2, 3, 4, 5, 6, 7];
  tell("n6, n7, n8 are joining beside them");
  await pause(2_000);
  live = live.filter((node) => node !== 4);
  await moved.ending(4);
  await sealed.ending([4]);
  await cluster.kill(4);
  tell("killed n5, a receiver");
  await pause(2_000);
  cluster.spawn(4);
  await cluster.untilReady([4]);
  live = [...live, 4].toSorted();
  await pause(1_000);
  live = live.filter((node) => node !== 0);
  await moved.ending(0);
  await sealed.ending([0]);
  await cluster.kill(0);
  tell("killed n1, a donor");
  await pause(2_000);
  cluster.spawn(0);
  await cluster.untilReady([0]);
  live = [0, ...live];
  const eight = [0, 1, 2, 3, 4, 5, 6, 7];
  let isSpread = await isWellSpread(cluster, eight);
  let isLean = true;
  await untilNoOldCopies(cluster, eight, SETTLE_MS);
  isLean = tellMoved("3 → 8", await moved.end(eight, eight)) && isLean;
  await moved.begin(eight);
  for (const node of [7, 6]) await change(cluster, 1, [{ kind: "leave", node: nameOf(node) }]);
  await pause(2_000);
  await change(cluster, 1, [{ kind: "leave", node: nameOf(5) }]);
  tell("n8, n7 and, beside them, n6 are leaving");
  isSpread = (await isWellSpread(cluster, [0, 1, 2, 3, 4])) && isSpread;
  live = [0, 1, 2, 3, 4];
  for (const node of [5, 6, 7]) await untilEmpty(cluster, node, SETTLE_MS);
  await untilNoOldCopies(cluster, live, SETTLE_MS);
  isLean = tellMoved("8 → 5", await moved.end(live, eight)) && isLean;
  await sealed.ending([5, 6, 7]);
  for (const node of [5, 6, 7]) await cluster.stop(node);
  await moved.begin(live);
  await change(cluster, 0, [{ kind: "leave", node: nameOf(3) }]);
  await change(cluster, 0, [{ kind: "leave", node: nameOf(4) }]);
  isSpread = (await isWellSpread(cluster, [0, 1, 2])) && isSpread;
  live = [0, 1, 2];
  for (const node of [3, 4]) await untilEmpty(cluster, node, SETTLE_MS);
  tell("who left is empty");
  await untilNoOldCopies(cluster, live, SETTLE_MS);
  isLean = tellMoved("5 → 3", await moved.end(live, [0, 1, 2, 3, 4])) && isLean;
  await sealed.ending([0, 1, 2, 3, 4]);
  tell(`writes held up: ${sealed.toString()}`);
  const moving = load.counts.latenciesMs.splice(0);
  await load.stop();

  const unread = await load.judge(0, "at the end");
  const wrong = await wrongBulk(cluster, 1, keyCount);
  const { operationCount, appliedCount, failedCount, longestFailureMs, longestFailureText } = load.counts;
  tell(`load: ${operationCount} operations, ${appliedCount} applied, ${failedCount} failed and tried again`);
  tell(`longest that an operation failed: ${longestFailureMs.toFixed(0)} ms (${longestFailureText.slice(0, 400)})`);
  const worse = percentile(moving, 0.99) / percentile(quiet, 0.99);
  tell(`latency while moving: ${latencyText(moving)}: p99 is ${worse.toFixed(1)} × the quiet one`);
  tell(`one table, three owners in three zones everywhere, at 8, 5 and 3 nodes: ${isSpread}`);
  tell(`bulk keys lost: ${wrong} of ${keyCount}; oracle keys unread: ${unread.length}`);
  tell(`broken promises: ${load.oracle.violations.length} ${JSON.stringify(load.oracle.violations.slice(0, 5))}`);
  return (
    isSpread &&
    isLean &&
    wrong === 0 &&
    unread.length === 0 &&
    load.oracle.violations.length === 0 &&
    longestFailureMs <= 2_000
  );
}

process.exitCode = (await main()) ? 0 : 1;
