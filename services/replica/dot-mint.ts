/**
 * Gives the dots of new writes: the trusted actor and the next counter, at once while both are ready. Must never give a
 * dot of an actor in doubt, nor one above the durable lease.
 */
import { greatestCounterOf } from "../versioning/causal-context.ts";
import { encodedCounterOf, encodedGreatestCounterOf } from "../versioning/object-header.ts";
import type { CausalContext, Dot } from "../versioning/types.ts";
import { HybridClock, type HybridClockParts } from "./hybrid-clock.ts";
import type { MintGate } from "./mint-gate.ts";
import type { MintStore } from "./needs.ts";
import { OwnActor } from "./own-actor.ts";

/** Renewals that one write waits for: each can be overtaken by a new doubt or a jump of the clock, but not for ever. */
const MAX_ATTEMPTS = 8;

/** What the mint is made of. */
export interface DotMintParts extends Pick<HybridClockParts, "clock" | "log"> {
  readonly store: MintStore;
  /** nothing is minted before it is open; absent: it is */
  readonly gate?: Pick<MintGate, "isOpen" | "opened"> | undefined;
}

/** The clock and the actor of this node's dots, together. */
export class DotMint {
  readonly clock: HybridClock;
  readonly actor: OwnActor;
  /** suspect partitions whose loss cannot concern the present actor: it was drawn after they were found, or for them */
  readonly #excused: Set<number>;
  /** undefined once it is open */
  #gate: DotMintParts["gate"];

  constructor(parts: DotMintParts) {
    this.clock = new HybridClock({ clock: parts.clock, leases: parts.store, log: parts.log });
    this.actor = new OwnActor(parts.store, parts.log);
    this.#gate = parts.gate;
    this.#excused = new Set(parts.store.recovery.isNewActor ? parts.store.suspectPartitions() : []);
  }

  /** A new dot above `floor`, or undefined when the gate is closed, or lease or actor must be renewed first: then `mintWhenReady`. */
  mint(floor: number): Dot | undefined {
    if (!this.actor.isTrusted || !this.#isOpen()) return undefined;
    const counter = this.clock.mint(floor);
    return counter === 0 ? undefined : { actor: this.actor.id, counter };
  }

  /** Renews what must be and mints; undefined when that did not succeed in a few rounds. Rejects as the store does. */
  async mintWhenReady(floor: number): Promise<Dot | undefined> {
    await this.#gate?.opened;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      await this.actor.renewed();
      await this.clock.renewLease(floor);
      const dot = this.mint(floor);
      if (dot !== undefined) return dot;
    }
    return undefined;
  }

  /**
   * Compares what another claims to have seen of our actor with what we hold of the same key. A dot of ours that we do
   * not hold was lost here: the actor is in doubt from now on; but one at or below `line` was collected, with all that
   * it stood for.
   */
  compare(held: CausalContext, claimed: CausalContext, line: number): void {
    const actor = this.actor.id;
    const claimedCounter = greatestCounterOf(claimed, actor);
    const heldCounter = Math.max(line, greatestCounterOf(held, actor));
    if (claimedCounter > heldCounter) {
      this.actor.doubt(actor, { reason: "unknown_own_dot", claimedCounter, heldCounter });
    } else if (heldCounter > line && heldCounter > this.clock.leasedThrough) {
      this.actor.doubt(actor, { reason: "counter_above_lease", heldCounter, leasedThrough: this.clock.leasedThrough });
    }
  }

  /**
   * The same for an encoded version that is stored as it comes: beside nothing held, any dot of ours was lost here;
   * made from what is held (`isFromHeld`), only one that was never leased can be new to us. `line` as in `compare`.
   */
  compareEncoded(object: Uint8Array, how: { readonly isFromHeld: boolean; readonly line: number }): void {
    const actor = this.actor.id;
    const claimedCounter = encodedCounterOf(object, actor);
    if (how.isFromHeld ? claimedCounter <= this.clock.leasedThrough : claimedCounter <= how.line) return;
    this.actor.doubt(actor, { reason: "unknown_own_dot", claimedCounter, heldCounter: 0 });
  }

  /** Records of the partition may be missing: the actor may have minted what they held. Once for a partition. */
  noteLoss(partition: number): void {
    if (this.#excused.has(partition)) return;
    this.#excused.add(partition);
    this.actor.doubt(this.actor.id, { reason: "records_lost", partition });
  }

  /** A record that could not be read is about to be replaced, and with it what is known of our dots in it. */
  noteReplacement(partition: number): void {
    this.actor.doubt(this.actor.id, { reason: "records_lost", partition });
  }

  #isOpen(): boolean {
    if (this.#gate?.isOpen === true) this.#gate = undefined;
    return this.#gate === undefined;
  }

  /** Follows the counters that an encoded version names. */
  observe(object: Uint8Array): void {
    this.clock.observe(encodedGreatestCounterOf(object));
  }
}
