/** One replica's part in a read. Pure; the rules are `read-core.ts`'s. */
import type { NodeId } from "../base/ids.ts";
import type { SiblingSet } from "../versioning/types.ts";
import type { Seat } from "./needs.ts";

/** What a read asks a replica for: its digest from RAM, or the whole object. */
export type ReadQuestion = "digest" | "object";

/** One replica's part in a read; only the core changes it. */
export interface ReadVoter {
  seat: Seat;
  /** `astray`: holds no slot, and its slot's holder is looked for; `gone`: another one is asked in its place */
  state: "idle" | "asked" | "answered" | "failed" | "astray" | "gone";
  /** what it was asked last */
  question: ReadQuestion | "nothing";
  /** the slot it named; its seat's slot until it answers */
  slot: number;
  isSuspect: boolean;
  /** hedged: it still may answer, but nobody waits for it alone */
  isSlow: boolean;
  /** slow, and in doubt besides: what a stand-in lacks counts even before it has answered */
  isDoubted: boolean;
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
  /** from its hints; absent: as the owner that it is by its own record, whatever it was asked as */
  readonly isStandIn?: true;
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
    isDoubted: false,
    digest: undefined,
    set: undefined,
    reason: "",
  };
}

/** Notes that it is asked, for the first time or again. */
export function asked(voter: ReadVoter, question: ReadQuestion): void {
  voter.state = "asked";
  voter.question = question;
  voter.isSlow = false;
  voter.isDoubted = false;
  voter.reason = "";
}

/** The voter of this index, while it is asked. */
export function awaitedAt(voters: readonly ReadVoter[], index: number): ReadVoter | undefined {
  const voter = voters[index];
  return voter?.state === "asked" ? voter : undefined;
}

/** Notes that a replica has answered, before its version is known; the same voter. */
export function answered(voter: ReadVoter, reply: VoterReply): ReadVoter {
  voter.state = "answered";
  if (voter.seat.role === "fallback" && reply.isStandIn !== true) voter.seat = { ...voter.seat, role: "owner" };
  voter.slot = reply.slot;
  voter.isSuspect = reply.isSuspect;
  voter.set = undefined;
  return voter;
}

/** Notes that it has no vote, and why. */
export function failed(voter: ReadVoter, reason: string): void {
  voter.state = "failed";
  voter.reason = reason;
}

/** Gives it another seat, before it is asked for that. */
export function reseated(voter: ReadVoter, seat: Seat): void {
  voter.seat = seat;
  voter.slot = seat.slot;
  voter.digest = undefined;
}

/** Takes its vote back: it holds no slot. Another one is asked in its place, or its slot's holder is looked for. */
export function strayed(voter: ReadVoter, reason: string, isReplaced: boolean): void {
  voter.state = isReplaced ? "gone" : "astray";
  voter.reason = reason;
  voter.digest = undefined;
  voter.set = undefined;
  voter.slot = voter.seat.slot;
}

/** Notes that whoever is waited for takes too long, and whether it may never answer. */
export function slowed(voter: ReadVoter, isInDoubt: (node: NodeId) => boolean): void {
  if (voter.state !== "asked" && voter.state !== "astray") return;
  voter.isSlow = true;
  voter.isDoubted = isInDoubt(voter.seat.node);
}

/** True for one that nobody has asked yet. */
export function isIdle(voter: ReadVoter): boolean {
  return voter.state === "idle";
}

/** Of those that nobody has asked yet, and that are not left out, the one in this turn. */
export function idleInTurn(
  voters: readonly ReadVoter[],
  turn: number,
  isLeftOut: (node: NodeId) => boolean,
): ReadVoter | undefined {
  const idle = voters.filter((voter) => isIdle(voter) && !isLeftOut(voter.seat.node));
  return idle[turn % idle.length];
}

/** True for one that nobody has asked yet, and for one that is asked and not known to be slow. */
export function isIdleOrAwaited({ state, isSlow }: ReadVoter): boolean {
  return state === "idle" || (!isSlow && (state === "asked" || state === "astray"));
}

/** How many are asked just now besides this node. */
export function askedOthers(voters: readonly ReadVoter[], self: NodeId): number {
  return voters.filter(({ state, seat }) => state === "asked" && seat.node !== self).length;
}

/** True while nobody is asked who is not in doubt. */
export function areAskedInDoubt(voters: readonly ReadVoter[], isInDoubt: (node: NodeId) => boolean): boolean {
  return voters.every(({ state, seat }) => state !== "asked" || isInDoubt(seat.node));
}
