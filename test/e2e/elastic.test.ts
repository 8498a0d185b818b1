/** A cluster that grows and shrinks under load, with the joiner killed in mid-transfer: the short story; `npm run accept:elastic` tells the long one. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { fillBulk, wrongBulk } from "./bulk-keys.ts";
import { PATIENCE_MS, RealCluster, until } from "./cluster.ts";
import { look, nameOf, ringText, untilEmpty, untilSettled } from "./elastic-story.ts";
import { gyre } from "./gyre.ts";
import { OracleLoad } from "./oracle-load.ts";
import { HostWatch } from "./processor-time.ts";

const KEYS = 600;
const PARTITIONS = 64;

let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.start(3, { GYRE_PARTITIONS: String(PARTITIONS) });
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

/** How many slots the cluster says that a node holds, and how many it should. */
async function slotsOf(node: number, at: number): Promise<{ readonly held: number; readonly target: number }> {
  const seen = await look(cluster, at);
  const member = seen?.members.find((one) => one.node === nameOf(node));
  return { held: member?.slotsHeld ?? 0, target: member?.slotsTarget ?? 0 };
}

async function statusOf(node: number, at: number): Promise<string | undefined> {
  return (await look(cluster, at))?.members.find((one) => one.node === nameOf(node))?.status;
}

function urlsOf(nodes: readonly number[]): readonly string[] {
  return nodes.map((node) => cluster.url(node));
}

async function expectOneRing(nodes: readonly number[]): Promise<void> {
  const texts = await Promise.all(nodes.map((node) => ringText(cluster, node)));
  expect(new Set(texts).size).toBe(1);
  const owners = (texts[0] ?? "").split("\n").map((line) => line.split(","));
  expect(owners).toHaveLength(PARTITIONS);
  expect(owners.filter((one) => one.length !== 3 || new Set(one).size !== 3)).toEqual([]);
  expect([...new Set(owners.flat())].toSorted()).toEqual(nodes.map(nameOf));
}

test("scenario 7: join-leave-under-write: 3 → 4 → 3 nodes, the joiner killed in mid-transfer: no write is lost, one ring, and who left is empty", async () => {
  let live: readonly number[] = [0, 1, 2];
  await fillBulk(cluster, KEYS);
  const load = new OracleLoad(cluster, { sessionCount: 3, keyCount: 40, seed: 4, thinkMs: 8 }, () => live);
  const host = new HostWatch();
  load.start();
  const [joiner = 3] = await cluster.grow(1, { GYRE_JOIN: "manual" });
  await until("n4 waits to be asked in", async () => (await statusOf(joiner, 0)) === "waiting");
  const joined = await gyre(["join", nameOf(joiner), "--yes", "--no-wait"], urlsOf(live));
  expect([joined.code, joined.out]).toEqual([0, expect.stringMatching(/^plan [0-9a-f]{16}: join n4\n/)]);
  await until("n4 holds some slots", async () => (await slotsOf(joiner, 0)).held > 0);
  await cluster.kill(joiner);
  const { held, target } = await slotsOf(joiner, 0);
  expect(held).toBeLessThan(target);
  cluster.spawn(joiner);
  await cluster.untilReady([joiner]);
  live = [0, 1, 2, joiner];
  await untilSettled(cluster, live, PATIENCE_MS);
  await expectOneRing(live);
  const status = await gyre(["status"], urlsOf(live));
  expect([status.code, status.out]).toEqual([0, expect.stringMatching(/^healthy\n[^]*\n {2}n4 {2}alive/)]);
  expect((await gyre(["ring", "bulk", "key-1"], urlsOf(live))).out).toMatch(/^ring [0-9a-f]{16}\npartition +owners/);

  const told = await gyre(
    ["leave", nameOf(joiner), "--yes"],
    [0, 1, 2].map((node) => cluster.url(node)),
  );
  expect([told.code, told.err]).toEqual([0, expect.stringContaining("done: leave n4")]);
  live = [0, 1, 2];
  await untilSettled(cluster, live, PATIENCE_MS);
  await untilEmpty(cluster, joiner, PATIENCE_MS);
  expect(await cluster.stop(joiner)).toBe(0);
  await load.stop();
  await expectOneRing(live);

  const { appliedCount, failedCount, longestFailureMs } = load.counts;
  const words = `killed at ${held} of ${target} slots; ${appliedCount} applied, ${failedCount} failed and tried again`;
  process.stdout.write(`${words}, none for longer than ${longestFailureMs.toFixed(0)} ms\n`);
  expect(appliedCount).toBeGreaterThan(100);
  expect(longestFailureMs).toBeLessThan(host.within(2_000));
  expect(await load.judge(0, "at the end")).toEqual([]);
  expect(load.oracle.violations).toEqual([]);
  expect(await wrongBulk(cluster, 1, KEYS)).toBe(0);
});
