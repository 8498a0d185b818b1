/** Manifests as this tree makes them, for the tests: read from `k8s/` and rendered without any tool. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { renderFolder } from "../../services/cli/manifests/kustomize.ts";
import type { Fields } from "../../services/cli/manifests/yaml-text.ts";
import { policyFaults } from "./policy.ts";
import { schemaFaults } from "./schemas.ts";
import { serverFaults } from "./server-check.ts";

/** The folder of all manifests. */
export const K8S: string = join(import.meta.dirname, "../../k8s");

/** A file of `k8s/` by its path from there. */
export function readManifest(path: string): string {
  return readFileSync(join(K8S, path), "utf8");
}

/** The objects of a folder of `k8s/`. */
export function rendered(folder: string): readonly Fields[] {
  return renderFolder(folder, readManifest);
}

/** Everything that is wrong with the objects of one installation, in words. */
export async function faultsOf(objects: readonly Fields[]): Promise<readonly string[]> {
  return [...objects.flatMap(schemaFaults), ...policyFaults(objects), ...(await serverFaults(objects))];
}
