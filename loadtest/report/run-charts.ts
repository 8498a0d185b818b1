/** The charts of a run: latency and throughput second by second, and the latency of each share of operations. Pure. */
import { Histogram } from "../driver/histogram.ts";
import type { Chart, Line } from "./charts.ts";
import type { Summary } from "./summary.ts";

/** Shares as in HdrHistogram's plots: each step halves what is left. */
const SHARES = [0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999];
const TICKS = [0, 0.9, 0.99, 0.999, 0.9999];

function marksOf(summary: Summary): Chart["marks"] {
  return summary.faults.map(({ text, atSeconds }) => ({ x: atSeconds, text }));
}

/** Latency over time, from the planned start. */
export function latencyChart(summary: Summary): Chart {
  const line = (name: string, tone: number, pick: (row: Summary["series"][number]) => number): Line => ({
    name,
    tone,
    points: summary.series.map((row) => [row.second, Math.max(0.01, pick(row))] as const),
  });
  return {
    title: `${summary.workload}: latency from the planned start`,
    xLabel: "seconds of the measured time",
    yLabel: "milliseconds",
    isLogarithmic: true,
    lines: [
      line("p50", 0, ({ p50Ms }) => p50Ms),
      line("p99", 1, ({ p99Ms }) => p99Ms),
      line("slowest", 3, ({ maxMs }) => maxMs),
    ],
    ...withMarks(summary),
  };
}

function withMarks(summary: Summary): Pick<Chart, "marks"> {
  const marks = marksOf(summary);
  return marks === undefined ? {} : { marks };
}

/** Operations by second of their planned start. */
export function throughputChart(summary: Summary): Chart {
  return {
    title: `${summary.workload}: operations a second`,
    xLabel: "seconds of the measured time",
    yLabel: "operations",
    isLogarithmic: false,
    lines: [
      {
        name: "done",
        tone: 2,
        points: summary.series.map((row) => [row.second, row.doneCount - row.failedCount] as const),
      },
      { name: "failed", tone: 1, points: summary.series.map((row) => [row.second, row.failedCount] as const) },
    ],
    ...withMarks(summary),
  };
}

function nines(share: number): number {
  return -Math.log10(1 - share);
}

/** The curve of one kind of operation: the share of operations against their latency. */
export function percentileLine(
  operation: Summary["operations"][number],
  look: Pick<Line, "name" | "tone" | "isDashed">,
): Line {
  const histogram = Histogram.from(operation.histogram);
  const shares = SHARES.filter((share) => share === 0 || histogram.count * (1 - share) >= 1);
  return {
    ...look,
    points: shares.map((share) => [nines(share), histogram.quantileMs(Math.max(share, 0.001))] as const),
  };
}

/** Latency by percentile: one line for each given. */
export function percentileChart(title: string, lines: readonly Line[]): Chart {
  const most = Math.max(0, ...lines.flatMap(({ points }) => points.map(([x]) => x)));
  return {
    title,
    xLabel: "share of the operations that were as fast",
    yLabel: "milliseconds",
    isLogarithmic: true,
    lines,
    xTicks: TICKS.filter((share) => nines(share) <= most).map((share) => ({
      x: nines(share),
      text: `${Number((share * 100).toFixed(2))} %`,
    })),
  };
}
