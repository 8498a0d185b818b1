/**
 * Whole nodes on simulated windows, started through the composition root that production uses. A crash drops the node
 * object and keeps its disk. Must never reach into a node but through what clients, operators and disks can do; the
 * white-box look (`heldAt`) is for the end of a run.
 */

import type { Config } from "../../services/base/config.ts";
import { type NodeId, parseNodeId } from "../../services/base/ids.ts";
import type { Log, LogFacts } from "../../services/base/ports.ts";
import { GyreNode } from "../../services/node/node.ts";
import type { KeyLocation } from "../../services/replica/contract.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { type LogEngineOptions, openLogEngine } from "../../storage/index.ts";
import type { Disk } from "../../storage/ports.ts";
import type { CrashOutcome } from "./crash-outcome.ts";
import type { Scheduler, SimProcess } from "./scheduler.ts";
import { SimClock } from "./sim-clock.ts";
import { SimDatagrams } from "./sim-datagrams.ts";
import { SimDisk } from "./sim-disk.ts";
import { SimNetwork } from "./sim-network.ts";
import type { SimRandom } from "./sim-random.ts";
import type { NodeDoor } from "./workload.ts";

const PEER_PORT = 4500;
const PARTITION_COUNT = 64;
/** Small, so that segments roll and compaction runs within a short life. */
const SMALL_STORE: Partial<LogEngineOptions> = {
  segmentBytes: 8_192,
  garbageSegments: 0,
  reserveBytes: 0,
  manifestBytes: 4_096,
};

/** Mean delays of networks and disks, drawn per life: fast ones for depth, slow ones for overlap. */
const PACES_MS: readonly number[] = [0.1, 2, 12];

/** How planted bugs get in: by wrapping a window or the store. */
export interface Sabotage {
  readonly disk?: (disk: Disk) => Disk;
  readonly engine?: (engine: StorageEngine, node: number) => StorageEngine;
}

/** How a node ends. */
export type Ending =
  /** the process dies, the machine lives */
  | { readonly kind: "kill" }
  /** the machine loses power: un-synced bytes meet their fate, peers hear nothing */
  | { readonly kind: "power"; readonly outcome: CrashOutcome }
  /** the disk comes back as it was at the last snapshot: acknowledged bytes are lost */
  | { readonly kind: "rollback" };

interface Running {
  readonly process: SimProcess;
  readonly node: GyreNode | undefined;
  readonly door: NodeDoor | undefined;
  readonly tellGone: () => void;
}

interface Machine {
  readonly name: string;
  disk: SimDisk;
  snapshot: SimDisk | undefined;
  running: Running | undefined;
}

/** A cluster of three. */
export class SimCluster {
  readonly network: SimNetwork;
  readonly datagrams: SimDatagrams;
  /** events of all nodes, for the transcript of a failing seed; bounded */
  readonly transcript: string[] = [];
  readonly #scheduler: Scheduler;
  readonly #random: SimRandom;
  readonly #sabotage: Sabotage;
  readonly #machines: readonly Machine[];
  /** nodes that ended themselves because their store failed */
  fatalCount = 0;

  constructor(scheduler: Scheduler, random: SimRandom, sabotage: Sabotage = {}) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#sabotage = sabotage;
    this.network = new SimNetwork(scheduler, random);
    this.datagrams = new SimDatagrams(scheduler, random, this.network);
    this.network.setAllFaults({ tailDelayMs: PACES_MS[random.below(PACES_MS.length)] ?? 0.1 });
    const diskMeanMs = PACES_MS[random.below(PACES_MS.length)] ?? 0.1;
    this.#machines = ["n1", "n2", "n3"].map((name) => {
      const chance = random.fork(`disk-${name}`);
      const delays = random.fork(`disk-delay-${name}`);
      const clock = { setTimer: (delayMs: number, run: () => void) => scheduler.after(delayMs, run) };
      const disk = new SimDisk({ random: chance, latency: { clock, delayMs: () => delays.exponential(diskMeanMs) } });
      return { name, disk, snapshot: undefined, running: undefined };
    });
  }

  get size(): number {
    return this.#machines.length;
  }

  /** The host of a node in the simulated network. */
  hostOf(node: number): string {
    return this.#machine(node).name;
  }

  isUp(node: number): boolean {
    return this.#machine(node).running !== undefined;
  }

  /** The doors of the nodes that take requests now. */
  doors(): readonly NodeDoor[] {
    return this.#machines.flatMap(({ running }) => {
      const isServing = running?.node?.status.readyz().every((check) => check.isOk) === true;
      return running?.door !== undefined && isServing && !running.process.isPaused ? [running.door] : [];
    });
  }

  /** Starts the process of a node; it serves some virtual milliseconds later. */
  start(node: number): void {
    const machine = this.#machine(node);
    if (machine.running !== undefined) return;
    const process = this.#scheduler.newProcess(machine.name);
    const clock = new SimClock(this.#scheduler, process, {
      offsetMicros: Math.floor((this.#random.float() - 0.5) * 400_000),
      driftPpm: (this.#random.float() - 0.5) * 200,
    });
    const random = this.#random.fork(`node-${machine.name}`);
    const disk = this.#sabotage.disk?.(machine.disk) ?? machine.disk;
    const windows = {
      clock,
      random,
      disk,
      network: this.network.windowOf(machine.name, process),
      datagrams: this.datagrams.windowOf(machine.name, process),
      log: this.#log(node),
      loopDelayMs: () => 0,
    };
    let tellGone = (): void => {};
    const gone = new Promise<"gone">((resolve) => {
      tellGone = () => resolve("gone");
    });
    machine.running = { process, node: undefined, door: undefined, tellGone };
    const onFatal = (error: Error): void => {
      this.fatalCount += 1;
      this.#say(node, { event: "sim.fatal", reason: error.message });
      if (machine.running?.process === process) this.end(node, { kind: "kill" });
    };
    const openStore = async (): Promise<StorageEngine> => {
      const options = { ...windows, ...SMALL_STORE, partitionCount: PARTITION_COUNT, durability: "fsync" } as const;
      const engine = await openLogEngine(options);
      return this.#sabotage.engine?.(engine, node) ?? engine;
    };
    GyreNode.start({ config: this.#config(machine.name), windows, openStore, onFatal }).then((started) => {
      if (machine.running?.process !== process) return;
      machine.running = { process, node: started, door: { coordinator: started.coordinator, gone }, tellGone };
    }, onFatal);
  }

  /** Ends a node at once. */
  end(node: number, how: Ending): void {
    const machine = this.#machine(node);
    const { running } = machine;
    if (running === undefined) return;
    this.#say(node, { event: "sim.end", how: how.kind });
    machine.running = undefined;
    this.network.crash(running.process, how.kind === "power");
    running.tellGone();
    const after = how.kind === "power" ? machine.disk.crash(how.outcome) : machine.disk.kill();
    machine.disk = how.kind === "rollback" ? (machine.snapshot ?? after) : after;
    if (how.kind === "rollback") machine.snapshot = undefined;
  }

  /** Stops a node as SIGTERM does, then ends its process. */
  async stop(node: number): Promise<void> {
    const { running } = this.#machine(node);
    if (running?.node === undefined) return this.end(node, { kind: "kill" });
    await Promise.race([running.node.stop(), running.door?.gone]);
    if (this.#machine(node).running === running) this.end(node, { kind: "kill" });
  }

  /** Remembers the disk as it is, for a later rollback. */
  takeSnapshot(node: number): void {
    const machine = this.#machine(node);
    machine.snapshot = machine.disk.copy();
  }

  /** The disk takes so many bytes more, and then none, until the function returned is called or the process ends. */
  fillDisk(node: number, freeBytes: number): () => void {
    return this.#machine(node).disk.inject({ on: ["write"], code: "ENOSPC", afterBytes: freeBytes });
  }

  hasSnapshot(node: number): boolean {
    return this.#machine(node).snapshot !== undefined;
  }

  pause(node: number): void {
    this.#machine(node).running?.process.pause();
  }

  resume(node: number): void {
    this.#machine(node).running?.process.resume();
  }

  /** The encoded object that a running node holds of a key. */
  async heldAt(node: number, location: KeyLocation): Promise<Uint8Array | undefined> {
    const record = await this.#machine(node).running?.node?.engine.get(location);
    return record?.value;
  }

  #machine(node: number): Machine {
    const machine = this.#machines[node];
    if (machine === undefined) throw new RangeError(`there is no node ${node}`);
    return machine;
  }

  #config(name: string): Config {
    const address = `${name}:${PEER_PORT}`;
    return {
      nodeId: nodeIdOf(name),
      cluster: "sim",
      dataDir: "",
      httpAddress: "",
      peerAddress: address,
      advertiseAddress: address,
      seeds: this.#machines.map((machine) => `${machine.name}:${PEER_PORT}`),
      bootstrapExpect: this.size,
      zone: "default",
      host: name,
      weight: 1,
      partitionCount: PARTITION_COUNT,
      n: 3,
      r: 2,
      w: 2,
      durability: "fsync",
      join: "manual",
      gossipProfile: "fast",
      secret: "a secret of simulations",
      previousSecret: undefined,
      isInsecure: false,
      logLevel: "info",
    };
  }

  #log(node: number): Log {
    const say = (facts: LogFacts): void => this.#say(node, facts);
    return { debug: () => {}, info: say, warn: say, error: say };
  }

  #say(node: number, facts: LogFacts): void {
    if (this.transcript.length > 2_000) this.transcript.splice(0, 1_000);
    this.transcript.push(`${this.#scheduler.nowMs.toFixed(1).padStart(9)} n${node + 1} ${describe(facts)}`);
  }
}

function nodeIdOf(name: string): NodeId {
  const id = parseNodeId(name);
  if (id === undefined) throw new RangeError(`${name} is no node id`);
  return id;
}

function describe(facts: LogFacts): string {
  const { event, ...rest } = facts;
  const show = (_: string, value: unknown): unknown =>
    value instanceof Error ? value.message : typeof value === "bigint" ? value.toString(16) : value;
  return `${event} ${JSON.stringify(rest, show)}`;
}
