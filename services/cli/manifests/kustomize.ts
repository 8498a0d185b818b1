/**
 * The part of Kustomize that `k8s/` uses: resources, components, patches, images, replicas and a namespace. It exists so that
 * manifests can be made and tested without any tool. Must never pass over a field of a kustomization that it does not know:
 * what it renders must be what `kubectl kustomize` renders.
 */
import { strategicMerge } from "./strategic-merge.ts";
import { at, type Fields, isFields, isList, listAt, parseDocuments, type Tree, textAt, textsAt } from "./yaml-text.ts";

/** A kustomization as this project writes it; paths from the root of `k8s/`. */
export interface Kustomization {
  readonly resources: readonly string[];
  readonly components: readonly string[];
  readonly patches: readonly string[];
  readonly images: readonly { readonly name: string; readonly newName?: string; readonly newTag?: string }[];
  readonly replicas: readonly { readonly name: string; readonly count: number }[];
  readonly namespace?: string;
}

/** Reads a file of `k8s/` by its path from there, `/` between; throws when there is none. */
export type ReadText = (path: string) => string;

/** A kustomization that cannot be rendered as it is written. */
export class KustomizeError extends Error {
  readonly code = "bad_kustomization";
}

const KNOWN = ["apiVersion", "kind", "resources", "components", "patches", "images", "replicas", "namespace"];
/** Kinds that have no namespace, of those in use. */
const CLUSTER_WIDE = ["Namespace", "ClusterRole", "ClusterRoleBinding"];
const FILE = "kustomization.yaml";

/** The objects of a folder of `k8s/`, in the order in which they are written. Throws `KustomizeError`, `YamlError`. */
export function renderFolder(folder: string, readText: ReadText): readonly Fields[] {
  return render(kustomizationIn(folder, readText), readText);
}

/** The objects of a kustomization. Throws `KustomizeError`, `YamlError`. */
export function render(kustomization: Kustomization, readText: ReadText): readonly Fields[] {
  return applied([], kustomization, readText);
}

/** The kustomization of a folder. */
export function kustomizationIn(folder: string, readText: ReadText): Kustomization {
  const where = `${folder}/${FILE}`;
  const [document = {}, ...more] = parseDocuments(readText(where), where);
  if (more.length > 0) throw new KustomizeError(`${where}: has more than one document`);
  const unknown = Object.keys(document).filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) throw new KustomizeError(`${where}: ${unknown.join(", ")}: not understood here`);
  const texts = (name: string): readonly string[] => textsAt(document, name).map((one) => joined(folder, one));
  const namespace = textAt(document, "namespace");
  return {
    resources: texts("resources"),
    components: texts("components"),
    patches: listAt(document, "patches").map((one) => joined(folder, onlyField(one, "path", where))),
    images: listAt(document, "images").map((one) => imageIn(one, where)),
    replicas: listAt(document, "replicas").map((one) => replicasIn(one, where)),
    ...(namespace === "" ? {} : { namespace }),
  };
}

/** The names by which an object is found: kind and name. */
export function identityOf(object: Fields): string {
  return `${textAt(object, "kind")} ${textAt(object, "metadata", "name")}`;
}

function applied(given: readonly Fields[], kustomization: Kustomization, readText: ReadText): readonly Fields[] {
  let objects = [...given, ...kustomization.resources.flatMap((path) => resourcesAt(path, readText))];
  for (const folder of kustomization.components) {
    objects = [...applied(objects, kustomizationIn(folder, readText), readText)];
  }
  for (const path of kustomization.patches) {
    for (const patch of parseDocuments(readText(path), path)) objects = patched(objects, patch, path);
  }
  const names = objects.map(identityOf);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new KustomizeError(`${twice} is there twice`);
  return objects.map((object) => transformed(object, kustomization));
}

function resourcesAt(path: string, readText: ReadText): readonly Fields[] {
  return path.endsWith(".yaml") ? parseDocuments(readText(path), path) : renderFolder(path, readText);
}

function patched(objects: readonly Fields[], patch: Fields, where: string): Fields[] {
  const name = identityOf(patch);
  if (!objects.some((object) => identityOf(object) === name)) {
    throw new KustomizeError(`${where}: there is no ${name} to be patched`);
  }
  return objects.map((object) => (identityOf(object) === name ? strategicMerge(object, patch) : object));
}

function transformed(object: Fields, { images, replicas, namespace }: Kustomization): Fields {
  const named = namespace === undefined ? object : inNamespace(object, namespace);
  const count = replicas.find((one) => one.name === textAt(object, "metadata", "name"))?.count;
  const isScaled = count !== undefined && at(object, "spec", "replicas") !== undefined;
  const scaled = isScaled ? strategicMerge(named, { spec: { replicas: count } }) : named;
  return images.length === 0 ? scaled : parseFields(withImages(scaled, images));
}

function inNamespace(object: Fields, namespace: string): Fields {
  if (textAt(object, "kind") === "Namespace") return strategicMerge(object, { metadata: { name: namespace } });
  const subjects = listAt(object, "subjects").map((one) =>
    isFields(one) && one["kind"] === "ServiceAccount" ? { ...one, namespace } : one,
  );
  const bound = subjects.length === 0 ? object : { ...object, subjects };
  return CLUSTER_WIDE.includes(textAt(object, "kind")) ? bound : strategicMerge(bound, { metadata: { namespace } });
}

function withImages(tree: Tree, images: Kustomization["images"]): Tree {
  if (isList(tree)) return tree.map((one) => withImages(one, images));
  if (!isFields(tree)) return tree;
  const entries = Object.entries(tree).map(([name, value]) => {
    const isImage = name === "image" && typeof value === "string";
    return [name, isImage ? renamed(value, images) : withImages(value, images)] as const;
  });
  return Object.fromEntries(entries);
}

function renamed(image: string, images: Kustomization["images"]): string {
  const [, name = image, tag = ""] = /^(.*?)(?::([^:/]+))?$/.exec(image) ?? [];
  const change = images.find((one) => one.name === name);
  if (change === undefined) return image;
  const newTag = change.newTag ?? tag;
  return `${change.newName ?? name}${newTag === "" ? "" : `:${newTag}`}`;
}

function imageIn(entry: Tree, where: string): Kustomization["images"][number] {
  onlyKnown(entry, ["name", "newName", "newTag"], where);
  const [newName, newTag] = [textAt(entry, "newName"), textAt(entry, "newTag")];
  return {
    name: textAt(entry, "name"),
    ...(newName === "" ? {} : { newName }),
    ...(newTag === "" ? {} : { newTag }),
  };
}

function replicasIn(entry: Tree, where: string): Kustomization["replicas"][number] {
  onlyKnown(entry, ["name", "count"], where);
  return { name: textAt(entry, "name"), count: Number(at(entry, "count")) };
}

function onlyField(entry: Tree, name: string, where: string): string {
  onlyKnown(entry, [name], where);
  return textAt(entry, name);
}

function onlyKnown(entry: Tree, names: readonly string[], where: string): void {
  const unknown = isFields(entry) ? Object.keys(entry).filter((name) => !names.includes(name)) : ["an entry"];
  if (unknown.length > 0) throw new KustomizeError(`${where}: ${unknown.join(", ")}: not understood here`);
}

function parseFields(tree: Tree): Fields {
  return isFields(tree) ? tree : {};
}

/** `folder/path` with `.` and `..` taken out. */
function joined(folder: string, path: string): string {
  const parts: string[] = [];
  for (const part of [...folder.split("/"), ...path.split("/")]) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}
