/** Lives of members that gossip keep its promises, and find bugs that are planted in it. */
import { expect, test } from "vitest";
import type { GossipPorts } from "../../gossip/index.ts";
import { forgetfulGenerations, liveGossip, refuteInTheSameIncarnation } from "./gossip-life.ts";

const CLEAN_SEEDS = 30;
const MAX_SEEDS = 10;

/** What the first life that is not clean broke, by rule. */
async function firstFinding(generations?: () => GossipPorts["generations"]): Promise<readonly string[]> {
  for (let seed = 1; seed <= MAX_SEEDS; seed += 1) {
    const violations = await liveGossip(`gossip ${seed}`, generations);
    if (violations.length > 0) return violations.map((violation) => violation.rule);
  }
  return [];
}

test("who is killed, paused and cut off is known to be alive again when the trouble is over", async () => {
  for (let seed = 1; seed <= CLEAN_SEEDS; seed += 1) {
    expect(await liveGossip(`gossip ${seed}`), `seed ${seed}`).toEqual([]);
  }
});

test("a node that forgets its generation is found", async () => {
  expect(await firstFinding(forgetfulGenerations)).toContain("generation-used-twice");
});

test("a refutation without a higher incarnation is found", async () => {
  using _planted = refuteInTheSameIncarnation();
  expect(await firstFinding()).toContain("living-held-for-dead");
});
