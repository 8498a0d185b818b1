/** The walk-through names what is there: flags, components, folders, values, Secrets; and the commands that can run here do. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { COMPONENTS, manifestsFor } from "../../services/cli/manifests/manifests.ts";
import { at, parseDocuments } from "../../services/cli/manifests/yaml-text.ts";
import { gyre } from "../support/cli-run.ts";
import { K8S, readManifest } from "./rendered.ts";

const ROOT = join(K8S, "..");
const WALK = readFileSync(join(ROOT, "docs/KUBERNETES.md"), "utf8");
const README = readFileSync(join(K8S, "README.md"), "utf8");
const BOTH = `${WALK}\n${README}`;
/** Commands in fences, without their comments. */
const COMMANDS = [...WALK.matchAll(/```sh\n([\s\S]*?)```/g)]
  .flatMap((match) => (match[1] ?? "").split("\n"))
  .map((line) => line.replace(/(?:^|\s+)# .*$/, "").trim())
  .filter((line) => line !== "");

describe("the walk-through", () => {
  test("shows commands of gyre that understand their words", async () => {
    const lines = COMMANDS.flatMap((line) => line.split(/ \| | && /)).filter((line) => line.startsWith("gyre "));
    expect(lines.length).toBeGreaterThan(6);
    for (const line of lines) {
      const words = line.replaceAll("…", "").split(/\s+/).slice(1).filter(Boolean);
      const { code, err } = await gyre([...words, "--help"]);
      expect(`${code} ${err}`, line).toBe("0 ");
    }
  });

  test("shows flags of gyre manifests that print something", async () => {
    const lines = COMMANDS.filter((line) => line.startsWith("gyre manifests"));
    for (const line of lines) {
      const words = line.split(" | ")[0]?.replaceAll("…", "").split(/\s+/).slice(1).filter(Boolean) ?? [];
      expect((await gyre(words)).code, line).toBe(0);
    }
    expect(lines.length).toBeGreaterThan(1);
  });

  test("names folders that exist, and values that the chart has", () => {
    const folders = BOTH.match(/\bk8s\/(?:overlays|helm|base)[\w/-]*/g) ?? [];
    expect(folders.length).toBeGreaterThan(2);
    expect(folders.filter((folder) => !existsSync(join(ROOT, folder)))).toEqual([]);
    const [values] = parseDocuments(readManifest("helm/gyre/values.yaml"), "values");
    const paths = [...WALK.matchAll(/--set ([\w.]+)=/g)].map((match) => match[1] ?? "");
    paths.push(...[...WALK.matchAll(/\(Helm: `(\w+)`\)/g)].map((match) => match[1] ?? ""));
    expect(paths.filter((path) => at(values, ...path.split(".")) === undefined)).toEqual([]);
    expect(paths.length).toBeGreaterThan(4);
  });

  test("names every component and every Secret that the manifests ask for", () => {
    const missing = Object.keys(COMPONENTS).filter((name) => !README.includes(`\`${name}\``));
    expect(missing).toEqual([]);
    const objects = JSON.stringify(manifestsFor({ components: Object.keys(COMPONENTS) }, readManifest));
    const without = JSON.stringify(manifestsFor({ components: ["smoke-test", "tls", "monitoring"] }, readManifest));
    const secrets = new Set(
      [...`${objects}${without}`.matchAll(/"secretName":"([\w-]+)"|"credentials":\{"name":"([\w-]+)"/g)].map(
        (match) => match[1] ?? match[2] ?? "",
      ),
    );
    expect(secrets.size).toBeGreaterThan(5);
    expect([...secrets].filter((name) => !BOTH.includes(name))).toEqual([]);
  });

  test("quotes refusals as they are told", () => {
    const source = readFileSync(join(ROOT, "services/cli/scale/scale-core.ts"), "utf8");
    for (const words of [
      "replicas of every key",
      "is joining",
      "a rollout is under way",
      "pods are ready",
      "no pods of the StatefulSet",
    ]) {
      expect(source).toContain(words);
      expect(WALK).toContain(words);
    }
  });
});
