/**
 * The clients of a simulated life: sessions that read, write with what they read, write blind and delete, through any node.
 * Must never look inside a node: a client has only answers.
 */
import type { Random } from "../../services/base/ports.ts";
import type { Knobs } from "../../services/coordinator/contract.ts";
import type { Oracle } from "./oracle.ts";
import {
  type ClientWorld,
  type ClientWrite,
  type NodeDoor,
  noCounts,
  SimClient,
  type WorkloadCounts,
} from "./sim-client.ts";
import { keyName } from "./sim-values.ts";

export interface WorkloadPlan {
  readonly sessionCount: number;
  readonly operationsPerSession: number;
  readonly keyCount: number;
  /** keys after those that are written once, before the trouble begins, and left alone until the end */
  readonly coldKeyCount: number;
  /** the longest pause between two operations of a session, virtual milliseconds */
  readonly thinkMs: number;
  readonly timeoutMs: number;
  /** how many of the requests take stand-ins for owners, 0 … 1 */
  readonly sloppyShare: number;
}

export interface WorkloadWorld {
  readonly random: Random;
  readonly oracle: Oracle;
  nowMs(): number;
  sleep(ms: number): Promise<void>;
  /** a node that is up, or undefined when none is */
  pickNode(): NodeDoor | undefined;
  /** reads and writes meet in every quorum, and no disk has lied so far */
  isStrict(): boolean;
}

/** Writes the cold keys, once each: nobody reads them before the end, so that nothing that was lost of them is repaired. */
export async function writeColdKeys(plan: WorkloadPlan, world: WorkloadWorld): Promise<void> {
  const session = new Session(plan, world, clientWorldOf(world, noCounts(), 1));
  const keys = Array.from({ length: plan.coldKeyCount }, (_, at) => keyName(plan.keyCount + at));
  await Promise.all(keys.map((key) => session.writeOnce(key)));
}

/** Runs every session to its end. */
export async function runWorkload(plan: WorkloadPlan, world: WorkloadWorld): Promise<WorkloadCounts> {
  // Above the ids of the cold keys.
  const shared = clientWorldOf(world, noCounts(), 1 + plan.coldKeyCount);
  const sessions = Array.from({ length: plan.sessionCount }, (_, index) =>
    new Session(plan, { ...world, random: world.random.fork(`session-${index}`) }, shared).run(),
  );
  await Promise.all(sessions);
  return shared.counts;
}

function clientWorldOf(world: WorkloadWorld, counts: WorkloadCounts, firstId: number): ClientWorld {
  const { oracle, nowMs, isStrict } = world;
  return { oracle, counts, ids: { next: firstId }, nowMs, isStrict };
}

class Session {
  readonly #plan: WorkloadPlan;
  readonly #world: WorkloadWorld;
  readonly #client: SimClient;
  readonly #sloppiness: Random;

  constructor(plan: WorkloadPlan, world: WorkloadWorld, shared: ClientWorld) {
    this.#plan = plan;
    this.#world = world;
    this.#client = new SimClient(shared, knobsOf(plan));
    this.#sloppiness = world.random.fork("sloppiness");
  }

  async run(): Promise<void> {
    const { random } = this.#world;
    const client = this.#client;
    for (let i = 0; i < this.#plan.operationsPerSession; i += 1) {
      await this.#world.sleep(random.float() * this.#plan.thinkMs);
      const door = this.#world.pickNode();
      if (door === undefined) continue;
      const key = keyName(random.u32() % this.#plan.keyCount);
      const dice = random.float();
      const knobs = { sloppy: this.#sloppiness.float() < this.#plan.sloppyShare };
      if (dice < 0.15) await client.readOn(door, key, knobs);
      else if (dice < 0.4) await client.read(door, key, knobs);
      else await client.write(door, key, this.#writeOf(key, dice), knobs);
    }
  }

  #writeOf(key: string, dice: number): ClientWrite {
    const seen = this.#client.seen(key);
    if (dice < 0.65) return { kind: "put", basis: seen ?? "blind-sibling" };
    if (dice < 0.82) return { kind: "put", basis: "blind-sibling" };
    if (dice < 0.9) return { kind: "put", basis: "blind-overwrite" };
    return { kind: "delete", basis: seen ?? "blind-overwrite" };
  }

  /** Through any node; what comes of it is the oracle's to know. */
  async writeOnce(key: string): Promise<void> {
    const door = this.#world.pickNode();
    if (door !== undefined) await this.#client.write(door, key, { kind: "put", basis: "blind-sibling" });
  }
}

function knobsOf(plan: WorkloadPlan): Knobs {
  return { sloppy: false, timeoutMs: plan.timeoutMs, explain: false };
}
