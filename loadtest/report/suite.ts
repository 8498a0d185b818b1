/** The report of YCSB as documentation: a README with one row and one chart for each workload, and the whole as one page. */
import { mkdirSync, writeFileSync } from "node:fs";
import { chartFile } from "./charts.ts";
import { count, ms, percent } from "./numbers.ts";
import { runPage } from "./page.ts";
import { latencyChart } from "./run-charts.ts";
import type { Summary } from "./summary.ts";

const GENERATOR_LATE = "of gyre kept; generator late";
const LATE_NOTE = [
  "",
  "Where the generator was late, other programs had the processors: the counts of that row hold, its times are those of the machine.",
];

/** What became of the limits, in a word: a late generator says nothing about gyre. */
function limitsOf({ isPassed, verdicts }: Summary): string {
  if (isPassed) return "kept";
  const isGeneratorAlone = verdicts.every(({ isMet, about }) => isMet || about === "generator");
  return isGeneratorAlone ? GENERATOR_LATE : "**not kept**";
}

function row(summary: Summary): string {
  const { data, counts, operations } = summary;
  const times = operations.map(
    ({ kind, planned }) => `${kind} ${ms(planned.p50)} / ${ms(planned.p99)} / ${ms(planned.max)}`,
  );
  const cells = [
    `[${summary.workload}](#${summary.workload})`,
    count(counts.doneCount),
    `${count(counts.failedCount)} (${percent(counts.failedCount / Math.max(1, counts.doneCount))})`,
    times.join("<br>"),
    count(data.appliedCount),
    `**${data.lostCount}**`,
    limitsOf(summary),
  ];
  return `| ${cells.join(" | ")} |`;
}

function readme(summaries: readonly Summary[]): string {
  const [first] = summaries;
  if (first === undefined) return "";
  const { plan, machine, startedAt, nodes } = first;
  const faults = first.faults.map(({ text, atSeconds }) => `${text} at ${atSeconds.toFixed(0)} s`).join(", ");
  const lost = summaries.reduce((sum, { data }) => sum + data.lostCount, 0);
  const applied = summaries.reduce((sum, { data }) => sum + data.appliedCount, 0);
  return [
    "# YCSB A–D and F at a fixed rate, with a node killed",
    "",
    "Written by `npm run loadtest -- suite --out docs/loadtest`; the same command writes it anew. What the columns and limits mean is in",
    "[loadtest/README.md](../../loadtest/README.md); every number with its charts is in [report.html](report.html).",
    "",
    `**${lost} lost updates** among ${count(applied)} acknowledged writes, by the harness's own ledger.`,
    "",
    `Each run: ${nodes}, N = 3, R = W = 2, \`durability=fsync\`, ${plan.rate} operations a second (open loop) for ${plan.seconds} s, ${count(plan.recordCount)} records of ${count(plan.valueBytes)} bytes;`,
    `${faults}. Generator and nodes share the machine (${machine}), so the times say how gyre behaves there, not how fast it can be. ${startedAt.slice(0, 10)}.`,
    ...(summaries.some((one) => limitsOf(one) === GENERATOR_LATE) ? LATE_NOTE : []),
    "",
    "| workload | operations | failed | ms from the planned start: p50 / p99 / max | writes acknowledged | lost | limits |",
    "|---|--:|--:|---|--:|--:|---|",
    ...summaries.map(row),
    "",
    ...summaries.flatMap((summary) => [
      `## ${summary.workload}`,
      "",
      `${summary.meaning}. Reads: ${count(summary.counts.readCount)}, ${count(summary.counts.staleReadCount)} of them stale, ${count(summary.counts.siblingReadCount)} with siblings;` +
        ` asked of another node: ${count(summary.counts.retryCount)}; generator late (p99): ${ms(summary.generator.latenessP99Ms)} ms, machine busy ${percent(summary.generator.machineBusyShare)}.`,
      "",
      `![latency of ${summary.workload} by second](${summary.workload}.svg)`,
      "",
    ]),
  ].join("\n");
}

/** Writes the report of several runs; answers its first page. */
export function writeSuite(summaries: readonly Summary[], directory: string): string {
  mkdirSync(directory, { recursive: true });
  for (const summary of summaries) {
    writeFileSync(`${directory}/${summary.workload}.svg`, chartFile(latencyChart(summary)));
    writeFileSync(`${directory}/${summary.workload}.json`, `${JSON.stringify(summary)}\n`);
  }
  writeFileSync(`${directory}/report.html`, runPage(summaries));
  const page = `${directory}/README.md`;
  writeFileSync(page, readme(summaries).trimEnd().concat("\n"));
  return page;
}
