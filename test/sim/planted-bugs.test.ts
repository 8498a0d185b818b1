/** The simulation finds bugs that are planted at its seams. */
import { expect, test } from "vitest";
import type { StorageEngine } from "../../storage/engine.ts";
import { AckLedger } from "./ack-ledger.ts";
import { ACKNOWLEDGE_BEFORE_FSYNC, acknowledgeFailures, keepActorForEver } from "./sabotage.ts";
import { play } from "./scenario-stage.ts";
import { failOnce } from "./scenarios/failing-disk.ts";
import { losePowerTogether } from "./scenarios/power-cuts.ts";
import type { Sabotage } from "./sim-cluster.ts";
import { simulate } from "./simulate.ts";

const MAX_SEEDS = 200;

async function firstSeedThatFinds(
  sabotage: () => Sabotage,
): Promise<{ readonly seed: number; readonly rule: string } | undefined> {
  for (let seed = 1; seed <= MAX_SEEDS; seed += 1) {
    const { violations } = await simulate(String(seed), sabotage());
    const found = violations[0];
    if (found !== undefined) return { seed, rule: found.rule };
  }
  return undefined;
}

/** Where one disk alone forgets, the others heal it: only a power cut of all shows what was acknowledged too early. */
test("a write acknowledged before it is durable is found when all lose power", async () => {
  const keyCount = 12;
  const shape = { seed: "planted", keyCount, sabotage: ACKNOWLEDGE_BEFORE_FSYNC };
  const { stage } = await play(shape, (on) => losePowerTogether(on, { keyCount, rounds: 2 }));
  expect(stage.violations.map(({ rule }) => rule)).toContain("acknowledged-write-lost");
});

/** Here nobody hears it, for the process ends first, and the others have the same: one store's word is held against what it has. */
test("a failed write that its store calls durable is found when its machine loses power", async () => {
  const keyCount = 600;
  const ledger = new AckLedger();
  const engine = (made: StorageEngine, node: number): StorageEngine => ledger.engine(acknowledgeFailures(made), node);
  const shape = { seed: "planted", keyCount, sabotage: { engine } };
  const failure = { operation: "write", losesPower: true, ledger, keyCount } as const;
  const { told } = await play(shape, (on) => failOnce(on, failure));
  expect(told.lost).not.toEqual([]);
});

test("an actor kept after an unclean stop with lost bytes is found", async () => {
  const found = await firstSeedThatFinds(keepActorForEver);
  expect(found?.rule).toMatch(/acknowledged-write-lost|too-few-copies|stale-read|resurrected|divergence/);
});
