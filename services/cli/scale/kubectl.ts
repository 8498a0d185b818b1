/** What `gyre scale` asks of Kubernetes, through the `kubectl` on the path. Must never be needed: all of it can be printed instead. */
import { execFile } from "node:child_process";
import type { CliIo } from "../io.ts";
import { at, type Tree, textAt } from "../manifests/yaml-text.ts";
import type { Workload } from "./scale-core.ts";

/** Where the StatefulSet is. */
export interface Target {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly context: string | undefined;
}

/** What became of a command. */
export type KubectlResult =
  | { readonly kind: "done"; readonly output: string }
  | { readonly kind: "failed"; readonly reason: string };

const OUTPUT_BYTES = 8 * 1_024 * 1_024;

/** Runs `kubectl` with the words; never rejects. */
export function kubectl(io: CliIo, words: readonly string[]): Promise<KubectlResult> {
  return new Promise((resolve) => {
    const env = { ...io.env };
    execFile("kubectl", [...words], { env, maxBuffer: OUTPUT_BYTES }, (error, stdout, stderr) => {
      if (error === null) resolve({ kind: "done", output: stdout });
      else resolve({ kind: "failed", reason: stderr.trim() === "" ? error.message : stderr.trim() });
    });
  });
}

/** The words that name a cluster and a namespace, before a command. */
export function placeWords({ namespace, context }: Target): readonly string[] {
  return [
    ...(context === undefined ? [] : ["--context", context]),
    ...(namespace === undefined ? [] : ["-n", namespace]),
  ];
}

/** The words that set the number of pods, only if it still is `current`. */
export function scaleWords(
  target: Target,
  counts: { readonly current: number; readonly to: number },
): readonly string[] {
  const { current, to } = counts;
  const change = [`--current-replicas=${current}`, `--replicas=${to}`];
  return [...placeWords(target), "scale", `statefulset/${target.name}`, ...change];
}

/** The StatefulSet as Kubernetes has it, or why it cannot be said. */
export async function workloadOf(
  io: CliIo,
  target: Target,
): Promise<{ readonly kind: "workload"; readonly workload: Workload } | Extract<KubectlResult, { kind: "failed" }>> {
  const done = await kubectl(io, [...placeWords(target), "get", `statefulset/${target.name}`, "-o", "json"]);
  if (done.kind === "failed") return done;
  const workload = parseWorkload(done.output);
  return workload === undefined
    ? { kind: "failed", reason: "kubectl answered something that is no StatefulSet" }
    : { kind: "workload", workload };
}

/** Understands a StatefulSet as `kubectl get -o json` prints it; undefined when it is none. */
export function parseWorkload(text: string): Workload | undefined {
  const object = parseTree(text);
  const replicas = at(object, "spec", "replicas");
  if (textAt(object, "kind") !== "StatefulSet" || typeof replicas !== "number") return undefined;
  const ready = at(object, "status", "readyReplicas");
  const revisions = [textAt(object, "status", "currentRevision"), textAt(object, "status", "updateRevision")];
  const isSeen = at(object, "status", "observedGeneration") === at(object, "metadata", "generation");
  return {
    replicas,
    readyReplicas: typeof ready === "number" ? ready : 0,
    isRolledOut: isSeen && revisions[0] === revisions[1],
  };
}

function parseTree(text: string): Tree {
  try {
    return JSON.parse(text) as Tree;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
