/**
 * How much a node takes in the first half minute after its start, while others can take the rest: a tenth, growing to all. Its
 * caches are cold and it has repairs to do. Pure. Must never hold back a node that is alone. Source: reliability notes §4 O21.
 */
import { SLOW_START_FIRST_SHARE, SLOW_START_MS } from "../base/load-limits.ts";

/** 0 < share ≤ 1 of its usual limits that a node admits so long after its start. */
export function slowStartShare(sinceStartMs: number, hasOthers: boolean): number {
  if (!hasOthers || sinceStartMs >= SLOW_START_MS) return 1;
  const grown = Math.max(0, sinceStartMs) / SLOW_START_MS;
  return SLOW_START_FIRST_SHARE + (1 - SLOW_START_FIRST_SHARE) * grown;
}
