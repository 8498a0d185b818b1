/**
 * Keys deleted while an owner is away for longer than hints are kept: it comes back, and brings nothing back; no tombstone goes
 * while it is away. The long form, with the tombstones collected in the end, is `npm run accept:deletes`.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { PATIENCE_MS, RealCluster, until } from "./cluster.ts";
import { DeletedKeys } from "./deleted-keys.ts";
import { metric } from "./elastic-story.ts";

const NODES = [0, 1, 2];
const OTHERS = [0, 1];
const COUNTS = { goneCount: 256, keptCount: 64 };

let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.start(3, {
    GYRE_PARTITIONS: "64",
    GYRE_HINTS_WINDOW: "1s",
    GYRE_TOMBSTONE_AGE: "10s",
  });
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

async function sum(nodes: readonly number[], name: string): Promise<number> {
  const values = await Promise.all(nodes.map((node) => metric(cluster, node, name)));
  return values.reduce((all, value) => all + value, 0);
}

test("what was deleted while an owner was away stays deleted, and nothing is collected without it", async () => {
  const keys = new DeletedKeys(cluster, COUNTS);
  await keys.write(NODES, 100);
  await cluster.kill(2);
  await keys.remove(OTHERS);
  const kept = async (): Promise<number> =>
    (await sum(OTHERS, "gyre_hints_kept")) + (await sum(OTHERS, "gyre_hints_markers"));
  await until("hints are given up", async () => (await kept()) === 0, 3 * PATIENCE_MS);
  const waits = async (): Promise<boolean> => (await sum(OTHERS, "gyre_tombstones_waiting_partitions")) > 0;
  await until("collection is tried, and waits", waits);
  expect(await sum(OTHERS, "gyre_storage_tombstones")).toBe(2 * COUNTS.goneCount);
  cluster.spawn(2);
  await cluster.untilReady([2]);
  const isHealed = async (): Promise<boolean> =>
    (await sum(NODES, "gyre_storage_keys")) === NODES.length * COUNTS.keptCount;
  // repair goes at the pace of background work: it rests while others have the processors
  await until("all owners have every deletion", isHealed, 3 * PATIENCE_MS);
  for (const node of NODES) {
    for (const query of ["r=1", "r=all"]) {
      expect(await keys.sweep(node, query)).toEqual({ back: [], lostCount: 0, unreadCount: 0 });
    }
  }
});
