/** Three real processes whose disks fail, or are slow, as a test says while they run. Must never change what a disk does that nobody spoke of. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { RealCluster } from "./cluster.ts";
import { type DiskFaults, FAULTS_VARIABLE } from "./faulty-fs.ts";

const HOOK = pathToFileURL(join(import.meta.dirname, "faulty-fs.ts")).href;

/** A cluster of three whose disks fail as told. */
export class FaultyCluster implements AsyncDisposable {
  readonly nodes: RealCluster;
  readonly #directory: string;

  private constructor(nodes: RealCluster, directory: string) {
    this.nodes = nodes;
    this.#directory = directory;
  }

  /** As `RealCluster.start`, of three nodes. */
  static async start(env: Readonly<Record<string, string>> = {}): Promise<FaultyCluster> {
    const directory = mkdtempSync(join(tmpdir(), "gyre-faults-"));
    const nodes = await RealCluster.start(3, { ...env, NODE_OPTIONS: `--import=${HOOK}` }, (node) => ({
      [FAULTS_VARIABLE]: join(directory, `${node}.json`),
    }));
    return new FaultyCluster(nodes, directory);
  }

  /** From now on the disk of this node fails so; by default not at all. */
  breakDisk(node: number, faults: DiskFaults = {}): void {
    writeFileSync(join(this.#directory, `${node}.json`), JSON.stringify(faults));
  }

  /** The address of a key at a node. */
  at(node: number, key: string, query = ""): string {
    return `${this.nodes.url(node)}/v1/kv/faults/${key}${query}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nodes[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
