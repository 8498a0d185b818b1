/**
 * `npm run loadtest`: the door. Reads the command line, fetches Artillery when it is missing, does what was asked, ends with an
 * exit code that scripts can rely on.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { install } from "./install.ts";
import { HELP, type Order, parseOrder, type RunOptions, UnreachableError, UsageError } from "./options.ts";
import { parseSummary, type Summary } from "./report/summary.ts";
import { summaryText } from "./report/text.ts";
import { WORKLOADS } from "./workloads.ts";

const EXIT = { passed: 0, failed: 1, usage: 64, unreachable: 69 } as const;
const MOST_TRIES = 3;
const startedMs = performance.now();

function tell(text: string): void {
  process.stdout.write(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);
}

function listText(): string {
  const width = Math.max(...WORKLOADS.map(({ name }) => name.length));
  const lines = WORKLOADS.map(({ name, meaning }) => `  ${name.padEnd(width)}  ${meaning}`);
  return `${lines.join("\n")}\n\nYCSB E (scans) is not possible: keys are listed in the order of their hashes.\n`;
}

function read(path: string): Summary {
  try {
    return parseSummary(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function follow(order: Order, stop: AbortSignal): Promise<number> {
  switch (order.kind) {
    case "help":
      process.stdout.write(HELP);
      return EXIT.passed;
    case "list":
      process.stdout.write(listText());
      return EXIT.passed;
    case "compare": {
      const { comparisonPage } = await import("./report/comparison.ts");
      const [before, after] = [read(order.files[0]), read(order.files[1])];
      mkdirSync(order.outDirectory, { recursive: true });
      const path = `${order.outDirectory}/compare.html`;
      writeFileSync(path, comparisonPage(before, after));
      process.stdout.write(`${path}\n`);
      return EXIT.passed;
    }
    case "run": {
      const finished = await runOne(order.options, stop);
      return finished.isPassed ? EXIT.passed : EXIT.failed;
    }
    case "suite": {
      const summaries: Summary[] = [];
      for (const options of order.runs) {
        tell(`── ${options.workload.name}`);
        summaries.push(await runUntilTold(options, stop));
      }
      const { writeSuite } = await import("./report/suite.ts");
      tell(`report: ${writeSuite(summaries, order.outDirectory)}`);
      return summaries.every(({ isPassed }) => isPassed) ? EXIT.passed : EXIT.failed;
    }
  }
}

async function runOne(options: RunOptions, stop: AbortSignal): Promise<Summary> {
  const problem = install(tell);
  if (problem !== undefined) throw new Error(problem);
  const { runStage } = await import("./stage.ts");
  const { runPage } = await import("./report/page.ts");
  const { summary, files } = await runStage(options, { tell, stop });
  writeFileSync(files.report, runPage([summary]));
  process.stdout.write(`\n${summaryText(summary)}\n`);
  tell(`report: ${files.report}, numbers: ${files.summary}`);
  return summary;
}

/** Again when the generator was late: that run has said nothing about the servers. What it says of the data stands, so a loss ends it. */
async function runUntilTold(options: RunOptions, stop: AbortSignal): Promise<Summary> {
  for (let tries = 1; ; tries += 1) {
    const summary = await runOne(options, stop);
    const broken = summary.verdicts.filter(({ isMet }) => !isMet);
    const isGeneratorLate = broken.some(({ about }) => about === "generator");
    const isDataWhole = broken.every(({ about }) => about !== "data");
    if (!isGeneratorLate || !isDataWhole || tries === MOST_TRIES) return summary;
    tell(`the generator was late on a busy machine: once more (${tries + 1} of ${MOST_TRIES})`);
  }
}

async function main(): Promise<number> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      tell("stopping …");
      stop.abort(new Error(`interrupted by ${signal}`));
    });
  }
  try {
    return await follow(parseOrder(process.argv.slice(2)), stop.signal);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${text}\n`);
    if (error instanceof UsageError) return EXIT.usage;
    return error instanceof UnreachableError ? EXIT.unreachable : EXIT.failed;
  }
}

process.exitCode = await main();
