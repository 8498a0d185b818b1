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

/** Who, up to what mark; or why not. */
export type CatchUpSource =
  | { readonly node: NodeId; readonly slot: number; readonly mark: CollectMark }
  | "wait"
  | "nobody";

/** The source for the holder of `slot`, which knows of a proof up to `heard`. */
export function sourceOf(
  own: { readonly slot: number; readonly heard: CollectMark; readonly rules: KnownRules },
  holders: readonly ToldHolder[],
): CatchUpSource {
  const able = holders
    .map((holder) => ({ ...holder, mark: greater(own.heard, holder.reaped) }))
    .filter(
      ({ isHeard, hasSameRules, reaped, floor, mark }) =>
        isHeard && hasSameRules && reaped !== undefined && floor > 0 && floor >= mark.floor,
    )
    .toSorted((one, other) => one.slot - other.slot);
  const whole = able.find(({ slot }) => coversAll(own.rules, own.slot, slot));
  if (whole !== undefined) return whole;
  if (!holders.every(({ isHeard }) => isHeard)) return "wait";
  if (able[0] !== undefined) return able[0];
  // Those that know other rules will hear of them; until then nothing follows from what they do not say.
  if (holders.some(({ hasSameRules }) => !hasSameRules)) return "wait";
  return "nobody";
}

function greater(one: CollectMark, other: CollectMark | undefined): CollectMark {
  return other !== undefined && other.floor > one.floor ? other : one;
}
