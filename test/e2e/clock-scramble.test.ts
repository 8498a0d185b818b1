/** Real processes whose wall clocks are moved while clients are at work. Number and name: research notes on reliability, §6.4. */
import { expect, test } from "vitest";
import { ClockLoad } from "./clock-load.ts";
import { pause, until } from "./cluster.ts";
import { ask } from "./http.ts";
import { MovedClocks } from "./moved-clocks.ts";
import { OracleLoad } from "./oracle-load.ts";
import { answered } from "./patient-ask.ts";

const MOST_MS = 288_000;
const HOUR_MS = 3_600_000;
const UNSAID_MS = 1_000;
const NODES = [0, 1, 2];

/** Objects that repair of any kind has moved so far, at all nodes. */
async function movedBy({ nodes }: MovedClocks): Promise<number> {
  let sum = 0;
  for (const node of NODES) {
    const { text } = await ask(`${nodes.url(node)}/metrics`);
    const counted = text.matchAll(/^gyre_(?:anti_entropy_(?:pulled|pushed)_keys|read_repair_repaired)_total (\d+)$/gm);
    const counts = [...counted].map(([, count]) => Number(count));
    if (counts.length !== 3) throw new Error(`the metrics of n${node + 1} count ${counts.length} of three`);
    sum += counts.reduce((all, one) => all + one, 0);
  }
  return sum;
}

/** Compares all partitions now, and waits for the end of it. */
async function compareAll({ nodes }: MovedClocks): Promise<void> {
  const answer = await answered(`${nodes.url(0)}/v1/repair?all=true&timeout=30000`, { method: "POST" });
  if (answer.status !== 200) throw new Error(answer.text);
}

test("scenario 15: clock-scramble: three processes whose clocks jump by minutes and back by an hour lose no sibling, agree on the last write, and end values by their own clocks", async () => {
  await using clocks = await MovedClocks.start();
  const { nodes } = clocks;
  const pids = NODES.map((node) => nodes.pid(node));
  await using siblings = new OracleLoad(nodes, { sessionCount: 4, keyCount: 6, seed: 15, thinkMs: 20 }, () => NODES);
  await using load = new ClockLoad(clocks);
  await load.start();
  siblings.start();
  for (let jump = 0; jump < 30; jump += 1) {
    const node = Math.floor(Math.random() * 3);
    if (jump % 8 === 4) await clocks.strobe(node, MOST_MS);
    else clocks.set(node, jump % 10 === 9 ? -HOUR_MS : (jump % 2 === 0 ? 1 : -1) * MOST_MS);
    await pause(100 + Math.random() * 200);
  }
  await Promise.all([load.stop(), siblings.stop()]);

  await clocks.setAll([0, 0, 0]);
  for (const node of NODES) for (const ttlSeconds of [100, 250, 700]) await load.writeDated(node, ttlSeconds);
  await compareAll(clocks);
  expect(await load.unequalKeys()).toEqual([]);
  for (const node of NODES) expect(await siblings.judge(node, `n${node + 1} at the end`)).toEqual([]);
  // from here on some values have ended by the first node's clock, and not by the others': nothing to mend
  const moved = await movedBy(clocks);
  await clocks.setAll([MOST_MS, -MOST_MS, 0]);
  await load.readDated();
  await compareAll(clocks);
  await load.readDated();
  expect(await movedBy(clocks)).toBe(moved);

  const apart = { ...load.dated };
  await clocks.setAll([HOUR_MS, HOUR_MS, HOUR_MS]);
  await load.readDated();
  expect(load.dated.shown).toBe(apart.shown);
  expect(load.dated.gone).toBeGreaterThan(apart.gone);

  expect(siblings.oracle.violations).toEqual([]);
  expect(load.newest.violations).toEqual([]);
  expect(load.violations).toEqual([]);
  expect(siblings.counts.appliedCount).toBeGreaterThan(30);
  expect(load.newest.appliedCount).toBeGreaterThan(30);
  expect(Math.min(apart.shown, apart.gone)).toBeGreaterThan(20);
  // by the true time: as far as clocks were behind, and ahead
  expect(apart.lateMs).toBeLessThan(HOUR_MS + UNSAID_MS);
  expect(apart.earlyMs).toBeLessThan(MOST_MS + UNSAID_MS);

  await clocks.setAll([0, 0, 0]);
  expect(NODES.map((node) => nodes.pid(node))).toEqual(pids);
  await nodes.untilReady();
  const isWell = async (node: number): Promise<boolean> =>
    (await ask(`${nodes.url(node)}/v1/kv/dated/after?sloppy=false`, { method: "PUT", body: "1" })).status === 200;
  for (const node of NODES) await until(`n${node + 1} takes writes`, () => isWell(node));
});
