/**
 * Manifests for one installation: the base of `k8s/`, the components that are asked for, and the few values that differ from
 * one installation to the next. Must never hold a manifest itself: what is applied is what lies in `k8s/`.
 */
import { identityOf, type ReadText, render } from "./kustomize.ts";
import { type Fields, isFields, listAt, type Tree, textAt } from "./yaml-text.ts";

/** What one may ask for beside the base; each is a folder of `k8s/components`, with what it is for. */
export const COMPONENTS: Readonly<Record<string, string>> = {
  open: "no tokens: whoever reaches the client port may do everything",
  zones: "the zone of each node from its pod's label (Kubernetes 1.35 and later)",
  "strict-zones": "pods wait rather than crowd one zone",
  tls: "TLS for clients, mutual TLS between nodes; needs gyre-tls and gyre-peer-tls",
  monitoring: "ServiceMonitor and PrometheusRule for the Prometheus operator; needs gyre-metrics-token",
  "network-policy": "who may reach the nodes",
  "smoke-test": "a Job that runs gyre test; needs gyre-client-token",
  "load-test": "a Job that runs the load test; needs the image gyre-loadtest",
  "secret-rotation": "believes a second cluster secret as well",
};

/** Components that two others need together. */
export const BRIDGES: readonly { readonly name: string; readonly needs: readonly string[] }[] = [
  { name: "monitoring-tls", needs: ["monitoring", "tls"] },
  { name: "smoke-test-open", needs: ["smoke-test", "open"] },
  { name: "smoke-test-tls", needs: ["smoke-test", "tls"] },
  { name: "load-test-tls", needs: ["load-test", "tls"] },
];

/** What differs from one installation to the next; what is left out is as in `k8s/base`. */
export interface ManifestOptions {
  readonly nodes?: number;
  readonly image?: string;
  readonly namespace?: string;
  /** quantities as Kubernetes writes them: 20Gi, 500m */
  readonly storage?: string;
  readonly storageClass?: string;
  readonly memory?: string;
  readonly cpu?: string;
  /** names out of `COMPONENTS` */
  readonly components: readonly string[];
}

/** The objects of an installation. Throws `KustomizeError` and `YamlError` when `k8s/` is not as it should be. */
export function manifestsFor(options: ManifestOptions, readText: ReadText): readonly Fields[] {
  const bridges = BRIDGES.filter(({ needs }) => needs.every((name) => options.components.includes(name)));
  const names = [...options.components, ...bridges.map(({ name }) => name)];
  const objects = render(
    {
      resources: ["base"],
      components: names.map((name) => `components/${name}`),
      patches: [],
      images: options.image === undefined ? [] : [imageOf(options.image)],
      replicas: options.nodes === undefined ? [] : [{ name: "gyre", count: options.nodes }],
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
    },
    readText,
  );
  return objects.map((object) => tailored(object, options));
}

/** The tree with the value at a path of names and list positions; mappings on the way are made. */
export function withValue(tree: Tree | undefined, path: readonly (string | number)[], value: Tree): Tree {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (typeof step === "number") {
    return Array.isArray(tree)
      ? tree.map((one: Tree, index) => (index === step ? withValue(one, rest, value) : one))
      : [];
  }
  const fields = isFields(tree) ? tree : {};
  return { ...fields, [step]: withValue(fields[step], rest, value) };
}

const CONTAINER = ["spec", "template", "spec", "containers", 0] as const;
const CLAIM = ["spec", "volumeClaimTemplates", 0, "spec"] as const;

function tailored(object: Fields, options: ManifestOptions): Fields {
  if (identityOf(object).startsWith("Job ")) return withAllNodes(object, options);
  if (identityOf(object) !== "StatefulSet gyre") return object;
  const { storage, storageClass, memory, cpu } = options;
  const changes: readonly (readonly [readonly (string | number)[], string | undefined])[] = [
    [[...CLAIM, "resources", "requests", "storage"], storage],
    [[...CLAIM, "storageClassName"], storageClass],
    [[...CONTAINER, "resources", "requests", "memory"], memory],
    [[...CONTAINER, "resources", "limits", "memory"], memory],
    [[...CONTAINER, "resources", "requests", "cpu"], cpu],
  ];
  return changes.reduce<Fields>((tree, [path, value]) => {
    const changed = value === undefined ? tree : withValue(tree, path, value);
    return isFields(changed) ? changed : tree;
  }, object);
}

/** Tests go through every node. */
function withAllNodes(object: Fields, { nodes }: ManifestOptions): Fields {
  const given = listAt(object, ...CONTAINER, "env");
  const position = given.findIndex((one) => textAt(one, "name") === "GYRE_NODES");
  const shown = textAt(given[position], "value").split(",");
  const count = nodes ?? shown.length;
  const urls = Array.from({ length: count }, (_, ordinal) => shown[0]?.replace("gyre-0.", `gyre-${ordinal}.`) ?? "");
  const changed = withValue(object, [...CONTAINER, "env", position, "value"], urls.join(","));
  return isFields(changed) ? changed : object;
}

function imageOf(image: string): { readonly name: string; readonly newName: string; readonly newTag?: string } {
  const [, newName = image, newTag] = /^(.*?)(?::([^:/]+))?$/.exec(image) ?? [];
  return { name: "gyre", newName, ...(newTag === undefined ? {} : { newTag }) };
}
