/** Lives of a ring find bugs that are planted in the hand-over of slots. */
import { expect, test } from "vitest";
import { dropWhenGranted, serveByTable } from "./sabotage.ts";
import type { Sabotage } from "./sim-cluster.ts";
import { simulate } from "./simulate.ts";

/** which lives find a bug differs with all that is decided in them */
const MAX_SEEDS = 40;

/** What the first life from this seed on that is not clean broke, by rule. */
async function firstFinding(sabotage: Sabotage = {}): Promise<readonly string[]> {
  for (let seed = 1; seed <= MAX_SEEDS; seed += 1) {
    const { violations } = await simulate(String(seed), sabotage, "ring");
    if (violations.length > 0) return [...new Set(violations.map((found) => found.rule))];
  }
  return [];
}

test("a source that drops its data once it has granted it, before the receiver has any, is found", async () => {
  using planted = dropWhenGranted();
  expect(await firstFinding(planted)).toContain("too-few-copies");
});

test("a node that serves slots by the table and not by its record is found", async () => {
  using _planted = serveByTable();
  expect(await firstFinding()).toContain("slot-held-wrongly");
});
