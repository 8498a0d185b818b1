import { describe, expect, test } from "vitest";
import { isByTheClock } from "../../support/by-the-clock.ts";
import { type HostMoment, missingIn, momentOf } from "../../support/host-record.ts";

/** A record of two processors, second by second; the sums of what was taken of and waited for by the second one. */
function record(
  seconds: number,
  at: (second: number) => { readonly takenMs?: number; readonly waitedMs?: number },
): HostMoment[] {
  return Array.from({ length: seconds + 1 }, (_, second) => {
    const { takenMs = 0, waitedMs = 0 } = at(second);
    return { atMs: 1_000_000 + second * 1_000, takenMs: [0, takenMs], waitedMs: [0, waitedMs] };
  });
}

const at = (second: number): number => 1_000_000 + second * 1_000;

describe("what the host gave to others", () => {
  test("is told of the worst ten seconds of the processor that had the least", () => {
    const busy = record(60, (second) => ({ takenMs: Math.min(Math.max(0, second - 20), 10) * 430 }));

    expect(missingIn(busy, at(0), at(60))).toBe(
      "the host took 43 % of a processor, it waited for the disk for 0 %, of 10 s; a timer was 0 ms late",
    );
  });

  test("is nothing below a tenth, however long it lasts", () => {
    expect(
      missingIn(
        record(600, (second) => ({ takenMs: second * 99 })),
        at(0),
        at(600),
      ),
    ).toBeUndefined();
    expect(
      missingIn(
        record(600, (second) => ({ takenMs: second * 100 })),
        at(0),
        at(600),
      ),
    ).toContain("took 10 %");
  });

  test("counts for what ran meanwhile, and for nothing else", () => {
    const busy = record(100, (second) => ({ takenMs: Math.min(Math.max(0, second - 40), 10) * 900 }));

    expect(missingIn(busy, at(0), at(29))).toBeUndefined();
    expect(missingIn(busy, at(44), at(46))).toContain("took 90 %");
    expect(missingIn(busy, at(61), at(100))).toBeUndefined();
  });

  test("is seen also where all that could go on waited for the disk", () => {
    expect(
      missingIn(
        record(30, (second) => ({ waitedMs: second * 730 })),
        at(0),
        at(30),
      ),
    ).toContain("the disk for 73 %");
    expect(
      missingIn(
        record(30, (second) => ({ waitedMs: second * 400 })),
        at(0),
        at(30),
      ),
    ).toBeUndefined();
  });

  test("is seen also where one who wanted to look came late", () => {
    const frozen = (ms: number): HostMoment[] =>
      record(30, () => ({})).map((moment, second) => ({ ...moment, atMs: moment.atMs + (second > 15 ? ms : 0) }));

    expect(missingIn(frozen(700), at(0), at(30))).toContain("a timer was 700 ms late");
    expect(missingIn(frozen(400), at(0), at(30))).toBeUndefined();
    expect(missingIn(frozen(700), at(28), at(30))).toBeUndefined();
  });

  test("is nothing where there is no record", () => {
    expect(missingIn([], at(0), at(30))).toBeUndefined();
    expect(
      missingIn(
        record(20, () => ({})).map(({ atMs }) => momentOf("", atMs)),
        at(0),
        at(20),
      ),
    ).toBeUndefined();
  });

  test("is read from the kernel's lines, processor by processor", () => {
    const stat = "cpu  3 0 3 3 7 0 0 9 0 0\ncpu0 1 0 1 1 3 0 0 4 0 0\ncpu1 2 0 2 2 4 0 0 5 0 0\nintr 99\n";

    expect(momentOf(stat, 5)).toEqual({ atMs: 5, takenMs: [40, 50], waitedMs: [30, 40] });
  });
});

test("who is judged by the clock is known by its path", () => {
  expect(["test/e2e/rot.test.ts", "test/unit/adapters/tls.test.ts"].every(isByTheClock)).toBe(true);
  expect(["test/unit/repair/collect.test.ts", "test/sim/ring.test.ts", "test/e2e/http.ts"].some(isByTheClock)).toBe(
    false,
  );
});
