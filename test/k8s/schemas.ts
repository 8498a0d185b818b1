/**
 * Whether an object is what Kubernetes takes, strictly: the validators that `kubernetes-models` makes out of Kubernetes' own OpenAPI
 * document, and beside them every field by name, which those validators let pass. The names are read from the type
 * declarations of the same package. Must never take a type that it does not understand for one without fields.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";
import { StatefulSet } from "kubernetes-models/apps/v1/StatefulSet";
import { Job } from "kubernetes-models/batch/v1/Job";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Namespace } from "kubernetes-models/v1/Namespace";
import { PersistentVolumeClaim } from "kubernetes-models/v1/PersistentVolumeClaim";
import { Service } from "kubernetes-models/v1/Service";
import { ServiceAccount } from "kubernetes-models/v1/ServiceAccount";
import { suggestion } from "../../services/base/spelling.ts";
import { identityOf } from "../../services/cli/manifests/kustomize.ts";
import { type Fields, isFields, isList, listAt, type Tree, textAt } from "../../services/cli/manifests/yaml-text.ts";

interface Kind {
  /** keeps what it is given and validates that */
  readonly Model: new (
    object?: never,
  ) => { validate(): void };
  /** where its type is declared, from `node_modules` */
  readonly declaredIn: string;
}

const KUBERNETES = "kubernetes-models";
const OPERATOR = "@kubernetes-models/prometheus-operator";

/** Every kind in use. */
const KINDS: Readonly<Record<string, Kind>> = {
  "apps/v1 StatefulSet": { Model: StatefulSet, declaredIn: KUBERNETES },
  "batch/v1 Job": { Model: Job, declaredIn: KUBERNETES },
  "networking.k8s.io/v1 NetworkPolicy": { Model: NetworkPolicy, declaredIn: KUBERNETES },
  "policy/v1 PodDisruptionBudget": { Model: PodDisruptionBudget, declaredIn: KUBERNETES },
  "v1 ConfigMap": { Model: ConfigMap, declaredIn: KUBERNETES },
  "v1 Namespace": { Model: Namespace, declaredIn: KUBERNETES },
  "v1 PersistentVolumeClaim": { Model: PersistentVolumeClaim, declaredIn: KUBERNETES },
  "v1 Service": { Model: Service, declaredIn: KUBERNETES },
  "v1 ServiceAccount": { Model: ServiceAccount, declaredIn: KUBERNETES },
  "monitoring.coreos.com/v1 PrometheusRule": { Model: PrometheusRule, declaredIn: OPERATOR },
  "monitoring.coreos.com/v1 ServiceMonitor": { Model: ServiceMonitor, declaredIn: OPERATOR },
};

/** An object of unknown shape, for a constructor that hands it to its validator. */
function parseAnything(object: Fields): never {
  return object as never;
}

/** What is wrong with an object, in words; empty when Kubernetes would take it as it is. */
export function schemaFaults(object: Fields): readonly string[] {
  const name = `${textAt(object, "apiVersion")} ${textAt(object, "kind")}`;
  const known = KINDS[name];
  if (known === undefined) return [`${name}: is no kind that is known here`];
  const [group = "", short = ""] = name.split(" ");
  const file = join(MODULES, known.declaredIn, group, `${short}.d.ts`);
  const where = identityOf(object);
  const claims = short === "StatefulSet" ? listAt(object, "spec", "volumeClaimTemplates") : [];
  return [
    ...fieldFaults(object, shapeIn(file), where),
    ...validatorFaults(new known.Model(parseAnything(object)), where),
    ...claims.flatMap((claim) => (isFields(claim) ? schemaFaults(claim) : [])),
  ];
}

function validatorFaults(made: { validate(): void }, where: string): readonly string[] {
  try {
    made.validate();
    return [];
  } catch (error) {
    return [`${where}: ${error instanceof Error ? error.message : String(error)}`];
  }
}

const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));

/** A type: its fields; `leaf` has none to be checked by name, `map` has any. */
type Shape =
  | { readonly kind: "leaf" }
  | { readonly kind: "list"; readonly of: () => Shape }
  | { readonly kind: "map"; readonly of: () => Shape }
  | { readonly kind: "fields"; readonly fields: ReadonlyMap<string, () => Shape> };

const LEAF: Shape = { kind: "leaf" };
const SHAPES = new Map<string, Shape>();
const COMMON: readonly (readonly [string, () => Shape])[] = ["apiVersion", "kind"].map((name) => [name, () => LEAF]);

/** The type that a declaration file is about. */
function shapeIn(file: string): Shape {
  const known = SHAPES.get(file);
  if (known !== undefined) return known;
  const shape = shapeOfText(readFileSync(file, "utf8").replace(/\/\*\*[\s\S]*?\*\//g, ""), file);
  SHAPES.set(file, shape);
  return shape;
}

function shapeOfText(text: string, file: string): Shape {
  const [, heritage = "", body] = /^export interface \w+(?: extends ([\w, ]+))? \{\n([\s\S]*?)^\}/m.exec(text) ?? [];
  if (body === undefined) {
    const [, alias] = /^export (?:declare )?type \w+ = ([\s\S]+?);$/m.exec(text) ?? [];
    if (alias === undefined) throw new Error(`${file}: declares neither an interface nor a type`);
    return shapeOfType(alias, { file, imports: importsOf(text) });
  }
  const declared = { file, imports: importsOf(text) };
  const inherited = heritage.split(", ").flatMap((name) => {
    if (name === "") return [];
    if (name === "TypeMeta") return COMMON;
    const shape = shapeOfType(name, declared);
    return shape.kind === "fields" ? [...shape.fields] : [];
  });
  return { kind: "fields", fields: new Map([...inherited, ...fieldsOf(body, declared)]) };
}

function importsOf(text: string): ReadonlyMap<string, string> {
  const found = text.matchAll(/^import \{ (\w+) \} from "([^"]+)";/gm);
  return new Map([...found].map(([, name = "", path = ""]) => [name, path]));
}

/** The fields of a body, `"name"?: type;` each; a type may have a body of its own. */
function fieldsOf(body: string, declared: Declared): ReadonlyMap<string, () => Shape> {
  const parts: string[] = [""];
  let depth = 0;
  for (const letter of body) {
    if ("{<".includes(letter)) depth += 1;
    if ("}>".includes(letter)) depth -= 1;
    if (letter === ";" && depth === 0) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return new Map(
    parts
      .filter((part) => part.trim() !== "")
      .map((part) => {
        const [, name, type] = /^\s*"([^"]+)"\??:\s*([\s\S]+?)\s*$/.exec(part) ?? [];
        if (name === undefined || type === undefined) throw new Error(`${declared.file}: ${part}: is no field`);
        return [name, () => shapeOfType(type, declared)] as const;
      }),
  );
}

interface Declared {
  readonly file: string;
  readonly imports: ReadonlyMap<string, string>;
}

function shapeOfType(type: string, declared: Declared): Shape {
  const [, item] = /^Array<([\s\S]+)>$/.exec(type) ?? [];
  if (item !== undefined) return { kind: "list", of: () => shapeOfType(item, declared) };
  const [, value] = /^\{\s*\[key: string\]: ([\s\S]+?);?\s*\}$/.exec(type) ?? [];
  if (value !== undefined) return { kind: "map", of: () => shapeOfType(value, declared) };
  if (
    /^(?:string|number|boolean|unknown|any|\{\s*\}|(?:"[^"]*"(?: \| )?)+|string \| number|number \| string)$/.test(type)
  )
    return LEAF;
  const [, inline] = /^\{([\s\S]+)\}$/.exec(type) ?? [];
  if (inline !== undefined) return { kind: "fields", fields: fieldsOf(inline, declared) };
  const path = declared.imports.get(type);
  if (path === undefined) throw new Error(`${declared.file}: the type ${type} is not understood`);
  const target = path.startsWith(".") ? join(dirname(declared.file), path) : join(MODULES, path);
  return shapeIn(`${target.replace(/\.js$/, "")}.d.ts`);
}

function fieldFaults(tree: Tree, shape: Shape, where: string): readonly string[] {
  if (shape.kind === "list") {
    return isList(tree) ? tree.flatMap((one, index) => fieldFaults(one, shape.of(), `${where}[${index}]`)) : [];
  }
  if (!isFields(tree) || shape.kind === "leaf") return [];
  return Object.entries(tree).flatMap(([name, value]) => {
    const place = `${where}.${name}`;
    if (shape.kind === "map") return fieldFaults(value, shape.of(), place);
    const field = shape.fields.get(name);
    if (field === undefined) return [`${place}: there is no such field${suggestion(name, [...shape.fields.keys()])}`];
    return fieldFaults(value, field(), place);
  });
}
