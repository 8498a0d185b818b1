/**
 * GET as a state machine: whom to ask for what, when the answers suffice, what the key holds, who must be repaired.
 * Pure: events in, asks and a verdict out; it owns its state and never waits. Source: Dynamo §4.5, digest reads.
 *
 * A vote is a distinct slot whose version is KNOWN: nothing, or a version whose object is here. Any R votes meet every
 * acknowledged write, so the answer is the merge of what the voters hold. A store that may have lost data (suspect)
 * is believed last: its version counts only when nobody better is left, its absence never.
 */
import { includes } from "../versioning/causal-context.ts";
import { digestOf } from "../versioning/object-codec.ts";
import { merge, reduceLww } from "../versioning/sibling-set.ts";
import type { CausalContext, SiblingSet } from "../versioning/types.ts";
import type { RepairTarget, Seat } from "./needs.ts";
import { slotBit, slotCount } from "./quorum-core.ts";
import {
  addVote,
  answered,
  newTally,
  newVoter,
  type ReadQuestion,
  type ReadVoter,
  type Tally,
  type VoterReply,
} from "./read-voter-core.ts";

/** How a read ends, as far as the replicas are concerned. */
export type ReadVerdict =
  | { readonly kind: "pending" }
  /** `set` undefined: R owners have nothing, digest 0n */
  | { readonly kind: "known"; readonly set: SiblingSet | undefined; readonly digest: bigint }
  /** all that could be reached is older than the reader demands */
  | { readonly kind: "stale"; readonly received: number }
  | { readonly kind: "unmet"; readonly received: number };

/** What a read must reach. */
export interface ReadNeed {
  /** distinct slots */
  readonly total: number;
  /** of these, from owners */
  readonly owners: number;
  /** slots of the bucket; others never count */
  readonly n: number;
  readonly atLeast: CausalContext | undefined;
  /** the bucket lets the last write win: what is merged is reduced as the replicas reduce it, or repair never ends */
  readonly isLww: boolean;
}

const PENDING: ReadVerdict = { kind: "pending" };

/** One read. The seats come in the order in which they are to be asked, owners before fallbacks. */
export class ReadCore {
  readonly voters: readonly ReadVoter[];
  readonly #need: ReadNeed;
  readonly #asks: number[] = [];
  #verdict: ReadVerdict = PENDING;
  #isTimeUp = false;

  constructor(seats: readonly Seat[], need: ReadNeed) {
    this.voters = seats.map(newVoter);
    this.#need = need;
  }

  get verdict(): ReadVerdict {
    return this.#verdict;
  }

  /** Asks the first R. */
  start(): void {
    this.#advance();
  }

  /** The next voter to ask (its `question` says for what), or −1. Asks that the verdict has overtaken are dropped. */
  nextAsk(): number {
    return this.#verdict === PENDING ? (this.#asks.shift() ?? -1) : -1;
  }

  /** A replica named the digest of what it holds. */
  onDigest(index: number, reply: VoterReply, digest: bigint): void {
    const voter = this.#voterAwaiting(index);
    if (voter === undefined) return;
    answered(voter, reply);
    voter.digest = digest;
    this.#advance();
  }

  /** A replica gave its object; undefined: it has nothing. */
  onObject(index: number, reply: VoterReply, set: SiblingSet | undefined): void {
    const voter = this.#voterAwaiting(index);
    if (voter === undefined) return;
    answered(voter, reply);
    voter.set = set;
    // Computed, not taken from the index: an index knows hashes, and two keys of one hash would answer for each other.
    voter.digest = set === undefined ? 0n : digestOf(set);
    this.#advance();
  }

  /** A replica refused, could not be reached, or gave something unreadable: it has no vote. */
  onFailed(index: number, reason: string): void {
    const voter = this.#voterAwaiting(index);
    if (voter === undefined) return;
    voter.state = "failed";
    voter.reason = reason;
    this.#advance();
  }

  /** True when somebody is left to ask beside a slow replica. */
  get canHedge(): boolean {
    return this.#verdict === PENDING && this.voters.some((voter) => voter.state === "idle");
  }

  /** The asked replicas take too long: another one is asked beside each. */
  onSlow(): void {
    for (const voter of this.voters) if (voter.state === "asked") voter.isSlow = true;
    this.#advance();
  }

  /** The time is up: what is here must do. */
  onDeadline(): void {
    this.#isTimeUp = true;
    this.#advance();
  }

  /** Owners that voted with less than the answer, and what they held. Empty before the verdict. */
  repairs(): readonly RepairTarget[] {
    const verdict = this.#verdict;
    const targets: RepairTarget[] = [];
    if (verdict.kind !== "known" || verdict.set === undefined) return targets;
    for (const voter of this.voters) {
      const isOwner = voter.seat.role === "owner" && slotBit(voter.slot, this.#need.n) !== 0;
      if (isOwner && this.#hasVote(voter) && voter.digest !== verdict.digest)
        targets.push({ node: voter.seat.node, digest: voter.digest ?? 0n });
    }
    return targets;
  }

  #voterAwaiting(index: number): ReadVoter | undefined {
    const voter = this.voters[index];
    return voter?.state === "asked" ? voter : undefined;
  }

  #advance(): void {
    if (this.#verdict !== PENDING) return;
    const before = this.#tally();
    const isEnough = this.#reaches(before.firm, before.firmOwners);
    if (isEnough && this.#settleIfRecent()) return;
    this.#askForMissingObjects();
    this.#askNext();
    const tally = this.#tally();
    if (this.#isTimeUp || tally.askedCount === 0) this.#decideLast(tally, isEnough);
    else if (slotCount(tally.any | tally.open | this.#idleSlots()) < this.#need.total) this.#giveUp(tally);
  }

  /** Nobody is left to wait for: suspect stores are believed now, for what they have. */
  #decideLast(tally: Tally, isEnough: boolean): void {
    const known = this.#mergedVotes();
    const isProof = isEnough || (known.set !== undefined && this.#reaches(tally.any, tally.anyOwners));
    if (!isProof) this.#giveUp(tally);
    else if (isAtLeast(known.set, this.#need.atLeast)) this.#verdict = known;
    else this.#verdict = { kind: "stale", received: slotCount(tally.any) };
  }

  #settleIfRecent(): boolean {
    const known = this.#mergedVotes();
    if (!isAtLeast(known.set, this.#need.atLeast)) return false;
    this.#verdict = known;
    return true;
  }

  #giveUp(tally: Tally): void {
    this.#verdict = { kind: "unmet", received: slotCount(tally.firm) };
  }

  #reaches(slots: number, ownerSlots: number): boolean {
    return slotCount(slots) >= this.#need.total && slotCount(ownerSlots) >= this.#need.owners;
  }

  #tally(): Tally {
    const tally = newTally();
    for (const voter of this.voters) {
      const bit = slotBit(voter.slot, this.#need.n);
      const isAsked = voter.state === "asked";
      if (isAsked) {
        tally.askedCount += 1;
        if (!voter.isSlow) tally.awaitedCount += 1;
      }
      if (this.#hasVote(voter)) {
        addVote(tally, voter, bit);
      } else if (isAsked || voter.state === "answered") {
        // Who has answered without a vote gets it with the object that is fetched from another holder.
        tally.open |= bit;
        if (!voter.isSlow && !voter.isSuspect) tally.awaited |= bit;
      }
    }
    return tally;
  }

  #hasVote(voter: ReadVoter): boolean {
    // What a replica has named stays its version while its object is fetched, and is lost with a failed fetch.
    if (voter.digest === undefined || voter.state === "failed") return false;
    return voter.set !== undefined || voter.digest === 0n || this.#isObjectHere(voter.digest);
  }

  #isObjectHere(digest: bigint | undefined): boolean {
    for (const voter of this.voters) {
      if (voter.set !== undefined && voter.digest === digest) return true;
    }
    return false;
  }

  /**
   * Versions that are known by digest only: one holder of each is asked for the object. Not while the first object is
   * under way: mostly it is the very one that the digests name.
   */
  #askForMissingObjects(): void {
    if (this.voters.some(isFirstObjectAwaited)) return;
    for (const voter of this.voters) {
      if (voter.state !== "answered" || this.#hasVote(voter) || this.#isFetching(voter.digest)) continue;
      this.#ask(voter, "object");
    }
  }

  #isFetching(digest: bigint | undefined): boolean {
    return this.voters.some((voter) => voter.state === "asked" && !voter.isSlow && voter.digest === digest);
  }

  /** Asks until the awaited answers would suffice; when nothing is awaited and yet not enough, one more. */
  #askNext(): void {
    for (const voter of this.voters) {
      if (voter.state !== "idle") continue;
      const tally = this.#tally();
      if (tally.awaitedCount > 0 && slotCount(tally.firm | tally.awaited) >= this.#need.total) return;
      this.#ask(voter, this.#isObjectComing() ? "digest" : "object");
    }
  }

  #isObjectComing(): boolean {
    return this.voters.some((voter) =>
      voter.state === "asked" ? voter.question === "object" && !voter.isSlow : voter.set !== undefined,
    );
  }

  #ask(voter: ReadVoter, question: ReadQuestion): void {
    voter.state = "asked";
    voter.question = question;
    voter.isSlow = false;
    this.#asks.push(this.voters.indexOf(voter));
  }

  #idleSlots(): number {
    let slots = 0;
    for (const voter of this.voters) if (voter.state === "idle") slots |= slotBit(voter.slot, this.#need.n);
    return slots;
  }

  #mergedVotes(): Extract<ReadVerdict, { kind: "known" }> {
    let set: SiblingSet | undefined;
    let digest = 0n;
    for (const voter of this.voters) {
      if (voter.set === undefined || voter.digest === digest) continue;
      if (set === undefined) {
        set = voter.set;
        digest = voter.digest ?? 0n;
        continue;
      }
      const merged = merge(set, voter.set);
      set = this.#need.isLww ? reduceLww(merged) : merged;
      digest = digestOf(set);
    }
    return { kind: "known", set, digest };
  }
}

function isFirstObjectAwaited(voter: ReadVoter): boolean {
  return voter.state === "asked" && voter.question === "object" && voter.digest === undefined && !voter.isSlow;
}

function isAtLeast(set: SiblingSet | undefined, atLeast: CausalContext | undefined): boolean {
  if (atLeast === undefined) return true;
  if (set === undefined) return atLeast.vector.length === 0 && atLeast.detached.length === 0;
  return includes(set.clock, atLeast);
}
