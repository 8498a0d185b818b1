/**
 * The Helm chart's templates, made from `k8s/base` and `k8s/components`: what a component adds, changes or takes away becomes
 * a condition, what a value sets becomes an expression. Must never add anything of its own that Kustomize's output has not,
 * except the settings that a user gives. `npm run k8s:chart` writes them; a test compares.
 */
import { stringify } from "yaml";
import { identityOf, kustomizationIn, renderFolder } from "../../services/cli/manifests/kustomize.ts";
import { isDeletion, mergeKeyOf } from "../../services/cli/manifests/strategic-merge.ts";
import { type Fields, isFields, isList, parseDocuments, type Tree } from "../../services/cli/manifests/yaml-text.ts";

/** The components of the chart in the order in which they are laid over the base, and when each holds. */
export const SWITCHES: readonly { readonly component: string; readonly when: string }[] = [
  { component: "open", when: ".Values.open" },
  { component: "zones", when: ".Values.zones.fromPodLabel" },
  { component: "strict-zones", when: ".Values.zones.strict" },
  { component: "tls", when: ".Values.tls.enabled" },
  { component: "monitoring", when: ".Values.monitoring.enabled" },
  { component: "network-policy", when: ".Values.networkPolicy.enabled" },
  { component: "smoke-test", when: ".Values.smokeTest.enabled" },
  { component: "load-test", when: ".Values.loadTest.enabled" },
  { component: "secret-rotation", when: ".Values.secretRotation" },
  { component: "monitoring-tls", when: "and .Values.monitoring.enabled .Values.tls.enabled" },
  { component: "smoke-test-open", when: "and .Values.smokeTest.enabled .Values.open" },
  { component: "smoke-test-tls", when: "and .Values.smokeTest.enabled .Values.tls.enabled" },
  { component: "load-test-tls", when: "and .Values.loadTest.enabled .Values.tls.enabled" },
];

const CONTAINER = "spec.template.spec.containers.gyre";
const CLAIM = "spec.volumeClaimTemplates.0.spec";
const IMAGE = "{{ .Values.image.repository }}:{{ .Values.image.tag }}";

/** What a value sets: by the object, and by a path of names (list entries by their key, or by position). */
const EXPRESSIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "StatefulSet gyre": {
    "spec.replicas": "{{ .Values.replicas }}",
    "spec.updateStrategy.rollingUpdate.partition": "{{ .Values.rolloutPartition }}",
    [`${CONTAINER}.image`]: IMAGE,
    [`${CONTAINER}.imagePullPolicy`]: "{{ .Values.image.pullPolicy }}",
    [`${CONTAINER}.resources.requests.cpu`]: "{{ .Values.cpu | quote }}",
    [`${CONTAINER}.resources.requests.memory`]: "{{ .Values.memory }}",
    [`${CONTAINER}.resources.limits.memory`]: "{{ .Values.memory }}",
    [`${CLAIM}.resources.requests.storage`]: "{{ .Values.storage.size }}",
  },
  "Job gyre-smoke-test": {
    "spec.template.spec.containers.smoke-test.image": IMAGE,
    "spec.template.spec.containers.smoke-test.imagePullPolicy": "{{ .Values.image.pullPolicy }}",
  },
  "Job gyre-load-test": {
    "spec.template.spec.containers.load-test.image": "{{ .Values.loadTest.image }}",
    "spec.template.spec.containers.load-test.imagePullPolicy": "{{ .Values.image.pullPolicy }}",
  },
};

/** Lines of the chart alone, after what lies at a path: a user's own settings, the class of the disks. */
const ADDITIONS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  "StatefulSet gyre": {
    [`${CONTAINER}.env`]: [
      "{{- range $name, $value := .Values.settings }}",
      "- name: {{ $name }}",
      "  value: {{ $value | quote }}",
      "{{- end }}",
    ],
    [CLAIM]: ["{{- if .Values.storage.className }}", "storageClassName: {{ .Values.storage.className }}", "{{- end }}"],
  },
};

interface Child {
  readonly node: Node;
  /** undefined: always */
  readonly when?: string;
  /** in its place when the condition does not hold */
  readonly otherwise?: Node;
}

type Node =
  | { readonly kind: "scalar"; readonly value: Tree }
  | { readonly kind: "map"; readonly children: ReadonlyMap<string, Child> }
  | { readonly kind: "list"; readonly key: string | undefined; readonly children: readonly Child[] };

/** The templates by file name. Throws when a patch does what this cannot say. */
export function chartTemplates(readText: (path: string) => string): Readonly<Record<string, string>> {
  const objects = new Map<string, { node: Node; readonly when?: string }>();
  for (const object of renderFolder("base", readText)) objects.set(identityOf(object), { node: lifted(object, "") });
  for (const { component, when } of SWITCHES) {
    const { resources, patches } = kustomizationIn(`components/${component}`, readText);
    for (const object of resources.flatMap((path) => parseDocuments(readText(path), path))) {
      objects.set(identityOf(object), { node: lifted(object, ""), when });
    }
    for (const patch of patches.flatMap((path) => parseDocuments(readText(path), path))) {
      const patched = objects.get(identityOf(patch));
      if (patched === undefined) throw new Error(`${component}: there is no ${identityOf(patch)}`);
      patched.node = overlaid(patched.node, patch, when);
    }
  }
  return Object.fromEntries(
    [...objects].map(([name, { node, when }]) => [fileOf(name), templateText(name, node, when)]),
  );
}

function fileOf(identity: string): string {
  const [kind = "", name = ""] = identity.split(" ");
  const words = kind.replace(/([a-z])([A-Z])/g, "$1-$2").toLowerCase();
  return `${words}${name === "gyre" ? "" : name.replace(/^gyre/, "")}.yaml`;
}

function lifted(tree: Tree, name: string): Node {
  if (isFields(tree)) {
    const children = Object.entries(tree).map(([field, value]) => [field, { node: lifted(value, field) }] as const);
    return { kind: "map", children: new Map(children) };
  }
  if (!isList(tree)) return { kind: "scalar", value: tree };
  return { kind: "list", key: mergeKeyOf(name), children: tree.map((one) => ({ node: lifted(one, "") })) };
}

function overlaid(node: Node, patch: Fields, when: string): Node {
  if (node.kind !== "map") throw new Error("a patch of what is no mapping");
  const children = new Map(node.children);
  for (const [field, change] of Object.entries(patch)) {
    const old = children.get(field);
    children.set(
      field,
      old === undefined ? { node: lifted(change, field), when } : changed(old, { field, change, when }),
    );
  }
  return { kind: "map", children };
}

interface Change {
  readonly field: string;
  readonly change: Tree;
  readonly when: string;
}

function changed(old: Child, { field, change, when }: Change): Child {
  const { node } = old;
  if (node.kind === "map" && isFields(change)) return { ...old, node: overlaid(node, change, when) };
  if (node.kind === "list" && isList(change) && node.key !== undefined) {
    return { ...old, node: listOverlaid(node, node.key, { change, when }) };
  }
  const next = lifted(change, field);
  if (JSON.stringify(plain(next)) === JSON.stringify(plain(node))) return old;
  if (old.when !== undefined) throw new Error(`${field}: is changed under two conditions`);
  return { node: next, when, otherwise: node };
}

function listOverlaid(
  list: Extract<Node, { kind: "list" }>,
  key: string,
  { change, when }: { readonly change: readonly Tree[]; readonly when: string },
): Node {
  const children = [...list.children];
  const added: Child[] = [];
  for (const entry of change) {
    if (!isFields(entry)) throw new Error(`${key}: an entry without a name`);
    const place = children.findIndex(({ node }) => keyOf(node, key) === entry[key]);
    const old = children[place];
    if (old === undefined) added.push({ node: lifted(entry, ""), when });
    else if (isDeletion(entry)) children[place] = { ...old, when: both(old.when, `not (${when})`) };
    else children[place] = { ...old, node: overlaid(old.node, entry, when) };
  }
  return { ...list, children: [...added, ...children] };
}

function both(one: string | undefined, other: string): string {
  return one === undefined ? other : `and (${one}) (${other})`;
}

function keyOf(node: Node, key: string): Tree | undefined {
  const child = node.kind === "map" ? node.children.get(key)?.node : undefined;
  return child?.kind === "scalar" ? child.value : undefined;
}

function plain(node: Node): Tree {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.children.map((child) => plain(child.node));
  return Object.fromEntries([...node.children].map(([name, child]) => [name, plain(child.node)]));
}

function templateText(identity: string, node: Node, when: string | undefined): string {
  const head = "# Made from k8s/base and k8s/components by `npm run k8s:chart`: change those.";
  const lines = linesOf(node, { identity, path: [] });
  const body = when === undefined ? lines : [`{{- if ${when} }}`, ...lines, "{{- end }}"];
  return `${[head, ...body].join("\n")}\n`;
}

interface Place {
  readonly identity: string;
  readonly path: readonly string[];
}

function linesOf(node: Node, place: Place): readonly string[] {
  const added = ADDITIONS[place.identity]?.[place.path.join(".")] ?? [];
  if (node.kind === "scalar") return [scalarText(node.value, place)];
  const own =
    node.kind === "map"
      ? [...node.children].flatMap(([name, child]) => conditional(child, (one) => fieldLines(name, one, place)))
      : node.children.flatMap((child, index) => conditional(child, (one) => itemLines(one, index, { node, place })));
  return [...own, ...added];
}

function conditional(child: Child, lines: (node: Node) => readonly string[]): readonly string[] {
  const { node, when, otherwise } = child;
  if (when === undefined) return lines(node);
  const other = otherwise === undefined ? [] : ["{{- else }}", ...lines(otherwise)];
  return [`{{- if ${when} }}`, ...lines(node), ...other, "{{- end }}"];
}

function fieldLines(name: string, node: Node, { identity, path }: Place): readonly string[] {
  const lines = linesOf(node, { identity, path: [...path, name] });
  const label = /^[\w./-]+$/.test(name) ? name : JSON.stringify(name);
  if (node.kind === "scalar") return [`${label}: ${lines[0] ?? ""}`];
  if (lines.length === 0) return [`${label}: ${node.kind === "map" ? "{}" : "[]"}`];
  return [`${label}:`, ...lines.map(indented)];
}

function itemLines(
  item: Node,
  index: number,
  { node, place }: { readonly node: Extract<Node, { kind: "list" }>; readonly place: Place },
): readonly string[] {
  const name = node.key === undefined ? undefined : keyOf(item, node.key);
  const step = typeof name === "string" ? name : String(index);
  const [first = "{}", ...rest] = linesOf(item, { ...place, path: [...place.path, step] });
  if (first.startsWith("{{-")) throw new Error(`${step}: its first field is conditional`);
  return [`- ${first}`, ...rest.map(indented)];
}

/** Conditions stand at the margin: they leave no line behind. */
function indented(line: string): string {
  return line.startsWith("{{-") ? line : `  ${line}`;
}

/** Braces of others' templates are written so that Helm leaves them alone. */
function scalarText(value: Tree, { identity, path }: Place): string {
  const expression = EXPRESSIONS[identity]?.[path.join(".")];
  if (expression !== undefined) return expression;
  const text = stringify(value, { lineWidth: 0 }).trimEnd();
  if (text.includes("\n")) return JSON.stringify(value);
  return text.replaceAll("{{", `{{ "{{" }}`);
}
