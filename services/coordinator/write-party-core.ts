/**
 * One replica's part in a write, and the slots that nobody stands for any more. Pure; the rules of the outcome are
 * `write-core.ts`'s.
 */
import type { Seat } from "./needs.ts";
import { slotBit } from "./quorum-core.ts";

/** One replica's part in a write; only the core changes it. */
export interface WriteParty {
  seat: Seat;
  /**
   * `idle` not told (yet); `asked` told, no word yet; `astray` holds no slot, and its slot's holder is looked for; the
   * others are ends, `gone` that of a party in whose place another one is told
   */
  state: "idle" | "asked" | "astray" | "gone" | "stored" | "refused" | "unsent" | "lost" | "failed";
  /** the slot it named; its seat's slot until it answers */
  slot: number;
  /** waited for too long: another node may stand in beside it */
  isSlow: boolean;
  isDurable: boolean;
  /** digest of what it holds now, once stored */
  digest: bigint | undefined;
  /** refusal reason, `unreachable`, `timeout`, `link_closed`, `failed`; empty otherwise */
  reason: string;
  /** in words, for the error document */
  detail: string;
}

/** What a replica did with a write. */
export type WriteWord =
  | {
      readonly kind: "stored";
      readonly slot: number;
      readonly digest: bigint;
      readonly isDurable: boolean;
      /** among its hints; absent: as the owner that it is by its own record, whatever it was asked as */
      readonly isStandIn?: true;
    }
  | { readonly kind: "refused" | "unsent" | "lost" | "failed"; readonly reason: string; readonly detail: string };

/** A party that nobody has told anything. */
export function newParty(seat: Seat): WriteParty {
  return {
    seat,
    state: "idle",
    slot: seat.slot,
    isSlow: false,
    isDurable: false,
    digest: undefined,
    reason: "",
    detail: "",
  };
}

/** True when the replica may lack a write that stands elsewhere. */
export function isMissing({ state }: WriteParty): boolean {
  return state === "refused" || state === "unsent" || state === "lost" || state === "failed";
}

/** The first party for whose slot another node may stand in: nobody has stored it, is waited for or looked for; −1: none. */
export function vacantPartyOf(parties: readonly WriteParty[], n: number): number {
  let covered = 0;
  for (const party of parties) if (isStanding(party)) covered |= slotBit(party.slot, n);
  return parties.findIndex((party) => {
    const bit = slotBit(party.seat.slot, n);
    return (isMissing(party) || party.isSlow) && bit !== 0 && (covered & bit) === 0;
  });
}

function isStanding({ state, isSlow }: WriteParty): boolean {
  return state === "stored" || (!isSlow && (state === "idle" || state === "asked" || state === "astray"));
}

/**
 * A party for each slot that nobody stores, nobody may still store, and `notedSlots` has not: its owner lacks the write,
 * and nobody keeps it for that owner.
 */
export function missedPartiesOf(parties: readonly WriteParty[], n: number, notedSlots: number): readonly WriteParty[] {
  let held = notedSlots;
  for (const party of parties) {
    if (party.state !== "gone" && !isMissing(party)) held |= slotBit(party.slot, n);
  }
  const missed: WriteParty[] = [];
  for (const party of parties) {
    const bit = slotBit(party.seat.slot, n);
    if (!isMissing(party) || bit === 0 || (held & bit) !== 0) continue;
    held |= bit;
    missed.push(ownerAmong(parties, party.seat.slot) ?? party);
  }
  return missed;
}

/** The owner of the slot that was told last, or would have been. */
function ownerAmong(parties: readonly WriteParty[], slot: number): WriteParty | undefined {
  return parties.findLast(({ seat }) => seat.role === "owner" && seat.slot === slot);
}
