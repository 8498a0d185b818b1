/** Counters, gauges and histograms, and the text that a scraper reads. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MetricsRegistry } from "../../../services/base/metrics.ts";

describe("the registry", () => {
  it("renders families with help, type and escaped labels, in the order of their making", () => {
    const metrics = new MetricsRegistry();
    const puts = metrics.counter({ name: "gyre_ops_total", help: "Operations.", labels: { op: 'p"u\\t\n' } });
    metrics.gauge({ name: "gyre_keys", help: "Keys." }, () => 7);
    metrics.gauge({ name: "gyre_hints", help: "Hints." }, () => [
      { labels: { to: "n2" }, value: 1.5 },
      { labels: { to: "n3" }, value: Number.POSITIVE_INFINITY },
    ]);
    metrics.counter({ name: "gyre_ops_total", help: "Operations.", labels: { op: "get" } });
    puts.add();
    puts.add(2);
    expect(metrics.render()).toBe(
      '# HELP gyre_ops_total Operations.\n# TYPE gyre_ops_total counter\ngyre_ops_total{op="p\\"u\\\\t\\n"} 3\n' +
        'gyre_ops_total{op="get"} 0\n# HELP gyre_keys Keys.\n# TYPE gyre_keys gauge\ngyre_keys 7\n' +
        '# HELP gyre_hints Hints.\n# TYPE gyre_hints gauge\ngyre_hints{to="n2"} 1.5\ngyre_hints{to="n3"} +Inf\n',
    );
  });

  it("shows as a counter what a room counts by itself, and never as a gauge", () => {
    const metrics = new MetricsRegistry();
    let count = 1;
    metrics.total({ name: "gyre_done_total", help: "Done." }, () => count);
    count = 5;
    expect(metrics.render()).toBe("# HELP gyre_done_total Done.\n# TYPE gyre_done_total counter\ngyre_done_total 5\n");
    expect(() => metrics.total({ name: "gyre_done", help: "Done." }, () => count)).toThrow("_total");
  });

  it("refuses what would confuse a scraper: a series twice, two kinds, two helps, odd names", () => {
    const metrics = new MetricsRegistry();
    metrics.counter({ name: "a_total", help: "A." });
    expect(() => metrics.counter({ name: "a_total", help: "A." })).toThrow("once");
    expect(() => metrics.counter({ name: "a_total", help: "B.", labels: { x: "1" } })).toThrow("one help");
    expect(() => metrics.gauge({ name: "a_total", help: "A." }, () => 1)).toThrow("one kind");
    expect(() => metrics.counter({ name: "a", help: "A." })).toThrow("_total");
    expect(() => metrics.gauge({ name: "A-b", help: "A." }, () => 1)).toThrow("name");
    expect(() => metrics.durations({ name: "wait_ms", help: "A." })).toThrow("_seconds");
  });
});

describe("a histogram", () => {
  const bucketsOf = (text: string): readonly (readonly [le: number, count: number])[] =>
    [...text.matchAll(/_bucket\{le="([^"]+)"\} (\d+)/g)].map(([, le, count]) => [
      le === "+Inf" ? Infinity : Number(le),
      Number(count),
    ]);

  it("puts every value into the first bucket whose bound is not below it", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 2 ** 28, noNaN: true })),
        fc.array(fc.nat({ max: 2 ** 27 })),
        (some, more) => {
          const metrics = new MetricsRegistry();
          const histogram = metrics.histogram({ name: "x_bytes", help: "X.", unit: 1, lowest: 4, highest: 26 });
          const values = [...some, ...more];
          for (const value of values) histogram.observe(value);
          expect(histogram.count).toBe(values.length);
          for (const [le, count] of bucketsOf(metrics.render())) {
            expect([le, count]).toEqual([le, values.filter((value) => value <= le).length]);
          }
        },
      ),
    );
  });

  it("holds values on a bound in that bound's bucket, and shows base units", () => {
    const metrics = new MetricsRegistry();
    const wait = metrics.durations({ name: "wait_seconds", help: "W." });
    for (const micros of [16, 17, 24, 25, 32, 67_108_864, 67_108_865]) wait.observe(micros);
    const text = metrics.render();
    const counts = new Map(bucketsOf(text));
    expect([counts.get(0.000016), counts.get(0.000024), counts.get(0.000032), counts.get(0.000048)]).toEqual([
      1, 3, 5, 5,
    ]);
    expect([counts.get(67.108864), counts.get(Infinity)]).toEqual([6, 7]);
    expect(bucketsOf(text)).toHaveLength(46);
    expect(text).toContain("wait_seconds_count 7\n");
    expect(Number(/wait_seconds_sum (\S+)/.exec(text)?.[1])).toBeCloseTo(134.217843, 6);
  });

  it("shows nothing before its first value", () => {
    const metrics = new MetricsRegistry();
    metrics.durations({ name: "wait_seconds", help: "W." });
    expect(metrics.render()).toBe("# HELP wait_seconds W.\n# TYPE wait_seconds histogram\n");
  });
});
