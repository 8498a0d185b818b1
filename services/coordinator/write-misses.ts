/**
 * Tells the sink of hints which slots a write is missing from. Must never tell it of a write that is `not_applied`: the
 * hint would be the trace that such a write must not have.
 */
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";
import type { WriteStanding } from "./write-answer.ts";
import { missedPartiesOf } from "./write-party-core.ts";

/** A write and how it stands. */
export interface MissingWrite {
  readonly scope: RequestScope;
  readonly standing: WriteStanding;
  /** slots whose miss the sink knows already, as a mask */
  readonly notedSlots: number;
}

/**
 * Names each slot that no owner has stored, nor a stand-in for it, and from which no word is awaited any more: once.
 * Answers the mask of the slots named so far.
 */
export function noteMisses(room: CoordinatorRoom, { scope, standing, notedSlots }: MissingWrite): number {
  const { core, minted } = standing;
  if (minted === undefined || core.verdict === "not_applied") return notedSlots;
  let noted = notedSlots;
  for (const { seat, reason } of missedPartiesOf(core.parties, scope.settings.n, notedSlots)) {
    noted |= 1 << seat.slot;
    room.counters.missedWriteCount += 1;
    room.handoff.missed({
      location: scope.location,
      slot: seat.slot,
      owner: seat.node,
      baseDigest: minted.baseDigest,
      digest: minted.digest,
      object: minted.object,
      reason,
    });
  }
  return noted;
}
