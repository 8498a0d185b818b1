/** The votes of a read: who has one, how many slots they make, and what they hold together. Pure. */
import { includes, youngerThan } from "../versioning/causal-context.ts";
import { digestOf } from "../versioning/object-codec.ts";
import { merge, reduceLww } from "../versioning/sibling-set.ts";
import type { CausalContext, SiblingSet } from "../versioning/types.ts";
import type { RepairTarget } from "./needs.ts";
import { slotBit, slotCount } from "./quorum-core.ts";
import type { ReadNeed, ReadVerdict } from "./read-verdict.ts";
import type { ReadVoter } from "./read-voter-core.ts";

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

/** What voters hold together. */
export interface MergedVotes {
  readonly kind: "known";
  /** undefined: nothing, with digest 0n */
  readonly set: SiblingSet | undefined;
  readonly digest: bigint;
}

/** True for a version that is known by its digest only, and that nobody was asked for. */
export function lacksObject(voters: readonly ReadVoter[], voter: ReadVoter): boolean {
  return voter.state === "answered" && !hasVote(voters, voter) && !isFetched(voters, voter.digest);
}

/** Counts the votes, and the slots that may still come, of a bucket with slots 0 … n − 1; at the end when `isTimeUp`. */
export function tallyOf(voters: readonly ReadVoter[], n: number, isTimeUp: boolean): Tally {
  const tally = newTally();
  for (const voter of voters) {
    const bit = slotBit(voter.slot, n);
    const isAsked = voter.state === "asked";
    if (isAsked) {
      tally.askedCount += 1;
      if (!voter.isSlow) tally.awaitedCount += 1;
    }
    if (isStandInsNothing(voter)) {
      addStandInsNothing(tally, { voters, voter, bit, isTimeUp });
    } else if (hasVote(voters, voter)) {
      addVote(tally, voter, bit);
    } else if (isAsked || voter.state === "answered") {
      // Who has answered without a vote gets it with the object that is fetched from another holder.
      tally.open |= bit;
      if (!voter.isSlow && !voter.isSuspect) tally.awaited |= bit;
    }
  }
  return tally;
}

function isStandInsNothing(voter: ReadVoter): boolean {
  // the digest last: comparing big integers costs the most, and mostly all voters are owners
  return voter.seat.role === "fallback" && voter.state === "answered" && voter.digest === 0n;
}

/**
 * That a stand-in keeps nothing says little: the owners may hold the key. It fills up a quorum beside a version that
 * somebody else has, where the owner of the slot is not waited for any more; it never makes an absence, nor a deletion.
 */
function addStandInsNothing(
  tally: Tally,
  what: {
    readonly voters: readonly ReadVoter[];
    readonly voter: ReadVoter;
    readonly bit: number;
    readonly isTimeUp: boolean;
  },
): void {
  const { voters, voter, bit, isTimeUp } = what;
  if (!isTimeUp && voters.some((owner) => owner.slot === voter.slot && isAwaitedOwner(voters, owner))) {
    tally.open |= bit;
    tally.awaited |= bit;
  } else if (voters.some(({ set }) => set !== undefined && set.siblings.length > 0)) {
    addVote(tally, voter, bit);
  } else {
    tally.open |= bit;
  }
}

function isAwaitedOwner(voters: readonly ReadVoter[], owner: ReadVoter): boolean {
  const { seat, state, isDoubted } = owner;
  if (seat.role !== "owner") return false;
  // Who has named a version has it: what another lacks never overtakes the object.
  if (state === "answered") return !hasVote(voters, owner);
  return state === "astray" || (state === "asked" && !isDoubted);
}

/** True when the voter's version is known: nothing, or one whose object is here. */
export function hasVote(voters: readonly ReadVoter[], voter: ReadVoter): boolean {
  // What a replica has named stays its version while its object is fetched, and is lost with a failed fetch.
  if (voter.digest === undefined || voter.state === "failed") return false;
  return voter.set !== undefined || voter.digest === 0n || isObjectHere(voters, voter.digest);
}

function isObjectHere(voters: readonly ReadVoter[], digest: bigint | undefined): boolean {
  for (const voter of voters) {
    if (voter.set !== undefined && voter.digest === digest) return true;
  }
  return false;
}

/** The slots of voters that nobody has asked yet. */
export function idleSlotsOf(voters: readonly ReadVoter[], n: number): number {
  let slots = 0;
  for (const voter of voters) if (voter.state === "idle") slots |= slotBit(voter.slot, n);
  return slots;
}

/** True when an object is here or on its way: others are asked for digests then. */
export function isObjectComing(voters: readonly ReadVoter[]): boolean {
  return voters.some((voter) =>
    voter.state === "asked" ? voter.question === "object" && !voter.isSlow : voter.set !== undefined,
  );
}

/** True while the first object is under way: mostly it is the very one that the digests name. */
export function isFirstObjectAwaited(voters: readonly ReadVoter[]): boolean {
  return voters.some(
    ({ state, question, digest, isSlow }) =>
      state === "asked" && question === "object" && digest === undefined && !isSlow,
  );
}

/** True when somebody is asked for the object of this digest, and not known to be slow. */
export function isFetched(voters: readonly ReadVoter[], digest: bigint | undefined): boolean {
  return voters.some((voter) => voter.state === "asked" && !voter.isSlow && voter.digest === digest);
}

/** True when these slots suffice, with these of owners among them. */
export function isReached({ total, owners }: ReadNeed, slots: number, ownerSlots: number): boolean {
  return slotCount(slots) >= total && slotCount(ownerSlots) >= owners;
}

/** True when stand-ins have spoken and owners that are not in doubt have not. */
export function isHeldUp(voters: readonly ReadVoter[]): boolean {
  return (
    voters.some(({ seat, state }) => seat.role === "fallback" && state === "answered") &&
    voters.some(({ seat, state, isDoubted }) => seat.role === "owner" && state === "asked" && !isDoubted)
  );
}

/** Owners of slots 0 … n − 1 that voted with another version than the answer's, and what they held. */
export function ownersBehind(voters: readonly ReadVoter[], digest: bigint, n: number): readonly RepairTarget[] {
  return voters
    .filter((voter) => voter.seat.role === "owner" && slotBit(voter.slot, n) !== 0)
    .filter((voter) => hasVote(voters, voter) && voter.digest !== digest)
    .map((voter) => ({ node: voter.seat.node, digest: voter.digest ?? 0n }));
}

/** What the voters hold together. */
export function mergedVotes(voters: readonly ReadVoter[], isLww: boolean): MergedVotes {
  let set: SiblingSet | undefined;
  let digest = 0n;
  for (const voter of voters) {
    if (voter.set === undefined || voter.digest === digest) continue;
    if (set === undefined) {
      set = voter.set;
      digest = voter.digest ?? 0n;
      continue;
    }
    const merged = merge(set, voter.set);
    set = isLww ? reduceLww(merged) : merged;
    digest = digestOf(set);
  }
  return { kind: "known", set, digest };
}

/** True when `set` has seen all that the reader demands. */
export function isAtLeast(set: SiblingSet | undefined, atLeast: CausalContext | undefined): boolean {
  if (atLeast === undefined) return true;
  if (set === undefined) return atLeast.vector.length === 0 && atLeast.detached.length === 0;
  return includes(set.clock, atLeast);
}

/** The same at the end of a read: what is old enough may have been collected, and nobody has it any more. */
export function isAllThereIs(
  set: SiblingSet | undefined,
  { atLeast, collectedThrough = 0 }: Pick<ReadNeed, "atLeast" | "collectedThrough">,
): boolean {
  return isAtLeast(set, atLeast && youngerThan(atLeast, collectedThrough));
}

/** Too few have answered; or what they have is gone, and too few of them are sound owners. */
export function unmet({ firm, firmOwners }: Tally, isGone = false): ReadVerdict {
  return isGone
    ? { kind: "unmet", received: slotCount(firmOwners), isGone }
    : { kind: "unmet", received: slotCount(firm) };
}

function newTally(): Tally {
  return { firm: 0, firmOwners: 0, any: 0, anyOwners: 0, open: 0, awaited: 0, awaitedCount: 0, askedCount: 0 };
}

/**
 * Counts a vote for the slot's `bit`. Absence in a suspect store is none at all: it may be the very write that a quorum
 * acknowledged. An OLDER version in a suspect store counts with `any`, and so when nobody better is left: a decision for
 * availability, since refusing it would refuse every read of that store until its repair is done.
 */
function addVote(tally: Tally, voter: ReadVoter, bit: number): void {
  if (voter.isSuspect && voter.digest === 0n) return;
  tally.any |= bit;
  if (!voter.isSuspect) tally.firm |= bit;
  if (voter.seat.role !== "owner") return;
  tally.anyOwners |= bit;
  if (!voter.isSuspect) tally.firmOwners |= bit;
}
