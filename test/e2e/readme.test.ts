/** The tours of the documents, as written, against a real cluster: what they show is what happens. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { patternOf } from "../tidy/docs-text.ts";
import { RealCluster } from "./cluster.ts";
import { runTour } from "./doc-tour.ts";

const ROOT = join(import.meta.dirname, "../..");
let cluster: RealCluster;
beforeAll(async () => {
  cluster = await RealCluster.start(3);
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

test.each([
  "README.md",
  "docs/CONCEPTS.md",
  "docs/GUIDES.md",
  "docs/CLI.md",
  "docs/CONFIGURATION.md",
  "docs/OPERATE.md",
])("%s runs as it is written", (path) => {
  const urls = [0, 1, 2].map((node) => cluster.url(node));
  const steps = runTour(readFileSync(join(ROOT, path), "utf8"), urls);
  expect(steps.length).toBeGreaterThan(0);
  for (const { command, expected, output } of steps) expect(output, command).toMatch(patternOf(expected));
});
