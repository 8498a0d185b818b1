/** The page of metrics, the dashboard and the alerts against what nodes really show. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { DASHBOARD, dashboardText, metricsIn } from "../support/grafana-dashboard.ts";
import { allFamilies, familiesIn, type MetricFamily, metricsPage } from "../support/metrics-page.ts";
import { filesOf } from "./walk.ts";

const RULES = join(import.meta.dirname, "../../k8s/components/monitoring/prometheus-rule.yaml");
let families: readonly MetricFamily[] = [];
beforeAll(async () => {
  families = await allFamilies();
});

function unknownIn(text: string): readonly string[] {
  const names = families.map(({ name }) => name);
  return metricsIn(text).filter((name) => !names.includes(name));
}

describe("docs/METRICS.md", () => {
  test("has every metric of a node as the node shows it; npm run metrics-page writes it", async () => {
    const { committed, wanted } = await metricsPage();
    expect(committed).toBe(wanted);
    expect(families.length).toBeGreaterThan(80);
  });

  test("names none that is not there", () => {
    const page = readFileSync(join(import.meta.dirname, "../../docs/METRICS.md"), "utf8");
    expect(unknownIn(page)).toEqual([]);
    expect(unknownIn("rate(gyre_made_up_total[5m])")).toEqual(["gyre_made_up_total"]);
  });

  test("nor does any other document", () => {
    const named = filesOf(["*.md", "docs/**/*.md"]).map(({ path, text }) => [path, unknownIn(text)]);
    expect(named.filter(([, unknown = []]) => unknown.length > 0)).toEqual([]);
  });

  test("would show labels, and kinds as the scraper is told them", () => {
    const text = '# HELP a_total A.\n# TYPE a_total counter\na_total{z="1",b="x"} 2\na_total{b="y",z="1"} 3\n';
    expect(familiesIn(text)).toEqual([{ name: "a_total", kind: "counter", help: "A.", labels: ["b", "z"] }]);
  });
});

describe("the dashboard", () => {
  test("is the committed one; npm run metrics-page writes it", () => {
    expect(readFileSync(DASHBOARD, "utf8")).toBe(dashboardText());
  });

  test("asks for metrics that nodes show", () => {
    expect(metricsIn(dashboardText()).length).toBeGreaterThan(20);
    expect(unknownIn(dashboardText())).toEqual([]);
  });

  test("takes rates of counters only, and never looks at a counter without one", () => {
    const expressions = [...dashboardText().matchAll(/"expr": "(.*)"/g)].map(([, text = ""]) => text);
    const kindOf = (name: string): string => families.find((family) => family.name === name)?.kind ?? "";
    for (const text of expressions) {
      const rated = metricsIn((text.match(/rate\([a-z_]+/g) ?? []).join(" "));
      for (const name of metricsIn(text))
        expect([name, kindOf(name) === "gauge"]).toEqual([name, !rated.includes(name)]);
    }
  });
});

describe("the alert rules", () => {
  test("watch metrics that nodes show", () => {
    const rules = readFileSync(RULES, "utf8");
    expect(metricsIn(rules).length).toBeGreaterThan(5);
    expect(unknownIn(rules)).toEqual([]);
  });
});
