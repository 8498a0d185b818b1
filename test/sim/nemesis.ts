/**
 * What goes wrong in a run: a schedule drawn from the seed. Swarm: each seed switches some kinds of fault off, so that
 * rare combinations meet. Must never break more than the system promises to survive: at most one disk loses
 * acknowledged bytes in a run, once.
 */
import type { CrashOutcome } from "./crash-outcome.ts";
import type { SimCluster } from "./sim-cluster.ts";
import type { SimRandom } from "./sim-random.ts";

/** The kinds of fault. */
export type FaultKind =
  | "kill"
  | "power"
  | "stop"
  | "rollback"
  | "split"
  | "one-way"
  | "clog"
  | "cut"
  | "pause"
  | "loss"
  | "full"
  /** some machines are split from all others */
  | "island"
  /** datagrams are lost, doubled and late, streams are not */
  | "datagrams";

/** All of them. */
export const FAULT_KINDS: readonly FaultKind[] = [
  "kill",
  "power",
  "stop",
  "rollback",
  "split",
  "one-way",
  "clog",
  "cut",
  "pause",
  "loss",
  "full",
  "island",
  "datagrams",
];
const OUTCOMES: readonly CrashOutcome[] = [
  { pages: "dropped", names: "dropped" },
  { pages: "random", names: "random" },
  { pages: "torn", names: "applied" },
  { pages: "garbage", names: "random" },
  { pages: "zeros", names: "applied" },
  { pages: "mixed", names: "random" },
];

const CALM_DATAGRAMS = { lossProbability: 0, duplicateProbability: 0, lateProbability: 0 };

/** The world as the nemesis may touch it. */
export interface NemesisWorld {
  readonly cluster: SimCluster;
  readonly random: SimRandom;
  /** the kinds of fault to draw from */
  readonly kinds: readonly FaultKind[];
  sleep(ms: number): Promise<void>;
  /** a disk has lost acknowledged bytes: reads need not be fresh any more until everything was repaired */
  onRollback(): void;
}

/** Runs faults one after the other, some of them overlapping, until `isOver`. */
export class Nemesis {
  readonly kinds: readonly FaultKind[];
  readonly #world: NemesisWorld;
  /** what was done, in order */
  readonly deeds: string[] = [];
  #hasRolledBack = false;
  readonly #meanPauseMs: number;

  constructor(world: NemesisWorld) {
    this.#world = world;
    this.#meanPauseMs = [60, 150, 400][world.random.below(3)] ?? 150;
    const enabled = world.kinds.filter(() => world.random.chance(0.5));
    this.kinds = enabled.length === 0 ? ["kill"] : enabled;
  }

  /** Makes trouble until `isOver`, then ends all of it: network whole, everyone awake and started. */
  async run(isOver: () => boolean): Promise<void> {
    const { random, sleep } = this.#world;
    const running: Promise<void>[] = [];
    while (!isOver()) {
      await sleep(10 + random.exponential(this.#meanPauseMs));
      const kind = this.kinds[random.below(this.kinds.length)];
      if (kind === undefined || isOver()) break;
      const deed = this.#do(kind, random.below(this.#world.cluster.size));
      running.push(deed);
      if (random.chance(0.5)) await deed;
    }
    await Promise.all(running);
    this.#healAll();
  }

  async #do(kind: FaultKind, node: number): Promise<void> {
    const { cluster, random, sleep } = this.#world;
    const forMs = 20 + random.exponential(500);
    const other = (node + 1 + random.below(cluster.size - 1)) % cluster.size;
    const [a, b] = [cluster.hostOf(node), cluster.hostOf(other)];
    this.deeds.push(`${kind} n${node + 1}`);
    switch (kind) {
      case "kill":
        return this.#outage(node, () => cluster.end(node, { kind }), forMs);
      case "power": {
        const outcome = OUTCOMES[random.below(OUTCOMES.length)] ?? { pages: "dropped", names: "dropped" };
        return this.#outage(node, () => cluster.end(node, { kind, outcome }), forMs);
      }
      case "stop":
        await cluster.stop(node);
        return this.#outage(node, () => {}, forMs);
      case "rollback":
        return this.#rollback(node, forMs);
      case "split":
        cluster.network.partition(a, b);
        await sleep(forMs);
        return cluster.network.heal(a, b);
      case "one-way":
        cluster.network.block(a, b);
        await sleep(forMs);
        return cluster.network.heal(a, b);
      case "clog":
        return cluster.network.clog(a, b, forMs);
      case "cut":
        return cluster.network.cutLinks(a, b);
      case "pause":
        cluster.pause(node);
        await sleep(forMs * 2);
        return cluster.resume(node);
      case "full": {
        const makeRoom = cluster.fillDisk(node, random.below(2_000));
        await sleep(forMs / 20);
        makeRoom();
        return cluster.start(node);
      }
      case "island":
        return this.#island(forMs);
      case "datagrams":
        return this.#spoilDatagrams(forMs * 2);
      case "loss":
        cluster.network.setFaults(a, b, {
          lossProbability: random.float() * 0.3,
          cutProbability: random.float() * 0.02,
        });
        await sleep(forMs * 2);
        return cluster.network.setFaults(a, b, { lossProbability: 0, cutProbability: 0 });
    }
  }

  /** Each machine is on one of two sides, by chance; nothing passes between them. */
  async #island(forMs: number): Promise<void> {
    const { cluster, random, sleep } = this.#world;
    const sides = Array.from({ length: cluster.size }, () => random.chance(0.5));
    const pairs = sides.flatMap((side, a) =>
      sides.flatMap((other, b) => (a < b && side !== other ? [[cluster.hostOf(a), cluster.hostOf(b)] as const] : [])),
    );
    for (const [a, b] of pairs) cluster.network.partition(a, b);
    await sleep(forMs);
    for (const [a, b] of pairs) cluster.network.heal(a, b);
  }

  async #spoilDatagrams(forMs: number): Promise<void> {
    const { cluster, random, sleep } = this.#world;
    cluster.datagrams.setAllFaults({
      lossProbability: random.float() * 0.4,
      duplicateProbability: random.float() * 0.4,
      lateProbability: random.float() * 0.3,
      lateMs: 500,
    });
    await sleep(forMs);
    cluster.datagrams.setAllFaults(CALM_DATAGRAMS);
  }

  async #outage(node: number, end: () => void, forMs: number): Promise<void> {
    end();
    await this.#world.sleep(forMs);
    this.#world.cluster.start(node);
  }

  /**
   * Once in a run: a disk as it was some time ago comes back: the image of one that ran, or the backup of one that was
   * stopped in order, whose mark of a clean stop is then a lie.
   */
  async #rollback(node: number, forMs: number): Promise<void> {
    const { cluster, random, sleep } = this.#world;
    if (this.#hasRolledBack || !cluster.isUp(node)) return;
    this.#hasRolledBack = true;
    const isBackup = random.chance(0.5);
    if (isBackup) await cluster.stop(node);
    cluster.takeSnapshot(node);
    if (isBackup) cluster.start(node);
    await sleep(forMs * 2);
    this.#hasRolledBack = cluster.isUp(node);
    if (!this.#hasRolledBack) return;
    this.#world.onRollback();
    await this.#outage(node, () => cluster.end(node, { kind: "rollback" }), forMs / 4);
  }

  #healAll(): void {
    const { cluster } = this.#world;
    cluster.network.setAllFaults({ lossProbability: 0, cutProbability: 0 });
    cluster.datagrams.setAllFaults(CALM_DATAGRAMS);
    cluster.network.heal();
    for (let node = 0; node < cluster.size; node += 1) {
      cluster.resume(node);
      cluster.start(node);
    }
  }
}
