/**
 * Quorum arithmetic: what r, w, pr and pw ask of a bucket's n slots, and whether distinct slots reach it. Pure.
 * Slots are counted, never nodes: a slot that two nodes claim counts once, so a write and a read quorum always share
 * a slot whatever views the coordinators have. Source: Dynamo §4.5; slot tokens: DESIGN §3.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import { MAX_REPLICAS } from "../base/limits.ts";
import type { Knobs, QuorumLevel } from "./contract.ts";

/** The query parameter that asked for too much. */
export type QuorumParameter = "r" | "w" | "pr" | "pw";

/** How many distinct slots a request needs, or which parameter cannot be met by n slots. */
export type QuorumNeed =
  | {
      readonly kind: "need";
      /** distinct slots that must answer, 1 … n */
      readonly total: number;
      /** of these, slots answered by their owners, 0 … n */
      readonly owners: number;
    }
  | { readonly kind: "exceeds" | "invalid"; readonly parameter: QuorumParameter; readonly value: QuorumLevel };

/** Where a count stands: there, still possible, or out of reach. */
export type QuorumState = "reached" | "pending" | "impossible";

/** The number behind a level for n replicas: `one` 1, `quorum` ⌊n/2⌋ + 1, `all` n; numbers stand for themselves. */
export function levelOf(level: QuorumLevel, n: number): number {
  switch (level) {
    case "one":
      return 1;
    case "quorum":
      return Math.floor(n / 2) + 1;
    case "all":
      return n;
  }
  return level;
}

/** What a read needs. The bucket's own r is capped at n: a default must never refuse a request. */
export function readNeed(knobs: Knobs, settings: BucketSettings): QuorumNeed {
  if (knobs.r === undefined && knobs.pr === undefined) return plainNeed(settings.r, settings.n);
  return needOf(
    { parameter: "r", level: knobs.r, fallback: settings.r },
    { parameter: "pr", level: knobs.pr },
    settings.n,
  );
}

/** What a write needs. The bucket's own w is capped at n. */
export function writeNeed(knobs: Knobs, settings: BucketSettings): QuorumNeed {
  if (knobs.w === undefined && knobs.pw === undefined) return plainNeed(settings.w, settings.n);
  return needOf(
    { parameter: "w", level: knobs.w, fallback: settings.w },
    { parameter: "pw", level: knobs.pw },
    settings.n,
  );
}

function plainNeed(fallback: number, n: number): QuorumNeed {
  return { kind: "need", total: Math.max(1, Math.min(fallback, n)), owners: 0 };
}

interface Asked {
  readonly parameter: QuorumParameter;
  readonly level: QuorumLevel | undefined;
}

function needOf(total: Asked & { readonly fallback: number }, owners: Asked, n: number): QuorumNeed {
  const wantedOwners = owners.level === undefined ? 0 : levelOf(owners.level, n);
  const wanted = total.level === undefined ? Math.max(1, Math.min(total.fallback, n)) : levelOf(total.level, n);
  if (!isCount(wanted)) return { kind: "invalid", parameter: total.parameter, value: total.level ?? wanted };
  if (!(wantedOwners === 0 || isCount(wantedOwners))) {
    return { kind: "invalid", parameter: owners.parameter, value: owners.level ?? wantedOwners };
  }
  if (wanted > n) return { kind: "exceeds", parameter: total.parameter, value: total.level ?? wanted };
  if (wantedOwners > n) return { kind: "exceeds", parameter: owners.parameter, value: owners.level ?? wantedOwners };
  return { kind: "need", total: Math.max(wanted, wantedOwners), owners: wantedOwners };
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 1;
}

/** The bit of a slot in a mask; 0 for a slot outside the bucket's n, which never counts. */
export function slotBit(slot: number, n: number): number {
  return slot >= 0 && slot < n && slot < MAX_REPLICAS ? 1 << slot : 0;
}

/** How many distinct slots a mask holds. */
export function slotCount(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

/** The lowest of the slots 0 … n − 1 that the mask does not hold, −1 when it holds all. */
export function freeSlotOf(mask: number, n: number): number {
  for (let slot = 0; slot < n; slot += 1) if ((mask & (1 << slot)) === 0) return slot;
  return -1;
}

/** Masks of slots, and how many besides may turn up: slots whose holders are looked for. */
export interface SlotsSoFar {
  readonly have: number;
  readonly open: number;
  /** undefined: none is looked for */
  readonly soughtCount?: number;
}

/** Whether `required` distinct slots have answered, could still, or cannot any more. */
export function quorumState(slots: SlotsSoFar, required: number): QuorumState {
  if (slotCount(slots.have) >= required) return "reached";
  return slotCount(slots.have | slots.open) + (slots.soughtCount ?? 0) >= required ? "pending" : "impossible";
}
