/** The small Kustomize: what it renders, and what it refuses rather than passes over. */
import { describe, expect, test } from "vitest";
import { renderFolder } from "../../../../services/cli/manifests/kustomize.ts";
import { strategicMerge } from "../../../../services/cli/manifests/strategic-merge.ts";
import { documentsText, parseDocuments } from "../../../../services/cli/manifests/yaml-text.ts";

/** A tree of files, each under its path. */
function reader(files: Readonly<Record<string, string>>): (path: string) => string {
  return (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`${path}: no such file`);
    return text;
  };
}

const SET = "kind: StatefulSet\nmetadata: {name: gyre}\nspec: {replicas: 3, image: 'gyre:1'}\n";

describe("a strategic merge", () => {
  test("merges mappings, replaces lists without a key, takes away what is null", () => {
    const base = { a: { b: 1, c: 2 }, list: [1, 2], gone: true };
    expect(strategicMerge(base, { a: { c: 3 }, list: [3], gone: null })).toEqual({ a: { b: 1, c: 3 }, list: [3] });
  });

  test("merges entries of lists by their key, puts those of the patch first, deletes those that say so", () => {
    const base = { env: [{ name: "a", value: "1" }, { name: "b", value: "2" }, { name: "c" }] };
    const patch = { env: [{ name: "b", value: "3" }, { name: "c", $patch: "delete" }, { name: "d" }] };
    expect(strategicMerge(base, patch)).toEqual({
      env: [{ name: "b", value: "3" }, { name: "d" }, { name: "a", value: "1" }],
    });
  });

  test("changes nothing of what it was given", () => {
    const base = { env: [{ name: "a" }] };
    strategicMerge(base, { env: [{ name: "a", value: "1" }] });
    expect(base).toEqual({ env: [{ name: "a" }] });
  });
});

describe("a kustomization", () => {
  const base = { "base/kustomization.yaml": "resources: [set.yaml]", "base/set.yaml": SET };

  test("has resources, components, patches, replicas, images and a namespace", () => {
    const files = {
      ...base,
      "parts/more/kustomization.yaml": "patches: [{path: patch.yaml}]",
      "parts/more/patch.yaml": "kind: StatefulSet\nmetadata: {name: gyre}\nspec: {extra: true}",
      "top/kustomization.yaml":
        "namespace: kv\nresources: [../base]\ncomponents: [../parts/more]\nreplicas: [{name: gyre, count: 5}]\n" +
        "images: [{name: gyre, newName: reg.example:5000/gyre, newTag: '2'}]",
    };
    expect(renderFolder("top", reader(files))).toEqual([
      {
        kind: "StatefulSet",
        metadata: { name: "gyre", namespace: "kv" },
        spec: { replicas: 5, image: "reg.example:5000/gyre:2", extra: true },
      },
    ]);
  });

  test.each([
    { what: "a field that is not known", text: "resources: [../base]\nnamePrefix: x", words: /namePrefix/ },
    { what: "a patch with a target", text: "patches: [{path: p.yaml, target: {kind: Job}}]", words: /target/ },
    { what: "a patch of nothing", text: "resources: [../base]\npatches: [{path: p.yaml}]", words: /no Job gyre/ },
    { what: "a resource that is there twice", text: "resources: [../base, ../base]", words: /twice/ },
    { what: "a key that is there twice", text: "resources: []\nresources: []", words: /unique/ },
  ])("is refused for $what", ({ text, words }) => {
    const files = { ...base, "top/kustomization.yaml": text, "top/p.yaml": "kind: Job\nmetadata: {name: gyre}" };
    expect(() => renderFolder("top", reader(files))).toThrow(words);
  });
});

test("what is written as YAML is read again as it was", () => {
  const objects = [{ a: "0440", b: 440, c: "yes", d: ["- x", "a: b", ""], e: "two\nlines\n" }, { f: null }];
  expect(parseDocuments(documentsText(objects), "text")).toEqual(objects);
});
