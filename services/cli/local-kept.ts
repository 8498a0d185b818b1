/** The file that keeps what a local cluster is between its runs: `cluster.json` in its directory. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LocalCluster, parseLocalCluster } from "./local-layout.ts";

/** What is kept there; undefined when nothing is, or nothing that can be understood. */
export function readKept(dataDir: string): LocalCluster | undefined {
  try {
    return parseLocalCluster(readFileSync(join(dataDir, "cluster.json"), "utf8"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Keeps it, whole or not at all. */
export function keep(dataDir: string, cluster: LocalCluster): void {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, "cluster.json");
  writeFileSync(`${path}.new`, `${JSON.stringify(cluster, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}
