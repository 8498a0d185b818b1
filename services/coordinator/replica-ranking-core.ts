/**
 * Which replica answers soon, and how long to wait before another one is asked beside it. Pure: samples in, numbers
 * out; kept per node, in RAM, forgotten at a restart. Source: The Tail at Scale (Dean & Barroso 2013), hedging at the
 * 95th percentile, capped because one slow host raises its own percentile.
 */

import type { NodeId } from "../base/ids.ts";
import { HEDGE_BUDGET_RATIO, HEDGE_BURST, HEDGE_DELAY_MAX_MS } from "../base/limits.ts";
import type { CallResult } from "../peers/messages.ts";
import type { ReadVoter } from "./read-voter-core.ts";

const SMOOTHING = 0.1;
const QUANTILE = 0.95;
/** How far one sample moves the quantile, as a share of it. */
const QUANTILE_STEP = 0.05;
/**
 * Beside one read in so many another replica is asked, so that one which has recovered is noticed. Beside, not instead: one read in 64
 * is more than one in a hundred, and p99 would be that of the slowest.
 */
const EXPLORE_EVERY = 64;

interface Pace {
  meanMs: number;
  p95Ms: number;
}

/** How fast each replica answered reads lately. */
export class ReplicaRanking {
  readonly #paces = new Map<NodeId, Pace>();
  #readCount = 0;

  /** Notes a reply, or the time after which a replica was given up (it took at least that long). */
  observe(node: NodeId, latencyMs: number): void {
    const pace = this.#paces.get(node);
    if (pace === undefined) {
      this.#paces.set(node, { meanMs: latencyMs, p95Ms: latencyMs * 2 });
      return;
    }
    pace.meanMs += SMOOTHING * (latencyMs - pace.meanMs);
    // A running quantile: up and down moves balance when 5 % of the samples lie above it.
    const step = QUANTILE_STEP * Math.max(pace.p95Ms, 0.01);
    pace.p95Ms += latencyMs > pace.p95Ms ? step * QUANTILE * 4 : -step * (1 - QUANTILE) * 4;
  }

  /** Milliseconds after which a read of this replica is hedged. */
  hedgeDelayMsOf(node: NodeId): number {
    const pace = this.#paces.get(node);
    return pace === undefined ? HEDGE_DELAY_MAX_MS : Math.min(pace.p95Ms, HEDGE_DELAY_MAX_MS);
  }

  /** Mean latency in milliseconds; 0 for a replica that was never met, so that it is tried. */
  meanMsOf(node: NodeId): number {
    return this.#paces.get(node)?.meanMs ?? 0;
  }

  /** Sorts the replicas from `from` on in place, the soonest first. */
  sort(seats: { readonly node: NodeId }[], from: number): void {
    for (let i = from + 1; i < seats.length; i += 1) {
      for (let j = i; j > from; j -= 1) {
        const [a, b] = [seats[j - 1], seats[j]];
        if (a === undefined || b === undefined || this.meanMsOf(a.node) <= this.meanMsOf(b.node)) break;
        seats[j - 1] = b;
        seats[j] = a;
      }
    }
  }

  /** A read begins: once in so many the number of an exploration; else −1. */
  explorationOf(): number {
    this.#readCount += 1;
    return this.#readCount % EXPLORE_EVERY === 0 ? this.#readCount / EXPLORE_EVERY : -1;
  }
}

/** Milliseconds after which another one is asked beside those that are asked now; the most while a slot's holder is looked for. */
export function hedgeDelayMs(voters: readonly ReadVoter[], ranking: ReplicaRanking): number {
  let delayMs = 0;
  for (const { state, seat } of voters) {
    if (state === "astray") return HEDGE_DELAY_MAX_MS;
    if (state === "asked") delayMs = Math.max(delayMs, ranking.hedgeDelayMsOf(seat.node));
  }
  return delayMs;
}

/** True when the time until the result says how fast the replica is: a link that breaks at once is no quick answer. */
export function tellsPace(result: CallResult): boolean {
  if (result.kind === "lost") return result.reason === "timeout";
  return result.kind === "digest" || result.kind === "object";
}

/** Keeps extra requests to a share of all of their kind, with a burst saved up for a stall. */
export class HedgeBudget {
  readonly #isShedding: () => boolean;
  #tokens = HEDGE_BURST;

  /** `isShedding`: requests are turned away for want of room, and an extra one would take the room of another. */
  constructor(isShedding: () => boolean = () => false) {
    this.#isShedding = isShedding;
  }

  /** A request began: it earns its share of a hedge. */
  earn(): void {
    this.#tokens = Math.min(HEDGE_BURST, this.#tokens + HEDGE_BUDGET_RATIO);
  }

  /** Takes one hedge from the budget; false when it is spent, or nothing extra is done now. */
  take(): boolean {
    if (this.#tokens < 1 || this.#isShedding()) return false;
    this.#tokens -= 1;
    return true;
  }
}
