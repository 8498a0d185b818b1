/**
 * One key on this node: reads what is held, mints a dot, stores; takes finished versions from others and merges them.
 * Operations on one key follow each other, those on different keys meet in the store's group commit. Must never take a
 * read error for an absence, never mint under an actor in doubt, never wait for another node.
 *
 * The rule behind the doubt: a dot enters the vector because its actor holds everything that it ever minted for the
 * key. Whoever removes records of this store that its actor may have minted (a delivered hint, a released slot) calls
 * `renewActor` first. Sources: DESIGN §4, §7; Dynamo §4.4.
 */
import type { PutRequest } from "../../storage/engine.ts";
import { DiskFullError, StoreFailedError } from "../../storage/errors.ts";
import { greatestCounter } from "../versioning/causal-context.ts";
import { decodeSet, digestOf, encodeSet } from "../versioning/object-codec.ts";
import { encodedSiblingCountOf } from "../versioning/object-header.ts";
import type { Dot } from "../versioning/types.ts";
import type {
  Budgeted,
  HandedVersion,
  KeyLocation,
  LocalReplica,
  Minted,
  ReplicaReadResult,
  ReplicaRefusal,
  ReplicaWriteResult,
  WriteIntent,
} from "./contract.ts";
import { DotMint } from "./dot-mint.ts";
import {
  type EncodedRead,
  encodedReadOf,
  type Fetched,
  flawOf,
  heldOf,
  readResultOf,
  replacing,
} from "./held-versions.ts";
import type { ReplicaStore } from "./needs.ts";
import type { ReplicaCounters, ReplicaParts } from "./parts.ts";
import { expired, isRefusal, noTraceRefusalOf, notOwner, refused } from "./refusals.ts";
import { Turns } from "./turns.ts";
import { floorOf, givenContextOf, mergedOf, mintedOf } from "./write-core.ts";

/** A write that has its dot, or why it got none. */
type MadeWrite = ReturnType<typeof mintedOf>;

/** The replica of this node. `close` it before the store, or announced writes may be missing from it. */
export class Replica implements LocalReplica {
  readonly counters: ReplicaCounters = { writeCount: 0, appendedCount: 0, mergedCount: 0, knownCount: 0 };
  readonly #parts: ReplicaParts;
  readonly #store: ReplicaStore;
  readonly #mint: DotMint;
  readonly #turns: Turns = new Turns();
  #isDiskFull = false;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
    this.#store = parts.store;
    this.#mint = new DotMint(parts);
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

  slotOf(partition: number): number {
    return this.#parts.slots.slotOf(partition);
  }

  isSuspect(partition: number): boolean {
    return this.#store.isSuspect(partition);
  }

  digestOf(location: KeyLocation): bigint {
    return this.#store.digestOf(location);
  }

  read(location: KeyLocation): ReplicaReadResult | Promise<ReplicaReadResult> {
    const fetched = this.#fetch(location);
    return fetched instanceof Promise ? fetched.then(readResultOf) : readResultOf(fetched);
  }

  readEncoded(location: KeyLocation): EncodedRead | Promise<EncodedRead> {
    const fetched = this.#fetch(location);
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
    const turn = this.#turns.enter(location.hash);
    if (isRefusal(turn)) return turn;
    try {
      if (turn !== "taken") {
        await turn;
        if (this.#isOver(endMs)) return expired();
      }
      const making = this.#makeWrite(location, intent, endMs);
      const made = making instanceof Promise ? await making : making;
      if (made.kind === "refused") return made;
      // A dot that nobody was told of is a gap like any other: it may be dropped.
      if (making instanceof Promise && this.#isOver(endMs)) return expired();
      return await this.#keepMinted(location, made.minted, onMinted);
    } finally {
      this.#turns.leave(location.hash);
    }
  }

  async store(location: KeyLocation, version: HandedVersion): Promise<ReplicaWriteResult> {
    const flaw = flawOf(version);
    if (flaw !== undefined) return refused("corrupt_record", flaw);
    const endMs = this.#endOf(version);
    const turn = this.#turns.enter(location.hash);
    if (isRefusal(turn)) return turn;
    try {
      if (turn !== "taken") {
        await turn;
        if (this.#isOver(endMs)) return expired();
      }
      return await this.#storeInTurn(location, version, endMs);
    } finally {
      this.#turns.leave(location.hash);
    }
  }

  /** The monotonic time at which an operation that starts now must not go on. */
  #endOf({ budgetMs }: Budgeted): number {
    return budgetMs === undefined ? Number.POSITIVE_INFINITY : this.#parts.clock.monotonicMs() + budgetMs;
  }

  #isOver(endMs: number): boolean {
    return this.#parts.clock.monotonicMs() >= endMs;
  }

  #makeWrite(location: KeyLocation, intent: WriteIntent, endMs: number): MadeWrite | Promise<MadeWrite> {
    const fetched = this.#fetch(location);
    if (fetched instanceof Promise) {
      return fetched.then((later) => (this.#isOver(endMs) ? expired() : this.#makeFrom(location, intent, later)));
    }
    return this.#makeFrom(location, intent, fetched);
  }

  #makeFrom(location: KeyLocation, intent: WriteIntent, fetched: Fetched): MadeWrite | Promise<MadeWrite> {
    const held = heldOf(fetched);
    if (isRefusal(held)) return held;
    if (fetched === undefined && this.isSuspect(location.partition)) this.#mint.noteLoss(location.partition);
    const given = givenContextOf(held, intent);
    this.#mint.compare(held.set.clock, given);
    this.#mint.clock.observe(greatestCounter(given));
    const isLww = this.#parts.conflicts.isLastWriteWins(location);
    const floor = floorOf(held, { given, isLww });
    const dot = this.#mint.mint(floor);
    if (dot !== undefined) return mintedOf(held, { intent, given, dot, isLww });
    return this.#mintWhenReady(floor).then((later) =>
      isRefusal(later) ? later : mintedOf(held, { intent, given, dot: later, isLww }),
    );
  }

  async #mintWhenReady(floor: number): Promise<Dot | ReplicaRefusal> {
    try {
      return (await this.#mint.mintWhenReady(floor)) ?? refused("expired", "no counter could be leased in time");
    } catch (error) {
      return noTraceRefusalOf(error);
    }
  }

  async #keepMinted(
    location: KeyLocation,
    minted: Minted,
    onMinted: (minted: Minted) => void,
  ): Promise<ReplicaWriteResult> {
    const { object: value, digest } = minted;
    let isRefusedAtOnce = false;
    let isAnnounced = false;
    try {
      const isTombstone = minted.siblingCount === 0;
      const stored = this.#store.put(replacing(minted.baseDigest, { address: location, value, digest, isTombstone }));
      stored.catch(() => {
        isRefusedAtOnce = true;
      });
      // One step, long before the first byte is written: a store that is busy, closed or failed has said so by then.
      await Promise.resolve();
      if (!this.#isDiskFull && !isRefusedAtOnce) {
        isAnnounced = true;
        onMinted(minted);
      }
      await stored;
    } catch (error) {
      // Others may hold it now and we do not: another dot of this actor would claim that we do.
      if (isAnnounced) this.#mint.actor.doubt(minted.dot.actor, { reason: "announced_but_not_kept" });
      return this.#failureOf(error);
    }
    if (!isAnnounced) onMinted(minted);
    this.counters.writeCount += 1;
    return this.#kept(digest);
  }

  async #storeInTurn(location: KeyLocation, version: HandedVersion, endMs: number): Promise<ReplicaWriteResult> {
    if (this.slotOf(location.partition) < 0) return notOwner(location);
    const { object, digest, baseDigest } = version;
    const current = this.#store.digestOf(location);
    if (current === digest) return this.#known(digest);
    this.#mint.observe(object);
    if (current !== 0n && current !== baseDigest) return this.#mergeInTurn(location, version, endMs);
    if (current === 0n && this.isSuspect(location.partition)) {
      await this.#noteLost(location);
      if (this.#isOver(endMs)) return expired();
    }
    this.#mint.compareEncoded(object, current !== 0n);
    this.counters.appendedCount += 1;
    const isTombstone = encodedSiblingCountOf(object) === 0;
    return this.#put(replacing(baseDigest, { address: location, value: object, digest, isTombstone }));
  }

  async #mergeInTurn(location: KeyLocation, version: HandedVersion, endMs: number): Promise<ReplicaWriteResult> {
    const fetched = this.#fetch(location);
    const held = heldOf(fetched instanceof Promise ? await fetched : fetched);
    if (isRefusal(held)) return held;
    if (fetched instanceof Promise && this.#isOver(endMs)) return expired();
    const incoming = decodeSet(version.object);
    if (incoming.kind === "corrupt") return refused("corrupt_record", `the version handed in: ${incoming.reason}`);
    this.#mint.compare(held.set.clock, incoming.set.clock);
    const merged = mergedOf(held.set, incoming.set, this.#parts.conflicts.isLastWriteWins(location));
    const digest = digestOf(merged);
    if (digest === held.digest) return this.#known(digest);
    this.counters.mergedCount += 1;
    const value = digest === version.digest ? version.object : encodeSet(merged);
    const isTombstone = merged.siblings.length === 0;
    return this.#put(replacing(held.digest, { address: location, value, digest, isTombstone }));
  }

  async #put(request: PutRequest): Promise<ReplicaWriteResult> {
    try {
      await this.#store.put(request);
    } catch (error) {
      return this.#failureOf(error);
    }
    return this.#kept(request.digest);
  }

  #kept(digest: bigint): ReplicaWriteResult {
    this.#isDiskFull = false;
    return { kind: "stored", digest, isDurable: this.#parts.isDurable };
  }

  #failureOf(error: unknown): ReplicaWriteResult {
    if (error instanceof StoreFailedError) return { kind: "failed", detail: error.message };
    if (error instanceof DiskFullError) this.#isDiskFull = true;
    return noTraceRefusalOf(error);
  }

  /** Nothing is held where records were lost. One that cannot be read any more counts as nothing only here, for repair. */
  async #noteLost(location: KeyLocation): Promise<void> {
    this.#mint.noteLoss(location.partition);
    const fetched = await this.#fetch(location);
    if (isRefusal(fetched) && fetched.reason === "corrupt_record") this.#mint.noteReplacement(location.partition);
  }

  #known(digest: bigint): ReplicaWriteResult {
    this.counters.knownCount += 1;
    return { kind: "stored", digest, isDurable: this.#parts.isDurable };
  }

  #fetch(location: KeyLocation): Fetched | Promise<Fetched> {
    if (this.slotOf(location.partition) < 0) return notOwner(location);
    try {
      const found = this.#store.get(location);
      return found instanceof Promise ? found.catch(noTraceRefusalOf) : found;
    } catch (error) {
      return noTraceRefusalOf(error);
    }
  }
}
