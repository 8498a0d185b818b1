/** The parts of the generator that decide: keys, values, latencies. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seeded } from "../../../loadtest/driver/chance.ts";
import { Histogram } from "../../../loadtest/driver/histogram.ts";
import { keyName, recordDraw, Zipfian } from "../../../loadtest/driver/keys.ts";
import { Ledger } from "../../../loadtest/driver/ledger.ts";
import { Recorder } from "../../../loadtest/driver/recorder.ts";
import { Values } from "../../../loadtest/driver/values.ts";

describe("a histogram", () => {
  test("knows every quantile within 1.6 percent of the sorted list", () => {
    const latencies = fc.array(fc.double({ min: 0.001, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(latencies, fc.constantFrom(0.01, 0.5, 0.9, 0.99, 1), (values, quantile) => {
        const histogram = new Histogram();
        for (const value of values) histogram.recordMs(value);
        const sorted = values.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(quantile * sorted.length)) - 1] ?? 0;
        const told = histogram.quantileMs(quantile);
        expect(Math.abs(told - exact)).toBeLessThanOrEqual(exact * 0.016 + 0.001);
      }),
    );
  });

  test("adds up with others after it has travelled", () => {
    const [first, second] = [new Histogram(), new Histogram()];
    for (let i = 1; i <= 100; i += 1) (i % 2 === 0 ? first : second).recordMs(i);
    const sum = Histogram.from(first.toSparse(), second.toSparse());
    expect(sum.count).toBe(100);
    expect(sum.quantileMs(0.5)).toBeGreaterThanOrEqual(50);
    expect(sum.quantileMs(0.5)).toBeLessThan(51);
  });

  test("is zero when nothing was recorded", () => {
    expect(new Histogram().quantileMs(0.99)).toBe(0);
  });
});

describe("keys", () => {
  test("come up by rank as Zipf's law with YCSB's constant says", () => {
    const zipfian = new Zipfian(1_000, seeded(7));
    const counts = new Map<number, number>();
    for (let i = 0; i < 100_000; i += 1) {
      const rank = zipfian.next();
      counts.set(rank, (counts.get(rank) ?? 0) + 1);
    }
    const zeta = Array.from({ length: 1_000 }, (_, i) => 1 / (i + 1) ** 0.99).reduce((a, b) => a + b);
    for (const rank of [0, 1]) {
      const expected = 100_000 / ((rank + 1) ** 0.99 * zeta);
      expect(Math.abs((counts.get(rank) ?? 0) / expected - 1)).toBeLessThan(0.05);
    }
    const tenth = [...counts].filter(([rank]) => rank < 100).reduce((sum, [, count]) => sum + count, 0);
    expect(tenth / 100_000).toBeGreaterThan(0.65);
  });

  test.each(["zipfian", "latest", "uniform", "hot"] as const)("drawn %s are records that are there", (draw) => {
    const next = recordDraw(draw, 50, seeded(3));
    for (let recordCount = 50; recordCount < 500; recordCount += 1) {
      const record = next(recordCount);
      expect(record).toBeGreaterThanOrEqual(0);
      expect(record).toBeLessThan(recordCount);
    }
  });

  test("drawn latest are mostly those that came last", () => {
    const next = recordDraw("latest", 1_000, seeded(5));
    const drawn = Array.from({ length: 1_000 }, () => next(2_000));
    expect(drawn.filter((record) => record >= 1_900).length).toBeGreaterThan(500);
  });

  test("are the same for the same seed, and need no escape in a path", () => {
    const draw = (): readonly number[] => {
      const next = recordDraw("zipfian", 100, seeded(11));
      return Array.from({ length: 20 }, () => next(100));
    };
    expect(draw()).toEqual(draw());
    expect(keyName(12)).toMatch(/^user\d+$/);
    expect(new Set(Array.from({ length: 10_000 }, (_, i) => keyName(i))).size).toBe(10_000);
  });
});

describe("a value", () => {
  const values = new Values(1_024);

  test("is about as long as was asked for, and names its write", () => {
    for (const valueBytes of [200, 1_024, 262_144]) {
      const body = new Values(valueBytes).bodyOf("w17");
      expect(Math.abs(body.length - valueBytes)).toBeLessThan(valueBytes * 0.1 + 40);
      expect(new Values(valueBytes).idOf(JSON.parse(body))).toBe("w17");
    }
  });

  test("names nothing when a byte of it is not as it was", () => {
    const body = values.bodyOf("w17");
    const at = body.lastIndexOf("field9") + 30;
    const spoiled = `${body.slice(0, at)}${body[at] === "A" ? "B" : "A"}${body.slice(at + 1)}`;
    expect(values.idOf(JSON.parse(spoiled))).toBeUndefined();
    expect(values.idOf({ ...JSON.parse(body), id: "w18" })).toBeUndefined();
    expect(values.idOf("w17")).toBeUndefined();
  });
});

describe("a read", () => {
  test("is stale when it shows only what was over before the newest acknowledged write began", () => {
    const ledger = new Ledger("w");
    const first = ledger.begin("k", "overwrite", []);
    ledger.end(first, "applied");
    const second = { ...ledger.begin("k", "overwrite", []), startMs: first.startMs + 1_000_000 };
    ledger.end(second, "applied");
    const expected = ledger.newestOf("k");
    expect(expected?.id).toBe(second.id);
    expect(ledger.isStale(expected, [first.id])).toBe(true);
    expect(ledger.isStale(expected, [first.id, second.id])).toBe(false);
    expect(ledger.isStale(expected, ["w99"])).toBe(false);
    expect(ledger.isStale(undefined, [])).toBe(false);
  });
});

describe("the recorder", () => {
  const fine = {
    failure: undefined,
    retryCount: 0,
    siblingCount: 1,
    isStale: false,
    isByStandIn: false,
    damagedCount: 0,
  };

  test("counts latency from the planned start, and keeps the warm-up out of the histograms", () => {
    const recorder = new Recorder();
    recorder.add("read", { plannedMs: -500, sentMs: -500, doneMs: 9_000 }, fine);
    recorder.add("read", { plannedMs: 100, sentMs: 1_100, doneMs: 1_102 }, fine);
    const { operations, series, counts } = recorder.result();
    expect(Histogram.from(operations["read"]?.planned ?? []).quantileMs(1)).toBeCloseTo(1_002, -2);
    expect(Histogram.from(operations["read"]?.service ?? []).quantileMs(1)).toBeCloseTo(2, 0);
    expect(series.map(({ second }) => second)).toEqual([-1, 0]);
    expect(counts.doneCount).toBe(1);
  });

  test("counts failures by name", () => {
    const recorder = new Recorder();
    const times = { plannedMs: 0, sentMs: 0, doneMs: 1 };
    recorder.add("update", times, { ...fine, failure: "503 quorum_not_met" });
    recorder.add("update", times, { ...fine, failure: "503 quorum_not_met" });
    expect(recorder.result().errors).toEqual({ "503 quorum_not_met": 2 });
    expect(recorder.result().counts.failedCount).toBe(2);
  });
});
