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
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { HostRecord, missingOfDisk } from "./host-record.ts";
import { runRepeatedly } from "./repeated-runs.ts";
import { type FileOutcome, REPORT_VARIABLE, type RunOutcome, readOutcome } from "./run-report.ts";

interface Check {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

const NEEDED_MAJOR = 26;
/** what a tool that was ended by a signal ends with here */
const KILLED = 128;
/** what the test runner ends with when tests have failed, and nothing worse has happened */
const HAS_FAILED = 1;
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
async function runTool(
  command: string,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<number> {
  const env = { ...process.env, ...variables, PATH: `${BIN}${delimiter}${process.env["PATH"] ?? ""}` };
  try {
    const [status] = await once(spawn(join(BIN, command), args, { cwd: ROOT, stdio: "inherit", env }), "exit");
    return typeof status === "number" ? status : KILLED;
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

/** Runs the test runner, which leaves its report where the environment says (vitest.config.ts). */
async function runVitest(paths: readonly string[]): Promise<RunOutcome> {
  const folder = mkdtempSync(join(tmpdir(), "gyre-test-"));
  const reportPath = join(folder, "report.json");
  const status = await runTool("vitest", ["run", "--allowOnly=false", ...paths], { [REPORT_VARIABLE]: reportPath });
  const outcome = readOutcome(reportPath);
  rmSync(folder, { recursive: true, force: true });
  const hasFailures = outcome.failures.length > 0 || outcome.files.some(hasFailed);
  return status === (hasFailures ? HAS_FAILED : 0)
    ? outcome
    : { ...outcome, failures: [`the test runner ended with ${status}`] };
}

async function runTests(paths: readonly string[]): Promise<Counts> {
  using host = new HostRecord();
  const tell = (line: string): void => {
    process.stdout.write(`${line}\n`);
  };
  const { files, failures } = await runRepeatedly({
    run: (again) => runVitest(again ?? paths),
    missing: (fromMs, toMs) => host.missing(fromMs, toMs),
    missingOfDisk,
    tell,
  });
  for (const failure of failures) tell(failure);
  for (const { path, failures: own } of files) for (const failure of own) tell(`failed: ${path}: ${failure}`);
  const passed = files.reduce((sum, file) => sum + file.passedCount, 0);
  const failed = files.reduce((sum, file) => sum + file.failures.length, failures.length);
  if (passed + failed === 0) tell("no tests ran: that is a failure");
  return { passed, failed: passed + failed === 0 ? 1 : failed };
}

function hasFailed({ failures }: FileOutcome): boolean {
  return failures.length > 0;
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
