/**
 * A stage for named scenarios: a cluster of so many whole nodes, clients whose every answer the oracle judges, and an end at
 * which all faults are over and every key is judged at every holder. Must never wait for real time.
 * The scenarios and their numbers: research notes on reliability, §6.4.
 */
import type { Knobs } from "../../services/coordinator/contract.ts";
import type { GyreNode } from "../../services/node/node.ts";
import { locate } from "../../services/placement/partitioner.ts";
import type { KeyLocation } from "../../services/replica/contract.ts";
import { decodeSet } from "../../services/versioning/object-codec.ts";
import { LifeJudge } from "./life-judge.ts";
import { Oracle, type Violation } from "./oracle.ts";
import { RingLook } from "./ring-look.ts";
import { Scheduler } from "./scheduler.ts";
import { type ClientWorld, type NodeDoor, noCounts, SimClient, type WorkloadCounts } from "./sim-client.ts";
import { type ClusterShape, SimCluster } from "./sim-cluster.ts";
import { SIM_PARTITIONS, SIM_REPLICAS } from "./sim-machine.ts";
import { SimRandom } from "./sim-random.ts";
import { keyBytesOf, SIM_BUCKET, writeIdOf } from "./sim-values.ts";
import { armTripwires } from "./tripwire.ts";

const MAX_EVENTS = 40_000_000;
const READY_WITHIN_MS = 60_000;
const SETTLED_WITHIN_MS = 240_000;

/** What a scenario starts from. */
export interface StageShape extends ClusterShape {
  readonly seed: string;
  /** members before the story begins; 3 found the cluster, the others join it */
  readonly memberCount?: number;
  /** keys that are judged at the end: `keyName(0)` … */
  readonly keyCount: number;
  /** told before anything happens on it */
  readonly onStage?: (stage: Stage) => void;
}

/** One scenario under way. */
export class Stage {
  readonly cluster: SimCluster;
  readonly oracle: Oracle = new Oracle();
  readonly random: SimRandom;
  readonly counts: WorkloadCounts = noCounts();
  readonly look: RingLook;
  /** set by stories in which reads and writes always meet and no disk lies */
  isStrict = false;
  readonly #scheduler: Scheduler;
  readonly #judge: LifeJudge;
  readonly #failures: Violation[] = [];
  readonly #clients: ClientWorld;

  constructor(scheduler: Scheduler, shape: StageShape) {
    this.#scheduler = scheduler;
    this.random = new SimRandom(shape.seed);
    this.cluster = new SimCluster(scheduler, this.random.fork("cluster"), { join: "auto", ...shape });
    this.look = new RingLook(this.cluster);
    this.#clients = {
      oracle: this.oracle,
      counts: this.counts,
      ids: { next: 1 },
      nowMs: () => scheduler.nowMs,
      isStrict: () => this.isStrict,
    };
    this.#judge = new LifeJudge({
      cluster: this.cluster,
      oracle: this.oracle,
      keyCount: shape.keyCount,
      holdersOf: (partition) => this.look.holdersOf(partition),
      sleep: (ms) => this.sleep(ms),
      fail: (violation) => this.#failures.push(violation),
    });
  }

  /** Broken promises so far. */
  get violations(): readonly Violation[] {
    return [...this.oracle.violations, ...this.#failures];
  }

  get nowMs(): number {
    return this.#scheduler.nowMs;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#scheduler.after(ms, resolve));
  }

  /** True as soon as it is so; false when it is not within that time. */
  async until(isSo: () => boolean, withinMs: number): Promise<boolean> {
    const endsAt = this.nowMs + withinMs;
    while (!isSo()) {
      if (this.nowMs > endsAt) return false;
      await this.sleep(20);
    }
    return true;
  }

  /** A client with these knobs; default: strict, 600 ms. */
  client(knobs: Partial<Knobs> = {}): SimClient {
    return new SimClient(this.#clients, { sloppy: false, timeoutMs: 600, explain: false, ...knobs });
  }

  /** The node, running. */
  node(node: number): GyreNode {
    const inside = this.cluster.inside(node);
    if (inside === undefined) throw new Error(`n${node + 1} does not run`);
    return inside;
  }

  /** The door of a node whatever its readiness; undefined while it does not run. */
  door(node: number): NodeDoor | undefined {
    const inside = this.cluster.inside(node);
    return inside === undefined ? undefined : { coordinator: inside.coordinator, gone: this.cluster.gone(node) };
  }

  /** The nodes that hold the key's slots, by slot. */
  ownersOf(key: string): readonly number[] {
    const { partition } = locationOf(key);
    const slotAt = (node: number): number => this.node(node).slotOf(partition);
    return this.look.holdersOf(partition).toSorted((a, b) => slotAt(a) - slotAt(b));
  }

  /** The values that a running node holds of the key in its main store, by the ids of their writes; `undefined`: nothing. */
  async heldIds(node: number, key: string): Promise<readonly number[] | undefined> {
    const bytes = await this.cluster.heldAt(node, locationOf(key));
    const decoded = bytes === undefined ? undefined : decodeSet(bytes);
    return decoded?.kind === "set" ? decoded.set.siblings.map((sibling) => writeIdOf(sibling.bytes)) : undefined;
  }

  /** True when the trees of all holders agree, partition by partition. */
  areRootsEqual(): boolean {
    for (let partition = 0; partition < SIM_PARTITIONS; partition += 1) {
      const holders = this.look.holdersOf(partition);
      if (new Set(holders.map((node) => this.node(node).engine.merkleRoot(partition))).size > 1) return false;
    }
    return true;
  }

  /** Any node that takes requests now. */
  anyDoor(): NodeDoor | undefined {
    const doors = this.cluster.doors();
    return doors[this.random.below(Math.max(1, doors.length))];
  }

  /** Every node in service is started, and serves. */
  async allServe(): Promise<void> {
    for (const node of this.#inService()) this.cluster.start(node);
    const isSo = (): boolean => this.cluster.doors().length >= this.#inService().length;
    if (!(await this.until(isSo, READY_WITHIN_MS))) {
      throw new Error(`${this.cluster.doors().length} of ${this.#inService().length} nodes serve`);
    }
  }

  /** The founders serve, then the others have joined and nothing moves any more. */
  async assemble(memberCount: number): Promise<void> {
    await this.allServe();
    for (let node = SIM_REPLICAS; node < memberCount; node += 1) {
      this.cluster.addMachine();
      this.cluster.wipe(node, "auto");
    }
    await this.allServe();
    await this.settled();
  }

  /** All members agree, and every slot is where it belongs. */
  async settled(): Promise<void> {
    if (await this.until(() => this.look.unrest().length === 0, SETTLED_WITHIN_MS)) return;
    throw new Error(`never at rest: ${this.look.unrest().slice(0, 4).join("; ")}`);
  }

  /** All faults end, everyone is started; then every key is read from all and judged at every holder. */
  async finish(): Promise<void> {
    this.cluster.network.heal();
    for (let node = 0; node < this.cluster.size; node += 1) this.cluster.resume(node);
    await this.allServe();
    await this.settled();
    await this.#judge.repairByReading();
    await this.#judge.judge("at the end");
  }

  #inService(): readonly number[] {
    return Array.from({ length: this.cluster.size }, (_, node) => node).filter((node) =>
      this.cluster.isInService(node),
    );
  }
}

/** A scenario that was played. */
export interface Played<T> {
  readonly stage: Stage;
  /** what the story answered */
  readonly told: T;
}

function locationOf(key: string): KeyLocation {
  return locate({ bucket: SIM_BUCKET, key: keyBytesOf(key) }, SIM_PARTITIONS);
}

/** Plays a scenario to its end. Rejects with what the story throws, and what the nodes logged last. */
export async function play<T>(shape: StageShape, story: (stage: Stage) => Promise<T>): Promise<Played<T>> {
  using _armed = armTripwires();
  const scheduler = new Scheduler(shape.seed);
  const stage = new Stage(scheduler, shape);
  shape.onStage?.(stage);
  let end: { readonly told: T } | { readonly error: unknown } | undefined;
  const whole = stage
    .assemble(shape.memberCount ?? SIM_REPLICAS)
    .then(() => story(stage))
    .then(
      (told) => {
        end = { told };
      },
      (error: unknown) => {
        end = { error };
      },
    );
  const how = await scheduler.run({ until: () => end !== undefined, maxEvents: MAX_EVENTS });
  if (how !== "condition") throw new Error(`the run ended by "${how}" before its story did`);
  await whole;
  if (end === undefined || "error" in end) {
    throw new Error(`${stage.cluster.transcript.slice(-40).join("\n")}\nthe story failed`, { cause: end?.error });
  }
  return { stage, told: end.told };
}
