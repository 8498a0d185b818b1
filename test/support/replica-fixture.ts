/** A replica on the memory engine, with a clock by hand and a store whose every call can be held up or made to fail. */
import { xxh64 } from "../../services/base/hash.ts";
import type { NodeId } from "../../services/base/ids.ts";
import type { Clock, Log, LogFacts, Timer } from "../../services/base/ports.ts";
import type { KeyLocation, Minted, ReplicaWriteResult, WriteIntent } from "../../services/replica/contract.ts";
import type { ReplicaStore } from "../../services/replica/needs.ts";
import { Replica } from "../../services/replica/replica.ts";
import type { CausalContext, SiblingSet } from "../../services/versioning/types.ts";
import type { KeyAddress, PutRequest, StorageEngine, StoredRecord } from "../../storage/engine.ts";
import { openMemoryEngine } from "../../storage/memory-engine.ts";
import { type MemoryImage, newMemoryImage } from "../../storage/memory-image.ts";
import { seededDraws } from "./seeded.ts";

const PARTITION_COUNT = 64;

/** Where a key of a bucket lives, on a ring of 64 partitions. */
export function locationOf(bucket: string, key: string): KeyLocation {
  const bytes = Buffer.from(`${bucket}\0${key}`);
  const hash = xxh64(bytes);
  return { partition: Number(hash >> 58n), hash, key: bytes };
}

/** A wall clock that stands until it is moved; timers run when it passes them. Deferring is none of the replica's business. */
export class HandClock implements Clock {
  micros = 1_000_000_000_000;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];
  get timerCount(): number {
    return this.#timers.length;
  }
  /** Moves the time on and runs what is due. */
  pass(ms: number): void {
    this.micros += ms * 1_000;
    const due = this.#timers.filter((timer) => timer.atMs <= this.monotonicMs());
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const timer of due) timer.run();
  }
  monotonicMs(): number {
    return this.micros / 1_000;
  }
  wallMicros(): number {
    return this.micros;
  }
  setTimer(delayMs: number, run: () => void): Timer {
    const timer = { atMs: this.monotonicMs() + delayMs, run };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }
  defer(): never {
    throw new Error("the replica defers nothing");
  }
}

/** Keeps what was logged. */
export class EventLog implements Log {
  readonly facts: LogFacts[] = [];
  debug(facts: LogFacts): void {
    this.facts.push(facts);
  }
  info(facts: LogFacts): void {
    this.facts.push(facts);
  }
  warn(facts: LogFacts): void {
    this.facts.push(facts);
  }
  error(facts: LogFacts): void {
    this.facts.push(facts);
  }
  /** names of events, in order */
  get events(): readonly string[] {
    return this.facts.map((facts) => facts.event);
  }
}

/** The calls of a store that may be held up or fail. */
export type StoreCall = "get" | "put" | "lease" | "renew" | "drop";

/** The memory engine behind gates: `onCall` may throw, or return a promise that the call then waits for. */
export class GatedStore implements ReplicaStore {
  readonly engine: StorageEngine;
  onCall: (call: StoreCall) => void | Promise<void> = () => undefined;
  readonly calls: StoreCall[] = [];
  readonly puts: PutRequest[] = [];
  /** by when each `get` was wanted, monotonic ms */
  readonly wantedBy: (number | undefined)[] = [];

  constructor(engine: StorageEngine) {
    this.engine = engine;
  }

  get identity(): StorageEngine["identity"] {
    return this.engine.identity;
  }

  get recovery(): StorageEngine["recovery"] {
    return this.engine.recovery;
  }

  suspectPartitions(): readonly number[] {
    return this.engine.suspectPartitions();
  }

  isSuspect(partition: number): boolean {
    return this.engine.isSuspect(partition);
  }

  digestOf(address: KeyAddress): bigint {
    return this.engine.digestOf(address);
  }

  get(address: KeyAddress, byMs?: number): StoredRecord | undefined | Promise<StoredRecord | undefined> {
    this.wantedBy.push(byMs);
    const gate = this.#enter("get");
    return gate === undefined ? this.engine.get(address) : gate.then(() => this.engine.get(address));
  }

  async put(request: PutRequest): Promise<void> {
    await this.#enter("put");
    this.puts.push(request);
    await this.engine.put(request);
  }

  async leaseCounters(through: number): Promise<void> {
    await this.#enter("lease");
    await this.engine.leaseCounters(through);
  }

  async dropPartition(partition: number): Promise<void> {
    await this.#enter("drop");
    await this.engine.dropPartition(partition);
  }

  async renewActor(): Promise<void> {
    await this.#enter("renew");
    await this.engine.renewActor();
  }

  #enter(call: StoreCall): Promise<void> | undefined {
    this.calls.push(call);
    return this.onCall(call) ?? undefined;
  }
}

/** A node's replica and everything around it. */
export interface ReplicaFixture {
  readonly replica: Replica;
  readonly store: GatedStore;
  readonly clock: HandClock;
  readonly log: EventLog;
  readonly image: MemoryImage;
  /** −1 makes it a stranger to every partition; `movedTo`: whom its slots went to */
  readonly slots: { slot: number; movedTo?: NodeId };
}

/** A replica that holds slot 0 of everything; `lww` buckets let the last write win. */
export function replicaFixture(options?: {
  readonly seed?: number;
  readonly image?: MemoryImage;
  readonly clock?: HandClock;
}): ReplicaFixture {
  const image = options?.image ?? newMemoryImage();
  const random = seededDraws(options?.seed ?? 1);
  const store = new GatedStore(openMemoryEngine({ partitionCount: PARTITION_COUNT, random, image }));
  const clock = options?.clock ?? new HandClock();
  const log = new EventLog();
  const slots: ReplicaFixture["slots"] = { slot: 0 };
  const replica = new Replica({
    store,
    clock,
    log,
    slots: { slotOf: () => slots.slot, movedTo: () => slots.movedTo },
    conflicts: { isLastWriteWins: (location) => Buffer.from(location.key).toString("latin1").startsWith("lww\0") },
    isDurable: true,
  });
  return { replica, store, clock, log, image, slots };
}

/** A put of a text. */
export function putOf(
  text: string,
  context?: CausalContext,
  blind: "overwrite" | "sibling" = "overwrite",
): WriteIntent {
  return { kind: "put", contentType: "text/plain", bytes: Buffer.from(text), expiresAtMs: 0, context, blind };
}

/** Writes, and gives back what was announced. */
export async function writeTo(
  fixture: ReplicaFixture,
  location: KeyLocation,
  intent: WriteIntent,
): Promise<{ readonly result: ReplicaWriteResult; readonly minted: Minted }> {
  const announced: Minted[] = [];
  const result = await fixture.replica.write(location, intent, (minted) => announced.push(minted));
  const minted = announced[0];
  if (minted === undefined || announced.length > 1) {
    throw new Error(`announced ${announced.length} times: ${JSON.stringify(result)}`);
  }
  return { result, minted };
}

/** What a read of a key gives; throws on a refusal. */
export async function readFrom(fixture: ReplicaFixture, location: KeyLocation): Promise<SiblingSet | undefined> {
  const result = await fixture.replica.read(location);
  if (result.kind === "refused") throw new Error(`refused: ${result.reason}`);
  return result.set;
}

/** The texts that stand, newest first. */
export async function textsAt(fixture: ReplicaFixture, location: KeyLocation): Promise<readonly string[]> {
  const set = await readFrom(fixture, location);
  return (set?.siblings ?? []).map((sibling) => Buffer.from(sibling.bytes).toString());
}
