/** Alerts watch what the server counts: each metric and label in their expressions is one that the source registers. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listAt, parseDocuments, textAt } from "../../services/cli/manifests/yaml-text.ts";
import { readManifest } from "./rendered.ts";

const ROOT = join(import.meta.dirname, "../..");
const SOURCE = globSync("services/**/*.ts", { cwd: ROOT })
  .map((path) => readFileSync(join(ROOT, path), "utf8"))
  .join("\n");
const FILE = "components/monitoring/prometheus-rule.yaml";
const RULES = parseDocuments(readManifest(FILE), FILE).flatMap((rule) =>
  listAt(rule, "spec", "groups").flatMap((group) => listAt(group, "rules")),
);

/** Registered under its name, or under the prefix that its room puts before each. */
function isRegistered(metric: string): boolean {
  const name = metric.replace(/_(?:count|sum|bucket)$/, "");
  const short = name.replace(/^gyre_anti_entropy_/, "");
  return SOURCE.includes(`"${name}"`) || (short !== name && SOURCE.includes(`"${short}"`));
}

test("every metric that an alert watches is one that a node counts", () => {
  const metrics = RULES.flatMap((rule) => textAt(rule, "expr").match(/\bgyre_\w+/g) ?? []);
  expect(metrics.length).toBeGreaterThan(8);
  expect([...new Set(metrics)].filter((metric) => !isRegistered(metric))).toEqual([]);
  expect(isRegistered("gyre_hints_oldest_age_ms")).toBe(false);
});

test("every alert says what is wrong, where, how bad it is, and waits before it does", () => {
  expect(RULES.length).toBeGreaterThan(8);
  for (const rule of RULES) {
    const name = textAt(rule, "alert");
    expect(name).toMatch(/^Gyre[A-Z]\w+$/);
    expect(["warning", "critical"], name).toContain(textAt(rule, "labels", "severity"));
    expect(textAt(rule, "for"), name).toMatch(/^\d+[mh]$/);
    expect(textAt(rule, "annotations", "summary").length, name).toBeGreaterThan(20);
    expect(textAt(rule, "annotations", "description").length, name).toBeGreaterThan(20);
    expect(textAt(rule, "annotations", "description"), "there is no tool for them").not.toContain("backup");
  }
});
