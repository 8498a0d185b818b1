/**
 * How full the process's memory is, and what follows: above 85 % of what it may have less is taken, above 95 % no value is
 * taken until there is room again. Pure. Must never refuse reads and deletes for memory alone: they give it back, the latter once
 * they are collected.
 * Source: reliability notes §4 O18.
 */
import { MEMORY_READ_ONLY_SHARE, MEMORY_RELIEF_SHARE, MEMORY_SHED_SHARE } from "../base/load-limits.ts";

/** `tight`: take less; `full`: reads, and a few deletes. */
export type MemoryState = "roomy" | "tight" | "full";

/** Memory of the process against its limits, bytes. */
export interface MemoryReading {
  readonly residentBytes: number;
  readonly memoryLimitBytes: number;
  readonly heapBytes: number;
  readonly heapLimitBytes: number;
}

/** The fuller of the two: 0 … 1, and more. */
export function memoryShareOf(reading: MemoryReading): number {
  const { residentBytes, memoryLimitBytes, heapBytes, heapLimitBytes } = reading;
  return Math.max(residentBytes / memoryLimitBytes, heapBytes / heapLimitBytes);
}

/** The next state: worse at once, better only when there is some room below the threshold, so that it does not flap. */
export function nextMemoryState(before: MemoryState, share: number): MemoryState {
  if (share > MEMORY_READ_ONLY_SHARE) return "full";
  if (before === "full" && share > MEMORY_READ_ONLY_SHARE - MEMORY_RELIEF_SHARE) return "full";
  if (share > MEMORY_SHED_SHARE) return "tight";
  if (before !== "roomy" && share > MEMORY_SHED_SHARE - MEMORY_RELIEF_SHARE) return "tight";
  return "roomy";
}
