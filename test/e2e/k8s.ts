/**
 * `npm run accept:k8s`: the manifests beside the tools that people use: `kubectl kustomize` must render every folder as this project's own
 * renderer does, Helm every combination of switches as the chart's own reader does. Needs `kubectl` and `helm` on the path, no cluster.
 * Where Helm is not, the template engine that it uses stands in for it (test/e2e/chart-engine.ts), and the last line says so.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { identityOf } from "../../services/cli/manifests/kustomize.ts";
import { type Fields, isFields, parseDocuments } from "../../services/cli/manifests/yaml-text.ts";
import { SWITCHES } from "../k8s/chart.ts";
import { renderTemplate } from "../k8s/go-template.ts";
import { faultsOf, K8S, readManifest, rendered } from "../k8s/rendered.ts";
import { goEngine } from "./chart-engine.ts";

/** Helm asks which Kubernetes it renders for. */
const KUBERNETES = "1.35.0";
const CHART = join(K8S, "helm/gyre");
const NOTES = "NOTES.txt";
const MANIFESTS = readdirSync(join(CHART, "templates")).filter((name) => name.endsWith(".yaml"));
const hasHelm = isHere("helm");
let failed = 0;

function tell(isFine: boolean, words: string): void {
  process.stdout.write(`${isFine ? "ok    " : "FAILED"} ${words}\n`);
  if (!isFine) failed += 1;
}

function isHere(command: string): boolean {
  return spawnSync(command, ["version"]).status === 0;
}

function output(command: string, args: readonly string[]): string | undefined {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 26 });
  if (error === undefined && status === 0) return stdout;
  process.stdout.write(`${error === undefined ? stderr : `${command} is not here: ${error.message}`}\n`);
  return undefined;
}

function isSame(one: readonly Fields[], other: readonly Fields[]): boolean {
  const sorted = (list: readonly Fields[]): readonly Fields[] =>
    list.toSorted((a, b) => (identityOf(a) < identityOf(b) ? -1 : 1));
  return isDeepStrictEqual(sorted(one), sorted(other));
}

async function compareKustomize(): Promise<void> {
  for (const folder of ["base", "overlays/local", "overlays/production"]) {
    const own = rendered(folder);
    const faults = await faultsOf(own);
    tell(faults.length === 0, `${folder}: ${own.length} objects, valid ${faults.join("; ")}`);
    const text = output("kubectl", ["kustomize", join(K8S, folder)]);
    tell(text !== undefined && isSame(own, parseDocuments(text, folder)), `${folder}: as kubectl kustomize renders it`);
  }
}

interface Combination {
  readonly on: readonly string[];
  readonly values: Fields;
}

/** Every combination of the chart's switches, and the values that it means. */
function combinations(): readonly Combination[] {
  const switches = SWITCHES.map(({ when }) => when).filter((when) => when.startsWith(".Values."));
  const [defaults = {}] = parseDocuments(readManifest("helm/gyre/values.yaml"), "values");
  return Array.from({ length: 2 ** switches.length }, (_, chosen) => {
    const on = switches
      .filter((_name, index) => (chosen >> index) % 2 === 1)
      .map((when) => when.slice(".Values.".length));
    return { on, values: on.reduce<Fields>((all, path) => withSwitch(all, path.split(".")), defaults) };
  });
}

function charted(values: Fields): readonly Fields[] {
  return MANIFESTS.flatMap((name) => parseDocuments(renderTemplate(templateOf(name), values), name));
}

function compareHelm(): void {
  tell(output("helm", ["lint", "--strict", CHART]) !== undefined, "helm lint --strict");
  const all = combinations();
  const equal = all.filter(({ on, values }) => {
    const set = on.flatMap((path) => ["--set", `${path}=true`]);
    const text = output("helm", ["template", "gyre", CHART, "--kube-version", KUBERNETES, ...set]);
    return text !== undefined && isSame(charted(values), parseDocuments(text, "helm"));
  }).length;
  tell(equal === all.length, `${equal} of ${all.length} combinations of switches: as helm template renders them`);
}

/** As far as the engine goes: no `helm lint`, no check of the values against their schema. */
function compareEngine(): void {
  const engine = goEngine();
  if (typeof engine === "string") return tell(false, `helm, or a Go compiler and Sprig: ${engine}`);
  const all = combinations();
  const names = [...MANIFESTS, NOTES];
  const made = engine(
    Object.fromEntries(names.map((name) => [name, templateOf(name)])),
    all.map(({ values }) => values),
  );
  const equal = all.filter(({ values }, index) => {
    const texts = made[index] ?? {};
    const objects = MANIFESTS.flatMap((name) => parseDocuments(texts[name] ?? "", name));
    const notes = renderTemplate(templateOf(NOTES).replaceAll("{{ .Release.Namespace }}", "kv"), values);
    return objects.length > 0 && isSame(charted(values), objects) && texts[NOTES] === notes;
  }).length;
  tell(
    equal === all.length,
    `${equal} of ${all.length} combinations of switches, notes too: as Go's text/template with Sprig renders them`,
  );
}

function withSwitch(values: Fields, [name = "", ...rest]: readonly string[]): Fields {
  const inner = values[name];
  return { ...values, [name]: rest.length === 0 ? true : withSwitch(isFields(inner) ? inner : {}, rest) };
}

function templateOf(name: string): string {
  return readManifest(`helm/gyre/templates/${name}`);
}

await compareKustomize();
if (hasHelm) compareHelm();
else compareEngine();
const absent = hasHelm ? "" : " (Helm itself is not here: its template engine stood in, `helm lint` was not run)";
process.stdout.write(failed === 0 ? `all manifests are what the tools make of them${absent}\n` : `${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
