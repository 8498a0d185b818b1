/**
 * Whether a node that starts again still warms up: at work for others, as a replica, before clients are sent to it. What replicas do
 * is then compiled and in memory, and what clients ask for finds it so. Pure. Must never hold back a node that nobody keeps busy, nor
 * the only member, nor any for long: when all start at once, nobody else is there.
 */
import { WARM_UP_IDLE_UTILISATION, WARM_UP_MS } from "../base/load-limits.ts";

/** What is looked at. */
export interface WarmUpReading {
  readonly sinceStartMs: number;
  /** 0 … 1, of the event loop since the last look */
  readonly utilisation: number;
  readonly hasOthers: boolean;
}

/** Whether it goes on after this look. Once it is over, it stays so: the caller asks no more. */
export function goesOnWarmingUp({ sinceStartMs, utilisation, hasOthers }: WarmUpReading): boolean {
  return hasOthers && sinceStartMs < WARM_UP_MS && utilisation >= WARM_UP_IDLE_UTILISATION;
}
