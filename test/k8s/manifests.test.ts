/** All manifests are valid, keep the rules, and fit the server; every planted mistake is caught, each in words that name it. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BRIDGES, COMPONENTS, manifestsFor } from "../../services/cli/manifests/manifests.ts";
import { documentsText, type Fields, parseDocuments } from "../../services/cli/manifests/yaml-text.ts";
import { faultsOf, K8S, readManifest, rendered } from "./rendered.ts";

const FOLDERS = ["base", "overlays/local", "overlays/production"];
const NAMES = Object.keys(COMPONENTS);

describe("the manifests", () => {
  test.each(FOLDERS)("of %s are valid, keep the rules and fit the server", async (folder) => {
    expect(await faultsOf(rendered(folder))).toEqual([]);
  });

  test("are valid with every component by itself, with each pair, and with all", async () => {
    const pairs = NAMES.flatMap((one, index) => NAMES.slice(index + 1).map((other) => [one, other]));
    const sets = [...NAMES.map((one) => [one]), ...pairs, NAMES];
    for (const components of sets) {
      expect(await faultsOf(manifestsFor({ components, nodes: 5 }, readManifest)), components.join()).toEqual([]);
    }
  });

  test("have a word for each component, and a component for each word", () => {
    const folders = readdirSync(join(K8S, "components"));
    expect(folders.toSorted()).toEqual([...NAMES, ...BRIDGES.map(({ name }) => name)].toSorted());
  });
});

/** The production overlay with one text in the place of another, which must be there. */
function planted(from: string, to: string): readonly Fields[] {
  const text = documentsText(rendered("overlays/production"));
  expect(text).toContain(from);
  return parseDocuments(text.replace(from, to), "planted");
}

describe("a planted mistake is caught:", () => {
  test.each([
    // the four of the acceptance
    {
      mistake: "a misspelt field",
      from: "terminationGracePeriodSeconds",
      to: "terminationGracePeriodSecond",
      words: /no such field; did you mean terminationGracePeriodSeconds/,
    },
    {
      mistake: "a wrong port",
      from: "containerPort: 4400",
      to: "containerPort: 4401",
      words: /its port "http" is not TCP 4400/,
    },
    {
      mistake: "a probe path that does not exist",
      from: "path: /readyz",
      to: "path: /ready",
      words: /readinessProbe asks \/ready, which the server answers with 404/,
    },
    {
      mistake: "an environment name unknown to the configuration",
      from: "GYRE_BOOTSTRAP_EXPECT",
      to: "GYRE_BOOTSTRAP_EXPECTS",
      words: /GYRE_BOOTSTRAP_EXPECTS: there is no such variable; did you mean GYRE_BOOTSTRAP_EXPECT/,
    },
    // Kubernetes would take these, or refuse them only when they are applied
    {
      mistake: "a word that is no policy",
      from: "podManagementPolicy: Parallel",
      to: "podManagementPolicy: Paralel",
      words: /podManagementPolicy must be equal to one of/,
    },
    {
      mistake: "text for a number",
      from: "revisionHistoryLimit: 3",
      to: 'revisionHistoryLimit: "3"',
      words: /revisionHistoryLimit/,
    },
    {
      mistake: "a field in the wrong place",
      from: "minReadySeconds: 30",
      to: "minReadySeconds: 30\n  readOnlyRootFilesystem: true",
      words: /spec\.readOnlyRootFilesystem: there is no such field/,
    },
    {
      mistake: "a misspelt field of a claim",
      from: "accessModes",
      to: "accessMode",
      words: /accessMode: there is no such field/,
    },
    {
      mistake: "a misspelt field of a ServiceMonitor",
      from: "scrapeTimeout",
      to: "scrapeTimeOut",
      words: /scrapeTimeOut: there is no such field/,
    },
    {
      mistake: "starts in order",
      from: "podManagementPolicy: Parallel",
      to: "podManagementPolicy: OrderedReady",
      words: /would wait for the others for ever/,
    },
    {
      mistake: "a headless Service that hides pods",
      from: "publishNotReadyAddresses: true",
      to: "publishNotReadyAddresses: false",
      words: /hides pods that are not ready/,
    },
    {
      mistake: "seeds that new pods share among themselves",
      from: "gyre-2.gyre-headless:4500",
      to: "gyre-headless:4500",
      words: /GYRE_SEEDS is not the first 3 pods/,
    },
    {
      mistake: "certificates for addresses that change",
      from: "name: GYRE_PEER_TLS_NAME\n              value: gyre-peer",
      to: "name: GYRE_ZONE_2\n              value: x",
      words: /GYRE_PEER_TLS_NAME is missing|GYRE_ZONE_2: there is no such variable/,
    },
    {
      mistake: "a value that the server refuses",
      from: "value: auto",
      to: "value: automatic",
      words: /GYRE_JOIN=automatic/,
    },
    {
      mistake: "a secret that is not mounted",
      from: "value: /etc/gyre/secret/secret",
      to: "value: /etc/gyre/secrets/secret",
      words: /GYRE_SECRET_FILE=\/etc\/gyre\/secrets\/secret/,
    },
    {
      mistake: "data beside its disk",
      from: "value: /var/lib/gyre/data",
      to: "value: /var/lib/data",
      words: /not on the claimed disk/,
    },
    {
      mistake: "a stop that is cut short",
      from: "terminationGracePeriodSeconds: 60",
      to: "terminationGracePeriodSeconds: 20",
      words: /less than the .* s that a stop may take/,
    },
    {
      mistake: "a live probe for readiness",
      from: "path: /readyz",
      to: "path: /livez",
      words: /readinessProbe asks \/livez, not \/readyz/,
    },
    {
      mistake: "an impatient liveness probe",
      from: "failureThreshold: 6",
      to: "failureThreshold: 1",
      words: /kills a node that is merely busy/,
    },
    {
      mistake: "a probe of the wrong port",
      from: "port: http\n",
      to: "port: peer\n",
      words: /asks port "peer"|leads to/,
    },
    {
      mistake: "a scrape path that does not exist",
      from: "path: /metrics",
      to: "path: /metric",
      words: /ServiceMonitor gyre: its endpoint asks \/metric/,
    },
    {
      mistake: "a policy that lets nobody in",
      from: "port: 4400\n          protocol: TCP",
      to: "port: 4040\n          protocol: TCP",
      words: /lets nobody in on TCP 4400/,
    },
    {
      mistake: "a Service of nothing",
      from: "clusterIP: None",
      to: "clusterIP: None\n  externalIPs: 3",
      words: /externalIPs/,
    },
    { mistake: "root", from: "runAsNonRoot: true", to: "runAsNonRoot: false", words: /runAsNonRoot is not true/ },
    {
      mistake: "a writable root",
      from: "readOnlyRootFilesystem: true",
      to: "readOnlyRootFilesystem: false",
      words: /readOnlyRootFilesystem is not true/,
    },
    { mistake: "a capability kept", from: "- ALL", to: "- NET_RAW", words: /does not drop ALL/ },
    { mistake: "no seccomp profile", from: "type: RuntimeDefault", to: "type: Unconfined", words: /seccompProfile/ },
    {
      mistake: "links of Services as variables",
      from: "enableServiceLinks: false",
      to: "enableServiceLinks: true",
      words: /enableServiceLinks/,
    },
    {
      mistake: "a limit on CPU",
      from: "limits:\n              memory",
      to: "limits:\n              cpu: 2\n              memory",
      words: /cpu is limited/,
    },
    {
      mistake: "memory that is not all requested",
      from: "memory: 4Gi",
      to: "memory: 1Gi",
      words: /the limit is not what is requested/,
    },
    {
      mistake: "disks that go with their pods",
      from: "whenScaled: Retain",
      to: "whenScaled: Delete",
      words: /whenScaled is not Retain/,
    },
    {
      mistake: "two away at once",
      from: "maxUnavailable: 1",
      to: "maxUnavailable: 2",
      words: /maxUnavailable is not 1/,
    },
    {
      mistake: "secrets that everybody reads",
      from: "defaultMode: 288",
      to: "defaultMode: 292",
      words: /are not 0440/,
    },
    {
      mistake: "an image without a version",
      from: "image: gyre:0.1.0",
      to: "image: gyre:latest",
      words: /has no version/,
    },
    {
      mistake: "a smoke test of a node that is not there",
      from: "https://gyre-2.gyre-headless.",
      to: "https://gyre-7.gyre-headless.",
      words: /GYRE_NODES has https:\/\/gyre-7/,
    },
  ])("$mistake", async ({ from, to, words }) => {
    const faults = await faultsOf(planted(from, to));
    expect(faults.join("\n")).toMatch(words);
  });

  test("and what is not planted is not found", async () => {
    expect(await faultsOf(planted("gyre", "gyre"))).toEqual([]);
  });
});
