/**
 * Makes a write of what a client wants and what is held: reads, draws a dot, builds the object. Runs within the key's turn.
 * Must never store, nor take a read error for an absence.
 */
import { greatestCounter } from "../versioning/causal-context.ts";
import type { Dot } from "../versioning/types.ts";
import type { KeyLocation, ReplicaRefusal, WriteIntent } from "./contract.ts";
import type { DotMint } from "./dot-mint.ts";
import { type Fetched, heldOf } from "./held-versions.ts";
import type { ReplicaStore } from "./needs.ts";
import type { ReplicaParts } from "./parts.ts";
import type { RecordKeeper } from "./record-keeper.ts";
import { expired, isRefusal, noTraceRefusalOf, refused } from "./refusals.ts";
import { floorOf, givenContextOf, hasEnds, livingOf, mintedOf } from "./write-core.ts";

const MICROS_PER_MS = 1_000;

/** A write that has its dot, or why it got none. */
export type MadeWrite = ReturnType<typeof mintedOf>;

/** What making writes works with. */
export interface MakerParts extends Pick<ReplicaParts, "conflicts" | "collected" | "clock"> {
  readonly store: Pick<ReplicaStore, "isSuspect">;
  readonly keeper: RecordKeeper;
  readonly mint: DotMint;
  readonly isOver: (endMs: number) => boolean;
}

/** Makes writes. */
export class WriteMaker {
  readonly #parts: MakerParts;

  constructor(parts: MakerParts) {
    this.#parts = parts;
  }

  /** The write with its dot; at once when the record is cached and the lease lasts. */
  make(location: KeyLocation, intent: WriteIntent, endMs: number): MadeWrite | Promise<MadeWrite> {
    const fetched = this.#parts.keeper.fetch(location, endMs);
    if (fetched instanceof Promise) {
      return fetched.then((later) => (this.#parts.isOver(endMs) ? expired() : this.#makeFrom(location, intent, later)));
    }
    return this.#makeFrom(location, intent, fetched);
  }

  #makeFrom(location: KeyLocation, intent: WriteIntent, fetched: Fetched): MadeWrite | Promise<MadeWrite> {
    const found = heldOf(fetched);
    if (isRefusal(found)) return found;
    const held = hasEnds(found) ? livingOf(found, this.#parts.clock.wallMicros() / MICROS_PER_MS) : found;
    if (fetched === undefined && this.#parts.store.isSuspect(location.partition))
      this.#parts.mint.noteLoss(location.partition);
    const given = givenContextOf(held, intent);
    this.#parts.mint.compare(held.set.clock, given, this.#parts.collected?.lineOf(location.partition) ?? 0);
    this.#parts.mint.clock.observe(greatestCounter(given));
    const isLww = this.#parts.conflicts.isLastWriteWins(location);
    const floor = floorOf(held, { given, isLww });
    const dot = this.#parts.mint.mint(floor);
    if (dot !== undefined) return mintedOf(held, { intent, given, dot, isLww });
    return this.#mintWhenReady(floor).then((later) =>
      isRefusal(later) ? later : mintedOf(held, { intent, given, dot: later, isLww }),
    );
  }

  async #mintWhenReady(floor: number): Promise<Dot | ReplicaRefusal> {
    try {
      return (await this.#parts.mint.mintWhenReady(floor)) ?? refused("expired", "no counter could be leased in time");
    } catch (error) {
      return noTraceRefusalOf(error);
    }
  }
}
