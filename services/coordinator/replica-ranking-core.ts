/**
 * Which replica answers soon, and how long to wait before another one is asked beside it. Pure: samples in, numbers
 * out; kept per node, in RAM, forgotten at a restart. Source: The Tail at Scale (Dean & Barroso 2013), hedging at the
 * 95th percentile, capped because one slow host raises its own percentile.
 */

import type { NodeId } from "../base/ids.ts";
import { HEDGE_BUDGET_RATIO, HEDGE_BURST, HEDGE_DELAY_MAX_MS } from "../base/limits.ts";
import type { CallResult } from "../peers/messages.ts";

const SMOOTHING = 0.1;
const QUANTILE = 0.95;
/** How far one sample moves the quantile, as a share of it. */
const QUANTILE_STEP = 0.05;
/** One read in so many asks the runner-up first, so that a replica which has recovered is noticed. */
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

  /** Sorts the replicas from `from` on in place, the soonest first; now and then the runner-up goes first. */
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

  /** True once in so many reads: the reader should try the runner-up. */
  isTimeToExplore(): boolean {
    this.#readCount += 1;
    return this.#readCount % EXPLORE_EVERY === 0;
  }
}

/** True when the time until the result says how fast the replica is: a link that breaks at once is no quick answer. */
export function tellsPace(result: CallResult): boolean {
  if (result.kind === "lost") return result.reason === "timeout";
  return result.kind === "digest" || result.kind === "object";
}

/** Keeps extra requests to a share of all of their kind, with a burst saved up for a stall. */
export class HedgeBudget {
  #tokens = HEDGE_BURST;

  /** A request began: it earns its share of a hedge. */
  earn(): void {
    this.#tokens = Math.min(HEDGE_BURST, this.#tokens + HEDGE_BUDGET_RATIO);
  }

  /** Takes one hedge from the budget; false when it is spent. */
  take(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
