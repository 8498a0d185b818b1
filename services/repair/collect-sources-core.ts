/**
 * With whom a holder that is behind, or in doubt, catches up: the decision alone. Pure. Must never take the word of one that
 * took no part in the proof, nor conclude anything from silence.
 *
 * | the other holders | then |
 * |---|---|
 * | one took part, by the same rules, and has all keys that this one should have | that one; the lowest slot first |
 * | one took part, but a bucket leaves it without keys that this one should have | wait for a better one; that one, if all have told and there is none |
 * | one has the proof and knows other rules | wait: it hears of them |
 * | all have told, and whoever has the proof is in doubt or behind itself | nobody: each would wait for the others for ever |
 * | somebody has not told | wait |
 *
 * The one that it catches up with may have lost records. Of each such hash the others that took part are asked, one after
 * another; one that has no key of it, and has lost none, says so that it was collected:
 *
 * | of a lost hash, this one holds | another that took part | then |
 * |---|---|---|
 * | anything, or nothing | has the record | it is merged; what is at or below the line and not in it goes |
 * | siblings at or below the line | has collected it | they go; what is above the line stays |
 * | siblings at or below the line | has lost it too, or is behind, or there is none | they stay, told of; the hash is named as unproved |
 * | siblings at or below the line | is silent | wait, behind |
 * | siblings above the line alone, a tombstone, or nothing | has collected it | proved |
 * | the same | has lost it too, is silent, or there is none | stays as it is; the hash is named as unproved |
 */
import type { NodeId } from "../base/ids.ts";
import type { CollectMark } from "./collect-floors-core.ts";
import { coversAll, type KnownRules } from "./collect-rules-core.ts";

/** What a holder of another slot is known to have told. */
export interface ToldHolder {
  readonly node: NodeId;
  readonly slot: number;
  readonly isHeard: boolean;
  readonly hasSameRules: boolean;
  /** up to where it can be believed, 0: not at all */
  readonly floor: number;
  /** undefined: it has no marks */
  readonly reaped: CollectMark | undefined;
}

/** One that took part, and has lost nothing since that it does not name. */
export interface AbleHolder {
  readonly node: NodeId;
  readonly slot: number;
  readonly floor: number;
  /** up to where to catch up with it */
  readonly mark: CollectMark;
  /** it has all keys that the one that is behind should have */
  readonly isWhole: boolean;
}

/** Whom to ask. */
export interface CatchUpPlan {
  /** with one of these the whole partition is compared, the first that answers */
  readonly bases: readonly AbleHolder[];
  /** all that took part: asked for what that one has lost */
  readonly able: readonly AbleHolder[];
  /** there are others, of which nobody knows yet whether they took part */
  readonly isAnyoneSilent: boolean;
}

/** What follows when those who could be asked have no word on some hashes (`Unsure`). */
export type UnprovedVerdict =
  /** somebody may have: the partition stays behind meanwhile */
  | "wait"
  /** nobody has: what is held stays */
  | "keep";

/** With whom the holder of `slot` catches up, which knows of a proof up to `heard`; or why with nobody now. */
export function sourcesOf(
  own: { readonly slot: number; readonly heard: CollectMark; readonly rules: KnownRules },
  holders: readonly ToldHolder[],
): CatchUpPlan | "wait" | "nobody" {
  const able = holders
    .map((holder) => ({
      ...holder,
      mark: greater(own.heard, holder.reaped),
      isWhole: coversAll(own.rules, own.slot, holder.slot),
    }))
    .filter(
      ({ isHeard, hasSameRules, reaped, floor, mark }) =>
        isHeard && hasSameRules && reaped !== undefined && floor > 0 && floor >= mark.floor,
    )
    .toSorted((one, other) => one.slot - other.slot);
  const whole = able.filter(({ isWhole }) => isWhole);
  const isAnyoneSilent = holders.some(({ isHeard, hasSameRules }) => !isHeard || !hasSameRules);
  if (whole.length > 0) return { bases: whole, able, isAnyoneSilent };
  if (!holders.every(({ isHeard }) => isHeard)) return "wait";
  if (able[0] !== undefined) return { bases: [able[0]], able, isAnyoneSilent };
  // Those that know other rules will hear of them; until then nothing follows from what they do not say.
  return isAnyoneSilent ? "wait" : "nobody";
}

/**
 * What is held and may have been deleted waits for whoever may know; what is lacking does not: it is named, and comes by
 * anti-entropy if anybody has it. `isAnyoneSilent`: of those who may know, somebody has not answered.
 */
export function verdictOn(unsure: Iterable<boolean>, isAnyoneSilent: boolean): UnprovedVerdict {
  return isAnyoneSilent && [...unsure].some((mayBeDeleted) => mayBeDeleted) ? "wait" : "keep";
}

function greater(one: CollectMark, other: CollectMark | undefined): CollectMark {
  return other !== undefined && other.floor > one.floor ? other : one;
}
