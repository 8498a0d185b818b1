/** Results of a benchmark as rows and as a table. Must never drop a failed operation from sight: errors have a column. */
import { type LoadResult, quantileMs } from "./closed-loop.ts";

/** One workload on one system. */
export interface Measurement {
  readonly system: string;
  readonly workload: string;
  readonly operationsPerSecond: number;
  /** processor time per operation, summed over the system's processes, in microseconds */
  readonly cpuMicrosPerOperation: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  readonly errorCount: number;
}

/** One row of a run. */
export function summaryOf(run: {
  readonly system: string;
  readonly workload: string;
  readonly result: LoadResult;
  readonly cpuMicros: number;
}): Measurement {
  const { result } = run;
  const otherCount = [...result.otherStatuses.values()].reduce((sum, count) => sum + count, 0);
  return {
    system: run.system,
    workload: run.workload,
    operationsPerSecond: (result.operationCount * 1_000) / result.durationMs,
    cpuMicrosPerOperation: run.cpuMicros / Math.max(1, result.operationCount),
    p50Ms: quantileMs(result, 0.5),
    p99Ms: quantileMs(result, 0.99),
    p999Ms: quantileMs(result, 0.999),
    maxMs: quantileMs(result, 1),
    errorCount: result.errorCount + otherCount,
  };
}

/** The run whose processor time per operation is the middle one. */
export function median(runs: readonly Measurement[]): Measurement {
  const sorted = runs.toSorted((a, b) => a.cpuMicrosPerOperation - b.cpuMicrosPerOperation);
  const middle = sorted[Math.floor((sorted.length - 1) / 2)];
  if (middle === undefined) throw new Error("a median needs at least one run");
  return middle;
}

/** A table for a terminal; the ratio is to the floor's row of the workload that the label begins with. */
export function renderTable(rows: readonly Measurement[]): string {
  const floors = new Map(rows.filter((row) => row.system === "floor").map((row) => [row.workload, row]));
  const cells = rows.map((row) => {
    const floor = floors.get(row.workload.split(",")[0] ?? "");
    const ratio = floor === undefined ? "" : (row.cpuMicrosPerOperation / floor.cpuMicrosPerOperation).toFixed(2);
    return [
      row.workload,
      row.system,
      row.operationsPerSecond.toFixed(0),
      row.cpuMicrosPerOperation.toFixed(1),
      ratio,
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      row.p999Ms.toFixed(2),
      row.maxMs.toFixed(1),
      String(row.errorCount),
    ];
  });
  const head = [
    "workload",
    "system",
    "ops/s",
    "cpu µs/op",
    "× floor",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "errors",
  ];
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  ");
  return [line(head), widths.map((width) => "─".repeat(width)).join("  "), ...cells.map(line)].join("\n");
}
