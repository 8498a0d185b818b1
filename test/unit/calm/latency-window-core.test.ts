/** The latencies of a short while. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LatencyWindow } from "../../../services/calm/latency-window-core.ts";

describe("a window of latencies", () => {
  it("tells every quantile within 9 %, whatever was observed", () => {
    const latencies = fc.array(fc.double({ min: 0.02, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(latencies, fc.constantFrom(0.01, 0.5, 0.95, 0.99, 1), (all, quantile) => {
        const window = new LatencyWindow();
        for (const one of all) window.observe(one);
        const sorted = all.toSorted((a, b) => a - b);
        const exact = sorted[Math.ceil(sorted.length * quantile) - 1] ?? 0;
        const told = window.quantileMs(quantile);
        expect(told).toBeGreaterThanOrEqual(exact * 0.999);
        expect(told).toBeLessThanOrEqual(exact * 1.1 + 0.001);
      }),
    );
  });

  it("knows nothing when it is empty, and when it was cleared", () => {
    const window = new LatencyWindow();
    expect([window.count, window.quantileMs(0.99)]).toEqual([0, 0]);
    window.observe(5);
    expect(window.count).toBe(1);
    window.clear();
    expect([window.count, window.quantileMs(0.99)]).toEqual([0, 0]);
  });

  it("takes what is beyond its last bucket into it", () => {
    const window = new LatencyWindow();
    window.observe(1e9);
    expect(window.quantileMs(0.5)).toBeGreaterThan(100_000);
  });
});
