/**
 * Which keys a slot does not hold, from the settings of buckets: a bucket with n replicas leaves the slots n and above
 * empty. Must never guess: a bucket that nobody made has the defaults.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import { xxh64 } from "../base/hash.ts";
import type { Clock } from "../base/ports.ts";
import type { SlotRules } from "../repair/exchange-view.ts";

/** What buckets were told. */
export interface BucketList {
  settingsOfKey(address: Uint8Array): BucketSettings;
  defaults(): BucketSettings;
  list(): readonly { readonly name: string; readonly settings: BucketSettings }[];
}

/** How long what was seen of all buckets is believed. */
const LOOK_EVERY_MS = 1_000;

/** The rules that follow from the settings as they are, or were a second ago. */
export function slotRulesOf(buckets: BucketList, clock: Pick<Clock, "monotonicMs">): SlotRules {
  let lookedMs = Number.NEGATIVE_INFINITY;
  let fewest = Number.POSITIVE_INFINITY;
  let fingerprint = 0n;
  const look = (): void => {
    const nowMs = clock.monotonicMs();
    if (nowMs - lookedMs < LOOK_EVERY_MS) return;
    lookedMs = nowMs;
    const replicas = buckets.list().map(({ name, settings }) => [name, settings.n] as const);
    fewest = replicas.reduce((least, [, n]) => Math.min(least, n), buckets.defaults().n);
    fingerprint = xxh64(Buffer.from(JSON.stringify([buckets.defaults().n, replicas])));
  };
  return {
    isAnyExempt: (slot) => {
      look();
      return fewest <= slot;
    },
    isExempt: (key, slot) => buckets.settingsOfKey(key).n <= slot,
    fingerprint: () => {
      look();
      return fingerprint;
    },
  };
}
