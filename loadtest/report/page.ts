/** The report of one run, or of several one below the other: a single HTML file that needs nothing else. Pure. */
import { CHART_STYLE, chartSvg, colours, escaped } from "./charts.ts";
import { count, ms, percent } from "./numbers.ts";
import { latencyChart, percentileChart, percentileLine, throughputChart } from "./run-charts.ts";
import type { Summary } from "./summary.ts";
import { verdictNumber } from "./text.ts";

const STYLE = `${colours(":root")}${CHART_STYLE}
body{background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem;margin-top:1.5rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--quiet)}
.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}.quiet{color:var(--quiet)}
.verdict{font-size:1.1rem;font-weight:600}svg{width:100%;height:auto;margin:.5rem 0}
.wide{overflow-x:auto}td span{white-space:nowrap}pre{white-space:pre-wrap;overflow-wrap:anywhere}`;

/** A whole document. */
export function documentOf(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escaped(title)}</title><style>${STYLE}</style></head>
<body>
${body}
</body></html>
`;
}

/** A table; the first column is text, cells are HTML already. */
export function tableOf(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = heads.map((text) => `<th scope="col">${escaped(text)}</th>`).join("");
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${cell}</td>`).join("")}</tr>`).join("\n");
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function verdictRows(summary: Summary): readonly (readonly string[])[] {
  return summary.verdicts.map((one) => [
    `${escaped(one.text)} <span class="quiet">(${one.about})</span>`,
    verdictNumber(one.actual, one),
    verdictNumber(one.limit, one),
    one.isMet ? `<span class="good">kept</span>` : `<span class="bad">not kept</span>`,
  ]);
}

function latencyRows(summary: Summary): readonly (readonly string[])[] {
  return summary.operations.flatMap(({ kind, planned, service }) =>
    [["from the planned start", planned] as const, ["from the sending", service] as const].map(([how, one]) => [
      `${kind} <span class="quiet">${how}</span>`,
      count(one.count),
      ...[one.p50, one.p90, one.p99, one.p999, one.max].map(ms),
    ]),
  );
}

function factRows({
  plan,
  nodes,
  machine,
  counts,
  data,
  startedAt,
  generator,
}: Summary): readonly (readonly string[])[] {
  const mix = Object.entries(plan.mix).map(([kind, share]) => `${percent(share)} ${kind}`);
  return [
    ["when and where", `${startedAt}, ${escaped(nodes)}; ${escaped(machine)}`],
    [
      "load",
      `${plan.rate} operations a second, open loop, for ${plan.seconds} s after ${plan.warmUpSeconds} s: ${mix.join(", ")}; ` +
        `${count(plan.recordCount)} records of ${count(plan.valueBytes)} bytes, keys ${plan.draw}, seed ${plan.seed}`,
    ],
    [
      "writes",
      `${count(data.appliedCount)} acknowledged, ${count(data.refusedCount)} refused without a trace, ${count(data.unknownCount)} of unknown outcome, on ${count(data.keyCount)} keys`,
    ],
    [
      "reads",
      `${count(counts.readCount)}, of which ${count(counts.staleReadCount)} stale and ${count(counts.siblingReadCount)} with siblings (at most ${counts.mostSiblings})`,
    ],
    ["asked of another node", count(counts.retryCount)],
    ["writes that a stand-in took", count(counts.standInWriteCount)],
    [
      "generator",
      `${ms(generator.cpuMicrosPerOperation / 1_000)} ms of processor an operation, at most ${count(generator.mostInFlight)} under way, machine busy ${percent(generator.machineBusyShare)}`,
    ],
  ];
}

/** One run as a section. */
export function runSection(summary: Summary): string {
  const lines = summary.operations.map((one, tone) => percentileLine(one, { name: one.kind, tone }));
  const failures = Object.entries(summary.errors);
  const { examples } = summary.data;
  return [
    `<h2 id="${summary.workload}">${escaped(summary.workload)}</h2>`,
    `<p>${escaped(summary.meaning)}</p>`,
    `<p class="verdict ${summary.isPassed ? "good" : "bad"}">${summary.isPassed ? "Every limit was kept." : "A limit was not kept."} Lost updates: ${summary.data.lostCount} of ${count(summary.data.appliedCount)}.</p>`,
    tableOf(["limit", "was", "may be", ""], verdictRows(summary)),
    "<h3>Latency, milliseconds</h3>",
    tableOf(["operation", "count", "p50", "p90", "p99", "p99.9", "max"], latencyRows(summary)),
    chartSvg(latencyChart(summary)),
    chartSvg(throughputChart(summary)),
    chartSvg(percentileChart(`${summary.workload}: latency by percentile`, lines)),
    "<h3>What was done</h3>",
    tableOf(["", ""], factRows(summary)).replaceAll("<td>", `<td style="text-align:left">`),
    failures.length === 0
      ? ""
      : `<h3>Failures</h3>${tableOf(
          ["answer", "count"],
          failures.map(([name, times]) => [escaped(name), count(times)]),
        )}`,
    examples.length === 0 ? "" : `<h3>What is wrong</h3><pre>${escaped(examples.join("\n"))}</pre>`,
  ].join("\n");
}

/** A page of runs. */
export function runPage(summaries: readonly Summary[]): string {
  const names = summaries.map(({ workload }) => workload).join(", ");
  return documentOf(`gyre load test: ${names}`, `<h1>gyre load test</h1>\n${summaries.map(runSection).join("\n")}`);
}
