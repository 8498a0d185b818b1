/**
 * What a simulated machine is: a name, labels, a disk, perhaps a process; and the configuration that its process is started
 * with. Must never hold behaviour of its own: `SimCluster` plugs machines together.
 */
import type { Config } from "../../services/base/config.ts";
import { type NodeId, parseNodeId } from "../../services/base/ids.ts";
import type { GyreNode } from "../../services/node/node.ts";
import type { LogEngineOptions } from "../../storage/index.ts";
import type { CrashOutcome } from "./crash-outcome.ts";
import type { SimProcess } from "./scheduler.ts";
import type { NodeDoor } from "./sim-client.ts";
import type { SimClock } from "./sim-clock.ts";
import type { SimDisk } from "./sim-disk.ts";

const PEER_PORT = 4500;
/** Q of every simulated cluster. */
export const SIM_PARTITIONS = 64;
/** N of every simulated cluster; as many machines found it. */
export const SIM_REPLICAS = 3;
/** R and W of every simulated cluster. */
export const SIM_QUORUM = 2;
/** More than there ever are: an empty machine with this setting never founds a cluster, it only joins one. */
const NEVER_FOUNDS = 1_000;

/** Small, so that segments roll and compaction runs within a short life. */
export const SMALL_STORE: Partial<LogEngineOptions> = {
  segmentBytes: 8_192,
  garbageSegments: 0,
  reserveBytes: 0,
  manifestBytes: 4_096,
};

/** How a node ends. */
export type Ending =
  /** the process dies, the machine lives */
  | { readonly kind: "kill" }
  /** the machine loses power: un-synced bytes meet their fate, peers hear nothing */
  | { readonly kind: "power"; readonly outcome: CrashOutcome }
  /** the disk comes back as it was at the last snapshot: acknowledged bytes are lost */
  | { readonly kind: "rollback" };

/** A process on a machine, from its first instruction on; `node` once it has started. */
export interface Running {
  readonly process: SimProcess;
  readonly node: GyreNode | undefined;
  readonly door: NodeDoor | undefined;
  readonly clock: SimClock;
  readonly tellGone: () => void;
}

/** A machine. */
export interface Machine {
  readonly name: string;
  /** by which its process calls itself: the machine's own, but on a clone */
  readonly nodeName: string;
  zone: string;
  /** an empty process on it joins a running cluster by itself */
  join: "manual" | "auto";
  /** one of the first, which found the cluster */
  readonly isFounder: boolean;
  /** out of service: nobody starts it */
  isInService: boolean;
  disk: SimDisk;
  snapshot: SimDisk | undefined;
  running: Running | undefined;
}

/** The settings of a machine's process; `seeds` are names of machines. */
export function configOf({ name, nodeName, zone, join, isFounder }: Machine, seeds: readonly string[]): Config {
  const address = addressOf(name);
  return {
    nodeId: nodeIdOf(nodeName),
    cluster: "sim",
    dataDir: "",
    httpAddress: "",
    peerAddress: address,
    advertiseAddress: address,
    seeds: seeds.map(addressOf),
    bootstrapExpect: isFounder ? SIM_REPLICAS : NEVER_FOUNDS,
    zone,
    host: nodeName,
    weight: 1,
    partitionCount: SIM_PARTITIONS,
    n: SIM_REPLICAS,
    r: SIM_QUORUM,
    w: SIM_QUORUM,
    durability: "fsync",
    join,
    gossipProfile: "fast",
    diskReserveBytes: 0,
    hintsMaxBytes: undefined,
    hintsWindowMs: 10_800_000,
    tombstoneAgeMs: 3_600_000,
    secret: "a secret of simulations",
    previousSecret: undefined,
    isInsecure: false,
    tokensFile: undefined,
    isMetricsOpen: false,
    tls: undefined,
    peerTls: undefined,
    rehearsal: "off",
    logLevel: "info",
  };
}

/** The node id of a machine of this name. */
export function nodeIdOf(name: string): NodeId {
  const id = parseNodeId(name);
  if (id === undefined) throw new RangeError(`${name} is no node id`);
  return id;
}

function addressOf(name: string): string {
  return `${name}:${PEER_PORT}`;
}
