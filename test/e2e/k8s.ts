/**
 * `npm run accept:k8s`: the manifests beside the tools that people use: `kubectl kustomize` must render every folder as this project's own
 * renderer does, Helm every combination of switches as the chart's own reader does. Needs `kubectl` and `helm` on the path, no cluster.
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

/** Helm asks which Kubernetes it renders for. */
const KUBERNETES = "1.35.0";
const CHART = join(K8S, "helm/gyre");
let failed = 0;

function tell(isFine: boolean, words: string): void {
  process.stdout.write(`${isFine ? "ok    " : "FAILED"} ${words}\n`);
  if (!isFine) failed += 1;
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

function compareHelm(): void {
  tell(output("helm", ["lint", "--strict", CHART]) !== undefined, "helm lint --strict");
  const templates = readdirSync(join(CHART, "templates")).filter((name) => name.endsWith(".yaml"));
  const switches = SWITCHES.map(({ when }) => when).filter((when) => when.startsWith(".Values."));
  const [defaults = {}] = parseDocuments(readManifest("helm/gyre/values.yaml"), "values");
  let equal = 0;
  const count = 2 ** switches.length;
  for (let chosen = 0; chosen < count; chosen += 1) {
    const on = switches.filter((_, index) => (chosen >> index) % 2 === 1).map((when) => when.slice(".Values.".length));
    const set = on.flatMap((path) => ["--set", `${path}=true`]);
    const text = output("helm", ["template", "gyre", CHART, "--kube-version", KUBERNETES, ...set]);
    const values = on.reduce<Fields>((all, path) => withSwitch(all, path.split(".")), defaults);
    const own = templates.flatMap((name) =>
      parseDocuments(renderTemplate(readManifest(`helm/gyre/templates/${name}`), values), name),
    );
    if (text !== undefined && isSame(own, parseDocuments(text, "helm"))) equal += 1;
  }
  tell(equal === count, `${equal} of ${count} combinations of switches: as helm template renders them`);
}

function withSwitch(values: Fields, [name = "", ...rest]: readonly string[]): Fields {
  const inner = values[name];
  return { ...values, [name]: rest.length === 0 ? true : withSwitch(isFields(inner) ? inner : {}, rest) };
}

await compareKustomize();
compareHelm();
process.stdout.write(failed === 0 ? "all manifests are what the tools make of them\n" : `${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
