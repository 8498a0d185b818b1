/**
 * The counters of this node's dots: hybrid-logical microseconds. Each is above every counter that this store may ever
 * have used, at or above the wall clock, and follows what others have minted within the allowed skew. Must never give
 * a counter that is not durably leased: after a crash the store starts above its lease, and nothing is minted twice.
 *
 * Sources: Kulkarni et al. 2014 (hybrid logical clocks); leases after Riak's vnode epochs (research: reliability §3.7).
 */
import assert from "node:assert/strict";
import { COUNTER_LEASE_AHEAD, COUNTER_LEASE_BLOCK, MAX_CLOCK_SKEW_MICROS } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { LeaseStore } from "./needs.ts";

/** Share of a lease that is used up when the next one is asked for. */
const RENEWAL_SHARE = 0.8;

/** What the clock is made of. */
export interface HybridClockParts {
  readonly clock: Clock;
  readonly leases: LeaseStore;
  readonly log: Log;
}

/** Gives counters, synchronously while the lease lasts. */
export class HybridClock {
  readonly #clock: Clock;
  readonly #leases: LeaseStore;
  readonly #log: Log;
  #last: number;
  #leasedThrough: number;
  #renewAbove: number;
  #renewal: Promise<void> | undefined;
  #ignoredCount = 0;

  constructor(parts: HybridClockParts) {
    this.#clock = parts.clock;
    this.#leases = parts.leases;
    this.#log = parts.log;
    // What was leased before this start may have been used: it is the floor, and nothing of it is ours to give.
    this.#last = parts.leases.identity.leasedThrough;
    this.#leasedThrough = this.#last;
    this.#renewAbove = this.#last;
  }

  /** The greatest counter given or followed. */
  get last(): number {
    return this.#last;
  }

  /** No counter above this was ever given by this store. */
  get leasedThrough(): number {
    return this.#leasedThrough;
  }

  /** Counters that were too far ahead to follow. */
  get ignoredCount(): number {
    return this.#ignoredCount;
  }

  /**
   * A new counter, above `above`; 0 when the lease does not reach that far: then `renewLease` and ask again. `above` is
   * followed however far ahead it is, so pass it only where a lower counter would lose the write (last write wins).
   */
  mint(above: number): number {
    const counter = Math.max(this.#last + 1, this.#clock.wallMicros(), above + 1);
    if (counter > this.#leasedThrough) return 0;
    if (counter > this.#renewAbove) this.#renewBehind();
    this.#last = counter;
    return counter;
  }

  /** Follows a counter minted elsewhere; one beyond the allowed skew is ignored, for its clock is wrong. */
  observe(counter: number): void {
    if (counter <= this.#last) return;
    if (counter <= this.#clock.wallMicros() + MAX_CLOCK_SKEW_MICROS) this.#last = counter;
    else this.#ignoredCount += 1;
  }

  /**
   * Gives only counters above `counter` from now on; resolves when that holds over restarts too. Not bounded by the
   * allowed skew: the caller has compared it with the wall clock. Rejects as the store does: then it holds until a restart.
   */
  async keepAbove(counter: number): Promise<void> {
    this.#last = Math.max(this.#last, counter);
    if (counter > this.#leasedThrough) await this.renewLease(counter);
  }

  /**
   * Resolves when a lease for at least one counter above `above` is durable. Callers share one request at a time.
   * Rejects as the store does: nothing was leased then.
   */
  async renewLease(above: number): Promise<void> {
    // A renewal under way may have been asked for before the need grew: whoever finds it too small asks once more.
    await this.#renewal;
    const wall = this.#clock.wallMicros();
    if (Math.max(this.#last + 1, wall, above + 1) > this.#leasedThrough) await this.#renew(above);
  }

  #renewBehind(): void {
    if (this.#renewal !== undefined) return;
    this.#renew(0).catch((error: unknown) => {
      // Not swallowed: writes go on within the lease that stands, and the one that outgrows it meets the error itself.
      this.#renewAbove = this.#last + Math.ceil((this.#leasedThrough - this.#last) * (1 - RENEWAL_SHARE));
      this.#log.warn({ event: "replica.lease-not-renewed", leasedThrough: this.#leasedThrough, error });
    });
  }

  #renew(above: number): Promise<void> {
    this.#renewal ??= this.#leaseMore(above).finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #leaseMore(above: number): Promise<void> {
    const wall = this.#clock.wallMicros();
    const from = Math.max(this.#last + 1, wall, above + 1);
    // While counters are ahead of the wall clock (after quick restarts) a small block lasts as long as a large one
    // otherwise does; with a large one, restart after restart would push the dates of writes further into the future.
    const through = Math.max(wall + COUNTER_LEASE_BLOCK, from + COUNTER_LEASE_AHEAD);
    assert.ok(Number.isSafeInteger(through), "counters stay below 2^53");
    await this.#leases.leaseCounters(through);
    this.#leasedThrough = Math.max(this.#leasedThrough, through);
    this.#renewAbove = from + Math.floor((through - from) * RENEWAL_SHARE);
  }
}
