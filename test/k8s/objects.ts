/** Ways into rendered manifests, for the rules that look at them: which pods there are, and what their containers have. */
import { identityOf } from "../../services/cli/manifests/kustomize.ts";
import { at, type Fields, isFields, listAt, type Tree, textAt } from "../../services/cli/manifests/yaml-text.ts";

/** A pod as some object makes it. */
export interface PodLook {
  readonly owner: string;
  readonly labels: Fields;
  readonly spec: Fields;
  readonly containers: readonly Fields[];
}

/** The pods of the StatefulSets and Jobs. */
export function podsOf(objects: readonly Fields[]): readonly PodLook[] {
  return objects.flatMap((object) => {
    const spec = at(object, "spec", "template", "spec");
    if (!isFields(spec)) return [];
    const containers = [...listAt(spec, "initContainers"), ...listAt(spec, "containers")].filter(isFields);
    return [
      {
        owner: identityOf(object),
        labels: fieldsAt(object, "spec", "template", "metadata", "labels"),
        spec,
        containers,
      },
    ];
  });
}

/** The objects of a kind. */
export function ofKind(objects: readonly Fields[], kind: string): readonly Fields[] {
  return objects.filter((object) => textAt(object, "kind") === kind);
}

/** The mapping at a path; empty when there is none. */
export function fieldsAt(tree: Tree | undefined, ...path: readonly (string | number)[]): Fields {
  const found = at(tree, ...path);
  return isFields(found) ? found : {};
}

/** The number at a path; NaN when there is none, so that no comparison with it holds. */
export function numberAt(tree: Tree | undefined, ...path: readonly (string | number)[]): number {
  const found = at(tree, ...path);
  return typeof found === "number" ? found : Number.NaN;
}

/** Whether labels are chosen by a selector of equal labels; an empty one chooses nothing here. */
export function isChosen(labels: Fields, selector: Fields): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([name, value]) => labels[name] === value);
}

/** The entry of a list that has this name. */
export function named(list: readonly Tree[], name: string): Fields | undefined {
  return list.filter(isFields).find((one) => one["name"] === name);
}

/** The address that the first pod is taken to have. */
export const POD_IP: string = "10.1.2.3";

/** The environment as the kubelet makes it, of a container of the first pod. */
export function environmentOf(container: Fields): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const entry of listAt(container, "env")) {
    const field = textAt(entry, "valueFrom", "fieldRef", "fieldPath");
    const text = field === "" ? textAt(entry, "value") : fieldValue(field);
    env[textAt(entry, "name")] = text.replace(/\$\((\w+)\)/g, (whole, name: string) => env[name] ?? whole);
  }
  return env;
}

function fieldValue(path: string): string {
  const values: Readonly<Record<string, string>> = {
    "status.podIP": POD_IP,
    "metadata.name": "gyre-0",
    "metadata.namespace": "kv",
    "metadata.labels['topology.kubernetes.io/zone']": "zone-a",
  };
  return values[path] ?? "";
}

/** One complaint about an object, or about what has that name, unless all is fine. */
export function fault(isFine: boolean, owner: Fields | string, words: string): readonly string[] {
  const name = typeof owner === "string" ? owner : `${textAt(owner, "kind")} ${textAt(owner, "metadata", "name")}`;
  return isFine ? [] : [`${name}: ${words}`];
}
