/**
 * A strategic merge patch, as Kubernetes and Kustomize understand it, for the objects of this project: mappings are merged,
 * lists with a merge key by that key (what a patch names goes first, as Kustomize does it), other lists are replaced; null takes a
 * field away, `$patch: delete` an entry of a list. Pure. Source: Kubernetes' API reference, "patch strategy".
 */
import { type Fields, isFields, isList, type Tree } from "./yaml-text.ts";

/** By which field the entries of a list are told apart; the name of the list says so. */
const MERGE_KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ["name"],
  initContainers: ["name"],
  env: ["name"],
  volumes: ["name"],
  volumeMounts: ["mountPath"],
  topologySpreadConstraints: ["topologyKey"],
  imagePullSecrets: ["name"],
  // of a Service; those of containers are never patched here
  ports: ["port"],
};

/** The field by which entries of the list called `name` are told apart; undefined: the list is replaced as a whole. */
export function mergeKeyOf(name: string): string | undefined {
  return MERGE_KEYS[name]?.[0];
}

/** Whether an entry of a patch takes its namesake away. */
export function isDeletion(entry: Tree): boolean {
  return isFields(entry) && entry["$patch"] === "delete";
}

/** The object with the patch laid over it. */
export function strategicMerge(base: Fields, patch: Fields): Fields {
  const merged: Record<string, Tree> = { ...base };
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) delete merged[name];
    else merged[name] = mergedField(name, merged[name], change);
  }
  return merged;
}

function mergedField(name: string, old: Tree | undefined, change: Tree): Tree {
  if (isFields(change)) return strategicMerge(isFields(old) ? old : {}, change);
  const key = mergeKeyOf(name);
  return isList(change) && isList(old) && key !== undefined ? mergedList(old, change, key) : change;
}

function mergedList(old: readonly Tree[], changes: readonly Tree[], key: string): readonly Tree[] {
  const nameOf = (entry: Tree): Tree | undefined => (isFields(entry) ? entry[key] : undefined);
  const named = changes.flatMap((change) => {
    const base = old.find((entry) => nameOf(entry) === nameOf(change));
    if (isDeletion(change)) return [];
    return [isFields(base) && isFields(change) ? strategicMerge(base, change) : change];
  });
  const names = new Set(changes.map(nameOf));
  return [...named, ...old.filter((entry) => !names.has(nameOf(entry)))];
}
