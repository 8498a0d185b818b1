/**
 * Clusters of five whose requests take stand-ins for owners keep every promise under trouble, seed by seed: what stand-ins
 * were counted for is not lost, readers get what they demand, and in the end nobody keeps anything for others.
 * `SIM_SLOPPY_SEEDS` sets how many (default 4); a failing one is lived again with `npm run sim -- --sloppy --from SEED --seeds 1`.
 */
import { describe, expect, test } from "vitest";
import { simulate } from "./simulate.ts";

const SEED_COUNT = Number(process.env["SIM_SLOPPY_SEEDS"] ?? "4");

describe("a simulated cluster of five nodes whose requests are sloppy", () => {
  test(`keeps its promises in ${SEED_COUNT} lives`, { timeout: 900_000 + SEED_COUNT * 15_000 }, async () => {
    const totals = { applied: 0, sloppyWrites: 0, sloppyReads: 0 };
    for (let seed = 1; seed <= SEED_COUNT; seed += 1) {
      const report = await simulate(String(seed), {}, "sloppy");
      const context = `npm run sim -- --sloppy --from ${seed} --seeds 1\n${report.transcript.slice(-40).join("\n")}`;
      expect(report.violations, context).toEqual([]);
      totals.applied += report.counts.applied;
      totals.sloppyWrites += report.counts.sloppyWrites;
      totals.sloppyReads += report.counts.sloppyReads;
    }
    // A simulation in which nothing goes wrong proves nothing.
    expect(totals.sloppyWrites).toBeGreaterThan(totals.applied / 50);
    expect(totals.sloppyReads).toBeGreaterThan(0);
  });
});
