/**
 * Every knob of a node: its name, unit, default and meaning, in one table. The flag is `--` and the name, the environment
 * variable `GYRE_` and the name in capitals, the key of the configuration file the name itself. docs/CONFIGURATION.md is made from it.
 */
import type { NodeId } from "./ids.ts";
import { MAX_MEMBERS, MAX_PARTITIONS, MAX_REPLICAS, MIN_PARTITIONS } from "./limits.ts";
import { SECURITY_KNOBS, type SecurityKnobs } from "./security-knobs.ts";
import {
  addressesWith,
  addressWith,
  oneOf,
  type Parsed,
  parseByteSize,
  parseByteSizeOrOff,
  parseDuration,
  parseLabel,
  parseNodeName,
  parseText,
  parseWeight,
  powerOfTwoIn,
  wholeNumberIn,
} from "./setting-parsers.ts";
import { TRACE_KNOBS, type TraceKnobs } from "./trace-knobs.ts";

/** One knob; `T` is what its text means. */
export interface Knob<T> {
  /** the flag without its dashes; words with `-` between them */
  readonly name: string;
  /** for the table and `--help`, in words */
  readonly defaultText: string;
  /** one line, with the unit where there is one */
  readonly meaning: string;
  readonly parse: (text: string) => Parsed<T>;
  /** never shown */
  readonly isSecret?: boolean;
  /** `--name` alone means true */
  readonly isSwitch?: boolean;
}

/** The most important of the log's lines that are left out below it. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

/** How a node becomes a member of a cluster that runs already. */
export type JoinMode = "auto" | "manual";

/** Which of gossip's timers hold: `fast` sees a crash in about four seconds, `steady` and `wan` are slower and calmer. */
export type GossipProfile = "fast" | "steady" | "wan";

/** The knobs by what they set. */
export interface Knobs extends SecurityKnobs, TraceKnobs {
  readonly config: Knob<string>;
  readonly nodeId: Knob<NodeId>;
  readonly cluster: Knob<string>;
  readonly dataDir: Knob<string>;
  readonly http: Knob<string>;
  readonly peer: Knob<string>;
  readonly advertise: Knob<string>;
  readonly seeds: Knob<readonly string[]>;
  readonly bootstrapExpect: Knob<number>;
  readonly join: Knob<JoinMode>;
  readonly gossipProfile: Knob<GossipProfile>;
  readonly zone: Knob<string>;
  readonly host: Knob<string>;
  readonly weight: Knob<number>;
  readonly partitions: Knob<number>;
  readonly n: Knob<number>;
  readonly r: Knob<number>;
  readonly w: Knob<number>;
  readonly durability: Knob<"fsync" | "os">;
  readonly diskReserve: Knob<number>;
  readonly hintsMaxBytes: Knob<number>;
  readonly hintsWindow: Knob<number>;
  readonly tombstoneAge: Knob<number>;
  readonly rehearsal: Knob<"on" | "off">;
  readonly logLevel: Knob<LogLevel>;
}

/** The port of the client listener unless another is given. */
export const DEFAULT_HTTP_PORT: number = 4400;
/** The port of the peer listener unless another is given. */
export const DEFAULT_PEER_PORT: number = 4500;

const replicas = wholeNumberIn({ min: 1, max: MAX_REPLICAS });

/** The knobs that set something. */
export const KNOBS: Knobs = {
  config: {
    name: "config",
    defaultText: "–",
    meaning: "a JSON file with settings; keys as the flags",
    parse: parseText,
  },
  nodeId: { name: "node-id", defaultText: "host name", meaning: "stable name of this node", parse: parseNodeName },
  cluster: {
    name: "cluster",
    defaultText: "`gyre`",
    meaning: "cluster name; nodes of another name are refused",
    parse: parseLabel,
  },
  dataDir: {
    name: "data-dir",
    defaultText: "`.gyre/<node id>`",
    meaning: "where the data is; one node per directory (locked)",
    parse: parseText,
  },
  http: {
    name: "http",
    defaultText: `\`127.0.0.1:${DEFAULT_HTTP_PORT}\``,
    meaning: "client listener",
    parse: addressWith(DEFAULT_HTTP_PORT),
  },
  peer: {
    name: "peer",
    defaultText: `\`127.0.0.1:${DEFAULT_PEER_PORT}\``,
    meaning: "peer listener, TCP and UDP",
    parse: addressWith(DEFAULT_PEER_PORT),
  },
  advertise: {
    name: "advertise",
    defaultText: "the peer address",
    meaning: "what other nodes dial; loopback is refused when a seed is not on loopback",
    parse: addressWith(DEFAULT_PEER_PORT),
  },
  seeds: {
    name: "seeds",
    defaultText: "–",
    meaning: "peer addresses or DNS names, with commas between them",
    parse: addressesWith(DEFAULT_PEER_PORT),
  },
  bootstrapExpect: {
    name: "bootstrap-expect",
    defaultText: "1 without seeds",
    meaning: "members to wait for before the cluster is made; at least N",
    parse: wholeNumberIn({ min: 1, max: MAX_MEMBERS }),
  },
  join: {
    name: "join",
    defaultText: "`manual`",
    meaning:
      "how an empty node becomes a member of a running cluster: `manual`: by `gyre join`; `auto`: by itself, as soon as it sees the members",
    parse: oneOf(["manual", "auto"]),
  },
  gossipProfile: {
    name: "gossip-profile",
    defaultText: "`fast`",
    meaning: "timers of failure detection, equal on all nodes: `fast`, `steady` (busy machines) or `wan` (far apart)",
    parse: oneOf(["fast", "steady", "wan"]),
  },
  zone: {
    name: "zone",
    defaultText: "`default`",
    meaning: "zone label: replicas spread over zones first; given when the node joins, changed by a plan afterwards",
    parse: parseLabel,
  },
  host: {
    name: "host",
    defaultText: "host name",
    meaning: "host label: replicas spread over hosts next; likewise",
    parse: parseLabel,
  },
  weight: {
    name: "weight",
    defaultText: "1",
    meaning: "share of the data, relative to the other nodes; likewise",
    parse: parseWeight,
  },
  partitions: {
    name: "partitions",
    defaultText: "1024",
    meaning: `Q, only when the cluster is made: a power of two from ${MIN_PARTITIONS} to ${MAX_PARTITIONS}`,
    parse: powerOfTwoIn({ min: MIN_PARTITIONS, max: MAX_PARTITIONS }),
  },
  n: {
    name: "n",
    defaultText: "3 (1 for a lone node without seeds)",
    meaning: "N, replicas of every key, only when the cluster is made",
    parse: replicas,
  },
  r: {
    name: "r",
    defaultText: "2, at most N",
    meaning: "replicas that a read waits for, for new buckets",
    parse: replicas,
  },
  w: {
    name: "w",
    defaultText: "2, at most N",
    meaning: "replicas that a write waits for, for new buckets",
    parse: replicas,
  },
  durability: {
    name: "durability",
    defaultText: "`fsync`",
    meaning: "`fsync`: on the disk before it is acknowledged; `os`: in the system's cache",
    parse: oneOf(["fsync", "os"]),
  },
  diskReserve: {
    name: "disk-reserve",
    defaultText: "`8GiB`",
    meaning:
      "free space at which puts are refused, at most a tenth of the disk (bytes, or with MiB, GiB, TiB; `off`: none); copies and hints stop at 1.5 times as much, deletes at half",
    parse: parseByteSizeOrOff,
  },
  hintsMaxBytes: {
    name: "hints-max-bytes",
    defaultText: "a tenth of the disk, at most 1 GiB",
    meaning: "what this node keeps for nodes that cannot be reached: bytes, or with KiB, MiB or GiB",
    parse: parseByteSize,
  },
  hintsWindow: {
    name: "hints-window",
    defaultText: "`3h`",
    meaning: "for how long, before what owners confirm is left to anti-entropy: with s, m, h or d",
    parse: parseDuration,
  },
  tombstoneAge: {
    name: "tombstone-age",
    defaultText: "`1h`",
    meaning: "how old a tombstone is at least before it may be collected, by proof; equal on all nodes; from 10s",
    parse: parseDuration,
  },
  ...SECURITY_KNOBS,
  ...TRACE_KNOBS,
  rehearsal: {
    name: "rehearsal",
    defaultText: "`on`",
    meaning:
      "`on`: a node that starts again runs its code warm first, against a cluster in its own memory, for two seconds at most, then with what other nodes ask of it, for three, and is ready after that; `off`: the first requests find it cold",
    parse: oneOf(["on", "off"]),
  },
  logLevel: {
    name: "log-level",
    defaultText: "`info`",
    meaning: "JSON lines on stdout, pretty on a terminal: `trace`, `debug`, `info`, `warn` or `error`",
    parse: oneOf(["trace", "debug", "info", "warn", "error"]),
  },
};

/** Every knob, in the order of the table. */
export const ALL_KNOBS: readonly Knob<unknown>[] = Object.values(KNOBS);

/** The environment variable of a knob. */
export function variableOf(knob: Knob<unknown>): string {
  return `GYRE_${knob.name.replaceAll("-", "_").toUpperCase()}`;
}
