/** What is done with a StatefulSet in its life, step by step, each with what must hold afterwards. Throws in words when it does not. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { manifestsFor } from "../../services/cli/manifests/manifests.ts";
import { readManifest } from "../k8s/rendered.ts";
import { pause, until } from "./cluster.ts";
import type { Told } from "./gyre.ts";
import { answered } from "./patient-ask.ts";
import { Pods, type PodsOptions } from "./pods.ts";

const MAIN = join(import.meta.dirname, "../../services/main.ts");
const KEY_COUNT = 40;
const CHANGE_MS = 240_000;

/** A member as GET /v1/cluster shows it. */
export interface MemberFacts {
  readonly node: string;
  readonly memberKey: string;
  readonly status: string;
  readonly liveness: string;
  readonly slotsHeld: number;
  readonly incoming: number;
}

interface ClusterFacts {
  readonly verdict: string;
  readonly reasons: readonly string[];
  readonly clusterId: string | null;
  readonly waitingFor: string | null;
  readonly members: readonly MemberFacts[];
}

/** Installs what `gyre manifests --open` prints, with what else is asked for, and waits until all pods are ready. */
export async function install(options: PodsOptions = {}, components: readonly string[] = []): Promise<Pods> {
  const pods = new Pods(manifestsFor({ components: ["open", ...components] }, readManifest), options);
  // The built-in fetch has no other way to believe one more CA.
  setDefaultCACertificates([...getCACertificates("default"), readFileSync(pods.caPath, "utf8")]);
  try {
    await pods.apply();
    await pods.untilReady();
  } catch (error) {
    await pods[Symbol.asyncDispose]();
    throw error;
  }
  return pods;
}

/** The cluster as a pod sees it. */
export async function clusterAt(pods: Pods, ordinal: number): Promise<ClusterFacts> {
  const { body } = await answered(`${pods.url(ordinal)}/v1/cluster`);
  return body as unknown as ClusterFacts;
}

/** The same, asked once, of one that may not answer. */
async function glimpse(pods: Pods, ordinal: number): Promise<ClusterFacts | undefined> {
  const url = `${pods.url(ordinal)}/v1/cluster`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
  return answer?.ok === true ? ((await answer.json()) as ClusterFacts) : undefined;
}

/** Writes keys through all pods that run. */
export async function fill(pods: Pods, value: string): Promise<void> {
  const urls = pods.urls;
  for (let index = 0; index < KEY_COUNT; index += 1) {
    const url = `${urls[index % urls.length] ?? ""}/v1/kv/story/key-${index}`;
    const body = JSON.stringify({ value, index });
    // A machine that others use stalls now and then; the same value again does no harm.
    await until(`${url} written`, async () => (await fetch(url, { method: "PUT", body })).status === 200, CHANGE_MS);
  }
}

/** Every key is read through every pod, as it was written last. */
export async function expectAll(pods: Pods, value: string): Promise<void> {
  for (const url of pods.urls) {
    for (let index = 0; index < KEY_COUNT; index += 1) {
      const { text } = await answered(`${url}/v1/kv/story/key-${index}?raw=true&timeout=10000`);
      assert.equal(text, JSON.stringify({ value, index }), `key-${index} through ${url}`);
    }
  }
}

/** All pods that run are members of one cluster, with their share, and it is healthy. */
export async function untilWhole(pods: Pods, timeoutMs: number = CHANGE_MS): Promise<number> {
  const wanted = Array.from({ length: pods.replicas }, (_, ordinal) => `gyre-${ordinal}`);
  const isWhole = async (): Promise<boolean> => {
    const views = await Promise.all(wanted.map((_, ordinal) => glimpse(pods, ordinal)));
    const ids = new Set(views.map((view) => view?.clusterId));
    return ids.size === 1 && views.every((view) => view?.verdict === "healthy" && isSettled(view.members, wanted));
  };
  return until(`${pods.replicas} members, healthy`, isWhole, timeoutMs).catch(async (error: unknown) => {
    throw new Error(`the cluster did not become whole: ${await seenBy(pods)}`, { cause: error });
  });
}

/** What each pod says, for whoever has to find out why it is not whole. */
async function seenBy(pods: Pods): Promise<string> {
  const views = await Promise.all(
    Array.from({ length: pods.replicas }, async (_, ordinal) => {
      const seen = await glimpse(pods, ordinal);
      if (seen === undefined) return `gyre-${ordinal} does not answer`;
      const members = seen.members.map(({ node, status, incoming }) => `${node} ${status} ${incoming}`).join(", ");
      return `gyre-${ordinal}: ${seen.verdict} ${seen.reasons.join("; ")} (${members})`;
    }),
  );
  return views.join("\n");
}

function isSettled(members: readonly MemberFacts[], wanted: readonly string[]): boolean {
  const normal = members.filter(({ status, incoming }) => status === "normal" && incoming === 0);
  return (
    normal
      .map(({ node }) => node)
      .toSorted()
      .join() === wanted.toSorted().join()
  );
}

/** Pods that are added while no member can be reached wait; they never become a cluster of their own. */
export async function growWhileCutOff(pods: Pods, to: number, cutMs: number): Promise<void> {
  const old = Array.from({ length: pods.replicas }, (_, ordinal) => ordinal);
  const { clusterId } = await clusterAt(pods, 0);
  pods.freeze(old);
  pods.scaleByHand(to);
  await pods.obey();
  const added = Array.from({ length: to - old.length }, (_, index) => old.length + index);
  const isUp = async (ordinal: number): Promise<boolean> => (await glimpse(pods, ordinal)) !== undefined;
  await until("new pods answer", async () => (await Promise.all(added.map(isUp))).every(Boolean), CHANGE_MS);
  await pause(cutMs);
  for (const ordinal of added) {
    const seen = await clusterAt(pods, ordinal);
    assert.equal(seen.clusterId, null, `gyre-${ordinal} became a member of a cluster of its own`);
    assert.equal(await pods.isReady(ordinal), false, `gyre-${ordinal} is ready, and no member of anything`);
  }
  pods.thaw(old);
  await untilWhole(pods);
  for (const ordinal of added) assert.equal((await clusterAt(pods, ordinal)).clusterId, clusterId);
}

/** `gyre scale`, with the StatefulSet following what its `kubectl` is told. */
export async function scale(pods: Pods, words: readonly string[]): Promise<Told> {
  const child = spawn(process.execPath, [MAIN, "scale", ...words, "--nodes", pods.urls.join(",")], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: pods.path, GYRE_CA: pods.caPath },
    timeout: CHANGE_MS,
    killSignal: "SIGKILL",
  });
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  let isOver = false;
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve)).finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await pods.obey();
    await pause(50);
  }
  const code = await ended;
  await pods.obey();
  return { code, out, err };
}
