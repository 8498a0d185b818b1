/**
 * Everything that CI runs, in one process: types, lint, format, dead code, then all tests. The last line is
 * `N passed, N failed` and nothing else; each static check counts as one. Fails closed: no tests found is a failure,
 * and so is a skipped one.
 *
 * Usage: `npm test`, or `npm test -- test/unit/storage` for some tests only (the static checks run all the same).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";

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
  readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
}

const NEEDED_MAJOR = 26;
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
function runTool(command: string, args: readonly string[]): number {
  const result = spawnSync(join(BIN, command), args, {
    cwd: ROOT,
    stdio: "inherit",
    env: { ...process.env, PATH: `${BIN}${delimiter}${process.env["PATH"] ?? ""}` },
  });
  if (result.error !== undefined) process.stdout.write(`cannot run ${command}: ${result.error.message}\n`);
  return result.status ?? 1;
}

function runChecks(): Counts {
  let failed = 0;
  for (const check of CHECKS) {
    const startedMs = Date.now();
    const status = runTool(check.command, check.args);
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

function runTests(filters: readonly string[]): Counts {
  const folder = mkdtempSync(join(tmpdir(), "gyre-test-"));
  const reportPath = join(folder, "report.json");
  const status = runTool("vitest", [
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
  const counts = report.testResults.map(countFile);
  const passed = counts.reduce((sum, count) => sum + count.passed, 0);
  const failed = counts.reduce((sum, count) => sum + count.failed, 0);
  if (passed + failed === 0) process.stdout.write("no tests ran: that is a failure\n");
  const hasHiddenFailure = failed === 0 && (status !== 0 || passed === 0);
  return { passed, failed: failed + (hasHiddenFailure ? 1 : 0) };
}

function main(): number {
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
  const checks = runChecks();
  const tests = runTests(process.argv.slice(2));
  const failed = checks.failed + tests.failed;
  process.stdout.write(`${checks.passed + tests.passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = main();
