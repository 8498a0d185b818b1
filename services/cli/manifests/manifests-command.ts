/**
 * `gyre manifests`: prints Kubernetes manifests for one installation, ready for `kubectl apply -f -`. Must never print a
 * secret, nor talk to a cluster.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Command, type CommandLine, type Flag, UsageError } from "../command.ts";
import { type CliIo, EXIT } from "../io.ts";
import { COMPONENTS, type ManifestOptions, manifestsFor } from "./manifests.ts";
import { documentsText } from "./yaml-text.ts";

const FOLDER = join(import.meta.dirname, "../../../k8s");
/** N, which the base leaves at its default: fewer nodes cannot hold the replicas. */
const LEAST_NODES = 3;
const QUANTITY = /^\d+(?:\.\d+)?(?:m|[kMGTPE]|[KMGTPE]i)?$/;
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const IMAGE = /^[a-z0-9][\w.:/@-]{0,254}$/;

const VALUE_FLAGS: Readonly<Record<string, Flag>> = {
  nodes: { type: "string", value: "COUNT", meaning: `how many, at least ${LEAST_NODES} (default ${LEAST_NODES})` },
  storage: { type: "string", value: "SIZE", meaning: "disk of each node (default 20Gi)" },
  "storage-class": { type: "string", value: "NAME", meaning: "of the disks (default: the cluster's)" },
  memory: { type: "string", value: "SIZE", meaning: "of each node, requested and the limit (default 2Gi)" },
  cpu: { type: "string", value: "COUNT", meaning: "requested for each node (default 500m)" },
  image: { type: "string", value: "NAME:TAG", meaning: "container image (default gyre:0.1.0)" },
  namespace: { type: "string", value: "NAME", meaning: "written into each object" },
};
const SWITCHES: Readonly<Record<string, Flag>> = Object.fromEntries(
  Object.entries(COMPONENTS).map(([name, meaning]) => [name, { type: "boolean", meaning }]),
);

function matching(line: CommandLine, flag: string, rule: { readonly form: RegExp; readonly words: string }): object {
  const text = line.text(flag);
  if (text === undefined) return {};
  if (!rule.form.test(text)) throw new UsageError(`--${flag}=${text}: is not ${rule.words}`);
  return { [flag === "storage-class" ? "storageClass" : flag]: text };
}

function optionsOf(line: CommandLine): ManifestOptions {
  const quantity = { form: QUANTITY, words: "a quantity: write for example 20Gi or 500m" };
  const label = { form: DNS_LABEL, words: "a name: letters, digits and '-'" };
  const nodes = line.text("nodes") === undefined ? {} : { nodes: line.number("nodes", LEAST_NODES, LEAST_NODES) };
  return {
    ...nodes,
    ...matching(line, "storage", quantity),
    ...matching(line, "memory", quantity),
    ...matching(line, "cpu", quantity),
    ...matching(line, "storage-class", { ...label, form: /^[a-z0-9][a-z0-9.-]{0,252}$/ }),
    ...matching(line, "namespace", label),
    ...matching(line, "image", { form: IMAGE, words: "the name of an image" }),
    components: Object.keys(COMPONENTS).filter((name) => line.isSet(name)),
  };
}

async function run(line: CommandLine, io: CliIo): Promise<number> {
  const objects = manifestsFor(optionsOf(line), (path) => readFileSync(join(FOLDER, path), "utf8"));
  io.out(
    line.isSet("json")
      ? `${JSON.stringify({ apiVersion: "v1", kind: "List", items: objects })}\n`
      : documentsText(objects),
  );
  return EXIT.ok;
}

/** The command. */
export const MANIFESTS_COMMAND: Command = {
  name: "manifests",
  usage: "[--nodes COUNT] [--storage SIZE] [--zones] …",
  summary: "Prints Kubernetes manifests, for kubectl apply -f -.",
  wordCount: [0, 0],
  flags: { ...VALUE_FLAGS, ...SWITCHES, json: { type: "boolean", meaning: "print one JSON list" } },
  run,
};
