/**
 * One key on this node: reads what is held, mints a dot, stores; takes finished versions from others and merges them.
 * Operations on one key follow each other, those on different keys meet in the store's group commit. Must never take a
 * read error for an absence, never mint under an actor in doubt, never wait for another node.
 *
 * The rule behind the doubt: a dot enters the vector because its actor holds everything that it ever minted for the
 * key. Whoever removes records of this store that its actor may have minted (a delivered hint, a released slot) calls
 * `renewActor` first. Sources: DESIGN §4, §7; Dynamo §4.4.
 */
import assert from "node:assert/strict";
import type { PutRequest } from "../../storage/engine.ts";
import { MAX_KEY_QUEUE, MAX_KEY_WAITERS, MAX_KEY_WRITES } from "../base/limits.ts";
import { MANY_OBJECT_BYTES, MANY_SIBLINGS } from "../base/load-limits.ts";
import { encodedDigestOf } from "../versioning/object-codec.ts";
import { encodedExpiryOf, lengthFlawOf } from "../versioning/object-header.ts";
import type { ChangeTracker } from "./change-trackers.ts";
import type {
  Budgeted,
  HandedVersion,
  KeyLocation,
  LocalReplica,
  Minted,
  ReadTerm,
  ReplicaReadResult,
  ReplicaRefusal,
  ReplicaWriteResult,
  WriteIntent,
} from "./contract.ts";
import { DotMint } from "./dot-mint.ts";
import { HandedVersions, type TakeRules } from "./handed-versions.ts";
import { type EncodedRead, encodedReadOf, flawOf, readResultOf, replacing } from "./held-versions.ts";
import { MintPlaces } from "./mint-places.ts";
import type { ReplicaStore } from "./needs.ts";
import type { ReplicaCounters, ReplicaParts } from "./parts.ts";
import { RecordKeeper } from "./record-keeper.ts";
import { expired, refused } from "./refusals.ts";
import { Turns } from "./turns.ts";
import { WriteMaker } from "./write-maker.ts";

/** The replica of this node. `close` it before the store, or announced writes may be missing from it. */
export class Replica implements LocalReplica {
  readonly counters: ReplicaCounters = {
    writeCount: 0,
    crowdedWriteCount: 0,
    appendedCount: 0,
    mergedCount: 0,
    knownCount: 0,
  };
  readonly #parts: ReplicaParts;
  readonly #store: ReplicaStore;
  readonly #mint: DotMint;
  readonly #turns: Turns;
  readonly #keeper: RecordKeeper;
  readonly #handed: HandedVersions;
  readonly #mintPlaces: MintPlaces;
  readonly #maker: WriteMaker;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
    this.#store = parts.store;
    this.#mint = new DotMint(parts);
    this.#turns = new Turns(parts.clock);
    this.#keeper = new RecordKeeper(parts);
    this.#mintPlaces = new MintPlaces(this.#mint.actor.id, parts.store.recovery.isNewActor);
    const isOver = (endMs: number): boolean => this.#turns.isOver(endMs);
    const own = { keeper: this.#keeper, mint: this.#mint, counters: this.counters, isOver };
    this.#handed = new HandedVersions({ ...parts, ...own });
    this.#maker = new WriteMaker({ ...parts, ...own });
  }

  /** Operations refused because too many waited for their key, since the start. */
  get keyRefusedCount(): number {
    return this.#turns.refusedCount;
  }

  /** Leases counters, so that the first write need not wait. Rejects as the store does. */
  async prepare(): Promise<void> {
    await this.#mint.clock.renewLease(0);
  }

  /**
   * Refuses what comes from now on, and resolves when what was accepted is done and a doubt about the actor is settled.
   * `isActorTrusted` false: no new actor could be drawn, and the doubt is known nowhere but here. The store must then be
   * left as after a crash, without its mark of a clean stop, so that its next start draws one. Never rejects.
   */
  async close(): Promise<{ readonly isActorTrusted: boolean }> {
    await this.#turns.drain();
    // Nobody is inside any more who could raise another doubt: one attempt, beside the one that may be under way.
    return { isActorTrusted: await this.#mint.actor.tryRenew() };
  }

  /**
   * Goes on as a new actor, durably. For whoever is about to remove records that this actor may have minted; nothing is
   * minted until it resolves. Never call the store's own `renewActor` beside it. Rejects as the store does.
   */
  async renewActor(): Promise<void> {
    await this.#mint.actor.retire();
  }

  /**
   * Removes all that this node holds of a partition of which it holds no slot, durably, and goes on as a new actor if the
   * present one may have minted there: what comes back from others later is then no sign of a loss. Rejects as the store.
   */
  async dropPartition(partition: number): Promise<void> {
    if (this.#mintPlaces.has(this.#mint.actor.id, partition)) await this.renewActor();
    assert.ok(this.slotOf(partition) < 0, "a partition of which a slot is held is not dropped");
    await this.#store.dropPartition(partition);
  }

  /**
   * Puts `mark` in the place of a key's record if `isDue` says, within the key's turn, that it may go: durably, and as a new
   * actor if the present one may have minted it. True when it did. Rejects as the store does.
   */
  async discard(location: KeyLocation, mark: PutRequest, isDue: () => boolean): Promise<boolean> {
    if ((await this.#turns.enter(location, Number.POSITIVE_INFINITY)) !== "taken") return false;
    try {
      if (!isDue()) return false;
      if (this.#mintPlaces.has(this.#mint.actor.id, location.partition)) await this.renewActor();
      await this.#store.put(mark);
      return true;
    } finally {
      this.#turns.leave(location);
    }
  }

  slotOf(partition: number): number {
    return this.#parts.slots.slotOf(partition);
  }

  /** Why this node does not serve the partition (`moved`, `not_owner`); undefined while it holds a slot. From RAM. */
  refusalOf(partition: number): ReplicaRefusal | undefined {
    return this.#keeper.refusalOf(partition);
  }

  /**
   * Holds up what would change the partition: writes, stores and ingests wait at the gate (bounded, and by their budgets). Resolves
   * when all that was inside is done: then the partition stands still until `openGate`. Reads go on. Idempotent.
   */
  closeGate(partition: number): Promise<void> {
    return this.#turns.gates.close(partition);
  }

  /** Lets everything go on: done where the slot is still held, refused as `moved` where it has gone. Idempotent. */
  openGate(partition: number): void {
    this.#turns.gates.open(partition);
  }

  /** Notes from now on which keys of the partition change; bounded. Whoever copies a partition begins with this. */
  trackChanges(partition: number): ChangeTracker {
    return this.#keeper.changes.track(partition);
  }

  isSuspect(partition: number): boolean {
    return this.#store.isSuspect(partition);
  }

  isHidden(partition: number, key: Uint8Array | undefined): boolean {
    return this.#parts.collected?.isHidden?.(partition, key, this.#store.isSuspect(partition)) === true;
  }

  digestOf(location: KeyLocation): bigint {
    return this.#store.digestOf(location);
  }

  read(location: KeyLocation, wanted?: number | ReadTerm): ReplicaReadResult | Promise<ReplicaReadResult> {
    const fetched = this.#keeper.fetch(location, typeof wanted === "object" ? wanted : this.#byOf(wanted));
    return fetched instanceof Promise ? fetched.then(readResultOf) : readResultOf(fetched);
  }

  readEncoded(location: KeyLocation, budgetMs?: number): EncodedRead | Promise<EncodedRead> {
    const fetched = this.#keeper.fetch(location, this.#byOf(budgetMs));
    return fetched instanceof Promise ? fetched.then(encodedReadOf) : encodedReadOf(fetched);
  }

  /**
   * See the contract. What the store refuses at once is never announced. On a full disk the order turns round: the
   * write is kept first and announced after, so that a refusal leaves no trace; only the writes under way when the disk
   * fills up have been announced (`disk_full`, and others may hold them), and cost the actor.
   */
  async write(
    location: KeyLocation,
    intent: WriteIntent,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult> {
    const endMs = this.#endOf(intent);
    const turn = this.#turns.enter(location, endMs, MAX_KEY_WRITES);
    if (turn !== "taken") {
      const entered = await turn;
      if (entered !== "taken") return entered;
    }
    try {
      const making = this.#maker.make(location, intent, endMs);
      const made = making instanceof Promise ? await making : making;
      if (made.kind === "refused") return made;
      // A dot that nobody was told of is a gap like any other: it may be dropped.
      if (making instanceof Promise && this.#turns.isOver(endMs)) return expired();
      return await this.#keepMinted(location, made.minted, onMinted);
    } finally {
      this.#turns.leave(location);
    }
  }

  async store(location: KeyLocation, version: HandedVersion): Promise<ReplicaWriteResult> {
    const flaw = flawOf(version);
    if (flaw !== undefined) return refused("corrupt_record", flaw);
    return this.#take(location, version, { needsSlot: true, believedThrough: 0 });
  }

  /**
   * Like `store`, for a version that a holder has which took part in collecting the partition's tombstones, up to this
   * counter at least: it stands, however old it is, unless more was collected.
   */
  adopt(location: KeyLocation, object: Uint8Array, believedThrough: number): Promise<ReplicaWriteResult> {
    return this.#takeObject(location, object, { needsSlot: true, believedThrough });
  }

  /** Mints only above `counter` from now on, over restarts too once it resolves. Rejects as the store does. */
  async mintAbove(counter: number): Promise<void> {
    await this.#mint.clock.keepAbove(counter);
  }

  /**
   * Like `store`, but needs no slot: for transfers and repair, which fill a partition before its slot is taken. What
   * comes is merged with what is there.
   */
  ingest(location: KeyLocation, object: Uint8Array): Promise<ReplicaWriteResult> {
    // A partition of which no slot is held becomes a copy of another holder's, line and all.
    const believedThrough = this.slotOf(location.partition) < 0 ? Number.POSITIVE_INFINITY : 0;
    return this.#takeObject(location, object, { needsSlot: false, believedThrough });
  }

  async #takeObject(location: KeyLocation, object: Uint8Array, how: TakeRules): Promise<ReplicaWriteResult> {
    const flaw = lengthFlawOf(object);
    if (flaw !== undefined) return refused("corrupt_record", `the version handed in: ${flaw}`);
    return this.#take(location, { baseDigest: 0n, digest: encodedDigestOf(object), object }, how);
  }

  async #take(location: KeyLocation, version: HandedVersion, how: TakeRules): Promise<ReplicaWriteResult> {
    const endMs = this.#endOf(version);
    // What repairs is not bound by what clients do to a key.
    const turn = this.#turns.enter(location, endMs, how.needsSlot ? MAX_KEY_QUEUE : MAX_KEY_WAITERS);
    if (turn !== "taken") {
      const entered = await turn;
      if (entered !== "taken") return entered;
    }
    try {
      return await this.#handed.take({ location, version, endMs, ...how });
    } finally {
      this.#turns.leave(location);
    }
  }

  #byOf(budgetMs: number | undefined): number | undefined {
    return budgetMs === undefined ? undefined : this.#parts.clock.monotonicMs() + budgetMs;
  }

  /** The monotonic time at which an operation that starts now must not go on. */
  #endOf({ budgetMs }: Budgeted): number {
    return budgetMs === undefined ? Number.POSITIVE_INFINITY : this.#parts.clock.monotonicMs() + budgetMs;
  }

  async #keepMinted(
    location: KeyLocation,
    minted: Minted,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult> {
    this.#mintPlaces.note(minted.dot.actor, location.partition);
    // What was read and minted may have taken its time: a slot is needed now.
    const refusal = this.#keeper.refusalOf(location.partition);
    if (refusal !== undefined) return refusal;
    const { object: value, digest } = minted;
    const isTombstone = minted.siblingCount === 0;
    const mayExpire = encodedExpiryOf(value) > 0;
    const request = replacing(minted.baseDigest, { address: location, value, digest, isTombstone, mayExpire });
    let isRefusedAtOnce = false;
    const putting = this.#keeper.begin(request);
    putting.catch(() => {
      isRefusedAtOnce = true;
    });
    // One step, long before the first byte is written: a store that has no room in its queue, is closed or failed has said so by then.
    await Promise.resolve();
    const isAnnounced = !this.#keeper.isShort && !isRefusedAtOnce;
    if (isAnnounced) onMinted(minted);
    const result = await this.#keeper.ended(request, putting);
    if (result.kind === "stored") {
      if (!isAnnounced) onMinted(minted);
      this.counters.writeCount += 1;
      if (minted.siblingCount > MANY_SIBLINGS || value.length > MANY_OBJECT_BYTES) this.counters.crowdedWriteCount += 1;
    } else if (isAnnounced) {
      // Others may hold it now and we do not: another dot of this actor would claim that we do.
      this.#mint.actor.doubt(minted.dot.actor, { reason: "announced_but_not_kept" });
    }
    return result;
  }
}
