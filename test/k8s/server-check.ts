/**
 * Whether manifests fit the server as it is in this tree: its own configuration reader takes the pod's environment, its own API
 * answers the probes, its own ports and times are those of the manifests. Nothing here repeats a number of the source.
 */
import { readConfig } from "../../services/base/config.ts";
import { ALL_KNOBS, DEFAULT_HTTP_PORT, DEFAULT_PEER_PORT, variableOf } from "../../services/base/knobs.ts";
import { DRAIN_TIMEOUT_MS, LINK_DRAIN_MS } from "../../services/base/limits.ts";
import { portOf } from "../../services/base/setting-parsers.ts";
import { at, type Fields, isFields, listAt, type Tree, textAt } from "../../services/cli/manifests/yaml-text.ts";
import { apiNode } from "../support/api-node.ts";
import {
  environmentOf,
  fault,
  fieldsAt,
  isChosen,
  named,
  numberAt,
  ofKind,
  POD_IP,
  type PodLook,
  podsOf,
} from "./objects.ts";
import { portFaultsOf } from "./port-check.ts";

/** Telling the others, at most (gossip), and closing the store: beside what `limits.ts` bounds. */
const FAREWELL_MS = 2_000;
const SPARE_MS = 15_000;
/** Replay of a large store takes minutes. */
const LEAST_START_SECONDS = 300;
/** What overload or a slow disk does to a node must not have it killed. */
const LEAST_LIVENESS_SECONDS = 30;
const PROBES: Readonly<Record<string, string>> = {
  startupProbe: "/startupz",
  readinessProbe: "/readyz",
  livenessProbe: "/livez",
};

/** What does not fit, in words. */
export async function serverFaults(objects: readonly Fields[]): Promise<readonly string[]> {
  const nodes = podsOf(objects).filter(({ owner }) => owner === "StatefulSet gyre");
  const sets = ofKind(objects, "StatefulSet");
  const answers = await routeAnswers(objects);
  return [
    ...(nodes.length === 1 && sets.length === 1 ? [] : ["there is not exactly one StatefulSet"]),
    ...nodes.flatMap(environmentFaults),
    ...sets.flatMap((set) => seedFaults(objects, set)),
    ...portFaultsOf(objects),
    ...answers,
    ...nodes.flatMap(timeFaults),
  ];
}

function nodeContainer({ containers }: PodLook): Fields {
  return named(containers, "gyre") ?? {};
}

/** The server's own reader judges; a file can be read only where a Secret is mounted. */
function environmentFaults(pod: PodLook): readonly string[] {
  const container = nodeContainer(pod);
  const env = environmentOf(container);
  const mounts = listAt(container, "volumeMounts").map((mount) => ({
    path: textAt(mount, "mountPath"),
    volume: named(listAt(pod.spec, "volumes"), textAt(mount, "name")),
  }));
  const isSecret = (path: string): boolean =>
    mounts.some((mount) => path.startsWith(`${mount.path}/`) && mount.volume?.["secret"] !== undefined);
  const result = readConfig({
    argv: [],
    env,
    hostname: "gyre-0",
    readText: (path) =>
      isSecret(path)
        ? { kind: "text", text: path.endsWith("previous") ? "fedcba9876543210" : "0123456789abcdef" }
        : { kind: "unreadable", reason: "nothing is mounted there" },
  });
  if (result.kind === "problems") return result.problems.map((problem) => `${pod.owner}: ${problem}`);
  const { httpAddress, peerAddress, advertiseAddress, dataDir, join, peerTls } = result.config;
  const files = Object.entries(env).filter(([name]) => /_(?:FILE|CERT|KEY|CA)$/.test(name));
  return [
    ...files.flatMap(([name, path]) => fault(isSecret(path), pod.owner, `${name}=${path}: no Secret is mounted there`)),
    ...fault(
      portOf(httpAddress) === DEFAULT_HTTP_PORT,
      pod.owner,
      `GYRE_HTTP=${httpAddress}: not the port of the server`,
    ),
    ...fault(
      portOf(peerAddress) === DEFAULT_PEER_PORT,
      pod.owner,
      `GYRE_PEER=${peerAddress}: not the port of the server`,
    ),
    ...fault(
      advertiseAddress === `${POD_IP}:${DEFAULT_PEER_PORT}`,
      pod.owner,
      `GYRE_ADVERTISE=${advertiseAddress}: not what the others dial`,
    ),
    ...fault(
      mounts.some((mount) => `${dataDir}/`.startsWith(`${mount.path}/`) && mount.volume === undefined),
      pod.owner,
      `GYRE_DATA_DIR=${dataDir}: not on the claimed disk`,
    ),
    ...fault(
      peerTls === undefined || peerTls.name !== undefined,
      pod.owner,
      "GYRE_PEER_TLS_NAME is missing: no certificate could be for the addresses of pods",
    ),
    ...fault(join === "auto", pod.owner, "GYRE_JOIN is not auto: pods that are added would wait for an operator"),
    ...Object.keys(env)
      .filter((name) => name.startsWith("GYRE_") && !ALL_KNOBS.some((knob) => variableOf(knob) === name))
      .map((name) => `${pod.owner}: ${name}: there is no such variable`),
  ];
}

/** Pods that are added later may know nobody but members: see k8s/README.md, "Seeds". */
function seedFaults(objects: readonly Fields[], set: Fields): readonly string[] {
  const container = named(listAt(set, "spec", "template", "spec", "containers"), "gyre");
  const env = environmentOf(container ?? {});
  const [name, service] = [textAt(set, "metadata", "name"), textAt(set, "spec", "serviceName")];
  const expect = Number(env["GYRE_BOOTSTRAP_EXPECT"]);
  const wanted = Array.from({ length: expect }, (_, ordinal) => `${name}-${ordinal}.${service}:${DEFAULT_PEER_PORT}`);
  const headless = ofKind(objects, "Service").find((one) => textAt(one, "metadata", "name") === service);
  const owner = `StatefulSet ${name}`;
  return [
    ...fault(
      env["GYRE_SEEDS"] === wanted.join(","),
      owner,
      `GYRE_SEEDS is not the first ${expect} pods: ${wanted.join(",")}`,
    ),
    ...fault(
      numberAt(set, "spec", "replicas") >= expect,
      owner,
      "has fewer replicas than GYRE_BOOTSTRAP_EXPECT waits for",
    ),
    ...fault(textAt(headless, "spec", "clusterIP") === "None", owner, `serviceName ${service}: is no headless Service`),
    ...fault(
      at(headless, "spec", "publishNotReadyAddresses") === true,
      owner,
      `Service ${service} hides pods that are not ready: no cluster would ever be made`,
    ),
  ];
}

/** Probes and scrapes are asked of the server's own API. */
async function routeAnswers(objects: readonly Fields[]): Promise<readonly string[]> {
  const { api } = apiNode();
  const asked: { readonly owner: string; readonly what: string; readonly path: string }[] = [];
  const faults: string[] = [];
  for (const pod of podsOf(objects)) {
    for (const container of pod.containers.filter((one) => one["ports"] !== undefined)) {
      for (const [what, meaning] of Object.entries(PROBES)) {
        const probe = fieldsAt(container, what, "httpGet");
        const path = textAt(probe, "path");
        asked.push({ owner: pod.owner, what, path });
        faults.push(...fault(path === meaning, pod.owner, `${what} asks ${path || "nothing"}, not ${meaning}`));
        const isPort = probe["port"] === "http" && named(listAt(container, "ports"), "http") !== undefined;
        faults.push(
          ...fault(isPort, pod.owner, `${what} asks port ${JSON.stringify(probe["port"] ?? null)}, not "http"`),
        );
      }
    }
  }
  for (const monitor of ofKind(objects, "ServiceMonitor")) {
    for (const endpoint of listAt(monitor, "spec", "endpoints")) {
      asked.push({ owner: "ServiceMonitor gyre", what: "its endpoint", path: textAt(endpoint, "path") });
      faults.push(...monitorFaults(objects, monitor, endpoint));
    }
  }
  for (const { owner, what, path } of asked) {
    const { statusCode } = await api.inject({ method: "GET", url: path === "" ? "/nothing" : path });
    faults.push(
      ...fault(statusCode === 200, owner, `${what} asks ${path}, which the server answers with ${statusCode}`),
    );
  }
  return faults;
}

function monitorFaults(objects: readonly Fields[], monitor: Fields, endpoint: Tree): readonly string[] {
  const selector = fieldsAt(monitor, "spec", "selector", "matchLabels");
  const chosen = ofKind(objects, "Service").filter((one) => isChosen(fieldsAt(one, "metadata", "labels"), selector));
  const ports = chosen.flatMap((service) => listAt(service, "spec", "ports")).filter(isFields);
  return [
    ...fault(
      chosen.map((one) => textAt(one, "metadata", "name")).join() === "gyre-headless",
      "ServiceMonitor gyre",
      "does not choose the headless Service",
    ),
    ...fault(
      named(ports, textAt(endpoint, "port")) !== undefined,
      "ServiceMonitor gyre",
      "names a port that the Service has not",
    ),
  ];
}

function timeFaults(pod: PodLook): readonly string[] {
  const container = nodeContainer(pod);
  const preStopMs = numberAt(container, "lifecycle", "preStop", "sleep", "seconds") * 1_000;
  const neededMs = preStopMs + DRAIN_TIMEOUT_MS + LINK_DRAIN_MS + FAREWELL_MS + SPARE_MS;
  const graceMs = numberAt(pod.spec, "terminationGracePeriodSeconds") * 1_000;
  const patience = (probe: string): number =>
    numberAt(container, probe, "periodSeconds") * numberAt(container, probe, "failureThreshold");
  return [
    ...fault(preStopMs >= 3_000, pod.owner, "preStop gives proxies no time to hear that the pod is going"),
    ...fault(
      graceMs >= neededMs,
      pod.owner,
      `terminationGracePeriodSeconds is less than the ${neededMs / 1_000} s that a stop may take`,
    ),
    ...fault(
      patience("startupProbe") >= LEAST_START_SECONDS,
      pod.owner,
      "startupProbe ends a start that takes its time",
    ),
    ...fault(
      patience("livenessProbe") >= LEAST_LIVENESS_SECONDS,
      pod.owner,
      "livenessProbe kills a node that is merely busy",
    ),
    ...fault(patience("readinessProbe") <= 15, pod.owner, "readinessProbe leaves a node in the Service for too long"),
  ];
}
