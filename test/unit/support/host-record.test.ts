import { describe, expect, test } from "vitest";
import { isByTheClock } from "../../support/by-the-clock.ts";
import { type HostMoment, missingIn } from "../../support/host-record.ts";

const at = (second: number): number => 1_000_000 + second * 1_000;

/** A record of two processors, second by second; the sums of what was taken of the second one. */
function record(seconds: number, takenMs: (second: number) => number): HostMoment[] {
  return Array.from({ length: seconds + 1 }, (_, second) => ({ atMs: at(second), takenMs: [0, takenMs(second)] }));
}

/** A share of the second processor is taken in ten seconds. */
const tenFrom = (first: number, share: number) =>
  record(100, (second) => Math.min(Math.max(0, second - first), 10) * share * 1_000);

describe("what the host gave to others", () => {
  test("is told of the worst ten seconds of the processor that had the least", () => {
    expect(missingIn(tenFrom(20, 0.43), at(0), at(60))).toBe(
      "in some 10 s the host took 43 % of a processor, and a timer was 0 ms late",
    );
  });

  test("is nothing below a tenth, however long it lasts", () => {
    const steady = (share: number) => record(600, (second) => second * share * 1_000);
    expect(missingIn(steady(0.099), at(0), at(600))).toBeUndefined();
    expect(missingIn(steady(0.1), at(0), at(600))).toContain("took 10 %");
  });

  test("counts for what ran meanwhile, and for nothing else", () => {
    const busy = tenFrom(40, 0.9);
    expect(missingIn(busy, at(0), at(40))).toBeUndefined();
    expect(missingIn(busy, at(50), at(90))).toBeUndefined();
    expect(missingIn(busy, at(30), at(60))).toContain("took 90 %");
    // of what took less than ten seconds, those that ended with it
    expect(missingIn(busy, at(49), at(50))).toContain("took 90 %");
    expect(missingIn(busy, at(38), at(39))).toBeUndefined();
    expect(missingIn(busy, at(61), at(62))).toBeUndefined();
  });

  test("is seen also where one who wanted to look came late", () => {
    const frozen = (ms: number): HostMoment[] =>
      record(30, () => 0).map(({ atMs, takenMs }, second) => ({ atMs: atMs + (second > 15 ? ms : 0), takenMs }));

    expect(missingIn(frozen(700), at(0), at(30))).toContain("a timer was 700 ms late");
    expect(missingIn(frozen(400), at(0), at(30))).toBeUndefined();
    expect(missingIn(frozen(700), at(20), at(30))).toBeUndefined();
    expect(missingIn(frozen(700), at(0), at(14))).toBeUndefined();
  });

  test("is nothing where there is no record, or the system does not tell", () => {
    expect(missingIn([], at(0), at(30))).toBeUndefined();
    const untold = record(20, () => 0).map(({ atMs }) => ({ atMs, takenMs: [] }));
    expect(missingIn(untold, at(0), at(20))).toBeUndefined();
  });
});

test("who is judged by the clock is known by its path", () => {
  expect(["test/e2e/rot.test.ts", "test/unit/adapters/tls.test.ts"].every(isByTheClock)).toBe(true);
  expect(["test/unit/repair/collect.test.ts", "test/sim/ring.test.ts", "test/e2e/http.ts"].some(isByTheClock)).toBe(
    false,
  );
});
