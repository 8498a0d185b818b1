/**
 * Whole clusters under trouble keep every promise, seed by seed. `SIM_SEEDS` sets how many (default 60); a failing one
 * is lived again with `npm run sim -- --from SEED --seeds 1`.
 */
import { describe, expect, test } from "vitest";
import { simulate } from "./simulate.ts";

const SEED_COUNT = Number(process.env["SIM_SEEDS"] ?? "60");

describe("a simulated cluster of three whole nodes", () => {
  test(`keeps its promises in ${SEED_COUNT} lives`, { timeout: 900_000 + SEED_COUNT * 2_000 }, async () => {
    const totals = { applied: 0, unknown: 0, notApplied: 0, siblingReads: 0 };
    for (let seed = 1; seed <= SEED_COUNT; seed += 1) {
      const report = await simulate(String(seed));
      const context = `npm run sim -- --from ${seed} --seeds 1\n${report.transcript.slice(-40).join("\n")}`;
      expect(report.violations, context).toEqual([]);
      totals.applied += report.counts.applied;
      totals.unknown += report.counts.unknown;
      totals.notApplied += report.counts.notApplied;
      totals.siblingReads += report.counts.siblingReads;
    }
    // A simulation in which nothing goes wrong proves nothing.
    expect(Math.min(totals.applied, totals.unknown, totals.notApplied, totals.siblingReads)).toBeGreaterThan(0);
  });

  test("lives the same life twice from one seed, and another from another", async () => {
    const [first, again, other] = [await simulate("7"), await simulate("7"), await simulate("8")];
    expect(again.traceHash).toBe(first.traceHash);
    expect(again.transcript).toEqual(first.transcript);
    expect(other.traceHash).not.toBe(first.traceHash);
  });
});
