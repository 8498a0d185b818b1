/** A run as it is kept, compared and shown: one JSON document, small enough to be committed. */
import os from "node:os";
import type { DataVerdict } from "../data-check.ts";
import { Histogram } from "../driver/histogram.ts";
import type { FaultMark, RunPlan, RunResult, SparseHistogram } from "../plan.ts";
import { judge, type Verdict } from "../thresholds.ts";

/** Percentiles of one latency, milliseconds. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** One kind of operation. */
export interface OperationSummary {
  readonly kind: string;
  readonly planned: Percentiles;
  readonly service: Percentiles;
  readonly histogram: SparseHistogram;
}

/** A whole run. */
export interface Summary {
  readonly format: 1;
  readonly runId: string;
  readonly workload: string;
  readonly meaning: string;
  readonly startedAt: string;
  readonly plan: Pick<
    RunPlan,
    "rate" | "warmUpSeconds" | "seconds" | "recordCount" | "valueBytes" | "mix" | "draw" | "seed"
  >;
  readonly nodes: string;
  readonly machine: string;
  readonly operations: readonly OperationSummary[];
  readonly series: RunResult["series"];
  readonly errors: RunResult["errors"];
  readonly counts: RunResult["counts"];
  readonly generator: RunResult["generator"];
  readonly data: DataVerdict;
  readonly faults: readonly FaultMark[];
  readonly verdicts: readonly Verdict[];
  readonly isPassed: boolean;
}

/** What a summary is made of. */
export interface SummaryParts {
  readonly workload: { readonly name: string; readonly meaning: string };
  readonly journeyFaultCount: number | undefined;
  readonly plan: RunPlan;
  readonly startedAt: Date;
  readonly result: RunResult;
  readonly data: DataVerdict;
  readonly faults: readonly FaultMark[];
  /** how many of them there should be */
  readonly plannedFaultCount: number;
  /** whose nodes they were, in words */
  readonly nodes: string;
}

/** The percentiles of a histogram. */
export function percentilesOf(sparse: SparseHistogram): Percentiles {
  const histogram = Histogram.from(sparse);
  return {
    count: histogram.count,
    p50: histogram.quantileMs(0.5),
    p90: histogram.quantileMs(0.9),
    p99: histogram.quantileMs(0.99),
    p999: histogram.quantileMs(0.999),
    max: histogram.quantileMs(1),
  };
}

function machineText(): string {
  const cpus = os.cpus();
  const memory = `${Math.round(os.totalmem() / 2 ** 30)} GiB`;
  return `${cpus.length} × ${cpus[0]?.model.trim() ?? "processor"}, ${memory}, ${os.type()}, Node.js ${process.versions.node}`;
}

/** Puts a run together, and judges it. */
export function summarize({
  workload,
  journeyFaultCount,
  plan,
  startedAt,
  result,
  data,
  faults,
  plannedFaultCount,
  nodes,
}: SummaryParts): Summary {
  const operations = Object.entries(result.operations)
    .map(([kind, { planned, service }]) => ({
      kind,
      planned: percentilesOf(planned),
      service: percentilesOf(service),
      histogram: planned,
    }))
    .toSorted((a, b) => (a.kind < b.kind ? -1 : 1));
  const { generator, counts } = result;
  const verdicts = judge({
    workload: workload.name,
    hasFaults: faults.length > 0,
    missedFaultCount: plannedFaultCount - faults.length,
    latenessP99Ms: generator.latenessP99Ms,
    loopBusyShare: generator.loopBusyShare,
    sentShare: generator.sentCount / Math.max(1, generator.plannedCount),
    failedShare: counts.failedCount / Math.max(1, counts.doneCount),
    slowestP99Ms: Math.max(0, ...operations.map(({ planned }) => planned.p99)),
    ...data,
    damagedCount: data.damagedCount + counts.damagedValueCount,
    staleReadCount: counts.staleReadCount,
    journeyFaultCount,
  });
  const { rate, warmUpSeconds, seconds, recordCount, valueBytes, mix, draw, seed } = plan;
  return {
    format: 1,
    runId: plan.runId,
    workload: workload.name,
    meaning: workload.meaning,
    startedAt: startedAt.toISOString(),
    plan: { rate, warmUpSeconds, seconds, recordCount, valueBytes, mix, draw, seed },
    nodes,
    machine: machineText(),
    operations,
    series: result.series,
    errors: result.errors,
    counts,
    generator,
    data,
    faults,
    verdicts,
    isPassed: verdicts.every(({ isMet }) => isMet) && counts.doneCount > 0,
  };
}

/** A summary that was kept; throws when the text is none. */
export function parseSummary(text: string): Summary {
  const parsed: unknown = JSON.parse(text);
  const isSummary =
    typeof parsed === "object" &&
    parsed !== null &&
    "format" in parsed &&
    parsed.format === 1 &&
    "operations" in parsed;
  if (!isSummary) throw new Error("this is not the summary of a load test");
  return parsed as Summary;
}
