/**
 * Clients of a simulated cluster: sessions that read, write with what they read, write blind and delete, through any node,
 * and tell the oracle what they did and saw. Must never look inside a node: a client has only answers.
 */

import type { BucketName } from "../../services/base/ids.ts";
import type { Random } from "../../services/base/ports.ts";
import type { Coordinator, Knobs, WriteAnswer } from "../../services/coordinator/contract.ts";
import type { CausalContext } from "../../services/versioning/types.ts";
import type { Oracle, WriteRecord } from "./oracle.ts";

/** One node as clients meet it. */
export interface NodeDoor {
  readonly coordinator: Coordinator;
  /** Resolves when the node is gone: requests under way get no answer. */
  readonly gone: Promise<"gone">;
}

export interface WorkloadPlan {
  readonly sessionCount: number;
  readonly operationsPerSession: number;
  readonly keyCount: number;
  /** keys after those that are written once, before the trouble begins, and left alone until the end */
  readonly coldKeyCount: number;
  /** the longest pause between two operations of a session, virtual milliseconds */
  readonly thinkMs: number;
  readonly timeoutMs: number;
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

/** What the workload met, so that a run which tested nothing is noticed. */
export interface WorkloadCounts {
  applied: number;
  notApplied: number;
  unknown: number;
  found: number;
  siblingReads: number;
  failedReads: number;
}

interface SeenVersion {
  readonly context: CausalContext;
  readonly saw: readonly number[];
}

const BUCKET = "sim" as BucketName;
const TEXT = new TextEncoder();

/** The name of the i-th key. */
export function keyName(index: number): string {
  return `key-${index}`;
}

/** The bytes of a key's name. */
export function keyBytesOf(key: string): Uint8Array {
  return TEXT.encode(key);
}

/** The bucket that the workload writes to. */
export const SIM_BUCKET: BucketName = BUCKET;

/** The id of the write that made these bytes; −1 when no client ever wrote such bytes. */
export function writeIdOf(bytes: Uint8Array): number {
  const match = /^w(\d+):(.*)$/.exec(new TextDecoder().decode(bytes));
  if (match === null) return -1;
  const id = Number(match[1]);
  return match[2] === paddingOf(id) ? id : -1;
}

function paddingOf(id: number): string {
  return "x".repeat((id * 7) % 90);
}

/** Writes the cold keys, once each: nobody reads them before the end, so that nothing that was lost of them is repaired. */
export async function writeColdKeys(plan: WorkloadPlan, world: WorkloadWorld): Promise<void> {
  const session = new Session(plan, world, { counts: noCounts(), ids: { next: 1 } });
  const keys = Array.from({ length: plan.coldKeyCount }, (_, at) => keyName(plan.keyCount + at));
  await Promise.all(keys.map((key) => session.writeOnce(key)));
}

function noCounts(): WorkloadCounts {
  return { applied: 0, notApplied: 0, unknown: 0, found: 0, siblingReads: 0, failedReads: 0 };
}

/** Runs every session to its end. */
export async function runWorkload(plan: WorkloadPlan, world: WorkloadWorld): Promise<WorkloadCounts> {
  const counts = noCounts();
  // Above those of the cold keys.
  const ids = { next: 1 + plan.coldKeyCount };
  const sessions = Array.from({ length: plan.sessionCount }, (_, index) =>
    new Session(plan, { ...world, random: world.random.fork(`session-${index}`) }, { counts, ids }).run(),
  );
  await Promise.all(sessions);
  return counts;
}

class Session {
  readonly #plan: WorkloadPlan;
  readonly #world: WorkloadWorld;
  readonly #shared: { readonly counts: WorkloadCounts; readonly ids: { next: number } };
  readonly #seen = new Map<string, SeenVersion>();

  constructor(
    plan: WorkloadPlan,
    world: WorkloadWorld,
    shared: { readonly counts: WorkloadCounts; readonly ids: { next: number } },
  ) {
    this.#plan = plan;
    this.#world = world;
    this.#shared = shared;
  }

  async run(): Promise<void> {
    const { random } = this.#world;
    for (let i = 0; i < this.#plan.operationsPerSession; i += 1) {
      await this.#world.sleep(random.float() * this.#plan.thinkMs);
      const door = this.#world.pickNode();
      if (door === undefined) continue;
      const key = keyName(random.u32() % this.#plan.keyCount);
      const dice = random.float();
      if (dice < 0.4) await this.#read(door, key);
      else if (dice < 0.65)
        await this.#write(door, key, { kind: "put", basis: this.#seen.get(key) ?? "blind-sibling" });
      else if (dice < 0.82) await this.#write(door, key, { kind: "put", basis: "blind-sibling" });
      else if (dice < 0.9) await this.#write(door, key, { kind: "put", basis: "blind-overwrite" });
      else await this.#write(door, key, { kind: "delete", basis: this.#seen.get(key) ?? "blind-overwrite" });
    }
  }

  /** Through any node; what comes of it is the oracle's to know. */
  async writeOnce(key: string): Promise<void> {
    const door = this.#world.pickNode();
    if (door !== undefined) await this.#write(door, key, { kind: "put", basis: "blind-sibling" });
  }

  #knobs(): Knobs {
    return { sloppy: false, timeoutMs: this.#plan.timeoutMs, explain: false };
  }

  async #read(door: NodeDoor, key: string): Promise<void> {
    const isStrictBefore = this.#world.isStrict();
    const invokedAt = this.#world.nowMs();
    const answer = await Promise.race([
      door.coordinator.get({ name: { bucket: BUCKET, key: keyBytesOf(key) }, knobs: this.#knobs() }),
      door.gone,
    ]);
    if (answer === "gone" || answer.kind === "failed") {
      this.#shared.counts.failedReads += 1;
      return;
    }
    const saw = answer.kind === "found" ? answer.set.siblings.map((sibling) => writeIdOf(sibling.bytes)) : [];
    const isStrict = isStrictBefore && this.#world.isStrict();
    this.#world.oracle.onRead({ key, invokedAt, returnedAt: this.#world.nowMs(), saw, isStrict });
    if (answer.kind === "not_found") return;
    this.#shared.counts.found += 1;
    if (saw.length > 1) this.#shared.counts.siblingReads += 1;
    const context = answer.kind === "found" ? answer.set.clock : answer.context;
    this.#seen.set(key, { context, saw });
  }

  async #write(
    door: NodeDoor,
    key: string,
    what: { readonly kind: "put" | "delete"; readonly basis: SeenVersion | "blind-sibling" | "blind-overwrite" },
  ): Promise<void> {
    const record = this.#begin(key, what);
    const name = { bucket: BUCKET, key: keyBytesOf(key) };
    const context = typeof what.basis === "string" ? undefined : what.basis.context;
    const knobs = this.#knobs();
    const bytes = TEXT.encode(`w${record.id}:${paddingOf(record.id)}`);
    const blind = what.basis === "blind-sibling" ? "sibling" : "overwrite";
    const answered =
      what.kind === "delete"
        ? door.coordinator.delete({ name, knobs, context })
        : door.coordinator.put({ name, knobs, contentType: "text/plain", bytes, context, blind });
    this.#settle(record, await Promise.race([answered, door.gone]), what);
  }

  #begin(
    key: string,
    what: { readonly kind: "put" | "delete"; readonly basis: SeenVersion | "blind-sibling" | "blind-overwrite" },
  ): WriteRecord {
    const id = this.#shared.ids.next;
    this.#shared.ids.next += 1;
    const saw = typeof what.basis !== "string" ? what.basis.saw : what.basis === "blind-sibling" ? [] : undefined;
    const invokedAt = this.#world.nowMs();
    const record: WriteRecord = {
      id,
      key,
      kind: what.kind,
      saw,
      invokedAt,
      returnedAt: Number.POSITIVE_INFINITY,
      outcome: "unknown",
    };
    this.#world.oracle.begin(record);
    return record;
  }

  #settle(
    record: WriteRecord,
    answer: WriteAnswer | "gone",
    what: { readonly kind: "put" | "delete"; readonly basis: SeenVersion | "blind-sibling" | "blind-overwrite" },
  ): void {
    const { counts } = this.#shared;
    if (answer === "gone" || (answer.kind === "failed" && answer.outcome === "unknown")) {
      counts.unknown += 1;
      return;
    }
    record.returnedAt = this.#world.nowMs();
    if (answer.kind === "failed") {
      if (answer.outcome === "not_applied") record.outcome = "not_applied";
      counts.notApplied += 1;
      return;
    }
    record.outcome = "applied";
    counts.applied += 1;
    if (what.basis === "blind-overwrite") this.#seen.delete(record.key);
    // What the answer's context covers: what the writer had seen, and its own write.
    else this.#seen.set(record.key, { context: answer.context, saw: sawAfter(record) });
  }
}

function sawAfter(record: WriteRecord): readonly number[] {
  return record.kind === "delete" ? (record.saw ?? []) : [...(record.saw ?? []), record.id];
}
