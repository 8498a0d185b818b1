/** Two runs side by side: what was different about them first, then how their latencies differ. Pure. */
import { chartSvg, escaped } from "./charts.ts";
import { count, ms, percent } from "./numbers.ts";
import { documentOf, tableOf } from "./page.ts";
import { percentileChart, percentileLine } from "./run-charts.ts";
import type { Percentiles, Summary } from "./summary.ts";

const QUANTILES = ["p50", "p90", "p99", "p999", "max"] as const;
const QUANTILE_NAMES = ["p50", "p90", "p99", "p99.9", "max"];
/** Smaller changes are noise on any machine that is not alone. */
const NOISE_SHARE = 0.1;

function change(before: number, after: number): string {
  if (before === 0) return "";
  const share = after / before - 1;
  const text = `${share >= 0 ? "+" : "−"}${Math.abs(share * 100).toFixed(0)} %`;
  if (Math.abs(share) < NOISE_SHARE) return `<span class="quiet">${text}</span>`;
  return `<span class="${share > 0 ? "bad" : "good"}">${text}</span>`;
}

function conditions(summary: Summary): readonly string[] {
  const { plan, nodes, machine, generator } = summary;
  return [
    `${summary.workload} (${summary.startedAt})`,
    `${plan.rate}/s for ${plan.seconds} s, ${count(plan.recordCount)} × ${count(plan.valueBytes)} bytes, ${plan.draw}, seed ${plan.seed}`,
    nodes,
    machine,
    summary.faults.map(({ text, atSeconds }) => `${text} at ${atSeconds.toFixed(0)} s`).join(", ") || "none",
    `sent late p99 ${ms(generator.latenessP99Ms)} ms, machine busy ${percent(generator.machineBusyShare)}`,
  ];
}

function conditionRows(before: Summary, after: Summary): readonly (readonly string[])[] {
  const names = ["run", "load", "nodes", "machine", "faults", "generator"];
  const [first, second] = [conditions(before), conditions(after)];
  return names.map((name, i) => [name, escaped(first[i] ?? ""), escaped(second[i] ?? "")]);
}

function latencyRow(kind: string, before: Percentiles, after: Percentiles): readonly string[] {
  return [
    kind,
    ...QUANTILES.map((name) => `${ms(before[name])} → ${ms(after[name])} ${change(before[name], after[name])}`),
  ];
}

/** True when both were given the same workload, rate and data. */
function isAlike(before: Summary, after: Summary): boolean {
  return before.workload === after.workload && JSON.stringify(before.plan) === JSON.stringify(after.plan);
}

/** The page of a comparison. */
export function comparisonPage(before: Summary, after: Summary): string {
  const pairs = before.operations.flatMap((one) => {
    const other = after.operations.find(({ kind }) => kind === one.kind);
    return other === undefined ? [] : [{ one, other }];
  });
  const charts = pairs.map(({ one, other }) =>
    chartSvg(
      percentileChart(`${one.kind}: latency by percentile`, [
        percentileLine(one, { name: "before", tone: 0, isDashed: true }),
        percentileLine(other, { name: "after", tone: 1 }),
      ]),
    ),
  );
  const outcome = (summary: Summary): readonly string[] => [
    summary.isPassed ? "passed" : "failed",
    String(summary.data.lostCount),
    `${count(summary.counts.failedCount)} of ${count(summary.counts.doneCount)}`,
    count(summary.counts.staleReadCount),
  ];
  const [first, second] = [outcome(before), outcome(after)];
  const outcomes = ["limits", "lost updates", "failed", "stale reads"].map((name, i) => [
    name,
    first[i] ?? "",
    second[i] ?? "",
  ]);
  const body = [
    "<h1>gyre load test: two runs compared</h1>",
    isAlike(before, after)
      ? ""
      : '<p class="bad">The two runs were not given the same load: what differs below may be that.</p>',
    tableOf(["", "before", "after"], conditionRows(before, after)),
    tableOf(["", "before", "after"], outcomes),
    "<h2>Latency from the planned start, milliseconds</h2>",
    `<p class="quiet">Changes below ${NOISE_SHARE * 100} % are told and not coloured.</p>`,
    pairs.length === 0
      ? "<p>The two runs have no kind of operation in common.</p>"
      : tableOf(
          ["operation", ...QUANTILE_NAMES],
          pairs.map(({ one, other }) => latencyRow(one.kind, one.planned, other.planned)),
        ),
    ...charts,
  ];
  return documentOf(`gyre load test: ${before.workload} and ${after.workload}`, body.join("\n"));
}
