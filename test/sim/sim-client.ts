/**
 * One client of a simulated cluster: reads, writes with what it read, writes blind and deletes through any node, and tells the
 * oracle what it did and saw. Must never look inside a node: a client has only answers.
 */
import type { Coordinator, GetAnswer, Knobs, WriteAnswer } from "../../services/coordinator/contract.ts";
import type { CausalContext } from "../../services/versioning/types.ts";
import type { Oracle, WriteRecord } from "./oracle.ts";
import { keyBytesOf, SIM_BUCKET, valueBytesOf, writeIdOf } from "./sim-values.ts";

/** One node as clients meet it. */
export interface NodeDoor {
  readonly coordinator: Coordinator;
  /** Resolves when the node is gone: requests under way get no answer. */
  readonly gone: Promise<"gone">;
}

/** What the clients met, so that a run which tested nothing is noticed. */
export interface WorkloadCounts {
  applied: number;
  notApplied: number;
  unknown: number;
  found: number;
  siblingReads: number;
  failedReads: number;
  /** writes that stand-ins were counted for, and reads that they answered */
  sloppyWrites: number;
  sloppyReads: number;
}

/** Counters at zero. */
export function noCounts(): WorkloadCounts {
  const reads = { found: 0, siblingReads: 0, failedReads: 0, sloppyReads: 0 };
  return { applied: 0, notApplied: 0, unknown: 0, sloppyWrites: 0, ...reads };
}

/** What the clients of one life share. */
export interface ClientWorld {
  readonly oracle: Oracle;
  readonly counts: WorkloadCounts;
  /** the id of the next write, unique over the whole life */
  readonly ids: { next: number };
  nowMs(): number;
  /** reads and writes meet in every quorum, and no disk has lied so far */
  isStrict(): boolean;
}

/** A version that a client has seen, and the writes that it is made of. */
export interface SeenVersion {
  readonly context: CausalContext;
  readonly saw: readonly number[];
}

/** What a write builds on. */
export type WriteBasis = SeenVersion | "blind-sibling" | "blind-overwrite";

/** A put or a delete. */
export interface ClientWrite {
  readonly kind: "put" | "delete";
  readonly basis: WriteBasis;
}

/** One client; what it has seen of each key is its own. */
export class SimClient {
  readonly #world: ClientWorld;
  readonly #knobs: Knobs;
  readonly #seen = new Map<string, SeenVersion>();

  constructor(world: ClientWorld, knobs: Knobs) {
    this.#world = world;
    this.#knobs = knobs;
  }

  /** What it saw of the key last. */
  seen(key: string): SeenVersion | undefined {
    return this.#seen.get(key);
  }

  /** Reads at least what it saw last. */
  readOn(door: NodeDoor, key: string, knobs: Partial<Knobs> = {}): Promise<GetAnswer | "gone"> {
    return this.#read(door, key, { knobs, demanded: this.#seen.get(key) });
  }

  /** Reads; `gone`: the node ended before it answered. */
  read(door: NodeDoor, key: string, knobs: Partial<Knobs> = {}): Promise<GetAnswer | "gone"> {
    return this.#read(door, key, { knobs, demanded: undefined });
  }

  async #read(
    door: NodeDoor,
    key: string,
    { knobs, demanded }: { readonly knobs: Partial<Knobs>; readonly demanded: SeenVersion | undefined },
  ): Promise<GetAnswer | "gone"> {
    const isStrictBefore = this.#world.isStrict();
    const invokedAt = this.#world.nowMs();
    const name = { bucket: SIM_BUCKET, key: keyBytesOf(key) };
    const atLeast = demanded === undefined ? {} : { atLeast: demanded.context };
    const request = { name, knobs: { ...this.#knobs, ...knobs }, ...atLeast };
    const answer = await Promise.race([door.coordinator.get(request), door.gone]);
    const { counts, oracle } = this.#world;
    if (answer === "gone" || answer.kind === "failed") {
      counts.failedReads += 1;
      return answer;
    }
    const saw = answer.kind === "found" ? answer.set.siblings.map((sibling) => writeIdOf(sibling.bytes)) : [];
    const isSloppy = answer.kind !== "not_found" && answer.fallbacks !== undefined;
    if (isSloppy) counts.sloppyReads += 1;
    const isStrict = isStrictBefore && this.#world.isStrict() && !isSloppy;
    const must = demanded === undefined || !this.#world.isStrict() ? {} : { demanded: demanded.saw };
    oracle.onRead({ key, invokedAt, returnedAt: this.#world.nowMs(), saw, isStrict, ...must });
    if (answer.kind === "not_found") return answer;
    counts.found += 1;
    if (saw.length > 1) counts.siblingReads += 1;
    this.#seen.set(key, { context: answer.kind === "found" ? answer.set.clock : answer.context, saw });
    return answer;
  }

  /** Writes or deletes; `gone`: the node ended before it answered. */
  async write(
    door: NodeDoor,
    key: string,
    what: ClientWrite,
    given: Partial<Knobs> = {},
  ): Promise<WriteAnswer | "gone"> {
    const record = this.#begin(key, what);
    const name = { bucket: SIM_BUCKET, key: keyBytesOf(key) };
    const context = typeof what.basis === "string" ? undefined : what.basis.context;
    const knobs = { ...this.#knobs, ...given };
    const blind = what.basis === "blind-sibling" ? "sibling" : "overwrite";
    const put = { name, knobs, contentType: "text/plain", bytes: valueBytesOf(record.id), context, blind } as const;
    const answered =
      what.kind === "delete" ? door.coordinator.delete({ name, knobs, context }) : door.coordinator.put(put);
    const answer = await Promise.race([answered, door.gone]);
    this.#settle(record, answer, what);
    return answer;
  }

  #begin(key: string, what: ClientWrite): WriteRecord {
    const { ids, oracle } = this.#world;
    const id = ids.next;
    ids.next += 1;
    const record: WriteRecord = {
      id,
      key,
      kind: what.kind,
      saw: typeof what.basis !== "string" ? what.basis.saw : what.basis === "blind-sibling" ? [] : undefined,
      invokedAt: this.#world.nowMs(),
      returnedAt: Number.POSITIVE_INFINITY,
      outcome: "unknown",
    };
    oracle.begin(record);
    return record;
  }

  #settle(record: WriteRecord, answer: WriteAnswer | "gone", what: ClientWrite): void {
    const { counts } = this.#world;
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
    if (answer.acks.fallbacks > 0) {
      record.isSloppy = true;
      counts.sloppyWrites += 1;
    }
    if (what.basis === "blind-overwrite") this.#seen.delete(record.key);
    // What the answer's context covers: what the writer had seen, and its own write.
    else this.#seen.set(record.key, { context: answer.context, saw: sawAfter(record) });
  }
}

function sawAfter(record: WriteRecord): readonly number[] {
  return record.kind === "delete" ? (record.saw ?? []) : [...(record.saw ?? []), record.id];
}
