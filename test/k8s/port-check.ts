/**
 * Whether ports fit: those of containers, Services, network policies and Jobs are the ones that the server listens on. Nothing here
 * repeats a number of the source.
 */
import { DEFAULT_HTTP_PORT, DEFAULT_PEER_PORT } from "../../services/base/knobs.ts";
import { at, type Fields, listAt, textAt } from "../../services/cli/manifests/yaml-text.ts";
import { environmentOf, fault, fieldsAt, isChosen, named, numberAt, ofKind, type PodLook, podsOf } from "./objects.ts";

/** What does not fit, in words. */
export function portFaultsOf(objects: readonly Fields[]): readonly string[] {
  const nodes = podsOf(objects).filter(({ owner }) => owner === "StatefulSet gyre");
  return [...nodes.flatMap(portFaults), ...serviceFaults(objects), ...policyPortFaults(objects), ...jobFaults(objects)];
}

/** What the server listens on, by the names of its ports. */
const PORTS: Readonly<Record<string, { readonly port: number; readonly protocol: string }>> = {
  http: { port: DEFAULT_HTTP_PORT, protocol: "TCP" },
  peer: { port: DEFAULT_PEER_PORT, protocol: "TCP" },
  gossip: { port: DEFAULT_PEER_PORT, protocol: "UDP" },
};

function portFaults(pod: PodLook): readonly string[] {
  const ports = listAt(named(pod.containers, "gyre"), "ports");
  return Object.entries(PORTS).flatMap(([name, { port, protocol }]) => {
    const found = named(ports, name);
    const isRight = found?.["containerPort"] === port && (found["protocol"] ?? "TCP") === protocol;
    return fault(isRight, pod.owner, `its port "${name}" is not ${protocol} ${port}`);
  });
}

function serviceFaults(objects: readonly Fields[]): readonly string[] {
  const pods = podsOf(objects);
  return ofKind(objects, "Service").flatMap((service) => {
    const owner = `Service ${textAt(service, "metadata", "name")}`;
    const chosen = pods.filter(({ labels }) => isChosen(labels, fieldsAt(service, "spec", "selector")));
    const ports = listAt(service, "spec", "ports").flatMap((entry) => {
      const name = textAt(entry, "name");
      const own = PORTS[name];
      const isRight = own?.port === at(entry, "port") && own?.protocol === (at(entry, "protocol") ?? "TCP");
      return [
        ...fault(isRight, owner, `its port "${name}" is not a port of the server`),
        ...fault(
          textAt(entry, "targetPort") === name,
          owner,
          `its port "${name}" leads to ${JSON.stringify(at(entry, "targetPort"))}`,
        ),
      ];
    });
    return [
      ...fault(
        chosen.map((pod) => pod.owner).join() === "StatefulSet gyre",
        owner,
        "does not choose the nodes and only them",
      ),
      ...ports,
    ];
  });
}

function policyPortFaults(objects: readonly Fields[]): readonly string[] {
  const known = Object.values(PORTS).map(({ port, protocol }) => `${protocol} ${port}`);
  return ofKind(objects, "NetworkPolicy").flatMap((policy) => {
    const owner = `NetworkPolicy ${textAt(policy, "metadata", "name")}`;
    const shown = (direction: string): readonly string[] =>
      listAt(policy, "spec", direction).flatMap((rule) =>
        listAt(rule, "ports").map((port) => `${textAt(port, "protocol")} ${String(numberAt(port, "port"))}`),
      );
    const missing = known.filter((port) => !shown("ingress").includes(port));
    const strange = shown("ingress").filter((port) => !known.includes(port));
    const unreached = ["TCP", "UDP"]
      .map((protocol) => `${protocol} ${DEFAULT_PEER_PORT}`)
      .filter((port) => !shown("egress").includes(port));
    return [
      ...fault(missing.length === 0, owner, `lets nobody in on ${missing.join(", ")}`),
      ...fault(strange.length === 0, owner, `lets in on ${strange.join(", ")}, where nobody listens`),
      ...fault(unreached.length === 0, owner, `nodes cannot reach each other on ${unreached.join(", ")}`),
    ];
  });
}

/** The nodes that a Job names are pods of the headless Service, on the server's port. */
function jobFaults(objects: readonly Fields[]): readonly string[] {
  const replicas = numberAt(ofKind(objects, "StatefulSet")[0], "spec", "replicas");
  return podsOf(objects)
    .filter(({ owner }) => owner.startsWith("Job "))
    .flatMap(({ owner, containers, labels, spec }) => {
      const urls = containers.flatMap((container) => (environmentOf(container)["GYRE_NODES"] ?? "").split(","));
      const strange = urls.filter((url) => !isNodeUrl(url, replicas));
      return [
        ...fault(strange.length === 0, owner, `GYRE_NODES has ${strange.join(", ")}, which is no node`),
        ...containers.flatMap((container) => fileFaults(owner, container, spec)),
        ...fault(labels["gyre.dev/client"] === "true", owner, "a network policy would not let it in"),
      ];
    });
}

function isNodeUrl(url: string, replicas: number): boolean {
  const [, ordinal, port] = /^https?:\/\/gyre-(\d+)\.gyre-headless(?:\.kv\.svc)?:(\d+)$/.exec(url) ?? [];
  if (/^https?:\/\/gyre:(\d+)$/.exec(url)?.[1] === String(DEFAULT_HTTP_PORT)) return true;
  return Number(ordinal) < replicas && Number(port) === DEFAULT_HTTP_PORT;
}

/** What a Job is told to read lies on a Secret that is mounted. */
function fileFaults(owner: string, container: Fields, spec: Fields): readonly string[] {
  const mounts = listAt(container, "volumeMounts").filter((mount) => {
    const volume = named(listAt(spec, "volumes"), textAt(mount, "name"));
    return volume?.["secret"] !== undefined;
  });
  return Object.entries(environmentOf(container))
    .filter(([name]) => name === "GYRE_CA" || name.endsWith("_FILE"))
    .flatMap(([name, path]) =>
      fault(
        mounts.some((mount) => path.startsWith(`${textAt(mount, "mountPath")}/`)),
        owner,
        `${name}=${path}: no Secret is mounted there`,
      ),
    );
}
