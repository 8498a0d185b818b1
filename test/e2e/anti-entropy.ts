/**
 * `npm run accept:anti-entropy`: a node loses every record on its disk (its membership stays) while nothing is written, so
 * that there are no hints: anti-entropy alone brings them back; then it is silent. Prints seconds, bytes against the least that could be sent, and
 * what silence costs. `--keys 200000 --silence 60`. Ends with exit code 1 when a promise was broken.
 */
import { closeSync, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { wrongBulk } from "./bulk-keys.ts";
import { pause, RealCluster, until } from "./cluster.ts";
import { metric } from "./elastic-story.ts";
import { ask } from "./http.ts";
import { processorMs } from "./processor-time.ts";

const { values: flags } = parseArgs({
  options: {
    keys: { type: "string", default: "200000" },
    partitions: { type: "string", default: "1024" },
    silence: { type: "string", default: "60" },
  },
});
const keyCount = Number(flags.keys);
const BATCH_OPS = 100;
const LANES = 6;
const HEALED_WITHIN_MS = 900_000;
const PAD = "p".repeat(900);
const NODES = [0, 1, 2];
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

/** Writes the keys as `bulk-keys.ts` expects them, many in a request. Throws when one is not taken. */
async function fill(cluster: RealCluster): Promise<void> {
  let next = 0;
  const run = async (lane: number): Promise<void> => {
    for (let from = next; from < keyCount; from = next) {
      next += BATCH_OPS;
      const count = Math.min(BATCH_OPS, keyCount - from);
      const ops = Array.from({ length: count }, (_, at) => {
        const i = from + at;
        return { op: "put", key: `key-${i}`, value: { i, pad: PAD } };
      });
      await put(cluster, lane, JSON.stringify({ ops }));
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, lane) => run(lane)));
}

/** A batch, again until all of it is applied: the same value at the same key. */
async function put(cluster: RealCluster, lane: number, body: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const answer = await ask(`${cluster.url(lane % NODES.length)}/v1/kv/bulk:batch?w=all`, { method: "POST", body });
    const results = answer.body["results"];
    const isDone = Array.isArray(results) && results.every((one: { readonly status: number }) => one.status === 200);
    if (answer.status === 200 && isDone) return;
    await pause(200);
  }
  throw new Error("a batch was not taken");
}

/** Every byte of every record becomes nonsense; index files go. Manifest and documents stay. Answers the bytes. */
function ruin(directory: string): number {
  const segments = join(directory, "segments");
  let ruined = 0;
  for (const name of readdirSync(segments)) {
    const path = join(segments, name);
    if (name.endsWith(".idx")) rmSync(path);
    if (!name.endsWith(".log")) continue;
    const sizeBytes = statSync(path).size;
    const file = openSync(path, "r+");
    const nonsense = Buffer.alloc(1 << 20, 0xa5);
    // the first page names the segment
    for (let at = 4_096; at < sizeBytes; at += nonsense.length) {
      ruined += writeSync(file, nonsense, 0, Math.min(nonsense.length, sizeBytes - at), at);
    }
    closeSync(file);
  }
  return ruined;
}

interface Seen {
  readonly keys: number;
  readonly suspects: number;
  readonly pulled: number;
  readonly pushed: number;
  readonly objectBytes: number;
  readonly exchanges: number;
  readonly roots: number;
  readonly linkBytes: number;
  readonly cpuMs: number;
}

async function see(cluster: RealCluster, node: number): Promise<Seen> {
  const one = (name: string): Promise<number> => metric(cluster, node, `gyre_${name}`);
  return {
    keys: await one("storage_keys"),
    suspects: await one("storage_suspect_partitions"),
    pulled: await one("anti_entropy_pulled_keys_total"),
    pushed: await one("anti_entropy_pushed_keys_total"),
    objectBytes: await one("anti_entropy_sent_bytes_total"),
    exchanges: await one("anti_entropy_exchanges_total"),
    roots: await one("anti_entropy_compared_roots_total"),
    linkBytes: await one("peer_sent_bytes_total"),
    cpuMs: processorMs(cluster.pid(node)),
  };
}

async function seeAll(cluster: RealCluster): Promise<readonly Seen[]> {
  return Promise.all(NODES.map((node) => see(cluster, node)));
}

function grown(before: readonly Seen[], after: readonly Seen[], what: keyof Seen): number {
  return after.reduce((sum, seen, node) => sum + seen[what] - (before[node]?.[what] ?? 0), 0);
}

/** What an hour of silence sends and computes, from a part of it. */
async function silence(cluster: RealCluster): Promise<boolean> {
  const before = await seeAll(cluster);
  const fromMs = performance.now();
  await pause(Number(flags.silence) * 1_000);
  const after = await seeAll(cluster);
  const seconds = (performance.now() - fromMs) / 1_000;
  const moved = ["pulled", "pushed", "objectBytes", "exchanges"] as const;
  const counts = moved.map((what) => `${what} ${grown(before, after, what)}`);
  const roots = grown(before, after, "roots");
  const linkPerHour = (grown(before, after, "linkBytes") / seconds) * 3_600;
  const cpuShare = grown(before, after, "cpuMs") / seconds / 10;
  tell(`silent for ${seconds.toFixed(0)} s: ${counts.join(", ")}, roots compared ${roots}`);
  tell(`everything on links (gossip's questions too): ${(linkPerHour / 1e6).toFixed(2)} MB an hour, three nodes`);
  tell(`processor: ${cpuShare.toFixed(2)} % of one core, three nodes`);
  // silence without a look is no proof of anything
  return roots > 0 && moved.every((what) => grown(before, after, what) === 0);
}

/** Every holder compares every partition with every other one now, and finds nothing to bring. */
async function isConverged(cluster: RealCluster): Promise<boolean> {
  const { status, body } = await ask(`${cluster.url(0)}/v1/repair?all=true&timeout=30000`, { method: "POST" });
  tell(
    `all compared by order: ${status}, ${String(body["comparisons"])} comparisons, ${String(body["repairedKeys"])} repaired`,
  );
  return status === 200 && Number(body["comparisons"]) > 0 && body["repairedKeys"] === 0;
}

/** Objects that the two that stay have sent as hints: none of what comes back may come so. */
async function hintsSent(cluster: RealCluster): Promise<number> {
  const counts = await Promise.all([0, 1].map((node) => metric(cluster, node, 'gyre_hints_events_total{kind="sent"}')));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function main(): Promise<boolean> {
  await using cluster = await RealCluster.start(3, { GYRE_PARTITIONS: flags.partitions, GYRE_HINTS_MAX_BYTES: "1MiB" });
  await fill(cluster);
  tell(`3 nodes, ${keyCount} keys of 1 KB, room for 1 MiB of hints`);
  const full = await see(cluster, 0);
  const liveBytes = await metric(cluster, 0, "gyre_storage_live_bytes");
  const sentBefore = await hintsSent(cluster);
  await cluster.kill(2);
  const ruined = ruin(cluster.dataOf(2));
  tell(`n3 killed, ${(ruined / 1e6).toFixed(0)} MB of its segments ruined`);
  cluster.spawn(2);
  await cluster.untilReady([2]);
  const fromMs = performance.now();
  const began = await seeAll(cluster);
  tell(`n3 is back with ${began[2]?.keys} keys, ${began[2]?.suspects} partitions suspect`);
  let lastTold = 0;
  const isWhole = async (): Promise<boolean> => {
    const { keys, suspects } = await see(cluster, 2);
    if (performance.now() - lastTold > 10_000) {
      lastTold = performance.now();
      tell(`n3: ${keys} keys, ${suspects} partitions suspect`);
    }
    await pause(200);
    return keys >= full.keys && suspects === 0;
  };
  await until("n3 is whole", isWhole, HEALED_WITHIN_MS);
  const seconds = (performance.now() - fromMs) / 1_000;
  const done = await seeAll(cluster);
  const objects = done.reduce((sum, seen) => sum + seen.objectBytes, 0);
  const links = grown(began, done, "linkBytes");
  const moved = done.reduce((sum, seen) => sum + seen.pulled + seen.pushed, 0);
  tell(`n3 is whole after ${seconds.toFixed(1)} s: ${(keyCount / seconds).toFixed(0)} keys a second`);
  tell(
    `objects moved: ${moved} (lost: ${keyCount}); their bytes ${(objects / 1e6).toFixed(1)} MB, all links ${(links / 1e6).toFixed(1)} MB, records held ${(liveBytes / 1e6).toFixed(1)} MB`,
  );
  tell(`bytes on links over the least: ${(links / objects).toFixed(3)}`);
  tell(`processor: ${(grown(began, done, "cpuMs") / 1_000).toFixed(1)} s, three nodes`);
  await pause(3_000);
  const isSilent = await silence(cluster);
  const hasConverged = await isConverged(cluster);
  const hintCount = (await hintsSent(cluster)) - sentBefore;
  await cluster.kill(0);
  const wrong = await wrongBulk(cluster, 2, Math.min(keyCount, 20_000));
  tell(
    `with n1 killed, keys lost: ${wrong} of ${Math.min(keyCount, 20_000)} looked at; silent: ${isSilent}; by hints: ${hintCount}`,
  );
  return (
    isSilent && hasConverged && hintCount === 0 && wrong === 0 && moved <= 1.02 * keyCount && links <= 1.2 * objects
  );
}

process.exitCode = (await main()) ? 0 : 1;
