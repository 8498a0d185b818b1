/**
 * One simulated life of a cluster, from a seed: set up, trouble under load, heal, repair by reading, judge; then everyone
 * restarts and is judged again. In lives of a ring the operator changes the membership meanwhile. The same seed gives
 * the same life. Must never wait for real time.
 */
import { LifeJudge } from "./life-judge.ts";
import { FAULT_KINDS, Nemesis } from "./nemesis.ts";
import { Oracle, type Violation } from "./oracle.ts";
import { RingLook } from "./ring-look.ts";
import { RingOperator } from "./ring-operator.ts";
import { Scheduler } from "./scheduler.ts";
import { noCounts, type WorkloadCounts } from "./sim-client.ts";
import { type ClusterShape, type Sabotage, SimCluster } from "./sim-cluster.ts";
import { SimRandom } from "./sim-random.ts";
import { keyName } from "./sim-values.ts";
import { armTripwires } from "./tripwire.ts";
import { runWorkload, type WorkloadPlan, type WorkloadWorld, writeColdKeys } from "./workload.ts";

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

/**
 * `fixed`: three nodes for ever. `sloppy`: five, and requests that mostly take stand-ins for owners. `ring`: machines join,
 * leave, are removed, replaced and wiped.
 */
export type LifeKind = "fixed" | "sloppy" | "ring";

const FEW_KEYS = { sessionCount: 6, keyCount: 8, coldKeyCount: 0, sloppyShare: 0.8 } as const;
const SLOPPY_MEMBERS = 5;

const PLANS: Readonly<Record<LifeKind, WorkloadPlan>> = {
  fixed: { ...FEW_KEYS, operationsPerSession: 40, thinkMs: 90, timeoutMs: 400 },
  sloppy: { ...FEW_KEYS, operationsPerSession: 80, thinkMs: 120, timeoutMs: 500 },
  ring: {
    sessionCount: 6,
    operationsPerSession: 90,
    keyCount: 24,
    coldKeyCount: 72,
    thinkMs: 240,
    timeoutMs: 600,
    sloppyShare: 0.5,
  },
};
const MAX_EVENTS = 20_000_000;
const READY_WITHIN_MS = 60_000;
const SETTLED_WITHIN_MS = 240_000;
const DELIVERED_WITHIN_MS = 120_000;
/** Until a write has reached the last replica, when nothing is in its way. */
const SETTLE_MS = 500;
/** How often slots are looked at. */
const LOOK_EVERY_MS = 1;

/** Lives one life. Rejects only for bugs of the simulator; broken promises are in the report. */
export async function simulate(
  seed: string,
  sabotage: Sabotage = {},
  kind: LifeKind = "fixed",
): Promise<SimulationReport> {
  using _armed = armTripwires();
  const life = new Life(seed, sabotage, kind);
  // awaited here: the tripwires stay armed until the life is over
  return await life.run();
}

class Life {
  readonly #seed: string;
  readonly #kind: LifeKind;
  readonly #scheduler: Scheduler;
  readonly #random: SimRandom;
  readonly #cluster: SimCluster;
  readonly #oracle = new Oracle();
  readonly #nemesis: Nemesis;
  readonly #look: RingLook;
  readonly #operator: RingOperator | undefined;
  readonly #judge: LifeJudge;
  readonly #failures: Violation[] = [];
  #hasRolledBack = false;
  #isWorkOver = false;
  #counts: WorkloadCounts | undefined;

  constructor(seed: string, sabotage: Sabotage, kind: LifeKind) {
    this.#seed = seed;
    this.#kind = kind;
    this.#scheduler = new Scheduler(seed);
    this.#random = new SimRandom(seed);
    const sleep = (ms: number): Promise<void> => this.#sleep(ms);
    const shape = shapeOf(kind, this.#random.fork("shape"));
    const cluster = new SimCluster(this.#scheduler, this.#random.fork("cluster"), { ...shape, sabotage });
    this.#cluster = cluster;
    this.#look = new RingLook(cluster);
    const onLoss = (): void => this.#oracle.onDiskLost();
    const operated = { cluster, look: this.#look, random: this.#random.fork("operator"), sleep, onLoss };
    this.#operator = kind === "ring" ? new RingOperator(operated) : undefined;
    this.#judge = new LifeJudge({
      cluster,
      oracle: this.#oracle,
      keyCount: PLANS[kind].keyCount + PLANS[kind].coldKeyCount,
      holdersOf: (partition) => this.#look.holdersOf(partition),
      sleep,
      fail: (violation) => this.#failures.push(violation),
    });
    this.#nemesis = new Nemesis({
      cluster,
      random: this.#random.fork("nemesis"),
      // A disk that forgets is a loss, and the operator of a ring makes losses of its own: one at a time.
      kinds: FAULT_KINDS.filter((fault) => kind !== "ring" || fault !== "rollback"),
      sleep,
      onRollback: () => {
        this.#oracle.onDiskLost();
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
      counts: this.#counts ?? noCounts(),
      deeds: [...this.#nemesis.deeds, ...(this.#operator?.deeds ?? [])],
      transcript: this.#cluster.transcript,
      eventCount: this.#scheduler.eventCount,
      virtualMs: this.#scheduler.nowMs,
      traceHash: this.#scheduler.traceHash,
    };
  }

  async #story(): Promise<void> {
    for (const node of this.#inService()) this.#cluster.start(node);
    if (!(await this.#untilAllServe("at the start"))) return;
    if (this.#kind === "sloppy" && !(await this.#growTo(SLOPPY_MEMBERS))) return;
    if (this.#kind === "ring") this.#watchSlots();
    await this.#settleColdKeys();
    const trouble = this.#nemesis.run(() => this.#isWorkOver);
    const changes = this.#operator?.run(() => this.#isWorkOver);
    this.#counts = await runWorkload(PLANS[this.#kind], this.#workload());
    this.#isWorkOver = true;
    await trouble;
    if (!(await this.#untilDone(changes))) return;
    if (!(await this.#untilAllServe("after the faults"))) return;
    if (!(await this.#untilSettled("after the faults"))) return;
    if (!(await this.#untilDelivered())) return;
    if (!this.#hasRolledBack) await this.#judge.judgeSlots();
    // half of the lives are healed by nobody's reads
    if (this.#random.fork("healer").chance(0.5)) await this.#judge.repairByReading();
    await this.#judge.repairByComparing();
    await this.#judge.judge("after repair");
    await this.#judge.judgeTrees("after repair");
    for (const node of this.#inService()) this.#cluster.end(node, { kind: "kill" });
    for (const node of this.#inService()) this.#cluster.start(node);
    if (!(await this.#untilAllServe("after the last restart"))) return;
    if (!(await this.#untilSettled("after the last restart"))) return;
    await this.#judge.judge("after the last restart");
    await this.#judge.judgeTrees("after the last restart");
  }

  #workload(): WorkloadWorld {
    const pick = this.#random.fork("doors");
    return {
      random: this.#random.fork("workload"),
      oracle: this.#oracle,
      nowMs: () => this.#scheduler.nowMs,
      sleep: (ms) => this.#sleep(ms),
      pickNode: () => {
        const doors = this.#cluster.doors();
        return doors[pick.below(Math.max(1, doors.length))];
      },
      isStrict: () => !this.#hasRolledBack,
    };
  }

  async #settleColdKeys(): Promise<void> {
    const plan = PLANS[this.#kind];
    if (plan.coldKeyCount === 0) return;
    await writeColdKeys(plan, this.#workload());
    await this.#sleep(SETTLE_MS);
    await this.#judge.noteWhole(Array.from({ length: plan.coldKeyCount }, (_, at) => keyName(plan.keyCount + at)));
  }

  #inService(): readonly number[] {
    return Array.from({ length: this.#cluster.size }, (_, node) => node).filter((node) =>
      this.#cluster.isInService(node),
    );
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#scheduler.after(ms, resolve));
  }

  /** From now on, until the first time that it is wrong: each slot is served by one node at most, and by right. */
  #watchSlots(): void {
    const wrong = this.#look.wrongHolding();
    if (wrong === undefined) this.#scheduler.after(LOOK_EVERY_MS, () => this.#watchSlots());
    else this.#fail("slot-held-wrongly", `${wrong}, at ${this.#scheduler.nowMs.toFixed(1)} ms`);
  }

  async #untilAllServe(when: string): Promise<boolean> {
    const isSo = (): boolean => this.#cluster.doors().length >= this.#inService().length;
    if (await this.#until(isSo, READY_WITHIN_MS)) return true;
    const detail = `${when}: ${this.#cluster.doors().length} of ${this.#inService().length} nodes serve after ${READY_WITHIN_MS} ms`;
    this.#fail("liveness", detail);
    return false;
  }

  /** What the operator has begun is done. */
  async #untilDone(changes: Promise<void> | undefined): Promise<boolean> {
    if (changes === undefined) return true;
    let isDone = false;
    void changes.then(() => {
      isDone = true;
    });
    if (await this.#until(() => isDone, SETTLED_WITHIN_MS)) return true;
    const stuck = [...(this.#operator?.underWay ?? [])].join("; ");
    this.#fail("liveness", `the operator still waits for: ${stuck}`);
    this.#failUnrest("meanwhile");
    return false;
  }

  /** Empty machines join the founders, and everything is where it belongs. */
  async #growTo(memberCount: number): Promise<boolean> {
    while (this.#cluster.size < memberCount) this.#cluster.wipe(this.#cluster.addMachine(), "auto");
    for (const node of this.#inService()) this.#cluster.start(node);
    return (await this.#untilAllServe("after joining")) && (await this.#untilSettled("after joining"));
  }

  /** Nobody keeps anything for others any more. */
  async #untilDelivered(): Promise<boolean> {
    const kept = (): readonly string[] => this.#inService().flatMap((node) => this.#cluster.hintsAt(node));
    if (await this.#until(() => kept().length === 0, DELIVERED_WITHIN_MS)) return true;
    this.#fail("liveness", `hints were not delivered: ${kept().join(", ")}`);
    return false;
  }

  /** All members agree, and everything is where it belongs. */
  async #untilSettled(when: string): Promise<boolean> {
    if (this.#kind === "fixed") return true;
    if (await this.#until(() => this.#look.unrest().length === 0, SETTLED_WITHIN_MS)) return true;
    this.#failUnrest(when);
    return false;
  }

  async #until(isSo: () => boolean, withinMs: number): Promise<boolean> {
    const endsAt = this.#scheduler.nowMs + withinMs;
    while (!isSo()) {
      if (this.#scheduler.nowMs > endsAt) return false;
      await this.#sleep(20);
    }
    return true;
  }

  #failUnrest(when: string): void {
    for (const detail of this.#look.unrest()) this.#fail("unrest", `${when}: ${detail}`);
  }

  #fail(rule: string, detail: string): void {
    this.#failures.push({ rule, key: "", detail });
  }
}

/** What a life of this kind starts from. */
function shapeOf(kind: LifeKind, random: SimRandom): ClusterShape {
  if (kind !== "ring") return kind === "fixed" ? {} : { join: "auto" };
  const zones = [["default"], ["a", "b", "c"], ["a", "b"]][random.below(3)] ?? ["default"];
  return { join: "auto", zones };
}
