/**
 * What every installation keeps to, whatever its components: Kubernetes' "restricted" pod security standard, and the rules that
 * k8s/README.md gives reasons for. Each fault names the object and the field. Source: Kubernetes, "Pod Security Standards".
 */
import { at, type Fields, isFields, listAt, type Tree, textAt } from "../../services/cli/manifests/yaml-text.ts";
import { fault, fieldsAt, isChosen, numberAt, ofKind, type PodLook, podsOf } from "./objects.ts";

const GYRE = "app.kubernetes.io/name";

/** What is not as it should be, in words. */
export function policyFaults(objects: readonly Fields[]): readonly string[] {
  const pods = podsOf(objects);
  return [
    ...pods.flatMap(securityFaults),
    ...pods.flatMap(containerFaults),
    ...ofKind(objects, "StatefulSet").flatMap(setFaults),
    ...ofKind(objects, "Job").flatMap(jobFaults),
    ...budgetFaults(objects, pods),
    ...secretFaults(objects),
    ...objects.flatMap((object) =>
      fault(
        fieldsAt(object, "metadata", "labels")[GYRE] === "gyre" || textAt(object, "kind") === "Namespace",
        object,
        `has no label ${GYRE}: gyre`,
      ),
    ),
    ...ofKind(objects, "HorizontalPodAutoscaler").map(() => "an autoscaler: each step would move data"),
  ];
}

function securityFaults({ owner, spec }: PodLook): readonly string[] {
  const context = fieldsAt(spec, "securityContext");
  return [
    ...fault(context["runAsNonRoot"] === true, owner, "runAsNonRoot is not true"),
    ...fault(context["runAsUser"] === 1000 && context["runAsGroup"] === 1000, owner, "does not run as 1000:1000"),
    ...fault(
      textAt(context, "seccompProfile", "type") === "RuntimeDefault",
      owner,
      "seccompProfile is not RuntimeDefault",
    ),
    ...fault(
      spec["enableServiceLinks"] === false,
      owner,
      "enableServiceLinks is not false: variables of Services look like settings",
    ),
    ...fault(
      spec["automountServiceAccountToken"] === false || usesKubernetes(spec),
      owner,
      "automountServiceAccountToken is not false",
    ),
    ...["hostNetwork", "hostPID", "hostIPC"].flatMap((name) =>
      fault(spec[name] === undefined, owner, `${name} is set`),
    ),
    ...listAt(spec, "volumes").flatMap((volume) =>
      fault(!isFields(volume) || volume["hostPath"] === undefined, owner, "a hostPath volume"),
    ),
  ];
}

/** Only what has an account of its own asks Kubernetes anything. */
function usesKubernetes(spec: Fields): boolean {
  return textAt(spec, "serviceAccountName") !== "gyre";
}

function containerFaults({ owner, spec, containers }: PodLook): readonly string[] {
  return containers.flatMap((container) => {
    const name = `${owner}, container ${textAt(container, "name")}`;
    const context = fieldsAt(container, "securityContext");
    const { requests, limits } = {
      requests: fieldsAt(container, "resources", "requests"),
      limits: fieldsAt(container, "resources", "limits"),
    };
    const drops = listAt(context, "capabilities", "drop");
    return [
      ...fault(context["allowPrivilegeEscalation"] === false, name, "allowPrivilegeEscalation is not false"),
      ...fault(context["readOnlyRootFilesystem"] === true, name, "readOnlyRootFilesystem is not true"),
      ...fault(drops.length === 1 && drops[0] === "ALL", name, "does not drop ALL capabilities"),
      ...fault(at(context, "capabilities", "add") === undefined, name, "adds capabilities"),
      ...fault(context["privileged"] === undefined, name, "privileged is set"),
      ...["cpu", "memory", "ephemeral-storage"].flatMap((what) =>
        fault(requests[what] !== undefined, name, `requests no ${what}`),
      ),
      ...fault(
        limits["memory"] !== undefined && limits["memory"] === requests["memory"],
        name,
        "memory: the limit is not what is requested",
      ),
      ...fault(limits["cpu"] === undefined, name, "cpu is limited: a throttled event loop looks like a dead node"),
      ...fault(!/:latest$|^[^:]+$/.test(textAt(container, "image")), name, "the image has no version"),
      ...mountFaults(name, spec, container),
    ];
  });
}

function mountFaults(name: string, spec: Fields, container: Fields): readonly string[] {
  const volumes = new Set(listAt(spec, "volumes").map((volume) => textAt(volume, "name")));
  return listAt(container, "volumeMounts").flatMap((mount) => {
    const volume = textAt(mount, "name");
    return fault(volumes.has(volume) || volume === "data", name, `mounts ${volume}, which is no volume of the pod`);
  });
}

function setFaults(set: Fields): readonly string[] {
  const spec = fieldsAt(set, "spec");
  const pod = fieldsAt(spec, "template", "spec");
  const claims = listAt(spec, "volumeClaimTemplates");
  const spread = listAt(pod, "topologySpreadConstraints");
  return [
    ...fault(
      spec["podManagementPolicy"] === "Parallel",
      set,
      "podManagementPolicy is not Parallel: the first node would wait for the others for ever",
    ),
    ...fault(numberAt(spec, "minReadySeconds") >= 5, set, "minReadySeconds is less than 5"),
    ...fault(textAt(spec, "updateStrategy", "type") === "RollingUpdate", set, "updateStrategy is not RollingUpdate"),
    ...fault(
      textAt(spec, "persistentVolumeClaimRetentionPolicy", "whenScaled") === "Retain",
      set,
      "whenScaled is not Retain",
    ),
    ...fault(
      textAt(pod, "securityContext", "fsGroupChangePolicy") === "OnRootMismatch",
      set,
      "fsGroupChangePolicy is not OnRootMismatch",
    ),
    ...fault(at(pod, "securityContext", "fsGroup") === 1000, set, "fsGroup is not 1000"),
    ...fault(
      spread.some((one) => textAt(one, "topologyKey") === "topology.kubernetes.io/zone"),
      set,
      "is not spread over zones",
    ),
    ...fault(
      JSON.stringify(fieldsAt(pod, "affinity", "podAntiAffinity")).includes("kubernetes.io/hostname"),
      set,
      "is not spread over machines",
    ),
    ...fault(
      claims.length === 1 && textAt(claims[0], "metadata", "name") === "data",
      set,
      'has not exactly the claim "data"',
    ),
    ...selectorFaults(set),
  ];
}

function selectorFaults(set: Fields): readonly string[] {
  const labels = fieldsAt(set, "spec", "template", "metadata", "labels");
  return fault(
    isChosen(labels, fieldsAt(set, "spec", "selector", "matchLabels")),
    set,
    "its selector does not choose its own pods",
  );
}

function jobFaults(job: Fields): readonly string[] {
  return [
    ...fault(at(job, "spec", "activeDeadlineSeconds") !== undefined, job, "has no activeDeadlineSeconds"),
    ...fault(at(job, "spec", "ttlSecondsAfterFinished") !== undefined, job, "has no ttlSecondsAfterFinished"),
    ...fault(at(job, "spec", "backoffLimit") !== undefined, job, "has no backoffLimit"),
    ...fault(textAt(job, "spec", "template", "spec", "restartPolicy") === "Never", job, "restartPolicy is not Never"),
  ];
}

/** Exactly one budget, for the nodes and nothing else. */
function budgetFaults(objects: readonly Fields[], pods: readonly PodLook[]): readonly string[] {
  const [budget, ...more] = ofKind(objects, "PodDisruptionBudget");
  if (budget === undefined || more.length > 0) return ["there is not exactly one PodDisruptionBudget"];
  const selector = fieldsAt(budget, "spec", "selector", "matchLabels");
  const owners = pods.filter(({ labels }) => isChosen(labels, selector)).map(({ owner }) => owner);
  return [
    ...fault(at(budget, "spec", "maxUnavailable") === 1, budget, "maxUnavailable is not 1"),
    ...fault(
      textAt(budget, "spec", "unhealthyPodEvictionPolicy") === "AlwaysAllow",
      budget,
      "a broken node blocks maintenance",
    ),
    ...fault(owners.join() === "StatefulSet gyre", budget, `is for ${owners.join(", ") || "nothing"}`),
  ];
}

/** Secrets come as files, never as text, and nobody but the pod's group reads them. */
function secretFaults(objects: readonly Fields[]): readonly string[] {
  return podsOf(objects).flatMap(({ owner, spec, containers }) => [
    ...containers.flatMap((container) =>
      listAt(container, "env").flatMap((entry: Tree) =>
        fault(
          at(entry, "valueFrom", "secretKeyRef") === undefined,
          owner,
          `${textAt(entry, "name")} holds a secret: mount it as a file`,
        ),
      ),
    ),
    ...listAt(spec, "volumes").flatMap((volume) =>
      fault(
        at(volume, "secret") === undefined || at(volume, "secret", "defaultMode") === 0o440,
        owner,
        `the files of volume ${textAt(volume, "name")} are not 0440`,
      ),
    ),
  ]);
}
