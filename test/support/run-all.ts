/**
 * Everything that CI runs, in one process: types, lint, format, dead code, then all tests. The last line is
 * `N passed, N failed` and nothing else; each static check counts as one. Fails closed: no tests found is a failure,
 * and so is a skipped one. What is judged by the clock and failed while the machine was given to others is run again,
 * and says so: that was no verdict. On a machine that was there a failure is a failure.
 *
 * Usage: `npm test`, or `npm test -- test/unit/storage` for some tests only (the static checks run all the same).
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, relative, resolve } from "node:path";
import { isByTheClock } from "./by-the-clock.ts";
import { HostRecord } from "./host-record.ts";

interface Check {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

interface FileReport {
  readonly name: string;
  readonly status: string;
  readonly message?: string;
  /** wall clock, ms; where no test of it began, both are the start of all */
  readonly startTime: number;
  readonly endTime: number;
  readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
}

/** What a run of the test runner came to. */
interface TestRun {
  readonly status: number;
  readonly endedMs: number;
  readonly files: ReadonlyMap<string, FileReport>;
}

const NEEDED_MAJOR = 26;
/** how often what had no verdict is run again */
const MOST_AGAIN = 2;
const ROOT = resolve(import.meta.dirname, "../..");
const BIN = join(ROOT, "node_modules", ".bin");
const CODE_FOLDERS = ["services", "gossip", "storage", "test", "loadtest"].filter((name) =>
  existsSync(join(ROOT, name)),
);

const CHECKS: readonly Check[] = [
  { name: "types (tsc)", command: "tsc", args: ["-p", "."] },
  { name: "lint (oxlint)", command: "oxlint", args: ["--type-aware", "--deny-warnings", ...CODE_FOLDERS] },
  { name: "format (biome)", command: "biome", args: ["check", "--error-on-warnings", "."] },
  { name: "dead code (knip)", command: "knip", args: [] },
];

/** Runs a tool with the project's own binaries (and so its own Node) first on the path. */
async function runTool(command: string, args: readonly string[]): Promise<number> {
  const env = { ...process.env, PATH: `${BIN}${delimiter}${process.env["PATH"] ?? ""}` };
  try {
    const [status] = await once(spawn(join(BIN, command), args, { cwd: ROOT, stdio: "inherit", env }), "exit");
    return typeof status === "number" ? status : 1;
  } catch (error) {
    process.stdout.write(`cannot run ${command}: ${String(error)}\n`);
    return 1;
  }
}

async function runChecks(): Promise<Counts> {
  let failed = 0;
  for (const check of CHECKS) {
    const startedMs = Date.now();
    const status = await runTool(check.command, check.args);
    if (status !== 0) failed += 1;
    const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
    process.stdout.write(`${status === 0 ? "ok    " : "FAILED"} ${check.name} ${seconds} s\n`);
  }
  return { passed: CHECKS.length - failed, failed };
}

/** Counts one file of the report. A file that fails to load, or holds no test, is a failure of its own. */
function countFile(file: FileReport): Counts {
  let passed = 0;
  let failed = 0;
  for (const test of file.assertionResults) {
    if (test.status === "passed") passed += 1;
    else failed += 1;
    if (test.status !== "passed" && test.status !== "failed") {
      process.stdout.write(`${test.status}, which counts as failed: ${test.fullName}\n`);
    }
  }
  if (failed === 0 && (file.status !== "passed" || passed === 0)) {
    process.stdout.write(`no verdict from ${file.name}: ${file.message ?? "it holds no test"}\n`);
    failed += 1;
  }
  return { passed, failed };
}

async function runVitest(filters: readonly string[]): Promise<TestRun> {
  const folder = mkdtempSync(join(tmpdir(), "gyre-test-"));
  const reportPath = join(folder, "report.json");
  const status = await runTool("vitest", [
    "run",
    "--allowOnly=false",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${reportPath}`,
    ...filters,
  ]);
  const text = existsSync(reportPath) ? readFileSync(reportPath, "utf8") : '{"testResults":[]}';
  rmSync(folder, { recursive: true, force: true });
  const report = JSON.parse(text) as { readonly testResults: readonly FileReport[] };
  const files = new Map(report.testResults.map((file) => [relative(ROOT, file.name), file]));
  return { status, endedMs: Date.now(), files };
}

/** Files that failed by the clock while the machine was not there, each with what was missing. */
function withoutVerdict({ files, endedMs }: TestRun, host: HostRecord): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [path, file] of files) {
    if (file.status === "passed" || !isByTheClock(path)) continue;
    const hasBegun = file.endTime > file.startTime;
    const missing = host.missing(file.startTime, hasBegun ? file.endTime : endedMs);
    if (missing !== undefined) found.set(path, missing);
  }
  return found;
}

/** A run that ended badly without a file that failed has broken somewhere else. */
function isExplainedBy({ status, files }: TestRun): boolean {
  return status === 0 || [...files.values()].some((file) => file.status !== "passed");
}

async function runTests(filters: readonly string[]): Promise<Counts> {
  using host = new HostRecord();
  let run = await runVitest(filters);
  const files = new Map(run.files);
  let isExplained = isExplainedBy(run);
  for (let again = 0; again < MOST_AGAIN; again += 1) {
    const open = withoutVerdict(run, host);
    if (open.size === 0) break;
    for (const [path, missing] of open) process.stdout.write(`no verdict, is run again: ${path}: ${missing}\n`);
    run = await runVitest([...open.keys()]);
    for (const [path, file] of run.files) files.set(path, file);
    isExplained &&= isExplainedBy(run);
  }
  const counts = [...files.values()].map(countFile);
  const passed = counts.reduce((sum, count) => sum + count.passed, 0);
  const failed = counts.reduce((sum, count) => sum + count.failed, 0);
  if (passed + failed === 0) process.stdout.write("no tests ran: that is a failure\n");
  const hasHiddenFailure = failed === 0 && (!isExplained || passed === 0);
  return { passed, failed: failed + (hasHiddenFailure ? 1 : 0) };
}

async function main(): Promise<number> {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < NEEDED_MAJOR) {
    const own = join(BIN, "node");
    if (!existsSync(own)) {
      process.stdout.write(
        `Node.js ${NEEDED_MAJOR} is needed, this is ${process.version}; run npm ci\n0 passed, 1 failed\n`,
      );
      return 1;
    }
    return spawnSync(own, process.argv.slice(1), { stdio: "inherit" }).status ?? 1;
  }
  const checks = await runChecks();
  const tests = await runTests(process.argv.slice(2));
  const failed = checks.failed + tests.failed;
  process.stdout.write(`${checks.passed + tests.passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
