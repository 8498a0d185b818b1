/**
 * Takes finished versions from other replicas: appended as they come when what is held is what they were made from and nothing of them is
 * as old as what was collected, merged otherwise. Runs within the key's turn. Must never be bound by clients' limits, nor lose what is held.
 */
import { decodeSet, digestOf, encodedDigestOf, encodeSet } from "../versioning/object-codec.ts";
import { encodedExpiryOf, encodedSiblingCountOf } from "../versioning/object-header.ts";
import type { HandedVersion, KeyLocation, ReplicaWriteResult } from "./contract.ts";
import type { DotMint } from "./dot-mint.ts";
import { heldOf, replacing } from "./held-versions.ts";
import type { ReplicaStore } from "./needs.ts";
import type { ReplicaCounters, ReplicaParts } from "./parts.ts";
import type { RecordKeeper } from "./record-keeper.ts";
import { expired, isRefusal, refused } from "./refusals.ts";
import { hasOld, leftOfStale, withoutStale } from "./stale-versions.ts";
import { mergedOf } from "./write-core.ts";

/** What taking versions works with. */
export interface HandedParts extends Pick<ReplicaParts, "conflicts" | "collected"> {
  readonly store: Pick<ReplicaStore, "digestOf" | "isSuspect">;
  readonly keeper: RecordKeeper;
  readonly mint: DotMint;
  readonly counters: ReplicaCounters;
  readonly isOver: (endMs: number) => boolean;
}

/** What binds a version that is handed in. */
export interface TakeRules {
  /** false: for transfers and repair, which fill a partition before its slot is taken */
  readonly needsSlot: boolean;
  /**
   * counter: it comes from a holder that took part in collecting up to here, so that it stands however old it is unless more was
   * collected; 0: from anybody; infinity: it fills a partition of which no slot is held, or catches up with all that was collected
   */
  readonly believedThrough: number;
}

/** One version to take. */
export interface Handing extends TakeRules {
  readonly location: KeyLocation;
  readonly version: HandedVersion;
  /** monotonic milliseconds after which nothing is stored */
  readonly endMs: number;
}

/** Takes versions. */
export class HandedVersions {
  readonly #parts: HandedParts;

  constructor(parts: HandedParts) {
    this.#parts = parts;
  }

  /** Stores the version within the turn at its key. */
  async take(handing: Handing): Promise<ReplicaWriteResult> {
    const { store, mint, counters } = this.#parts;
    const { location, version } = handing;
    const refusal = this.#refusalOf(handing);
    if (refusal !== undefined) return refusal;
    const { baseDigest } = version;
    const current = store.digestOf(location);
    if (current === version.digest) return this.#known(version.digest);
    const line = this.#lineOf(handing);
    const object = current === 0n ? this.#leftOf(handing, line) : version.object;
    if (object === undefined) return this.#oldRefused(location);
    mint.observe(object);
    // Who made it from what is held may have put to it what it had itself, and was collected here.
    if (current !== 0n && (current !== baseDigest || hasOld(object, line))) return this.#merge(handing);
    const digest = object === version.object ? version.digest : encodedDigestOf(object);
    if (current === 0n && store.isSuspect(location.partition)) {
      const otherwise = await this.#insteadOfLost(handing, line);
      if (otherwise !== undefined) return otherwise;
    }
    mint.compareEncoded(object, {
      isFromHeld: current !== 0n,
      line: this.#parts.collected?.lineOf(location.partition) ?? 0,
    });
    counters.appendedCount += 1;
    const kept = { isWhole: object === version.object, line };
    return this.#saying(handing, kept, { base: baseDigest, digest, value: object });
  }

  /** Where records were lost: what comes of the version if it is not to be stored as it is after all; undefined: it is. */
  async #insteadOfLost(handing: Handing, line: number): Promise<ReplicaWriteResult | undefined> {
    const isReadable = await this.#noteLost(handing.location, handing.endMs);
    if (this.#parts.isOver(handing.endMs)) return expired();
    if (isReadable) return this.#merge(handing);
    // More may have been collected meanwhile.
    return this.#lineOf(handing) === line ? undefined : this.take(handing);
  }

  async #merge(handing: Handing): Promise<ReplicaWriteResult> {
    const { keeper, mint, counters, conflicts, isOver, store } = this.#parts;
    const { location, version, endMs } = handing;
    const fetched = keeper.fetchUnowned(location, endMs);
    const held = heldOf(fetched instanceof Promise ? await fetched : fetched);
    if (isRefusal(held)) return held;
    if (fetched instanceof Promise && isOver(endMs)) return expired();
    const incoming = decodeSet(version.object);
    if (incoming.kind === "corrupt") return refused("corrupt_record", `the version handed in: ${incoming.reason}`);
    mint.compare(held.set.clock, incoming.set.clock, this.#parts.collected?.lineOf(location.partition) ?? 0);
    const line = this.#lineOf(handing);
    const brought = line === 0 ? incoming.set : withoutStale(incoming.set, held.set, line);
    const merged = mergedOf(held.set, brought, conflicts.isLastWriteWins(location));
    const digest = digestOf(merged);
    // a record that the index has given up is written again even so: it was read after all, but by luck
    const isWhole = brought === incoming.set;
    if (!isWhole && !this.#isCertain(location)) return uncertain();
    if (digest === held.digest && digest === store.digestOf(location)) {
      return isWhole ? this.#known(digest) : this.#collected();
    }
    counters.mergedCount += 1;
    const value = digest === version.digest ? version.object : encodeSet(merged);
    return this.#saying(handing, { isWhole, line }, { base: held.digest, digest, value });
  }

  /** What is left of a version that was collected in part is kept; who wrote the rest must not believe that it stands here. */
  async #saying(
    handing: Handing,
    { isWhole, line }: { readonly isWhole: boolean; readonly line: number },
    made: { readonly base: bigint; readonly digest: bigint; readonly value: Uint8Array },
  ): Promise<ReplicaWriteResult> {
    const result = await this.#put(handing, made);
    return isWhole || result.kind !== "stored" ? result : { ...result, keptAbove: line };
  }

  /** What was read may have taken its time: a slot is needed now, at the moment of putting. */
  #put(
    handing: Handing,
    made: { readonly base: bigint; readonly digest: bigint; readonly value: Uint8Array },
  ): Promise<ReplicaWriteResult> | ReplicaWriteResult {
    const refusal = this.#refusalOf(handing);
    if (refusal !== undefined) return refusal;
    const { keeper } = this.#parts;
    const { digest, value } = made;
    const isTombstone = encodedSiblingCountOf(value) === 0;
    const mayExpire = encodedExpiryOf(value) > 0;
    const byMs = handing.endMs;
    const request = replacing(made.base, { address: handing.location, value, digest, isTombstone, mayExpire, byMs });
    return keeper.ended(request, keeper.begin(request));
  }

  /**
   * The line that holds for the version now: none for one that is believed so far. It holds where records were lost, too: what lived
   * below it comes back from those who took part.
   */
  #lineOf({ believedThrough, location }: Handing): number {
    const line = this.#parts.collected?.lineOf(location.partition) ?? 0;
    return line <= believedThrough ? 0 : line;
  }

  #refusalOf({ needsSlot, location }: Handing): ReturnType<RecordKeeper["refusalOf"]> {
    return needsSlot ? this.#parts.keeper.refusalOf(location.partition) : undefined;
  }

  /**
   * Nothing is held where records were lost. One that cannot be read any more counts as nothing only here, for repair;
   * true when one can be read after all, which the index had given up after an error that passed.
   */
  async #noteLost(location: KeyLocation, endMs: number): Promise<boolean> {
    const { mint, keeper } = this.#parts;
    mint.noteLoss(location.partition);
    const fetched = await keeper.fetchUnowned(location, endMs);
    if (!isRefusal(fetched)) return fetched !== undefined;
    if (fetched.reason === "corrupt_record") mint.noteReplacement(location.partition);
    return false;
  }

  /** Beside nothing held, what is at or below the line was collected: late copies of it bring nothing. Undefined: none is left. */
  #leftOf(handing: Handing, line: number): Uint8Array | undefined {
    const { object } = handing.version;
    const left = line === 0 ? object : leftOfStale(object, line);
    return left === object || this.#isCertain(handing.location) ? left : undefined;
  }

  /**
   * Whether a version may be kept without what of it is below the line: its clock then says that the rest was deleted, and
   * removes it wherever it is. Where that is not certain, all of it is refused, and comes from those who took part.
   */
  #isCertain(location: KeyLocation): boolean {
    const { collected, store } = this.#parts;
    return collected?.isCertain?.(location, store.isSuspect(location.partition)) !== false;
  }

  #oldRefused(location: KeyLocation): ReplicaWriteResult {
    return this.#isCertain(location) ? this.#collected() : uncertain();
  }

  #collected(): ReplicaWriteResult {
    this.#parts.counters.knownCount += 1;
    return refused("collected", "the version is as old as what was collected here, and unknown: it was deleted");
  }

  #known(digest: bigint): ReplicaWriteResult {
    this.#parts.counters.knownCount += 1;
    return this.#parts.keeper.stored(digest);
  }
}

function uncertain(): ReplicaWriteResult {
  return refused(
    "uncertain",
    "the version is as old as what was collected, and this copy may lack what lives elsewhere",
  );
}
