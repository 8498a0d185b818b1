/** The reports: what they must say, and that they are whole whatever a run was like. */
import { describe, expect, test } from "vitest";
import { Histogram } from "../../../loadtest/driver/histogram.ts";
import type { RunResult } from "../../../loadtest/plan.ts";
import { chartFile, chartSvg } from "../../../loadtest/report/charts.ts";
import { comparisonPage } from "../../../loadtest/report/comparison.ts";
import { count, ms, percent } from "../../../loadtest/report/numbers.ts";
import { runPage } from "../../../loadtest/report/page.ts";
import { latencyChart } from "../../../loadtest/report/run-charts.ts";
import { parseSummary, type Summary, summarize } from "../../../loadtest/report/summary.ts";
import { summaryText } from "../../../loadtest/report/text.ts";

const PLAN = {
  runId: "r",
  bucket: "b",
  targets: ["http://127.0.0.1:1"],
  mix: { read: 1 },
  draw: "uniform",
  recordCount: 10,
  valueBytes: 1_024,
  rate: 10,
  warmUpSeconds: 1,
  seconds: 2,
  seed: 1,
  timeoutMs: 1_000,
} as const;

function histogramOf(...latencies: readonly number[]): readonly number[] {
  const histogram = new Histogram();
  for (const one of latencies) histogram.recordMs(one);
  return histogram.toSparse();
}

const RESULT: RunResult = {
  operations: { read: { planned: histogramOf(1, 2, 300), service: histogramOf(1, 2, 3) } },
  series: [{ second: 0, doneCount: 20, failedCount: 1, p50Ms: 1, p99Ms: 300, maxMs: 300 }],
  errors: { "503 <script>": 1 },
  counts: {
    doneCount: 20,
    failedCount: 1,
    retryCount: 2,
    readCount: 20,
    staleReadCount: 0,
    siblingReadCount: 0,
    mostSiblings: 1,
    standInWriteCount: 0,
    damagedValueCount: 0,
  },
  generator: {
    latenessP50Ms: 0.1,
    latenessP99Ms: 1,
    latenessMaxMs: 2,
    loopDelayP99Ms: 11,
    loopBusyShare: 0.1,
    cpuMicrosPerOperation: 200,
    machineBusyShare: 0.5,
    plannedCount: 20,
    sentCount: 20,
    mostInFlight: 3,
  },
};

function summaryOf(lostCount: number, result: RunResult = RESULT, plannedFaultCount = 1): Summary {
  const data = {
    keyCount: 10,
    appliedCount: 10,
    unknownCount: 0,
    refusedCount: 0,
    lostCount,
    lateCount: 0,
    undeadCount: 0,
    foreignCount: 0,
    damagedCount: 0,
    unreadKeyCount: 0,
    mostSiblings: 1,
    examples: lostCount > 0 ? ["key lost <w1>"] : [],
  };
  const faults = [{ text: "node 2 killed", atSeconds: 1 }];
  const workload = { name: "smoke", meaning: "a & b" };
  return summarize({
    workload,
    journeyFaultCount: undefined,
    plan: PLAN,
    startedAt: new Date(0),
    result,
    data,
    faults,
    plannedFaultCount,
    nodes: "3 nodes",
  });
}

describe("a summary", () => {
  test("passes when all is kept, and fails for one lost update", () => {
    expect(summaryOf(0).isPassed).toBe(true);
    expect(summaryOf(1).isPassed).toBe(false);
    expect(summaryText(summaryOf(1))).toMatch(/NOT KEPT \(data\): lost updates 1, limit 0\nFAILED$/);
  });

  test("of a run whose faults did not all happen fails", () => {
    expect(summaryOf(0, RESULT, 2).isPassed).toBe(false);
  });

  test("of a run that did nothing fails", () => {
    const counts = { ...RESULT.counts, doneCount: 0, failedCount: 0 };
    expect(summaryOf(0, { ...RESULT, operations: {}, series: [], errors: {}, counts }).isPassed).toBe(false);
  });

  test("comes back from its file as it was, and other JSON is refused", () => {
    expect(parseSummary(JSON.stringify(summaryOf(0)))).toEqual(summaryOf(0));
    expect(() => parseSummary("{}")).toThrow("not the summary");
  });
});

describe("a page", () => {
  test.each([
    ["of a run", runPage([summaryOf(1)])],
    ["of two runs", comparisonPage(summaryOf(0), summaryOf(1))],
    ["of a run that did nothing", runPage([summaryOf(0, { ...RESULT, operations: {}, series: [], errors: {} })])],
  ])("%s needs nothing else, runs no script and shows no NaN", (_, page) => {
    expect(page).not.toMatch(/<script|src=|href="http|@import|url\(|NaN|undefined|Infinity/);
    expect(page).toContain("prefers-color-scheme:dark");
    expect(page.match(/<svg/g)?.length).toBe(page.match(/<\/svg>/g)?.length);
  });

  test("shows the latency from the planned start beside that from the sending", () => {
    const page = runPage([summaryOf(0)]);
    expect(page).toMatch(/from the planned start<\/span><\/td><td>3<\/td><td>2\.0\d<\/td><td>30\d<\/td>/);
    expect(page).toMatch(/from the sending<\/span><\/td><td>3<\/td><td>2\.0\d<\/td><td>3\.0\d<\/td>/);
  });

  test("says when two runs were not given the same load", () => {
    const other = { ...summaryOf(0), workload: "ycsb-a" };
    expect(comparisonPage(summaryOf(0), summaryOf(0))).not.toContain("not given the same load");
    expect(comparisonPage(summaryOf(0), other)).toContain("not given the same load");
  });
});

describe("a chart", () => {
  test("as a file follows light and dark, and marks what was broken", () => {
    const file = chartFile(latencyChart(summaryOf(0)));
    expect(file).toMatch(/^<svg xmlns=/);
    expect(file).toContain("prefers-color-scheme:dark");
    expect(file).toContain("node 2 killed");
  });

  test("lies within its frame on a logarithmic scale, zero and all", () => {
    const points = [0, 0.5, 10, 100_000].map((y, x) => [x, y] as const);
    const chart = {
      title: "t",
      xLabel: "x",
      yLabel: "y",
      isLogarithmic: true,
      lines: [{ name: "a", tone: 0, points }],
    };
    const path = /<path[^>]* d="([^"]+)"/.exec(chartSvg(chart))?.[1] ?? "";
    const heights = path
      .split(/[ML]/)
      .slice(1)
      .map((step) => Number(step.split(" ")[1]));
    expect(heights).toHaveLength(4);
    for (const y of heights) expect(y >= 40 && y <= 221).toBe(true);
    expect(heights.toSorted((a, b) => b - a)).toEqual(heights);
  });
});

test("numbers are told with the digits that count", () => {
  expect([ms(0.123), ms(12.34), ms(1_234.5)]).toEqual(["0.12", "12.3", "1235"]);
  expect([percent(0), percent(0.0001), percent(0.012), percent(0.5)]).toEqual(["0 %", "0.010 %", "1.2 %", "50 %"]);
  expect([count(999), count(1_234_567)]).toEqual(["999", "1 234 567"]);
});
