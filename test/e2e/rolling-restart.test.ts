/** Scenario 28, rolling-restart: nodes stopped in order, one after the other, under load. Source: research notes on reliability, §6.4. */
import { expect, test } from "vitest";
import { pause, RealCluster, until } from "./cluster.ts";
import { OracleLoad } from "./oracle-load.ts";
import { HostWatch } from "./processor-time.ts";

const SIZE = 5;
const STOP_WITHIN_MS = 10_000;
/** of all requests: those that were on their way to a node that closed its door */
const MOST_FAILED_SHARE = 0.01;

test("scenario 28: five nodes restarted one after the other lose nothing, fail hardly a request, and stop cleanly", async () => {
  await using cluster = await RealCluster.start(SIZE, { GYRE_PARTITIONS: "64" });
  let restarting: number | undefined;
  const plan = { sessionCount: 6, keyCount: 40, seed: 28, thinkMs: 10 };
  const load = new OracleLoad(cluster, plan, () => cluster.running.filter((node) => node !== restarting));
  load.start();
  await pause(500);
  for (let node = 0; node < SIZE; node += 1) {
    // what load balancers do: look elsewhere once a node says that it stops
    restarting = node;
    await pause(50);
    const [startedMs, host] = [performance.now(), new HostWatch()];
    expect(await cluster.stop(node)).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(host.within(STOP_WITHIN_MS));
    cluster.spawn(node);
    await cluster.untilReady([node]);
    restarting = undefined;
    await until(`n${node + 1} takes part`, () => cluster.running.length === SIZE);
    await pause(300);
  }
  await load.stop();
  const { operationCount, failedCount, longestFailureText } = load.counts;
  expect(operationCount).toBeGreaterThan(500);
  expect(failedCount, longestFailureText).toBeLessThanOrEqual(operationCount * MOST_FAILED_SHARE);
  expect(await load.judge(0, "at the end")).toEqual([]);
  expect(load.oracle.violations).toEqual([]);
  for (let node = 0; node < SIZE; node += 1) {
    const starts = cluster.logged(node).filter(({ event }) => event === "storage.opened");
    expect(starts.at(-1)?.["mode"]).toBe("clean");
  }
});
