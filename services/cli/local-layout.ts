/** The shape of the local cluster: which node has which ports, directory and settings. Pure; one place for all of them. */
import { join } from "node:path";
import { MAX_MEMBERS } from "../base/limits.ts";

/** Where the local cluster keeps its data unless told otherwise. */
export const LOCAL_DATA_DIR: string = ".gyre";
/** Says how many nodes there are and where; the client commands of this directory read it. */
export const LOCAL_CLUSTER_FILE: string = join(LOCAL_DATA_DIR, "cluster.json");
/** The most nodes of a local cluster. */
export const MAX_LOCAL_NODES: number = Math.min(20, MAX_MEMBERS);

/** The client port of the first node; the others follow. */
export const FIRST_HTTP_PORT: number = 4401;
/** The peer port of the first node; the others follow. */
export const FIRST_PEER_PORT: number = 4501;

const LOOPBACK = "127.0.0.1";
const REPLICAS = 3;

/** N of a local cluster that so many nodes made; it never changes. */
export function localReplicas(firstCount: number): number {
  return Math.min(REPLICAS, firstCount);
}

/** What the local cluster is asked to be. */
export interface LocalPlan {
  readonly nodeCount: number;
  /** how many nodes made the cluster at its first start; those beyond join by themselves */
  readonly firstCount: number;
  readonly dataDir: string;
  readonly firstHttpPort: number;
  readonly firstPeerPort: number;
  /** settings for every node beside the layout's own, as environment */
  readonly env: Readonly<Record<string, string>>;
}

/** One node of the local cluster. */
export interface LocalNode {
  readonly name: string;
  readonly clientUrl: string;
  readonly httpPort: number;
  readonly peerPort: number;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
}

/** What is kept about a local cluster between its runs. */
export interface LocalCluster {
  /** how many nodes ran last */
  readonly nodeCount: number;
  /** how many made the cluster at its first start; 0: it was never ready yet */
  readonly firstCount: number;
  /** how many have ever run: that many may have data */
  readonly mostCount: number;
  readonly clientUrls: readonly string[];
  /** of the process that runs it, 0 when it was stopped */
  readonly pid: number;
}

/**
 * The nodes of a plan. Each has a `host` label of its own, so that the replicas of a key lie on three of them. The first nodes
 * are the only seeds: newcomers that know just each other could otherwise make a cluster of their own.
 */
export function localNodes(plan: LocalPlan): readonly LocalNode[] {
  const numbers = Array.from({ length: plan.nodeCount }, (_, index) => index);
  const seeds = Array.from({ length: plan.firstCount }, (_, number) => `${LOOPBACK}:${plan.firstPeerPort + number}`);
  return numbers.map((number) => {
    const name = `n${number + 1}`;
    const httpPort = plan.firstHttpPort + number;
    const peerPort = plan.firstPeerPort + number;
    const dataDir = join(plan.dataDir, name);
    return {
      name,
      clientUrl: `http://${LOOPBACK}:${httpPort}`,
      httpPort,
      peerPort,
      dataDir,
      env: {
        GYRE_NODE_ID: name,
        GYRE_DATA_DIR: dataDir,
        GYRE_HTTP: `${LOOPBACK}:${httpPort}`,
        GYRE_PEER: `${LOOPBACK}:${peerPort}`,
        GYRE_SEEDS: seeds.join(","),
        GYRE_BOOTSTRAP_EXPECT: String(plan.firstCount),
        GYRE_JOIN: "auto",
        GYRE_N: String(localReplicas(plan.firstCount)),
        GYRE_HOST: `local-${number + 1}`,
        ...plan.env,
      },
    };
  });
}

/** The kept file, understood; undefined when it is not one. */
export function parseLocalCluster(text: string): LocalCluster | undefined {
  try {
    const kept = JSON.parse(text) as Partial<LocalCluster> | null;
    const urls = kept?.clientUrls;
    const isWhole = Number.isInteger(kept?.nodeCount) && Array.isArray(urls) && urls.length > 0;
    if (!isWhole || !urls.every((url) => typeof url === "string")) return undefined;
    const nodeCount = Number(kept?.nodeCount);
    const { firstCount = nodeCount, mostCount = nodeCount, pid = 0 } = kept ?? {};
    return { nodeCount, firstCount, mostCount, clientUrls: urls, pid };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
