/** The tour of the README, as written, against a real cluster: what it shows is what happens. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fencesOf, patternOf, tourOf } from "../tidy/docs-text.ts";
import { RealCluster } from "./cluster.ts";

const ROOT = join(import.meta.dirname, "../..");
const MARK = "--- end of step ---";
const SHOWN_URLS = ["http://127.0.0.1:4401", "http://127.0.0.1:4402", "http://127.0.0.1:4403"];

test("the README's tour runs as it is written", { timeout: 120_000 }, async () => {
  await using cluster = await RealCluster.start(3);
  const urls = SHOWN_URLS.map((_, node) => cluster.url(node));
  const blocks = fencesOf(readFileSync(join(ROOT, "README.md"), "utf8")).filter((fence) => fence.kind === "sh cluster");
  const steps = blocks.flatMap((block) => tourOf(block.text));
  expect(steps.length).toBeGreaterThan(8);
  const toReal = (text: string): string =>
    SHOWN_URLS.reduce((all, shown, at) => all.replaceAll(shown, urls[at] ?? ""), text);
  const toShown = (text: string): string =>
    urls.reduce((all, real, at) => all.replaceAll(real, SHOWN_URLS[at] ?? ""), text);
  const script = steps.map((step) => `${toReal(step.command)}\necho\necho '${MARK}'`).join("\n");
  const env = {
    ...process.env,
    GYRE_NODES: urls.join(","),
    PATH: `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"]}`,
  };
  const run = spawnSync("bash", ["-c", `exec 2>&1\n${script}`], { cwd: ROOT, env });
  const outputs = toShown(run.stdout.toString()).split(`${MARK}\n`).slice(0, -1);
  expect(outputs.length, run.stdout.toString()).toBe(steps.length);
  steps.forEach((step, at) => {
    expect(outputs[at]?.trimEnd(), step.command).toMatch(patternOf(step.expected));
  });
});
