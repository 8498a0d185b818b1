/**
 * The passes of a delivery: over the objects that are kept for a slot, and over the markers of what the slot lacks. A hint is
 * taken out when the slot's holder has it and no other slot may need it; one that is given up, when any owner has it.
 * Must never take out what nobody confirmed.
 */
import { MAX_REPLICAS } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { ReplicaRefusal } from "../replica/contract.ts";
import type { HintObject, HintOnOffer, HintPage, HintPass } from "./delivery-run.ts";
import type { FoundHint, HintRecords } from "./hint-records.ts";
import type { HintStore } from "./hint-store.ts";
import { type MarkerStore, markerOf } from "./marker-store.ts";
import type { KeyReplicas, MainReplica, SlotHolders } from "./needs.ts";
import type { RepairFlags } from "./repair-flags.ts";
import type { ShelfTally } from "./shelf-tally.ts";
import type { UnreadableHints } from "./unreadable-hints.ts";

/** What passes work with. */
export interface PassParts {
  readonly store: HintStore;
  readonly markers: MarkerStore;
  readonly main: MainReplica;
  readonly replicas: KeyReplicas;
  readonly holders: SlotHolders;
  readonly flags: RepairFlags;
  readonly clock: Clock;
  readonly log: Log;
  /** its hints may go as soon as any owner has them: the partition is flagged, durably */
  readonly isGivenUp: (partition: number) => boolean;
  /** what could not be read, and is to be tried again */
  readonly unreadable: UnreadableHints;
  /** a hint was taken out because its slot, or an owner, has it */
  readonly onDelivered: (isInstead: boolean) => void;
}

/** Which pass. */
export interface PassPlace {
  readonly partition: number;
  readonly slot: number;
}

/** What both passes share: where they are, and how they begin and end. */
class ShelfPass {
  readonly partition: number;
  readonly slot: number;
  protected readonly parts: PassParts;
  readonly #records: HintRecords;
  readonly #tally: ShelfTally;
  #startedMs = 0;
  #begun = 0;

  constructor(parts: PassParts, { partition, slot }: PassPlace, records: HintRecords, tally: ShelfTally) {
    this.parts = parts;
    this.partition = partition;
    this.slot = slot;
    this.#records = records;
    this.#tally = tally;
  }

  begin(): void {
    this.#startedMs = this.parts.clock.monotonicMs();
    this.#begun = this.#tally.beginPass(this.partition, this.slot);
  }

  /** Up to `limit` hints from a place on that `isMeant` takes. Rejects as the store does. */
  protected async found(
    from: bigint,
    limit: number,
    isMeant: (hint: FoundHint) => boolean,
  ): Promise<{ readonly hints: readonly FoundHint[]; readonly next: bigint | undefined }> {
    const { hints, next } = await this.#records.scan(this.partition, from, limit);
    return { hints: hints.filter(isMeant), next };
  }

  stuck({ location }: HintOnOffer, why: string): void {
    this.parts.log.error({ event: "hints.stuck", partition: location.partition, slot: this.slot, why });
    this.parts.flags.raise(this.partition);
  }

  end(): void {
    const replicaCount = this.parts.holders.table()?.replicaCount ?? MAX_REPLICAS;
    const pass = { startedMs: this.#startedMs, begun: this.#begun, replicaCount };
    this.#tally.endPass(this.partition, this.slot, pass);
    if (this.#tally.countOf(this.partition) > 0) this.#records.recount(this.partition);
  }
}

/** The pass over kept objects. */
export class ObjectPass extends ShelfPass implements HintPass {
  constructor(parts: PassParts, place: PassPlace) {
    super(parts, place, parts.store.records, parts.store.tally);
  }

  async page(from: bigint, limit: number): Promise<HintPage> {
    const { hints, next } = await this.found(from, limit, (hint) => this.#isMeant(hint));
    return { hints: hints.map((hint) => ({ ...hint, slot: this.slot })), next };
  }

  /** One that cannot be read is tried again in later passes; the index has given its digest up, but it may be read after all. */
  async objectOf({ location, digest }: HintOnOffer): Promise<HintObject> {
    const { store, unreadable } = this.parts;
    const read = hintObjectOf(await store.readEncoded(location));
    if (read.kind === "lost") return unreadable.noteFailure(location.hash) === "again" ? { kind: "later" } : read;
    unreadable.forget(location.hash);
    if (digest === 0n && read.kind === "object") await store.keepAgain(location, this.slot, read.object);
    return read;
  }

  async confirmed(hint: HintOnOffer): Promise<void> {
    const { store, isGivenUp, onDelivered, flags } = this.parts;
    const { tally } = store;
    const bit = 1 << this.slot;
    const isInstead = isGivenUp(this.partition);
    // once more: what anti-entropy has compared so far may have been before this owner had it
    if (isInstead) await flags.flag([this.partition]);
    const isGone = await store.remove(hint, () => isInstead || this.#slotsOf(hint) === bit);
    if (isGone) onDelivered(isInstead && (tally.maskOf(this.partition) & bit) === 0);
    else if (store.digestOf(hint.location) !== hint.digest) tally.mark(this.partition, bit);
  }

  async lost(hint: HintOnOffer, why: string): Promise<void> {
    const { flags, log, store, unreadable } = this.parts;
    log.error({ event: "hints.lost", partition: this.partition, slot: this.slot, why });
    await flags.flag([this.partition]);
    await store.remove(hint, () => true);
    unreadable.forget(hint.location.hash);
  }

  /** A scan leaves out whose key it cannot read: while that may pass, the partition is not through, and is gone over again. */
  override end(): void {
    const { store, unreadable, flags, log } = this.parts;
    const { records, tally } = store;
    const { partition } = this;
    const count = tally.countOf(partition) > 0 ? records.unreadableIn(partition) : 0;
    const verdict = count === 0 ? undefined : unreadable.noteFailure(partition);
    if (verdict === "again") return tally.recount(partition, records.digestsOf(partition).length + count);
    if (verdict === undefined) unreadable.forget(partition);
    if (verdict === "lost") {
      log.error({ event: "hints.lost", partition, count, why: "they cannot be read" });
      flags.raise(partition);
    }
    super.end();
  }

  /** Slots from the bucket's n on hold nothing of a key. A hint that was for none of the others is for any of them. */
  #isMeant(hint: FoundHint): boolean {
    const { replicas, store } = this.parts;
    const replicaCount = replicas.replicasOf(hint.location);
    if (this.slot < replicaCount) return true;
    if (this.#slotsOf(hint) === 0) store.tally.mark(this.partition, (1 << replicaCount) - 1);
    return false;
  }

  #slotsOf({ location }: FoundHint): number {
    const { replicas, store } = this.parts;
    return store.tally.maskOf(this.partition) & ((1 << replicas.replicasOf(location)) - 1);
  }
}

/** The pass over markers: what is offered is what the main store holds. */
export class MarkerPass extends ShelfPass implements HintPass {
  /** the markers' own records, by hash: what is offered is something else */
  readonly #found = new Map<bigint, FoundHint>();

  constructor(parts: PassParts, place: PassPlace) {
    super(parts, place, parts.markers.records, parts.markers.tally);
  }

  async page(from: bigint, limit: number): Promise<HintPage> {
    const { main } = this.parts;
    const bit = 1 << this.slot;
    const { hints, next } = await this.found(from, limit, ({ digest }) => (markerOf(digest).mask & bit) !== 0);
    for (const hint of hints) this.#found.set(hint.location.hash, hint);
    return {
      hints: hints.map(({ location }) => ({ location, slot: this.slot, digest: main.digestOf(location) })),
      next,
    };
  }

  async objectOf({ location, digest }: HintOnOffer): Promise<HintObject> {
    // the main store holds nothing of it any more, or has given it up, which is its own affair
    if (digest === 0n) return { kind: "lost" };
    const read = hintObjectOf(await this.parts.main.readEncoded(location));
    // that its slot is going is seen to elsewhere, and rot is repaired by itself: the marker stays
    return read.kind === "lost" ? { kind: "later" } : read;
  }

  async confirmed(hint: HintOnOffer): Promise<void> {
    const { main, markers, onDelivered } = this.parts;
    const isGone = await this.#settle(hint, () => main.digestOf(hint.location) === hint.digest);
    if (isGone) onDelivered(false);
    else markers.tally.mark(this.partition, 1 << this.slot);
  }

  async lost(hint: HintOnOffer, why: string): Promise<void> {
    const { flags, log } = this.parts;
    log.warn({ event: "hints.marker-moot", partition: this.partition, slot: this.slot, why });
    await flags.flag([this.partition]);
    await this.#settle(hint, () => true);
  }

  override end(): void {
    super.end();
    const { records, tally } = this.parts.markers;
    if (tally.countOf(this.partition) === 0) return;
    // Markers say themselves which slots they are for: one that this pass left is met by the next, whatever left it.
    let wanted = 0;
    for (const digest of records.digestsOf(this.partition)) wanted |= markerOf(digest).mask;
    const forgotten = wanted & ~tally.maskOf(this.partition);
    if (forgotten !== 0) tally.mark(this.partition, forgotten);
  }

  async #settle({ location }: HintOnOffer, mayGo: () => boolean): Promise<boolean> {
    const found = this.#found.get(location.hash);
    this.#found.delete(location.hash);
    return found !== undefined && (await this.parts.markers.settle(found, 1 << this.slot, mayGo));
  }
}

function hintObjectOf(
  read: { readonly kind: "object"; readonly object: Uint8Array | undefined } | ReplicaRefusal,
): HintObject {
  if (read.kind === "object")
    return read.object === undefined ? { kind: "gone" } : { kind: "object", object: read.object };
  return { kind: read.reason === "corrupt_record" ? "lost" : "later" };
}
