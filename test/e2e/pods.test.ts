/** The manifests' own pods as processes: they become one cluster, never two, and none goes before its data has gone. */
import { expect, test } from "vitest";
import { clusterAt, expectAll, fill, growWhileCutOff, install, scale } from "./pods-steps.ts";

const SETTINGS = { GYRE_PARTITIONS: "64", GYRE_DISK_RESERVE: "off" };

test("pods that are added in a split wait for the members, join, and hand over before they go", async () => {
  await using pods = await install({ settings: SETTINGS });
  await fill(pods, "first");
  // as many as GYRE_BOOTSTRAP_EXPECT: by number they could make a cluster
  await growWhileCutOff(pods, 6, 2_000);
  await expectAll(pods, "first");
  await fill(pods, "second");

  const refused = await scale(pods, ["--to", "2", "--yes"]);
  expect(refused.err).toContain("2 nodes cannot hold 3 replicas");
  expect([refused.code, pods.urls.length]).toEqual([1, 6]);

  const done = await scale(pods, ["--to", "3", "--yes"]);
  expect(done.code, done.err).toBe(0);
  expect(done.err).toContain("gyre-5, gyre-4, gyre-3: hold nothing any more");
  expect(pods.urls.length).toBe(3);
  await expectAll(pods, "second");
  const { members } = await clusterAt(pods, 0);
  const gone = members.filter(({ node }) => ["gyre-3", "gyre-4", "gyre-5"].includes(node));
  expect(gone.map(({ status, slotsHeld }) => `${status} ${slotsHeld}`)).toEqual(["left 0", "left 0", "left 0"]);
});
