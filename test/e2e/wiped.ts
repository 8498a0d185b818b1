/**
 * `npm run accept:wiped`: under load, a node loses its disk and comes back empty under its name; it becomes its own
 * replacement, gets every slot back and no write is lost, also of what it serves meanwhile. Slots are made anew only after a
 * quiet time of 35 s. Ends with exit code 1 when a promise was broken. `--how stop` stops it cleanly first.
 */
import { parseArgs } from "node:util";
import { fillBulk, wrongBulk } from "./bulk-keys.ts";
import { pause, RealCluster, until } from "./cluster.ts";
import { look, nameOf, ringText, untilSettled } from "./elastic-story.ts";
import { OracleLoad } from "./oracle-load.ts";

const { values: flags } = parseArgs({
  options: {
    keys: { type: "string", default: "2000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    partitions: { type: "string", default: "128" },
    how: { type: "string", default: "kill" },
  },
});
const keyCount = Number(flags.keys);
const SETTLE_MS = 240_000;
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

async function keyOf(cluster: RealCluster, node: number, at: number): Promise<string | undefined> {
  const seen = await look(cluster, at);
  return seen?.members.find((one) => one.node === nameOf(node) && BELONGING.includes(one.status))?.memberKey;
}

const BELONGING = ["joining", "normal"];

async function main(): Promise<boolean> {
  await using cluster = await RealCluster.start(3, { GYRE_PARTITIONS: flags.partitions });
  let live: readonly number[] = [0, 1, 2];
  await fillBulk(cluster, keyCount);
  tell(`3 nodes, ${keyCount} keys of 1 KB, seed ${flags.seed}`);
  const plan = { sessionCount: 6, keyCount: 200, seed: Number(flags.seed), thinkMs: 5 };
  const load = new OracleLoad(cluster, plan, () => live);
  load.start();
  await pause(2_000);
  const lost = await keyOf(cluster, 2, 0);
  live = [0, 1];
  if (flags.how === "stop") await cluster.stop(2);
  else await cluster.kill(2);
  cluster.wipe(2);
  cluster.spawn(2);
  await cluster.untilReady([2]);
  live = [0, 1, 2];
  tell("n3 lost its disk, came back empty, and takes requests");
  await until("n3 has another key", async () => ![lost, undefined].includes(await keyOf(cluster, 2, 0)), SETTLE_MS);
  tell(`n3 was ${lost}, is ${await keyOf(cluster, 2, 0)} now`);
  await untilSettled(cluster, live, SETTLE_MS);
  tell("n3 has all its slots");
  await load.stop();

  const healthyMs = await until("healthy", async () => (await look(cluster, 0))?.verdict === "healthy", 30_000);
  const members = (await look(cluster, 1))?.members ?? [];
  const isWhole = members.every(({ slotsHeld }) => slotsHeld === Number(flags.partitions));
  const texts = await Promise.all(live.map((node) => ringText(cluster, node)));
  const isOne = new Set(texts).size === 1;
  const unread = await load.judge(2, "at the end");
  await cluster.kill(0);
  const wrong = await wrongBulk(cluster, 2, keyCount);
  const { operationCount, failedCount, longestFailureMs, longestFailureText } = load.counts;
  const { violations } = load.oracle;
  tell(`healthy after another ${healthyMs.toFixed(0)} ms; equal tables: ${isOne}, all slots held: ${isWhole}`);
  tell(`load: ${operationCount} operations, ${failedCount} failed and tried again`);
  tell(`longest that an operation failed: ${longestFailureMs.toFixed(0)} ms (${longestFailureText.slice(0, 400)})`);
  tell(`with n1 killed, bulk keys lost: ${wrong} of ${keyCount}; oracle keys unread before: ${unread.length}`);
  tell(`broken promises: ${violations.length} ${JSON.stringify(violations.slice(0, 5))}`);
  const isPrompt = longestFailureMs <= 2_000;
  return isWhole && isOne && isPrompt && wrong === 0 && unread.length === 0 && violations.length === 0;
}

process.exitCode = (await main()) ? 0 : 1;
