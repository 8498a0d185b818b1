/**
 * One simulated life of a cluster, from a seed: set up, trouble under load, heal, repair by reading, judge; then everyone
 * restarts and is judged again. The same seed gives the same life. Must never wait for real time.
 */

import { locate } from "../../services/placement/partitioner.ts";
import { decodeSet } from "../../services/versioning/object-codec.ts";
import { Nemesis } from "./nemesis.ts";
import { Oracle, type Violation } from "./oracle.ts";
import { Scheduler } from "./scheduler.ts";
import { type Sabotage, SimCluster } from "./sim-cluster.ts";
import { SimRandom } from "./sim-random.ts";
import { armTripwires } from "./tripwire.ts";
import {
  keyBytesOf,
  keyName,
  runWorkload,
  SIM_BUCKET,
  type WorkloadCounts,
  type WorkloadPlan,
  writeIdOf,
} from "./workload.ts";

/** What a life came to. */
export interface SimulationReport {
  readonly seed: string;
  readonly violations: readonly Violation[];
  readonly counts: WorkloadCounts;
  readonly deeds: readonly string[];
  readonly transcript: readonly string[];
  readonly eventCount: number;
  readonly virtualMs: number;
  /** equal for equal lives */
  readonly traceHash: number;
}

const PLAN: WorkloadPlan = { sessionCount: 6, operationsPerSession: 40, keyCount: 8, thinkMs: 90, timeoutMs: 400 };
const PARTITION_COUNT = 64;
const MAX_EVENTS = 3_000_000;
const READY_WITHIN_MS = 60_000;
const REPAIR_ROUNDS = 200;

/** Lives one life. Rejects only for bugs of the simulator; broken promises are in the report. */
export async function simulate(seed: string, sabotage: Sabotage = {}): Promise<SimulationReport> {
  using _armed = armTripwires();
  const life = new Life(seed, sabotage);
  // awaited here: the tripwires stay armed until the life is over
  return await life.run();
}

class Life {
  readonly #seed: string;
  readonly #scheduler: Scheduler;
  readonly #random: SimRandom;
  readonly #cluster: SimCluster;
  readonly #oracle = new Oracle();
  readonly #nemesis: Nemesis;
  readonly #failures: Violation[] = [];
  #hasRolledBack = false;
  #isWorkOver = false;
  #counts: WorkloadCounts | undefined;

  constructor(seed: string, sabotage: Sabotage) {
    this.#seed = seed;
    this.#scheduler = new Scheduler(seed);
    this.#random = new SimRandom(seed);
    this.#cluster = new SimCluster(this.#scheduler, this.#random.fork("cluster"), sabotage);
    this.#nemesis = new Nemesis({
      cluster: this.#cluster,
      random: this.#random.fork("nemesis"),
      sleep: (ms) => this.#sleep(ms),
      onRollback: () => {
        this.#hasRolledBack = true;
      },
    });
  }

  async run(): Promise<SimulationReport> {
    let isDone = false;
    let thrown: unknown;
    const story = this.#story().then(
      () => {
        isDone = true;
      },
      (error: unknown) => {
        thrown = error;
        isDone = true;
      },
    );
    const end = await this.#scheduler.run({ until: () => isDone, maxEvents: MAX_EVENTS });
    if (end === "condition") await story;
    else this.#failures.push({ rule: "liveness", key: "", detail: `the run ended by "${end}" before its story did` });
    if (thrown !== undefined) throw new Error(`seed ${this.#seed} broke the simulator`, { cause: thrown });
    return {
      seed: this.#seed,
      violations: [...this.#oracle.violations, ...this.#failures],
      counts: this.#counts ?? { applied: 0, notApplied: 0, unknown: 0, found: 0, siblingReads: 0, failedReads: 0 },
      deeds: this.#nemesis.deeds,
      transcript: this.#cluster.transcript,
      eventCount: this.#scheduler.eventCount,
      virtualMs: this.#scheduler.nowMs,
      traceHash: this.#scheduler.traceHash,
    };
  }

  async #story(): Promise<void> {
    for (let node = 0; node < this.#cluster.size; node += 1) this.#cluster.start(node);
    if (!(await this.#untilAllServe("at the start"))) return;
    const trouble = this.#nemesis.run(() => this.#isWorkOver);
    this.#counts = await this.#work();
    this.#isWorkOver = true;
    await trouble;
    if (!(await this.#untilAllServe("after the faults"))) return;
    await this.#repairByReading();
    await this.#judge("after repair");
    for (let node = 0; node < this.#cluster.size; node += 1) this.#cluster.end(node, { kind: "kill" });
    for (let node = 0; node < this.#cluster.size; node += 1) this.#cluster.start(node);
    if (!(await this.#untilAllServe("after the last restart"))) return;
    await this.#judge("after the last restart");
  }

  #work(): Promise<WorkloadCounts> {
    const pick = this.#random.fork("doors");
    return runWorkload(PLAN, {
      random: this.#random.fork("workload"),
      oracle: this.#oracle,
      nowMs: () => this.#scheduler.nowMs,
      sleep: (ms) => this.#sleep(ms),
      pickNode: () => {
        const doors = this.#cluster.doors();
        return doors[pick.below(Math.max(1, doors.length))];
      },
      isStrict: () => !this.#hasRolledBack,
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#scheduler.after(ms, resolve));
  }

  async #untilAllServe(when: string): Promise<boolean> {
    const endsAt = this.#scheduler.nowMs + READY_WITHIN_MS;
    while (this.#cluster.doors().length < this.#cluster.size) {
      if (this.#scheduler.nowMs > endsAt) {
        const detail = `${when}: ${this.#cluster.doors().length} nodes serve after ${READY_WITHIN_MS} ms`;
        this.#failures.push({ rule: "liveness", key: "", detail });
        return false;
      }
      await this.#sleep(20);
    }
    return true;
  }

  /** Reads every key from all replicas through every node until nobody lacks anything. */
  async #repairByReading(): Promise<void> {
    for (let round = 0; round < REPAIR_ROUNDS; round += 1) {
      let isWhole = true;
      for (let i = 0; i < PLAN.keyCount; i += 1) isWhole = (await this.#readFromAll(keyName(i))) && isWhole;
      await this.#sleep(50);
      if (isWhole && (await this.#areEqual())) return;
    }
    this.#failures.push({
      rule: "liveness",
      key: "",
      detail: `replicas still differ after ${REPAIR_ROUNDS} rounds of reading`,
    });
  }

  async #readFromAll(key: string): Promise<boolean> {
    let isAnswered = true;
    for (const door of this.#cluster.doors()) {
      const name = { bucket: SIM_BUCKET, key: keyBytesOf(key) };
      const knobs = { r: "all", sloppy: false, timeoutMs: 2_000, explain: false } as const;
      const answer = await Promise.race([door.coordinator.get({ name, knobs }), door.gone]);
      isAnswered = isAnswered && answer !== "gone" && answer.kind !== "failed";
    }
    return isAnswered;
  }

  async #statesOf(key: string): Promise<readonly (Uint8Array | undefined)[]> {
    const location = locate({ bucket: SIM_BUCKET, key: keyBytesOf(key) }, PARTITION_COUNT);
    const states: (Uint8Array | undefined)[] = [];
    for (let node = 0; node < this.#cluster.size; node += 1) states.push(await this.#cluster.heldAt(node, location));
    return states;
  }

  async #areEqual(): Promise<boolean> {
    for (let i = 0; i < PLAN.keyCount; i += 1) {
      const states = await this.#statesOf(keyName(i));
      if (new Set(states.map((bytes) => hexOf(bytes))).size > 1) return false;
    }
    return true;
  }

  async #judge(when: string): Promise<void> {
    for (let i = 0; i < PLAN.keyCount; i += 1) {
      const key = keyName(i);
      const states = await this.#statesOf(key);
      this.#oracle.onConvergence(
        key,
        states.map((bytes) => hexOf(bytes)),
      );
      for (const [node, bytes] of states.entries()) {
        this.#oracle.onFinal(key, this.#idsIn(key, bytes), `n${node + 1} ${when}`);
      }
    }
  }

  #idsIn(key: string, bytes: Uint8Array | undefined): readonly number[] {
    if (bytes === undefined) return [];
    const decoded = decodeSet(bytes);
    if (decoded.kind === "corrupt") {
      this.#failures.push({ rule: "corrupt-object", key, detail: decoded.reason });
      return [];
    }
    return decoded.set.siblings.map((sibling) => writeIdOf(sibling.bytes));
  }
}

function hexOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "nothing" : Buffer.from(bytes).toString("hex");
}
