/** Scenario 25, duplicate-node-id: a machine was cloned, data and all. Source: research notes on reliability, §6.4. */
import { expect, test } from "vitest";
import { RealCluster, until } from "./cluster.ts";
import { ask, putJson } from "./http.ts";

const TWIN = 3;

test("scenario 25: of two processes with one node's name and data one ends with an alarm, and nothing acknowledged is lost", async () => {
  await using cluster = await RealCluster.start(3, { GYRE_PARTITIONS: "64" });
  const url = (node: number, key: string): string => `${cluster.url(node)}/v1/kv/twins/${key}`;
  const write = async (node: number, key: string): Promise<void> => {
    expect((await putJson(url(node, key), { key })).status).toBe(200);
  };
  for (let i = 0; i < 20; i += 1) await write(i % 3, `before-${i}`);
  await cluster.kill(0);
  cluster.cloneData(0, TWIN);
  cluster.spawn(0);
  await cluster.untilReady([0]);
  for (let i = 0; i < 20; i += 1) await write(i % 3, `between-${i}`);

  expect(await cluster.grow(1, { GYRE_NODE_ID: "n1", GYRE_HOST: "host-1" })).toEqual([TWIN]);
  const twins = (): readonly number[] => cluster.running.filter((node) => node === 0 || node === TWIN);
  await until("one of the twins has ended", () => twins().length === 1);
  const ended = twins()[0] === 0 ? TWIN : 0;
  expect(await cluster.untilEnded(ended)).not.toBe(0);
  expect(cluster.logged(ended).map(({ event }) => event)).toContain("gossip.duplicate-identity");

  await cluster.untilReady(twins());
  await until("the one that is left serves", async () => (await ask(url(1, "before-0"))).status === 200);
  for (let i = 0; i < 20; i += 1) {
    for (const when of ["before", "between"]) {
      for (const node of cluster.running) {
        const read = await ask(url(node, `${when}-${i}?r=all`));
        expect([read.status, read.body["value"]]).toEqual([200, { key: `${when}-${i}` }]);
      }
    }
    await write(cluster.running[i % 3] ?? 1, `after-${i}`);
  }
});
