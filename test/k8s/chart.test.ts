/** The Helm chart says what Kustomize says: for its defaults, and for combinations of its switches. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { identityOf, render } from "../../services/cli/manifests/kustomize.ts";
import { withValue } from "../../services/cli/manifests/manifests.ts";
import { mergeKeyOf } from "../../services/cli/manifests/strategic-merge.ts";
import {
  at,
  type Fields,
  isFields,
  isList,
  parseDocuments,
  type Tree,
} from "../../services/cli/manifests/yaml-text.ts";
import { chartTemplates, SWITCHES } from "./chart.ts";
import { renderTemplate } from "./go-template.ts";
import { faultsOf, K8S, readManifest } from "./rendered.ts";

const CHART = "helm/gyre";
const TEMPLATES: readonly string[] = readdirSync(join(K8S, CHART, "templates")).filter((name) =>
  name.endsWith(".yaml"),
);
const DEFAULTS: Fields = parseDocuments(readManifest(`${CHART}/values.yaml`), "values.yaml")[0] ?? {};
/** Switches of one component each; the rest follows from two of them. */
const SINGLE = SWITCHES.filter(({ when }) => when.startsWith(".Values."));

/** What the chart's files make of values, by kind and name. */
function charted(values: Fields): readonly Fields[] {
  const texts = TEMPLATES.map((name) => renderTemplate(readManifest(`${CHART}/templates/${name}`), values));
  return texts.flatMap((text, index) => parseDocuments(text, TEMPLATES[index] ?? ""));
}

function kustomized(components: readonly string[]): readonly Fields[] {
  const folders = components.map((name) => `components/${name}`);
  return sorted(
    render({ resources: ["base"], components: folders, patches: [], images: [], replicas: [] }, readManifest),
  );
}

/** By kind and name; entries of lists by the field that tells them apart, for a template cannot move what a patch would. */
function sorted(objects: readonly Fields[]): readonly Fields[] {
  const byName = objects.toSorted((a, b) => (identityOf(a) < identityOf(b) ? -1 : 1));
  return byName.map((object) => sortedTree(object, "")).filter(isFields);
}

function sortedTree(tree: Tree, name: string): Tree {
  if (isFields(tree)) {
    return Object.fromEntries(Object.entries(tree).map(([field, value]) => [field, sortedTree(value, field)]));
  }
  if (!isList(tree)) return tree;
  const key = mergeKeyOf(name) ?? "";
  const entries = tree.map((one) => sortedTree(one, ""));
  return key === "" ? entries : entries.toSorted((a, b) => (shownKey(a, key) < shownKey(b, key) ? -1 : 1));
}

function shownKey(entry: Tree, key: string): string {
  return JSON.stringify([at(entry, key) ?? null, at(entry, "protocol") ?? null]);
}

/** The values with the switches of these components on. */
function switched(components: readonly string[]): Fields {
  const on = SINGLE.filter(({ component }) => components.includes(component));
  return on.reduce<Fields>((values, { when }) => changed(values, when.replace(".Values.", ""), true), DEFAULTS);
}

function changed(values: Fields, path: string, value: string | number | boolean): Fields {
  const made = withValue(values, path.split("."), value);
  return isFields(made) ? made : values;
}

describe("the chart", () => {
  test("is made from the Kustomize tree as it is now", () => {
    const made = chartTemplates(readManifest);
    expect(TEMPLATES.toSorted()).toEqual(Object.keys(made).toSorted());
    for (const [name, text] of Object.entries(made)) {
      expect(readManifest(`${CHART}/templates/${name}`), "run: npm run k8s:chart").toBe(text);
    }
  });

  test("renders to the base with its defaults", () => {
    expect(sorted(charted(DEFAULTS))).toEqual(kustomized([]));
  });

  test("renders to what Kustomize makes of the same components, for none, one, two, all but two, all but one, and all", () => {
    const count = 2 ** SINGLE.length;
    for (let chosen = 0; chosen < count; chosen += 1) {
      const on = SINGLE.filter((_, index) => (chosen >> index) % 2 === 1).map(({ component }) => component);
      // All 512 are compared by `npm run accept:k8s`, with Helm itself or the template engine that it uses.
      if (Math.min(on.length, SINGLE.length - on.length) > 2) continue;
      const bridges = SWITCHES.filter(({ when }) => isBridged(when, on)).map(({ component }) => component);
      expect(sorted(charted(switched(on))), on.join()).toEqual(kustomized([...on, ...bridges]));
    }
  });

  test("sets what its values say, and stays valid", async () => {
    let values = changed(DEFAULTS, "replicas", 5);
    values = changed(values, "image.repository", "reg.example/gyre");
    values = changed(values, "storage.className", "fast");
    values = changed(values, "storage.size", "1Ti");
    values = changed(values, "cpu", 2);
    values = changed(values, "memory", "8Gi");
    values = changed(values, "settings.GYRE_LOG_LEVEL", "debug");
    const objects = charted(values);
    expect(await faultsOf(objects)).toEqual([]);
    const text = JSON.stringify(objects.find((one) => identityOf(one) === "StatefulSet gyre"));
    for (const part of [
      '"replicas":5',
      '"image":"reg.example/gyre:0.1.0"',
      '"storageClassName":"fast"',
      '"storage":"1Ti"',
      '"cpu":"2"',
      '"limits":{"memory":"8Gi"',
      '{"name":"GYRE_LOG_LEVEL","value":"debug"}',
    ])
      expect(text).toContain(part);
  });

  test("names in its templates exactly the values that it documents", () => {
    const texts = [...TEMPLATES, "NOTES.txt"].map((name) => readManifest(`${CHART}/templates/${name}`)).join("\n");
    const used = new Set([...texts.matchAll(/\.Values\.([\w.]+)/g)].map((match) => match[1] ?? ""));
    const leaves = (fields: Fields, prefix: string): readonly string[] =>
      Object.entries(fields).flatMap(([name, value]) =>
        isFields(value) && Object.keys(value).length > 0 ? leaves(value, `${prefix}${name}.`) : [`${prefix}${name}`],
      );
    expect([...used].toSorted()).toEqual(leaves(DEFAULTS, "").toSorted());
  });

  test.each([
    [{}, "http://localhost:4400 --token-file ops.token"],
    [{ open: true }, "http://localhost:4400"],
    [{ "tls.enabled": true }, "https://localhost:4400 --ca ca.pem --token-file ops.token"],
  ])("ends with a look at the cluster that works with the values %o", (changes, words) => {
    const values = Object.entries(changes).reduce((all, [path, value]) => changed(all, path, value), DEFAULTS);
    const template = readManifest(`${CHART}/templates/NOTES.txt`).replaceAll("{{ .Release.Namespace }}", "kv");
    const lines = renderTemplate(template, values).split("\n");
    expect(lines).toContain("  kubectl -n kv port-forward service/gyre 4400 &");
    expect(lines).toContain(`  gyre status --nodes ${words}`);
    expect(lines.join("\n"), "the pod has neither a token nor a CA for its own command line").not.toContain("exec");
  });

  test("has a schema that takes its defaults and refuses what is misspelt or too little", () => {
    const isValid = new Ajv({ strict: false }).compile(
      JSON.parse(readManifest(`${CHART}/values.schema.json`)) as object,
    );
    expect(isValid(DEFAULTS)).toBe(true);
    for (const path of ["replica", "tls.enable", "image.name", "zones.strictly", "settings.gyre_n"]) {
      expect(isValid(changed(DEFAULTS, path, true)), path).toBe(false);
    }
    expect(isValid(changed(DEFAULTS, "replicas", 2))).toBe(false);
  });
});

function isBridged(when: string, on: readonly string[]): boolean {
  if (!when.startsWith("and ")) return false;
  return when
    .slice("and ".length)
    .split(" ")
    .every((one) => SINGLE.some((single) => single.when === one && on.includes(single.component)));
}

describe("the reader of templates", () => {
  test.each([
    ["a {{ .Values.a }} {{ .Values.a | quote }}", { a: "x" }, 'a x "x"'],
    ["1\n{{- if .Values.a }}\n2\n{{- else }}\n3\n{{- end }}\n4", { a: true }, "1\n2\n4"],
    ["1\n{{- if .Values.a }}\n2\n{{- else }}\n3\n{{- end }}\n4", { a: false }, "1\n3\n4"],
    ["{{- if and .Values.a (not .Values.b) }}y{{- end }}", { a: true, b: false }, "y"],
    ["{{- range $k, $v := .Values.m }}{{ $k }}={{ $v }};{{- end }}", { m: { b: 2, a: 1 } }, "a=1;b=2;"],
    ['{{ "{{" }} $labels.pod }}', {}, "{{ $labels.pod }}"],
  ])("renders %j", (template, values, text) => {
    expect(renderTemplate(template, values)).toBe(text);
  });

  test.each(["{{ include `x` . }}", "{{ .Values.gone }}", "{{- if .Values.a }}"])("refuses %s", (template) => {
    expect(() => renderTemplate(template, { a: true })).toThrow(/understood|no such value|missing/);
  });
});
