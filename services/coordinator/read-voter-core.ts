/** One replica's part in a read, and the counting of votes. Pure; the rules are `read-core.ts`'s. */
import type { SiblingSet } from "../versioning/types.ts";
import type { Seat } from "./needs.ts";

/** What a read asks a replica for: its digest from RAM, or the whole object. */
export type ReadQuestion = "digest" | "object";

/** One replica's part in a read; only the core changes it. */
export interface ReadVoter {
  readonly seat: Seat;
  state: "idle" | "asked" | "answered" | "failed";
  /** what it was asked last */
  question: ReadQuestion | "nothing";
  /** the slot it named; its seat's slot until it answers */
  slot: number;
  isSuspect: boolean;
  /** hedged: it still may answer, but nobody waits for it alone */
  isSlow: boolean;
  /** undefined until it answers */
  digest: bigint | undefined;
  /** the object behind `digest`, when this voter gave it */
  set: SiblingSet | undefined;
  /** why it failed */
  reason: string;
}

/** What a replica said, whatever it was asked. */
export interface VoterReply {
  readonly slot: number;
  readonly isSuspect: boolean;
}

/** Masks of slots, and how many replicas are waited for. */
export interface Tally {
  /** votes of stores that are whole */
  firm: number;
  firmOwners: number;
  /** all votes, with those of suspect stores for what they have */
  any: number;
  anyOwners: number;
  /** slots that an answer may still add, however slow */
  open: number;
  /** slots that an answer is waited for */
  awaited: number;
  awaitedCount: number;
  askedCount: number;
}

/** A replica that nobody has asked yet. */
export function newVoter(seat: Seat): ReadVoter {
  return {
    seat,
    state: "idle",
    question: "nothing",
    slot: seat.slot,
    isSuspect: false,
    isSlow: false,
    digest: undefined,
    set: undefined,
    reason: "",
  };
}

/** Notes that a replica has answered, before its version is known. */
export function answered(voter: ReadVoter, reply: VoterReply): void {
  voter.state = "answered";
  voter.slot = reply.slot;
  voter.isSuspect = reply.isSuspect;
  voter.set = undefined;
}

/** No votes. */
export function newTally(): Tally {
  return { firm: 0, firmOwners: 0, any: 0, anyOwners: 0, open: 0, awaited: 0, awaitedCount: 0, askedCount: 0 };
}

/**
 * Counts a vote for the slot's `bit`. Absence in a suspect store is none at all: it may be the very write that a quorum
 * acknowledged. An OLDER version in a suspect store counts with `any`, and so when nobody better is left: a decision for
 * availability, since refusing it would refuse every read of that store until its repair is done.
 */
export function addVote(tally: Tally, voter: ReadVoter, bit: number): void {
  if (voter.isSuspect && voter.digest === 0n) return;
  tally.any |= bit;
  if (!voter.isSuspect) tally.firm |= bit;
  if (voter.seat.role !== "owner") return;
  tally.anyOwners |= bit;
  if (!voter.isSuspect) tally.firmOwners |= bit;
}
