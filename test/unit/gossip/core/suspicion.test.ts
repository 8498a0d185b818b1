import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  faultOf,
  PROFILES,
  retransmitLimit,
  suspicionBounds,
  syncIntervalMs,
} from "../../../../gossip/core/parameters.ts";
import { Suspicion, suspicionMs } from "../../../../gossip/core/suspicion.ts";

describe("how long a suspicion lasts", () => {
  // memberlist's own table: K = 3, 2 s to 30 s, floored to the ms.
  test.each([
    [0, 30_000],
    [1, 16_000],
    [2, 7_810],
    [3, 2_000],
    [4, 2_000],
  ])("with %i confirmations of 3 it is %i ms", (count, expectedMs) => {
    const bounds = { shortestMs: 2_000, longestMs: 30_000, confirmations: 3 };
    expect(Math.abs(suspicionMs(bounds, count) - expectedMs)).toBeLessThan(10);
  });

  test("where nobody can confirm it is the shortest at once", () => {
    expect(suspicionMs({ shortestMs: 3_000, longestMs: 24_000, confirmations: 0 }, 0)).toBe(3_000);
  });

  test("it never grows with accusers, and stays between its bounds", () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(60_000), fc.nat(5), fc.nat(8), (shortestMs, more, confirmations, count) => {
        const bounds = { shortestMs, longestMs: shortestMs + more, confirmations };
        const lasts = suspicionMs(bounds, count);
        expect(lasts).toBeGreaterThanOrEqual(shortestMs);
        expect(lasts).toBeLessThanOrEqual(shortestMs + more);
        expect(suspicionMs(bounds, count + 1)).toBeLessThanOrEqual(lasts);
      }),
    );
  });

  test("counts distinct accusers, not the first, and no more than it needs", () => {
    const suspicion = new Suspicion({ shortestMs: 3_000, longestMs: 24_000, confirmations: 2 }, "a", 1_000);
    expect(suspicion.dueMs).toBe(25_000);
    expect(suspicion.confirm("a")).toBe(false);
    expect(suspicion.confirm("b")).toBe(true);
    expect(suspicion.confirm("b")).toBe(false);
    expect(suspicion.confirm("c")).toBe(true);
    expect(suspicion.confirm("d")).toBe(false);
    expect(suspicion.dueMs).toBe(4_000);
  });
});

describe("the parameters", () => {
  test.each(Object.entries(PROFILES))("of profile %s have no fault", (_name, parameters) => {
    expect(faultOf(parameters)).toBeUndefined();
  });

  test("must leave the link and the helpers time to answer", () => {
    expect(faultOf({ ...PROFILES.fast, probeTimeoutMs: 250 })).toContain("probeTimeoutMs");
  });

  test.each([
    [1, 0],
    [2, 0],
    [3, 1],
    [4, 2],
    [5, 3],
    [64, 3],
  ])("want as many confirmations among %i members as there can be, at most three: %i", (n, confirmations) => {
    expect(suspicionBounds(PROFILES.fast, n).confirmations).toBe(confirmations);
  });

  test("suspect for 3 to 30 s up to ten members, and longer with the logarithm of more", () => {
    expect(suspicionBounds(PROFILES.fast, 5)).toMatchObject({ shortestMs: 3_000, longestMs: 30_000 });
    expect(suspicionBounds(PROFILES.fast, 100).shortestMs).toBe(6_000);
  });

  test("tell each rumor at least eight times, and six times for each digit of their number", () => {
    expect([3, 8, 99, 100, 999, 1_000].map((n) => retransmitLimit(PROFILES.fast, n))).toEqual([8, 8, 12, 18, 18, 24]);
  });

  test("exchange tables more seldom among more members", () => {
    expect([3, 32, 33, 64, 65].map((n) => syncIntervalMs(PROFILES.fast, n) / 60_000)).toEqual([1, 1, 2, 2, 3]);
  });
});
