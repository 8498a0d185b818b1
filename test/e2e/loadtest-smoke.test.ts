/**
 * `npm run loadtest -- smoke` as a user types it: Artillery against a cluster of its own, judged and reported. Fetches Artillery
 * first where it is not there yet, as the user's first run does.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const OUT = mkdtempSync(join(tmpdir(), "gyre-loadtest-"));
const INSTALL_MS = 300_000;
const RUN_MS = 120_000;

interface Run {
  readonly status: number | null;
  readonly text: string;
}

function loadtest(...words: readonly string[]): Run {
  const result = spawnSync(process.execPath, [join(ROOT, "loadtest/run.ts"), ...words], {
    cwd: ROOT,
    encoding: "utf8",
    timeout: INSTALL_MS + RUN_MS,
  });
  return { status: result.status, text: `${result.stdout}${result.stderr}` };
}

afterAll(() => rmSync(OUT, { recursive: true, force: true }));

test("smoke passes on a cluster of its own, loses nothing by its own count, and leaves a report", () => {
  const { status, text } = loadtest("smoke", "--seconds", "8", "--out", OUT);
  expect(status, text).toBe(0);
  expect(text).toMatch(/\npassed\n/);
  const summary = JSON.parse(readFileSync(join(OUT, "summary.json"), "utf8")) as {
    readonly isPassed: boolean;
    readonly data: { readonly appliedCount: number; readonly lostCount: number };
    readonly counts: { readonly doneCount: number };
  };
  expect(summary.isPassed).toBe(true);
  expect(summary.counts.doneCount).toBe(8 * 60);
  expect(summary.data.appliedCount).toBeGreaterThan(300);
  expect(summary.data.lostCount).toBe(0);
  const page = readFileSync(join(OUT, "report.html"), "utf8");
  expect(page).toContain("Every limit was kept.");
  expect(page).not.toMatch(/<script|src=|href="http|@import|url\(/);
  const compared = loadtest("compare", join(OUT, "summary.json"), join(OUT, "summary.json"), "--out", OUT);
  expect(compared.status, compared.text).toBe(0);
  expect(readFileSync(join(OUT, "compare.html"), "utf8")).toContain("two runs compared");
});

test("a cluster that is not there is told in words, with what to try, and no older run's report is left to be taken for this one's", () => {
  const older = ["report.html", "summary.json"].map((name) => join(OUT, name));
  for (const path of older) writeFileSync(path, "of an older run");
  const { status, text } = loadtest("ycsb-a", "--target", "http://127.0.0.1:9", "--seconds", "1", "--out", OUT);
  expect(status).toBe(69);
  expect(text).toContain("no node answers ready at http://127.0.0.1:9");
  expect(text).toContain("npm start");
  expect(older.filter((path) => existsSync(path))).toEqual([]);
});
