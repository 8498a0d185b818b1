/** A run in a dozen lines, for a terminal: the verdict, the times, what became of the data. Pure. */
import type { Verdict } from "../thresholds.ts";
import { count, ms, percent } from "./numbers.ts";
import type { Summary } from "./summary.ts";

/** A number of a verdict as people read it. */
export function verdictNumber(value: number, { unit, text }: Verdict): string {
  if (unit === "ms") return `${ms(value)} ms`;
  return /busy|sent of|failed/.test(text) ? percent(value) : count(value);
}

function column(texts: readonly string[]): string {
  return texts.map((text, i) => (i === 0 ? text.padEnd(10) : text.padStart(10))).join("");
}

/** The text of a run. */
export function summaryText(summary: Summary): string {
  const { operations, data, counts, generator, errors, verdicts, faults } = summary;
  const rows = operations.map(({ kind, planned, service }) =>
    column([
      kind,
      count(planned.count),
      ...[planned.p50, planned.p99, planned.p999, planned.max, service.p50, service.p99].map(ms),
    ]),
  );
  const failures = Object.entries(errors).map(([name, times]) => `  ${count(times)} × ${name}`);
  const broken = verdicts.filter(({ isMet }) => !isMet);
  return [
    `${summary.workload}: ${summary.meaning}`,
    column(["ms", "count", "p50", "p99", "p99.9", "max", "sent p50", "sent p99"]),
    ...rows,
    `${count(counts.doneCount)} operations, ${count(counts.failedCount)} failed, ${count(counts.retryCount)} asked of another node; ` +
      `reads: ${count(counts.staleReadCount)} stale, ${count(counts.siblingReadCount)} with siblings (at most ${counts.mostSiblings})`,
    ...failures,
    `writes acknowledged ${count(data.appliedCount)}, refused ${count(data.refusedCount)}, unknown ${count(data.unknownCount)}; ` +
      `${count(data.keyCount)} keys read back: lost ${data.lostCount}, late ${data.lateCount}`,
    ...data.examples.map((example) => `  ${example}`),
    `generator: sent late p99 ${ms(generator.latenessP99Ms)} ms, loop busy ${percent(generator.loopBusyShare)}, ` +
      `${ms(generator.cpuMicrosPerOperation / 1_000)} ms of processor an operation; machine busy ${percent(generator.machineBusyShare)}`,
    ...faults.map(({ text, atSeconds }) => `  ${atSeconds.toFixed(1)} s ${text}`),
    ...broken.map(
      (one) =>
        `NOT KEPT (${one.about}): ${one.text} ${verdictNumber(one.actual, one)}, limit ${verdictNumber(one.limit, one)}`,
    ),
    summary.isPassed ? "passed" : "FAILED",
  ].join("\n");
}
