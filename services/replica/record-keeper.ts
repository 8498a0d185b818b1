/**
 * The store as the replica's operations use it: reads and puts for a partition of which a slot is held, every change
 * noted for whoever copies the partition. Must never take a read error for an absence, nor put what no slot covers
 * unless it is told to.
 */
import type { PutRequest, ReadTerm } from "../../storage/engine.ts";
import { DiskFullError, StoreBusyError, StoreFailedError } from "../../storage/errors.ts";
import { ChangeTrackers } from "./change-trackers.ts";
import type { KeyLocation, ReplicaRefusal, ReplicaWriteResult } from "./contract.ts";
import type { Fetched } from "./held-versions.ts";
import type { ReplicaStore, StorePulse } from "./needs.ts";
import type { ReplicaParts } from "./parts.ts";
import { noTraceRefusalOf, notHeld } from "./refusals.ts";

/** Puts are made durable before they are announced for so long after one was refused late. */
const SHORTAGE_MS = 5_000;

/** Reads and puts records. */
export class RecordKeeper {
  readonly changes: ChangeTrackers = new ChangeTrackers();
  readonly #store: ReplicaStore;
  readonly #slots: ReplicaParts["slots"];
  readonly #isDurable: boolean;
  readonly #pulse: StorePulse | undefined;
  readonly #clock: ReplicaParts["clock"];
  #isShort = false;
  /** monotonic: until then no success says that the shortage is over */
  #shortUntilMs = 0;

  constructor(parts: Pick<ReplicaParts, "store" | "slots" | "isDurable" | "pulse" | "clock">) {
    this.#clock = parts.clock;
    this.#store = parts.store;
    this.#slots = parts.slots;
    this.#isDurable = parts.isDurable;
    this.#pulse = parts.pulse;
  }

  /**
   * A put was refused for lack of space, or of a file handle, and not at once: the next one may be as well, for seconds even where
   * others are kept, which needed no segment and no look at a record.
   */
  get isShort(): boolean {
    return this.#isShort;
  }

  /** Why the partition is not served; undefined while a slot of it is held. */
  refusalOf(partition: number): ReplicaRefusal | undefined {
    if (this.#slots.slotOf(partition) >= 0) return undefined;
    return notHeld(partition, this.#slots.movedTo?.(partition));
  }

  /** The newest record of the key, if a slot is held; not read any more when that is over (monotonic, or a term). */
  fetch(location: KeyLocation, until?: number | ReadTerm): Fetched | Promise<Fetched> {
    return this.refusalOf(location.partition) ?? this.fetchUnowned(location, until);
  }

  /** The newest record of the key, slot or not; not read any more when that is over (monotonic, or a term). */
  fetchUnowned(location: KeyLocation, until?: number | ReadTerm): Fetched | Promise<Fetched> {
    try {
      const found = this.#store.get(location, until);
      return found instanceof Promise ? found.catch(noTraceRefusalOf) : found;
    } catch (error) {
      return noTraceRefusalOf(error);
    }
  }

  /** Puts a record and notes the change; the promise is the store's own, and rejects as it does. */
  begin(request: PutRequest): Promise<void> {
    return this.#store.put(request);
  }

  /** What the promise of `begin` ended in. */
  async ended(request: PutRequest, putting: Promise<void>): Promise<ReplicaWriteResult> {
    const beganMs = this.#pulse?.began();
    let isKept = false;
    try {
      await putting;
      isKept = true;
    } catch (error) {
      return this.#failureOf(error);
    } finally {
      if (beganMs !== undefined) this.#pulse?.ended(beganMs, isKept);
    }
    if (this.#isShort && this.#clock.monotonicMs() >= this.#shortUntilMs) this.#isShort = false;
    this.changes.note(request.address.partition, request.address.hash);
    return this.stored(request.digest);
  }

  /** The answer for what is held already. */
  stored(digest: bigint): ReplicaWriteResult {
    return { kind: "stored", digest, isDurable: this.#isDurable };
  }

  #failureOf(error: unknown): ReplicaWriteResult {
    if (error instanceof StoreFailedError) return { kind: "failed", detail: error.message };
    const isBusyLate = error instanceof StoreBusyError && error.cause !== undefined;
    if (error instanceof DiskFullError || isBusyLate) {
      this.#isShort = true;
      this.#shortUntilMs = this.#clock.monotonicMs() + SHORTAGE_MS;
    }
    return noTraceRefusalOf(error);
  }
}
