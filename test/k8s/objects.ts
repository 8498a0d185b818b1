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
