/**
 * The actor that this node's dots carry, and whether it may still be used. An actor claims to hold all that it ever
 * minted for a key; once that is in doubt (a peer knows a dot of ours that we do not hold, or a write of ours was sent
 * but not kept) the next dot must come from a new one. Must never mint under an actor in doubt: its clock would cover
 * lost writes and make the others drop them. Source: the "local amnesia" family of Riak bugs (research: features §4.3).
 */
import type { Log } from "../base/ports.ts";
import type { ActorStore } from "./needs.ts";

/** Why an actor is in doubt. */
export type DoubtReason = "unknown_own_dot" | "counter_above_lease" | "announced_but_not_kept" | "records_lost";

/** Guards the actor; drawing a new one is one durable write, shared by all who wait for it. */
export class OwnActor {
  readonly #store: ActorStore;
  readonly #log: Log;
  // The store builds its identity anew whenever it is asked: every operation wants the actor, so it is kept here.
  #id: number;
  #isInDoubt = false;
  #renewal: Promise<void> | undefined;

  constructor(store: ActorStore, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#id = store.identity.actor;
  }

  /** The actor of new dots; only while `isTrusted`. */
  get id(): number {
    return this.#id;
  }

  get isTrusted(): boolean {
    return !this.#isInDoubt;
  }

  /**
   * Takes the actor `of` out of use; one that was replaced meanwhile needs no doubt. `facts`: what was met, without keys.
   * The new one is drawn at once, wanted or not: the doubt itself is nowhere but in RAM, and a restart would forget it.
   */
  doubt(of: number, facts: { readonly reason: DoubtReason } & Readonly<Record<string, unknown>>): void {
    if (of !== this.#id) return;
    // In doubt already: a renewal is under way, or has failed and is tried again by the next write and by the stop.
    if (this.#isInDoubt) return;
    this.#isInDoubt = true;
    this.#log.error({ event: "replica.actor-in-doubt", actor: of, ...facts });
    void this.tryRenew();
  }

  /** Goes on as a new actor without a doubt: for whoever is about to remove what this one may have minted. */
  async retire(): Promise<void> {
    this.#isInDoubt = true;
    await this.renewed();
  }

  /** Resolves when the actor may be used again: at once, or with a new one. Rejects as the store does; may be asked again. */
  async renewed(): Promise<void> {
    while (this.#isInDoubt) {
      this.#renewal ??= this.#renew().finally(() => {
        this.#renewal = undefined;
      });
      await this.#renewal;
    }
  }

  /** Like `renewed`, but says whether it may be used instead of rejecting: false = the doubt stands. One attempt. */
  async tryRenew(): Promise<boolean> {
    try {
      await this.renewed();
    } catch (error) {
      // Not swallowed: nothing is minted before a later attempt succeeds, and whoever stops the node is told.
      this.#log.error({ event: "replica.actor-not-renewed", actor: this.#id, error });
    }
    return this.isTrusted;
  }

  async #renew(): Promise<void> {
    const before = this.#id;
    await this.#store.renewActor();
    this.#id = this.#store.identity.actor;
    this.#isInDoubt = false;
    this.#log.info({ event: "replica.actor-renewed", before, actor: this.#id });
  }
}
