/**
 * `npm run accept:operator`: everything that an operator can ask of membership, through the command line, under load: status,
 * ring, refusals, dry runs, replace, remove, join, leave, abort. Slots of lost members are made anew only after a quiet
 * time of 35 s, so this takes minutes. Ends with exit code 1 at the first thing that is not as it was promised.
 */
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { fillBulk, wrongBulk } from "./bulk-keys.ts";
import { pause, RealCluster, until } from "./cluster.ts";
import { look, nameOf, ringText, untilEmpty, untilSettled } from "./elastic-story.ts";
import { gyre, type Told } from "./gyre.ts";
import { tryAsk } from "./http.ts";
import { OracleLoad } from "./oracle-load.ts";

const { values: flags } = parseArgs({
  options: {
    keys: { type: "string", default: "2000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    partitions: { type: "string", default: "128" },
  },
});
const keyCount = Number(flags.keys);
const SETTLE_MS = 120_000;
const MANUAL = { GYRE_JOIN: "manual" };
const startedAt = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

/** Runs a command, shows its last line, and holds it to its exit code. */
async function run(cluster: RealCluster, words: readonly string[], code = 0): Promise<Told> {
  const urls = cluster.running.map((node) => cluster.url(node));
  const told = await gyre(words, urls, SETTLE_MS);
  const last = (told.err || told.out).trim().split("\n").at(-1) ?? "";
  tell(`$ gyre ${words.join(" ")} → ${told.code}  ${last}`);
  assert.equal(told.code, code, `gyre ${words.join(" ")}\n${told.out}\n${told.err}`);
  return told;
}

async function untilStatus(cluster: RealCluster, node: number, status: string): Promise<void> {
  const isSo = async (): Promise<boolean> =>
    (await look(cluster, 0))?.members.some((one) => one.node === nameOf(node) && one.status === status) === true;
  await until(`n1 sees ${nameOf(node)} as ${status}`, isSo, SETTLE_MS);
}

/** n3 is lost, n5 takes its place; the lost one comes back and serves nobody. */
async function replace(cluster: RealCluster): Promise<void> {
  const refused = await run(cluster, ["remove", "n3", "--yes"], 1);
  assert.match(refused.out + refused.err, /n3/);
  await run(cluster, ["replace", "n3", "--with", "n5", "--yes"], 1);
  const before = await ringText(cluster, 0);
  await cluster.kill(2);
  await until("n3 is missed", async () => (await look(cluster, 0))?.verdict !== "healthy", SETTLE_MS);
  const [spare = 4] = await cluster.grow(1, MANUAL);
  await untilStatus(cluster, spare, "waiting");
  await until("n3 is dead", async () => (await livenessOf(cluster, 2)) === "dead", SETTLE_MS);
  const status = await run(cluster, ["status"], 1);
  assert.match(status.out, /^degraded\n {2}- node n3 is down/);
  assert.match(status.out, /n5 is no member yet: gyre join n5/);
  await run(cluster, ["replace", "n3", "--with", "n5", "--dry-run"]);
  await run(cluster, ["replace", "n3", "--with", "n5", "--yes"]);
  await untilSettled(cluster, [0, 1, 3, spare], SETTLE_MS);
  assert.equal(await ringText(cluster, 0), before.replaceAll("n3", "n5"), "n5 has exactly what n3 had");

  cluster.spawn(2);
  const answer = await until("n3 says that it was removed", () => saysRemoved(cluster, 2), SETTLE_MS);
  tell(`n3 came back with its old disk and says that it was removed, after ${answer.toFixed(0)} ms`);
  await cluster.kill(2);
  cluster.wipe(2);
}

async function saysRemoved(cluster: RealCluster, node: number): Promise<boolean> {
  const answer = await tryAsk(`${cluster.url(node)}/readyz?verbose`);
  return answer?.status === 503 && answer.text.includes("removed");
}

async function livenessOf(cluster: RealCluster, node: number): Promise<string | undefined> {
  return (await look(cluster, 0))?.members.find((one) => one.node === nameOf(node))?.liveness;
}

/** The node lost its disk: it may be planned to join in its own place. */
async function isWanting(cluster: RealCluster, node: number): Promise<boolean> {
  const urls = cluster.running.map((one) => cluster.url(one));
  return (await gyre(["join", nameOf(node), "--dry-run"], urls, SETTLE_MS)).code === 0;
}

/** n4 is lost and removed; n3 comes back with an empty disk and joins, twice; a leave is taken back, another goes through. */
async function removeAndJoin(cluster: RealCluster): Promise<void> {
  await cluster.kill(3);
  await until("n4 is dead", async () => (await livenessOf(cluster, 3)) === "dead", SETTLE_MS);
  await run(cluster, ["remove", "n4", "--yes"]);
  await untilSettled(cluster, [0, 1, 4], SETTLE_MS);
  cluster.spawn(2, MANUAL);
  await untilStatus(cluster, 2, "waiting");
  await run(cluster, ["join", "n3", "--yes"]);
  await untilSettled(cluster, [0, 1, 2, 4], SETTLE_MS);
  await cluster.kill(2);
  cluster.wipe(2);
  cluster.spawn(2, MANUAL);
  await until("n3 is there and empty", async () => isWanting(cluster, 2), SETTLE_MS);
  await run(cluster, ["join", "n3", "--yes"]);
  await untilSettled(cluster, [0, 1, 2, 4], SETTLE_MS);
  await run(cluster, ["leave", "n5", "--yes", "--no-wait"]);
  await run(cluster, ["abort", "n5"]);
  await untilSettled(cluster, [0, 1, 2, 4], SETTLE_MS);
  await run(cluster, ["leave", "n5", "--yes"]);
  await untilSettled(cluster, [0, 1, 2], SETTLE_MS);
  await untilEmpty(cluster, 4, SETTLE_MS);
  await run(cluster, ["leave", "n2", "--yes"], 1);
  await cluster.stop(4);
}

async function main(): Promise<void> {
  await using cluster = await RealCluster.start(4, { GYRE_PARTITIONS: flags.partitions });
  await fillBulk(cluster, keyCount);
  tell(`4 nodes, ${keyCount} keys of 1 KB, seed ${flags.seed}`);
  const plan = { sessionCount: 4, keyCount: 200, seed: Number(flags.seed), thinkMs: 8 };
  // n1 and n2 are members from the first to the last
  const load = new OracleLoad(cluster, plan, () => [0, 1]);
  load.start();
  await pause(1_000);
  assert.match((await run(cluster, ["status"])).out, /^healthy/);
  assert.match((await run(cluster, ["ring"])).out, /^ring [0-9a-f]{16}\n/);
  await replace(cluster);
  await removeAndJoin(cluster);
  await load.stop();
  await until("healthy", async () => (await look(cluster, 0))?.verdict === "healthy", 30_000);
  assert.match((await run(cluster, ["status"])).out, /^healthy/);
  const texts = await Promise.all([0, 1, 2].map((node) => ringText(cluster, node)));
  assert.equal(new Set(texts).size, 1);
  const unread = await load.judge(2, "at the end");
  const wrong = await wrongBulk(cluster, 2, keyCount);
  const { operationCount, failedCount, longestFailureMs, longestFailureText } = load.counts;
  const { violations } = load.oracle;
  tell(`load: ${operationCount} operations, ${failedCount} failed and tried again`);
  tell(`longest that an operation failed: ${longestFailureMs.toFixed(0)} ms (${longestFailureText.slice(0, 400)})`);
  tell(`bulk keys lost: ${wrong} of ${keyCount}; oracle keys unread: ${unread.length}`);
  tell(`broken promises: ${violations.length} ${JSON.stringify(violations.slice(0, 5))}`);
  assert.deepEqual([wrong, unread.length, violations.length], [0, 0, 0]);
}

await main();
