/**
 * Which keys a slot should have, as far as collecting tombstones is concerned, and what a change of it means for marks that
 * were made before. A bucket of n replicas leaves the slots n and above empty; looks leave its keys out there, so marks say
 * nothing of them. When n is raised past a slot, that slot should have keys that it never had, and may have old ones that
 * were deleted meanwhile, by a proof that did not ask it. Pure. Must never take a lowered n for a raised one, nor forget a
 * raise before the slot's partitions were all compared.
 */
import { xxh64 } from "../base/hash.ts";
import type { SlotRules } from "./exchange-view.ts";

/** The rules by which slots leave keys out, and all of them at once. Asked often: must be cheap while nothing changes. */
export interface CollectRules extends SlotRules {
  known(): KnownRules;
}

/** The replicas of all buckets. */
export interface KnownRules {
  /** of the buckets that are not named */
  readonly standard: number;
  /** by name, ascending: those that have others */
  readonly named: readonly (readonly [string, number])[];
  /** by name: the least number of replicas of a bucket since it was raised, while some partition has not been compared since */
  readonly raised: readonly (readonly [string, number])[];
}

/** Stands for all buckets that are not named, among those that were raised. */
export const ALL_OTHERS = "";

/** The rules that follow from settings; `slotCount`: N, more replicas than that are no more than that. */
export function rulesOf(
  settings: { readonly standard: number; readonly named: readonly (readonly [string, number])[] },
  slotCount: number,
): KnownRules {
  const standard = Math.min(slotCount, settings.standard);
  const capped = settings.named.map(([name, n]) => [name, Math.min(slotCount, n)] as const);
  const named = capped.filter(([, n]) => n !== standard).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { standard, named, raised: [] };
}

const fingerprints = new WeakMap<KnownRules, bigint>();

/** Equal for rules that leave the same slots empty. O(named buckets) the first time for each object. */
export function fingerprintOf(rules: KnownRules): bigint {
  const known = fingerprints.get(rules);
  if (known !== undefined) return known;
  const made = xxh64(Buffer.from(JSON.stringify([rules.standard, rules.named])));
  fingerprints.set(rules, made);
  return made;
}

/** What is new in `now` next to `before`: buckets of which some slot should have what it had not, with the replicas before. */
export function raisedBetween(before: KnownRules, now: KnownRules): readonly (readonly [string, number])[] {
  const old = new Map(before.named);
  const current = new Map(now.named);
  const raised: (readonly [string, number])[] = now.standard > before.standard ? [[ALL_OTHERS, before.standard]] : [];
  for (const name of new Set([...old.keys(), ...current.keys()])) {
    const from = old.get(name) ?? before.standard;
    if ((current.get(name) ?? now.standard) > from) raised.push([name, from]);
  }
  return raised;
}

/** Both lists in one: of each bucket the least. */
export function mergedRaises(
  one: readonly (readonly [string, number])[],
  other: readonly (readonly [string, number])[],
): readonly (readonly [string, number])[] {
  const least = new Map<string, number>(one);
  for (const [name, from] of other) least.set(name, Math.min(from, least.get(name) ?? from));
  return [...least].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** Whether a slot should have keys by these raises that it had not. */
export function isRaisedFor(slot: number, raised: readonly (readonly [string, number])[]): boolean {
  return raised.some(([, from]) => from <= slot);
}

/**
 * Whether the holder of slot `peer` has every key that slot `own` should have, but for those that nobody else should have:
 * only with such a one can a holder catch up to the end.
 */
export function coversAll(rules: KnownRules, own: number, peer: number): boolean {
  if (peer < own) return true;
  const counts = [rules.standard, ...rules.named.map(([, n]) => n)];
  return !counts.some((n) => n > Math.max(own, 1) && n <= peer);
}

/** The rules in a text, or undefined. Never throws. */
export function parseRules(text: string): KnownRules | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { standard, named, raised } = value as Readonly<Record<string, unknown>>;
  if (!isCount(standard) || !areCounts(named) || !areCounts(raised)) return undefined;
  return { standard, named, raised };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1;
}

function areCounts(value: unknown): value is readonly (readonly [string, number])[] {
  return Array.isArray(value) && value.every(isNamedCount);
}

function isNamedCount(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && isCount(value[1]);
}
