/**
 * YAML to plain values and back: the one door to the `yaml` package. Must never read a document with duplicate keys, an
 * alias or a custom tag as if nothing were: what a reader of the file sees must be what is applied.
 */
import { parseAllDocuments, stringify } from "yaml";

/** What YAML and JSON can both say. */
export type Tree = string | number | boolean | null | readonly Tree[] | Fields;

/** A mapping. */
export interface Fields {
  readonly [name: string]: Tree;
}

/** Wide enough that no line of a manifest is folded. */
const LINE_WIDTH = 0;

/** The text is not the YAML that manifests are written in. */
export class YamlError extends Error {
  readonly code = "bad_yaml";
}

/** The documents of a text, each a mapping; empty ones are left out. Throws `YamlError` with `where` in its words. */
export function parseDocuments(text: string, where: string): readonly Fields[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true });
  const list = Array.isArray(documents) ? documents : [];
  return list.flatMap((document) => {
    const [flaw] = [...document.errors, ...document.warnings];
    if (flaw !== undefined) throw new YamlError(`${where}: ${flaw.message}`);
    const value: unknown = document.toJS({ maxAliasCount: 0 });
    if (value === null || value === undefined) return [];
    if (!isFields(value)) throw new YamlError(`${where}: is no mapping`);
    return [value];
  });
}

/** The documents as one text, parted by `---`. */
export function documentsText(documents: readonly Fields[]): string {
  return documents.map((one) => stringify(one, { lineWidth: LINE_WIDTH })).join("---\n");
}

/** Whether a value is a mapping. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value is a list. */
export function isList(value: Tree | undefined): value is readonly Tree[] {
  return Array.isArray(value);
}

/** What lies at a path of names and list positions; undefined when nothing does. */
export function at(tree: Tree | undefined, ...path: readonly (string | number)[]): Tree | undefined {
  let here = tree;
  for (const step of path) {
    if (typeof step === "number") here = isList(here) ? here[step] : undefined;
    else here = isFields(here) ? here[step] : undefined;
  }
  return here;
}

/** The text at a path; empty when there is none. */
export function textAt(tree: Tree | undefined, ...path: readonly (string | number)[]): string {
  const found = at(tree, ...path);
  return typeof found === "string" ? found : "";
}

/** The list at a path; empty when there is none. */
export function listAt(tree: Tree | undefined, ...path: readonly (string | number)[]): readonly Tree[] {
  const found = at(tree, ...path);
  return isList(found) ? found : [];
}

/** The texts of the list at a path; whatever else is in it is left out. */
export function textsAt(tree: Tree | undefined, ...path: readonly (string | number)[]): readonly string[] {
  return listAt(tree, ...path).filter((one) => typeof one === "string");
}
