/**
 * From flags, environment and file to one frozen configuration, or to every problem at once, in words and with the
 * offending value. Pure: all that it needs is handed in. Must never let a setting pass that it did not understand.
 */

import { DEFAULT_HINTS_WINDOW_MS } from "./hint-limits.ts";
import type { NodeId } from "./ids.ts";
import { ALL_KNOBS, type GossipProfile, type JoinMode, KNOBS, type LogLevel, variableOf } from "./knobs.ts";
import {
  DEFAULT_DISK_RESERVE_BYTES,
  MIN_TOMBSTONE_AGE_MS,
  TOMBSTONE_AGE_WARNED_MS,
  TOMBSTONE_MIN_AGE_MS,
} from "./limits.ts";
import {
  type ClientTlsFiles,
  type PeerTlsFiles,
  securityProblems,
  securityWarnings,
  takeClientTls,
  takePeerTls,
} from "./security-config.ts";
import { isLoopback, isWildcard, parseNodeName, portOf } from "./setting-parsers.ts";
import { type EffectiveSetting, SettingReader, takeSecrets } from "./setting-reader.ts";
import { gatherSettings, type Surroundings } from "./setting-sources.ts";
import { type OtlpTarget, takeTraces, traceWarnings } from "./trace-config.ts";

/** What a node was told, understood and checked. Addresses are `host:port`. */
export interface Config {
  readonly nodeId: NodeId;
  readonly cluster: string;
  readonly dataDir: string;
  readonly httpAddress: string;
  readonly peerAddress: string;
  /** what other nodes dial */
  readonly advertiseAddress: string;
  readonly seeds: readonly string[];
  /** members that make the cluster, ≥ n */
  readonly bootstrapExpect: number;
  /** how this node, while empty, becomes a member of a cluster that runs already */
  readonly join: JoinMode;
  readonly gossipProfile: GossipProfile;
  readonly zone: string;
  readonly host: string;
  /** > 0 */
  readonly weight: number;
  /** Q, a power of two */
  readonly partitionCount: number;
  /** N */
  readonly n: number;
  /** defaults of new buckets, ≤ n */
  readonly r: number;
  readonly w: number;
  readonly durability: "fsync" | "os";
  /** free bytes at which puts are refused, as far as they are no more than a tenth of the disk; 0: none */
  readonly diskReserveBytes: number;
  /** bytes kept for nodes that cannot be reached; undefined: a share of the disk */
  readonly hintsMaxBytes: number | undefined;
  readonly hintsWindowMs: number;
  /** a tombstone is not collected before it is so old; ≥ `MIN_TOMBSTONE_AGE_MS` */
  readonly tombstoneAgeMs: number;
  /** undefined: all listeners are on loopback and none was given */
  readonly secret: string | undefined;
  /** taken beside `secret` while nodes change from one to the other; never used to speak */
  readonly previousSecret: string | undefined;
  readonly isInsecure: boolean;
  /** API tokens and their rights; undefined: the client API is open */
  readonly tokensFile: string | undefined;
  /** /metrics answers without a token */
  readonly isMetricsOpen: boolean;
  /** undefined: clients speak plain HTTP */
  readonly tls: ClientTlsFiles | undefined;
  /** undefined: links between nodes are not encrypted */
  readonly peerTls: PeerTlsFiles | undefined;
  /** where traces of sampled requests go; absent: nowhere */
  readonly otlp?: OtlpTarget | undefined;
  /** whether a node that starts again runs its code warm before it is found */
  readonly rehearsal: "on" | "off";
  readonly logLevel: LogLevel;
}

/** A configuration, or all that is wrong. */
export type ConfigResult =
  | {
      readonly kind: "config";
      readonly config: Config;
      readonly settings: readonly EffectiveSetting[];
      /** allowed, but worth a line in the log */
      readonly warnings: readonly string[];
    }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

function takeNodeId(reader: SettingReader, hostname: string): NodeId | undefined {
  const given = reader.given(KNOBS.nodeId);
  if (given !== undefined) return given;
  const parsed = parseNodeName(hostname);
  if (parsed.kind === "value") {
    reader.effective.push({ variable: variableOf(KNOBS.nodeId), value: hostname, origin: "default" });
    return parsed.value;
  }
  reader.problems.push(`GYRE_NODE_ID: is not given, and the host name "${hostname}" ${parsed.problem}`);
  return undefined;
}

function takeAddresses(
  reader: SettingReader,
): Pick<Config, "httpAddress" | "peerAddress" | "advertiseAddress" | "seeds"> {
  const httpAddress = reader.take(KNOBS.http, "127.0.0.1:4400");
  const peerAddress = reader.take(KNOBS.peer, "127.0.0.1:4500");
  const advertiseAddress = reader.take(KNOBS.advertise, peerAddress);
  return { httpAddress, peerAddress, advertiseAddress, seeds: reader.take(KNOBS.seeds, []) };
}

function takeQuorums(reader: SettingReader, isAlone: boolean): Pick<Config, "n" | "r" | "w" | "bootstrapExpect"> {
  const expect = reader.given(KNOBS.bootstrapExpect);
  const n = reader.take(KNOBS.n, isAlone && (expect ?? 1) === 1 ? 1 : 3);
  const r = reader.take(KNOBS.r, Math.min(2, n));
  const w = reader.take(KNOBS.w, Math.min(2, n));
  if (expect === undefined && isAlone) {
    reader.effective.push({ variable: variableOf(KNOBS.bootstrapExpect), value: "1", origin: "default" });
  }
  if (expect === undefined && !isAlone) {
    reader.problems.push(
      `GYRE_BOOTSTRAP_EXPECT: is needed with GYRE_SEEDS: how many members make the cluster, at least N=${n}; ` +
        "a node that joins a cluster which runs already has the same number as its first members had",
    );
  }
  return { n, r, w, bootstrapExpect: expect ?? (isAlone ? 1 : n) };
}

function takeDiskReserve(reader: SettingReader): number {
  const given = reader.given(KNOBS.diskReserve);
  if (given === undefined)
    reader.effective.push({ variable: variableOf(KNOBS.diskReserve), value: "8GiB", origin: "default" });
  return given ?? DEFAULT_DISK_RESERVE_BYTES;
}

function takeHints(reader: SettingReader): Pick<Config, "hintsMaxBytes" | "hintsWindowMs"> {
  const hintsMaxBytes = reader.given(KNOBS.hintsMaxBytes);
  const windowMs = reader.given(KNOBS.hintsWindow);
  for (const [knob, given, value] of [
    [KNOBS.hintsMaxBytes, hintsMaxBytes, "–"],
    [KNOBS.hintsWindow, windowMs, "3h"],
  ] as const) {
    if (given === undefined) reader.effective.push({ variable: variableOf(knob), value, origin: "default" });
  }
  return { hintsMaxBytes, hintsWindowMs: windowMs ?? DEFAULT_HINTS_WINDOW_MS };
}

function takeTombstoneAge(reader: SettingReader): number {
  const given = reader.given(KNOBS.tombstoneAge);
  if (given === undefined)
    reader.effective.push({ variable: variableOf(KNOBS.tombstoneAge), value: "1h", origin: "default" });
  if (given !== undefined && given < MIN_TOMBSTONE_AGE_MS)
    reader.problems.push(
      `GYRE_TOMBSTONE_AGE=${given / 1_000}s is less than 10s: the clocks of a cluster differ by more than that in a bad hour`,
    );
  return given ?? TOMBSTONE_MIN_AGE_MS;
}

function checkQuorums(config: Config, problems: string[]): void {
  if (config.r > config.n) problems.push(`GYRE_R=${config.r} exceeds GYRE_N=${config.n}: no read could ever answer`);
  if (config.w > config.n)
    problems.push(`GYRE_W=${config.w} exceeds GYRE_N=${config.n}: no write could ever be acknowledged`);
  if (config.bootstrapExpect < config.n) {
    problems.push(
      `GYRE_BOOTSTRAP_EXPECT=${config.bootstrapExpect} is less than GYRE_N=${config.n}: ` +
        "that many members cannot hold N replicas on nodes of their own",
    );
  }
}

function checkAddresses(config: Config, problems: string[]): void {
  const { advertiseAddress: advertise, peerAddress: peer, httpAddress: http } = config;
  if (isWildcard(advertise)) {
    problems.push(
      `GYRE_ADVERTISE=${advertise} is every address and none that could be dialled: name the one by which other nodes reach this one`,
    );
  }
  const farSeed = config.seeds.find((seed) => !isLoopback(seed));
  if (farSeed !== undefined && isLoopback(advertise)) {
    problems.push(
      `GYRE_ADVERTISE=${advertise} is loopback, but GYRE_SEEDS has ${farSeed}, which is not: others could not dial this node`,
    );
  }
  if (portOf(http) !== 0 && http === peer)
    problems.push(`GYRE_HTTP and GYRE_PEER are both ${http}: they need a port each`);
}

function warningsOf(config: Config): readonly string[] {
  const { n, r, w } = config;
  return [
    ...(r + w <= n ? [`R=${r} and W=${w} do not overlap in N=${n}: a read may miss the last acknowledged write`] : []),
    ...(config.durability === "os"
      ? ["GYRE_DURABILITY=os: an acknowledged write can be lost with the machine's power"]
      : []),
    ...(config.tombstoneAgeMs < TOMBSTONE_AGE_WARNED_MS
      ? [
          `GYRE_TOMBSTONE_AGE=${config.tombstoneAgeMs / 1_000}s is short: while the clocks of two members differ by more, ` +
            "no tombstone is collected, and writes that a slow clock dates before the last collection are refused",
        ]
      : []),
    ...securityWarnings(config),
    ...traceWarnings(config.otlp),
  ];
}

/** Reads the configuration of a node; every problem of every source is found before any is reported. */
export function readConfig(surroundings: Surroundings): ConfigResult {
  const gathered = gatherSettings(surroundings);
  const reader = new SettingReader(gathered.settings, gathered.problems);
  const nodeId = takeNodeId(reader, surroundings.hostname);
  reader.given(KNOBS.config);
  const addresses = takeAddresses(reader);
  const config: Config = Object.freeze({
    nodeId: nodeId ?? unknownNode(),
    cluster: reader.take(KNOBS.cluster, "gyre"),
    dataDir: reader.take(KNOBS.dataDir, `.gyre/${nodeId ?? ""}`),
    ...addresses,
    ...takeQuorums(reader, addresses.seeds.length === 0),
    zone: reader.take(KNOBS.zone, "default"),
    host: reader.take(KNOBS.host, surroundings.hostname),
    weight: reader.take(KNOBS.weight, 1),
    partitionCount: reader.take(KNOBS.partitions, 1024),
    durability: reader.take(KNOBS.durability, "fsync"),
    join: reader.take(KNOBS.join, "manual"),
    gossipProfile: reader.take(KNOBS.gossipProfile, "fast"),
    diskReserveBytes: takeDiskReserve(reader),
    ...takeHints(reader),
    tombstoneAgeMs: takeTombstoneAge(reader),
    ...takeSecrets(reader, surroundings.readText),
    tokensFile: reader.take(KNOBS.tokensFile, undefined),
    isMetricsOpen: reader.take(KNOBS.metricsOpen, false),
    isInsecure: reader.take(KNOBS.insecure, false),
    tls: takeClientTls(reader),
    peerTls: takePeerTls(reader),
    otlp: takeTraces(reader, KNOBS, surroundings.readText),
    rehearsal: reader.take(KNOBS.rehearsal, "on"),
    logLevel: reader.take(KNOBS.logLevel, "info"),
  });
  checkQuorums(config, reader.problems);
  checkAddresses(config, reader.problems);
  reader.problems.push(...securityProblems(config));
  if (reader.problems.length > 0) return { kind: "problems", problems: reader.problems };
  return { kind: "config", config, settings: inTableOrder(reader.effective), warnings: warningsOf(config) };
}

function inTableOrder(settings: readonly EffectiveSetting[]): readonly EffectiveSetting[] {
  const order = ALL_KNOBS.map(variableOf);
  return settings.toSorted((a, b) => order.indexOf(a.variable) - order.indexOf(b.variable));
}

/** Stands in while problems are gathered; never leaves this file, because a missing node id is a problem. */
function unknownNode(): NodeId {
  const parsed = parseNodeName("unknown");
  if (parsed.kind === "problem") throw new Error(parsed.problem);
  return parsed.value;
}
