/**
 * Whole nodes on simulated windows, started through the composition root that production uses. A crash drops the node
 * object and keeps its disk. Must never reach into a node but through what clients, operators and disks can do; the
 * white-box look (`heldAt`) is for the end of a run.
 */

import type { Config } from "../../services/base/config.ts";
import type { LoadMeter, Log, LogFacts, Network } from "../../services/base/ports.ts";
import { hintEngineOptions } from "../../services/handoff/hint-engine.ts";
import { GyreNode } from "../../services/node/node.ts";
import type { KeyLocation } from "../../services/replica/contract.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { openLogEngine } from "../../storage/index.ts";
import type { Disk } from "../../storage/ports.ts";
import type { CrashOutcome } from "./crash-outcome.ts";
import type { DiskFaultRule } from "./disk-faults.ts";
import type { Scheduler } from "./scheduler.ts";
import type { NodeDoor } from "./sim-client.ts";
import { SimClock } from "./sim-clock.ts";
import { SimDatagrams } from "./sim-datagrams.ts";
import { SimDisk } from "./sim-disk.ts";
import { configOf, type Ending, type Machine, SIM_PARTITIONS, SIM_REPLICAS, SMALL_STORE } from "./sim-machine.ts";
import { SimNetwork } from "./sim-network.ts";
import type { SimRandom } from "./sim-random.ts";

/** Mean delays of networks and disks, drawn per life: fast ones for depth, slow ones for overlap. */
const PACES_MS: readonly number[] = [0.1, 2, 12];

/** How planted bugs get in: by wrapping a window or the store. */
export interface Sabotage {
  readonly disk?: (disk: Disk, node: number) => Disk;
  readonly engine?: (engine: StorageEngine, node: number) => StorageEngine;
  readonly network?: (network: Network, node: number) => Network;
}

/** What a cluster may be besides three machines in one zone. */
export interface ClusterShape {
  readonly sabotage?: Sabotage;
  /** empty processes join a running cluster by themselves; default: only the operator's word makes them */
  readonly join?: "auto";
  /** machines are put in these in turn; default: one for all */
  readonly zones?: readonly string[];
  /** settings of every node that differ from those of other simulations */
  readonly config?: Partial<Config>;
  /** every node's load as it is measured; default: nobody measures, and nothing follows from it */
  readonly load?: LoadMeter | ((node: number) => LoadMeter);
}

/** A cluster that three machines found; more may be added, and any of them taken away. */
export class SimCluster {
  readonly network: SimNetwork;
  readonly datagrams: SimDatagrams;
  /** events of all nodes, for the transcript of a failing seed; bounded */
  readonly transcript: string[] = [];
  /** how often each event was logged, by its name */
  readonly eventCounts: Map<string, number> = new Map();
  readonly #scheduler: Scheduler;
  readonly #random: SimRandom;
  readonly #sabotage: Sabotage;
  readonly #shape: ClusterShape;
  readonly #machines: Machine[] = [];
  readonly #diskMeanMs: number;
  /** nodes that ended themselves because their store failed */
  /** why nodes have ended themselves, in their order */
  readonly fatalReasons: string[] = [];

  constructor(scheduler: Scheduler, random: SimRandom, shape: ClusterShape = {}) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#shape = shape;
    this.#sabotage = shape.sabotage ?? {};
    this.network = new SimNetwork(scheduler, random);
    this.datagrams = new SimDatagrams(scheduler, random, this.network);
    this.network.setAllFaults({ tailDelayMs: PACES_MS[random.below(PACES_MS.length)] ?? 0.1 });
    this.#diskMeanMs = PACES_MS[random.below(PACES_MS.length)] ?? 0.1;
    for (let node = 0; node < SIM_REPLICAS; node += 1) this.addMachine();
  }

  /** An empty machine; answers its number. Those that found the cluster are in service, others once they are wiped. */
  addMachine(): number {
    const node = this.#machines.length;
    const name = `n${node + 1}`;
    const { zones = ["default"], join = "manual" } = this.#shape;
    const zone = zones[node % zones.length] ?? "default";
    const disk = this.#emptyDisk(name);
    const isFounder = node < SIM_REPLICAS;
    const machine: Machine = {
      name,
      nodeName: name,
      zone,
      join,
      isFounder,
      isInService: isFounder,
      disk,
      snapshot: undefined,
      running: undefined,
    };
    this.#machines.push(machine);
    return node;
  }

  /**
   * A copy of a machine, with its settings and its disk as they are now, at an address of its own; answers its number. It is
   * in service, and has no process yet: the one that is started speaks under the name of the original.
   */
  cloneMachine(of: number): number {
    const node = this.#machines.length;
    const original = this.#machine(of);
    const disk = original.disk.copy();
    this.#machines.push({ ...original, name: `n${node + 1}`, disk, snapshot: undefined, running: undefined });
    return node;
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

  isInService(node: number): boolean {
    return this.#machine(node).isInService;
  }

  /** A running node, for the operator and for looks inside; undefined while it does not run or starts. */
  inside(node: number): GyreNode | undefined {
    return this.#machine(node).running?.node;
  }

  /** What a running node keeps for others, in words; empty: nothing. */
  hintsAt(node: number): readonly string[] {
    const hints = this.inside(node)?.hints();
    const count = hints === undefined ? 0 : hints.count + hints.markerCount;
    return count === 0 ? [] : [`${this.hostOf(node)} keeps ${count}`];
  }

  /** Resolves when the process that runs now is gone; at once when there is none. */
  gone(node: number): Promise<"gone"> {
    return this.#machine(node).running?.door?.gone ?? Promise.resolve("gone");
  }

  /** Takes a machine out of service: its process ends, and nobody starts it until it is wiped. */
  retire(node: number): void {
    this.end(node, { kind: "power", outcome: { pages: "dropped", names: "dropped" } });
    this.#machine(node).isInService = false;
  }

  /** The machine is in service with an empty disk and no process. Whether that then joins by itself is `join`'s to say. */
  wipe(node: number, join: "manual" | "auto"): void {
    const machine = this.#machine(node);
    this.end(node, { kind: "kill" });
    this.#say(node, { event: "sim.wipe" });
    Object.assign(machine, { disk: this.#emptyDisk(machine.name), snapshot: undefined, isInService: true, join });
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
    if (machine.running !== undefined || !machine.isInService) return;
    const process = this.#scheduler.newProcess(machine.name);
    const clock = new SimClock(this.#scheduler, process, {
      offsetMicros: Math.floor((this.#random.float() - 0.5) * 400_000),
      driftPpm: (this.#random.float() - 0.5) * 200,
    });
    const random = this.#random.fork(`node-${machine.name}`);
    const disk = this.#sabotage.disk?.(machine.disk, node) ?? machine.disk;
    const network = this.network.windowOf(machine.name, process);
    const { load } = this.#shape;
    const windows = {
      clock,
      random,
      disk,
      network: this.#sabotage.network?.(network, node) ?? network,
      datagrams: this.datagrams.windowOf(machine.name, process),
      log: this.#log(node),
      loopDelayMs: () => 0,
      ...(load && { load: typeof load === "function" ? load(node) : load }),
    };
    let tellGone = (): void => {};
    const gone = new Promise<"gone">((resolve) => {
      tellGone = () => resolve("gone");
    });
    machine.running = { process, node: undefined, door: undefined, clock, tellGone };
    const onFatal = (error: Error): void => {
      this.fatalReasons.push(error.message);
      this.#say(node, { event: "sim.fatal", reason: error.message });
      if (machine.running?.process === process) this.end(node, { kind: "kill" });
    };
    const openStore = async (): Promise<StorageEngine> => {
      const options = { ...windows, ...SMALL_STORE, partitionCount: SIM_PARTITIONS, durability: "fsync" } as const;
      const engine = await openLogEngine(options);
      return this.#sabotage.engine?.(engine, node) ?? engine;
    };
    const config = { ...configOf(machine, this.#seeds()), ...this.#shape.config };
    const openHints = (partitionCount: number): Promise<StorageEngine> =>
      openLogEngine({ ...windows, ...hintEngineOptions(disk, partitionCount), ...SMALL_STORE, durability: "fsync" });
    GyreNode.start({ config, windows, openStore, openHints, onFatal }).then((started) => {
      if (machine.running?.process !== process) return;
      machine.running = { process, node: started, door: { coordinator: started.coordinator, gone }, clock, tellGone };
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

  /** A machine loses power after its process has ended. */
  losePower(node: number, outcome: CrashOutcome): void {
    const machine = this.#machine(node);
    this.end(node, { kind: "kill" });
    machine.disk = machine.disk.crash(outcome);
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
    return this.breakDisk(node, { on: ["write"], code: "ENOSPC", afterBytes: freeBytes });
  }

  /** Calls of the disk fail so, until the function returned is called or the process ends. */
  breakDisk(node: number, rule: DiskFaultRule): () => void {
    return this.#machine(node).disk.inject(rule);
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

  /** Flips so many bits in the sealed segments of a node's main store, wherever they fall. */
  rot(node: number, bitCount: number, random: SimRandom): void {
    const { disk } = this.#machine(node);
    const paths = disk.paths();
    // what has an index file is sealed
    const isSealed = (path: string): boolean => paths.includes(path.replace(/\.log$/, ".idx"));
    const sealed = paths.filter((path) => path.startsWith("segments/") && path.endsWith(".log") && isSealed(path));
    for (let flip = 0; flip < bitCount && sealed.length > 0; flip += 1) {
      const path = sealed[random.below(sealed.length)] ?? "";
      disk.flipBit(path, { offset: random.below(disk.peek(path).length), bit: random.below(8) });
    }
    this.#say(node, { event: "sim.rot", bitCount, segmentCount: sealed.length });
  }

  /** Moves the wall clock of a running node, as an operator or NTP does. */
  jumpClock(node: number, byMs: number): void {
    this.#machine(node).running?.clock.jump(byMs * 1_000);
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

  #emptyDisk(name: string): SimDisk {
    const chance = this.#random.fork(`disk-${name}`);
    const delays = this.#random.fork(`disk-delay-${name}`);
    const clock = { setTimer: (delayMs: number, run: () => void) => this.#scheduler.after(delayMs, run) };
    return new SimDisk({ random: chance, latency: { clock, delayMs: () => delays.exponential(this.#diskMeanMs) } });
  }

  /** Those that an operator would name: the first machines that are there. */
  #seeds(): readonly string[] {
    const serving = this.#machines.filter((machine) => machine.isInService);
    return serving.slice(0, SIM_REPLICAS).map((machine) => machine.name);
  }

  #log(node: number): Log {
    const say = (facts: LogFacts): void => this.#say(node, facts);
    return { debug: () => {}, info: say, warn: say, error: say };
  }

  #say(node: number, facts: LogFacts): void {
    this.eventCounts.set(facts.event, (this.eventCounts.get(facts.event) ?? 0) + 1);
    if (this.transcript.length > 2_000) this.transcript.splice(0, 1_000);
    this.transcript.push(`${this.#scheduler.nowMs.toFixed(1).padStart(9)} n${node + 1} ${describe(facts)}`);
  }
}

function describe(facts: LogFacts): string {
  const { event, ...rest } = facts;
  const show = (_: string, value: unknown): unknown =>
    value instanceof Error ? value.message : typeof value === "bigint" ? value.toString(16) : value;
  return `${event} ${JSON.stringify(rest, show)}`;
}
