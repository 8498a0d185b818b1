/**
 * The passes of a delivery: over the objects that are kept for a slot, and over the markers of what the slot lacks. A hint is
 * taken out when the slot's holder has it and no other slot may need it; one that is given up, when any owner has it.
 * Must never take out what nobody confirmed.
 */
import { MAX_REPLICAS } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { ReplicaRefusal } from "../replica/contract.ts";
import type { HintObject, HintOnOffer, HintPass } from "./delivery-run.ts";
import type { FoundHint } from "./hint-records.ts";
import type { HintStore } from "./hint-store.ts";
import { type MarkerStore, markerOf } from "./marker-store.ts";
import type { KeyReplicas, MainReplica, SlotHolders } from "./needs.ts";
import type { RepairFlags } from "./repair-flags.ts";

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
  /** a hint was taken out because its slot, or an owner, has it */
  readonly onDelivered: (isInstead: boolean) => void;
}

/** Which pass. */
export interface PassPlace {
  readonly partition: number;
  readonly slot: number;
}

/** The pass over kept objects. */
export class ObjectPass implements HintPass {
  readonly partition: number;
  readonly slot: number;
  readonly #parts: PassParts;
  #startedMs = 0;
  #begun = 0;

  constructor(parts: PassParts, place: PassPlace) {
    this.#parts = parts;
    this.partition = place.partition;
    this.slot = place.slot;
  }

  begin(): void {
    this.#startedMs = this.#parts.clock.monotonicMs();
    this.#begun = this.#parts.store.tally.beginPass(this.partition, this.slot);
  }

  async page(
    from: bigint,
    limit: number,
  ): Promise<{ readonly hints: readonly HintOnOffer[]; readonly next: bigint | undefined }> {
    const { store } = this.#parts;
    const page = await store.scan(this.partition, from, limit);
    const hints = page.hints.filter((hint) => this.#isMeant(hint)).map((hint) => ({ ...hint, slot: this.slot }));
    return { hints, next: page.next };
  }

  async objectOf({ location }: HintOnOffer): Promise<HintObject> {
    return hintObjectOf(await this.#parts.store.readEncoded(location));
  }

  async confirmed(hint: HintOnOffer): Promise<void> {
    const { store, isGivenUp, onDelivered } = this.#parts;
    const { tally } = store;
    const bit = 1 << this.slot;
    const isInstead = isGivenUp(this.partition);
    // once more: what anti-entropy has compared so far may have been before this owner had it
    if (isInstead) await this.#parts.flags.flag([this.partition]);
    const isGone = await store.remove(hint, () => isInstead || this.#slotsOf(hint) === bit);
    if (isGone) onDelivered(isInstead && (tally.maskOf(this.partition) & bit) === 0);
    else if (store.digestOf(hint.location) !== hint.digest) tally.mark(this.partition, bit);
  }

  async lost(hint: HintOnOffer, why: string): Promise<void> {
    const { flags, log, store } = this.#parts;
    log.error({ event: "hints.lost", partition: this.partition, slot: this.slot, why });
    await flags.flag([this.partition]);
    await store.remove(hint, () => true);
  }

  stuck(hint: HintOnOffer, why: string): void {
    this.#parts.log.error({ event: "hints.stuck", partition: hint.location.partition, slot: this.slot, why });
    this.#parts.flags.raise(this.partition);
  }

  end(): void {
    const { store, holders } = this.#parts;
    const replicaCount = holders.table()?.replicaCount ?? MAX_REPLICAS;
    store.tally.endPass(this.partition, this.slot, { startedMs: this.#startedMs, begun: this.#begun, replicaCount });
    if (store.tally.countOf(this.partition) > 0) store.records.recount(this.partition);
  }

  /** Slots from the bucket's n on hold nothing of a key. A hint that was for none of the others is for any of them. */
  #isMeant(hint: FoundHint): boolean {
    const { replicas, store } = this.#parts;
    const replicaCount = replicas.replicasOf(hint.location);
    if (this.slot < replicaCount) return true;
    if (this.#slotsOf(hint) === 0) store.tally.mark(this.partition, (1 << replicaCount) - 1);
    return false;
  }

  #slotsOf({ location }: FoundHint): number {
    const { replicas, store } = this.#parts;
    return store.tally.maskOf(this.partition) & ((1 << replicas.replicasOf(location)) - 1);
  }
}

/** The pass over markers: what is offered is what the main store holds. */
export class MarkerPass implements HintPass {
  readonly partition: number;
  readonly slot: number;
  readonly #parts: PassParts;
  /** the markers' own records, by hash: what is offered is something else */
  readonly #found = new Map<bigint, FoundHint>();
  #startedMs = 0;
  #begun = 0;

  constructor(parts: PassParts, place: PassPlace) {
    this.#parts = parts;
    this.partition = place.partition;
    this.slot = place.slot;
  }

  begin(): void {
    this.#startedMs = this.#parts.clock.monotonicMs();
    this.#begun = this.#parts.markers.tally.beginPass(this.partition, this.slot);
  }

  async page(
    from: bigint,
    limit: number,
  ): Promise<{ readonly hints: readonly HintOnOffer[]; readonly next: bigint | undefined }> {
    const { markers, main } = this.#parts;
    const { hints, next } = await markers.records.scan(this.partition, from, limit);
    const meant = hints.filter(({ digest }) => (markerOf(digest).mask & (1 << this.slot)) !== 0);
    for (const hint of meant) this.#found.set(hint.location.hash, hint);
    return {
      hints: meant.map(({ location }) => ({ location, slot: this.slot, digest: main.digestOf(location) })),
      next,
    };
  }

  async objectOf({ location }: HintOnOffer): Promise<HintObject> {
    const read = hintObjectOf(await this.#parts.main.readEncoded(location));
    // the main store's rot is its own affair, and its slot's going is seen to elsewhere: the marker stays
    return read.kind === "lost" ? { kind: "later" } : read;
  }

  async confirmed(hint: HintOnOffer): Promise<void> {
    const { main, onDelivered } = this.#parts;
    const isGone = await this.#settle(hint, () => main.digestOf(hint.location) === hint.digest);
    if (isGone) onDelivered(false);
    else this.#parts.markers.tally.mark(this.partition, 1 << this.slot);
  }

  async lost(hint: HintOnOffer, why: string): Promise<void> {
    const { flags, log } = this.#parts;
    log.warn({ event: "hints.marker-moot", partition: this.partition, slot: this.slot, why });
    await flags.flag([this.partition]);
    await this.#settle(hint, () => true);
  }

  stuck(hint: HintOnOffer, why: string): void {
    this.#parts.log.error({ event: "hints.stuck", partition: hint.location.partition, slot: this.slot, why });
    this.#parts.flags.raise(this.partition);
  }

  end(): void {
    const { markers, holders } = this.#parts;
    const replicaCount = holders.table()?.replicaCount ?? MAX_REPLICAS;
    markers.tally.endPass(this.partition, this.slot, { startedMs: this.#startedMs, begun: this.#begun, replicaCount });
    if (markers.tally.countOf(this.partition) === 0) return;
    markers.records.recount(this.partition);
    // Markers say themselves which slots they are for: one that this pass left is met by the next, whatever left it.
    let wanted = 0;
    for (const digest of markers.records.digestsOf(this.partition)) wanted |= markerOf(digest).mask;
    const forgotten = wanted & ~markers.tally.maskOf(this.partition);
    if (forgotten !== 0) markers.tally.mark(this.partition, forgotten);
  }

  async #settle({ location }: HintOnOffer, mayGo: () => boolean): Promise<boolean> {
    const found = this.#found.get(location.hash);
    this.#found.delete(location.hash);
    return found !== undefined && (await this.#parts.markers.settle(found, 1 << this.slot, mayGo));
  }
}

function hintObjectOf(
  read: { readonly kind: "object"; readonly object: Uint8Array | undefined } | ReplicaRefusal,
): HintObject {
  if (read.kind === "object")
    return read.object === undefined ? { kind: "gone" } : { kind: "object", object: read.object };
  return { kind: read.reason === "corrupt_record" ? "lost" : "later" };
}
