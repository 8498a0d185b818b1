/**
 * Clusters whose membership changes under trouble keep every promise, seed by seed. `SIM_RING_SEEDS` sets how many
 * (default 4); a failing one is lived again with `npm run sim -- --ring --from SEED --seeds 1`.
 */
import { describe, expect, test } from "vitest";
import { simulate } from "./simulate.ts";

const SEED_COUNT = Number(process.env["SIM_RING_SEEDS"] ?? "4");

describe("a simulated cluster whose machines come and go", () => {
  test(`keeps its promises in ${SEED_COUNT} lives`, { timeout: 900_000 + SEED_COUNT * 30_000 }, async () => {
    let appliedCount = 0;
    const deeds = new Set<string>();
    for (let seed = 1; seed <= SEED_COUNT; seed += 1) {
      const report = await simulate(String(seed), {}, "ring");
      const context = `npm run sim -- --ring --from ${seed} --seeds 1\n${report.transcript.slice(-40).join("\n")}`;
      expect(report.violations, context).toEqual([]);
      appliedCount += report.counts.applied;
      for (const deed of report.deeds) deeds.add(deed.slice(0, deed.indexOf(" ")));
    }
    // A simulation in which nothing goes wrong proves nothing.
    expect(appliedCount).toBeGreaterThan(0);
    expect([...deeds]).toEqual(expect.arrayContaining(["join", "leave", "kill"]));
  });
});
