/**
 * GET as a state machine: whom to ask for what, when the answers suffice, what the key holds, who must be repaired.
 * Pure: events in, asks and a verdict out; it owns its state and never waits. Source: Dynamo §4.5, digest reads.
 *
 * A vote is a distinct slot whose version is KNOWN: nothing, or a version whose object is here. Any R votes meet every
 * acknowledged write, so the answer is the merge of what the voters hold. A store that may have lost data (suspect)
 * is believed last: its version counts only when nobody better is left, its absence never.
 * Others may stand in for owners (sloppy quorums, Dynamo §4.6): the versions that they keep are votes for the slots they
 * are asked for; what they lack is none by itself. That a key is not there, never was, was deleted or has ended, is the
 * word of R owners whose stores are sound, and of nobody else.
 * Slots move under reads. Who holds none has no vote and is `astray` while the holder of its slot is looked for; another
 * voter is then asked in its place. What counts are the slots that replies name, whatever the table said.
 */
import type { NodeId } from "../base/ids.ts";
import { digestOf } from "../versioning/object-codec.ts";
import type { SiblingSet } from "../versioning/types.ts";
import { canAskAgain, isAllCovered, replacedSeats, soughtCount } from "./holder-search-core.ts";
import type { RepairTarget, Seat } from "./needs.ts";
import { freeSlotOf, slotCount } from "./quorum-core.ts";
import { BY_SIBLINGS, type Calendar, type ReadNeed, type ReadVerdict } from "./read-verdict.ts";
import {
  answered,
  asked,
  awaitedAt,
  failed,
  isIdle,
  isIdleOrAwaited,
  newVoter,
  type ReadQuestion,
  type ReadVoter,
  reseated,
  slowed,
  strayed,
  type VoterReply,
} from "./read-voter-core.ts";
import {
  idleSlotsOf,
  isAllThereIs,
  isAtLeast,
  isFirstObjectAwaited,
  isHeldUp,
  isObjectComing,
  isReached,
  lacksObject,
  mergedVotes,
  ownersBehind,
  type Tally,
  tallyOf,
  unmet,
} from "./read-votes-core.ts";

const PENDING: ReadVerdict = { kind: "pending" };

/** One read. The seats come in the order in which they are to be asked. */
export class ReadCore {
  readonly #voters: ReadVoter[];
  readonly #need: ReadNeed;
  readonly #calendar: Calendar;
  readonly #asks: number[] = [];
  #verdict: ReadVerdict = PENDING;
  #isTimeUp = false;
  /** some reply was not as the table had it: from then on slots may be looked for */
  #isUnsettled = false;
  #isSearchOver = false;
  #isSlowSeen = false;
  #standInsLeft: number;
  #wantsStandIn = false;

  constructor(seats: readonly Seat[], need: ReadNeed, calendar: Calendar = BY_SIBLINGS) {
    this.#voters = seats.map(newVoter);
    this.#need = need;
    this.#calendar = calendar;
    this.#standInsLeft = need.standIns ?? 0;
  }

  /** The seats by their index, in the order of asking; then those that were found. */
  get voters(): readonly ReadVoter[] {
    return this.#voters;
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
    const voter = this.#heard(index, reply);
    if (voter === undefined) return;
    voter.digest = digest;
    this.#advance();
  }

  /** A replica gave its object; undefined: it has nothing. */
  onObject(index: number, reply: VoterReply, set: SiblingSet | undefined): void {
    const voter = this.#heard(index, reply);
    if (voter === undefined) return;
    voter.set = set;
    // Computed, not taken from the index: an index knows hashes, and two keys of one hash would answer for each other.
    voter.digest = set === undefined ? 0n : digestOf(set);
    this.#advance();
  }

  /** A replica refused, could not be reached, or gave something unreadable: it has no vote. */
  onFailed(index: number, reason: string): void {
    const voter = awaitedAt(this.#voters, index);
    if (voter === undefined) return;
    failed(voter, reason);
    this.#advance();
  }

  /** A replica holds no slot of the partition (any more). `instead`: asked in its place at once. */
  onAstray(index: number, reason: string, instead: Seat | undefined): void {
    const voter = awaitedAt(this.#voters, index);
    if (voter === undefined) return;
    this.#isUnsettled = true;
    strayed(voter, reason, instead !== undefined);
    if (instead !== undefined) this.#askHolder(instead);
    this.#advance();
  }

  /** Who is astray is out of it when nothing is left to look for; until then it may come to hold another slot. */
  dropReplaced(): void {
    if (!isAllCovered(this.#voters, this.#need.n)) return;
    for (const voter of replacedSeats(this.#voters, this.#need.n)) voter.state = "gone";
  }

  /** Asks those that were found by looking again. */
  askHolders(seats: readonly Seat[]): void {
    for (const seat of seats) this.#askHolder(seat);
    this.#advance();
  }

  /** True while slots of the bucket have no holder that is known, and looking at a newer table may help. */
  get isSearching(): boolean {
    return this.#verdict === PENDING && this.#soughtCount() > 0;
  }

  /** The holders that are not found by now will not be. */
  onSearchOver(): void {
    this.#isSearchOver = true;
    for (const voter of this.#voters) if (voter.state === "astray") voter.state = "failed";
    this.#advance();
  }

  /** True while the owners do not suffice: another node is to be asked in the place of one, see `onStandIn`. */
  get wantsStandIn(): boolean {
    return this.#wantsStandIn && this.#verdict === PENDING;
  }

  /** The node stands in for a slot that nobody else will answer for; undefined: nobody is left who could. */
  onStandIn(node: NodeId | undefined): void {
    this.#standInsLeft = node === undefined ? 0 : this.#standInsLeft - 1;
    if (node !== undefined) {
      const { firm, awaited } = this.#tally();
      this.#askHolder({ node, slot: Math.max(0, freeSlotOf(firm | awaited, this.#need.n)), role: "fallback" });
    }
    this.#advance();
  }

  /** Somebody is left to ask beside a slow replica. */
  get canHedge(): boolean {
    return this.#verdict === PENDING && this.#voters.some(this.#standInsLeft > 0 ? isIdleOrAwaited : isIdle);
  }

  /** The asked replicas take too long: another one is asked beside each. `isInDoubt`: of a node, that it may never answer. */
  onSlow(isInDoubt: (node: NodeId) => boolean): void {
    this.#isSlowSeen = true;
    for (const voter of this.#voters) slowed(voter, isInDoubt);
    this.#advance();
  }

  /** True while slow owners stand in the way of what stand-ins lack: whether they are in doubt is to be looked at again. */
  get isHeldUp(): boolean {
    return this.#verdict === PENDING && this.#isSlowSeen && isHeldUp(this.#voters);
  }

  /** The time is up. */
  onDeadline(): void {
    this.#isTimeUp = true;
    this.#advance();
  }

  /** Owners that voted with less than the answer, and what they held. Empty before the verdict. */
  repairs(): readonly RepairTarget[] {
    const verdict = this.#verdict;
    if (verdict.kind !== "known" || verdict.set === undefined) return [];
    return ownersBehind(this.#voters, verdict.digest, this.#need.n);
  }

  #heard(index: number, reply: VoterReply): ReadVoter | undefined {
    const voter = awaitedAt(this.#voters, index);
    if (voter === undefined) return undefined;
    if (reply.slot !== voter.seat.slot) this.#isUnsettled = true;
    return answered(voter, reply);
  }

  #advance(): void {
    if (this.#verdict !== PENDING) return;
    const before = this.#tally();
    const isEnough = isReached(this.#need, before.firm, before.firmOwners);
    if (isEnough && this.#settleIfRecent(before)) return;
    const askedCount = this.#asks.length;
    this.#askForMissingObjects();
    const tally = this.#askNext(this.#asks.length > askedCount ? this.#tally() : before);
    const sought = this.#soughtCount();
    this.#wantsStandIn = this.#standInsLeft > 0 && this.#isLacking(tally, { sought, isEnough });
    if (this.#wantsStandIn) return;
    if (this.#isTimeUp || (tally.askedCount === 0 && sought === 0)) this.#decideLast(tally, isEnough);
    else if (slotCount(tally.any | tally.open | idleSlotsOf(this.#voters, this.#need.n)) + sought < this.#need.total)
      this.#verdict = unmet(tally);
  }

  /** True when all owners have been asked and those waited for cannot make a quorum, or none that is recent enough. */
  #isLacking(tally: Tally, { sought, isEnough }: { readonly sought: number; readonly isEnough: boolean }): boolean {
    if (this.#isTimeUp || idleSlotsOf(this.#voters, this.#need.n) !== 0) return false;
    if (isEnough) return tally.awaitedCount === 0;
    // A slot in transit is waited for like a replica: until that takes too long.
    return slotCount(tally.firm | tally.awaited) + (this.#isSlowSeen ? 0 : sought) < this.#need.total;
  }

  #soughtCount(): number {
    return this.#isUnsettled && !this.#isSearchOver ? soughtCount(this.#voters, this.#need.n) : 0;
  }

  #askHolder(seat: Seat): void {
    const known = this.#voters.find((voter) => voter.seat.node === seat.node);
    if (known !== undefined && !canAskAgain(known)) return;
    const voter = known ?? newVoter(seat);
    if (known === undefined) this.#voters.push(voter);
    reseated(voter, seat);
    this.#ask(voter, isObjectComing(this.#voters) ? "digest" : "object");
  }

  /** Nobody is left to wait for: suspect stores are believed now, for what they have. */
  #decideLast(tally: Tally, isEnough: boolean): void {
    const known = mergedVotes(this.#voters, this.#need.isLww);
    const isProof = isEnough || (known.set !== undefined && isReached(this.#need, tally.any, tally.anyOwners));
    if (!isProof) this.#verdict = unmet(tally);
    else if (!isAllThereIs(known.set, this.#need)) this.#verdict = { kind: "stale", received: slotCount(tally.any) };
    else if (this.#isProven(known.set, tally)) this.#verdict = known;
    else this.#verdict = unmet(tally, true);
  }

  #settleIfRecent(tally: Tally): boolean {
    const known = mergedVotes(this.#voters, this.#need.isLww);
    if (!isAtLeast(known.set, this.#need.atLeast) || !this.#isProven(known.set, tally)) return false;
    this.#verdict = known;
    return true;
  }

  /** What others keep instead of owners, or a suspect store, proves no absence: there may be a living value elsewhere. */
  #isProven(set: SiblingSet | undefined, { firmOwners }: Tally): boolean {
    if (slotCount(firmOwners) >= this.#need.total) return true;
    return set !== undefined && !this.#calendar.isGone(set, this.#need.isLww);
  }

  /** Versions that are known by digest only: one holder of each is asked for the object, but not for the first of all. */
  #askForMissingObjects(): void {
    if (isFirstObjectAwaited(this.#voters)) return;
    for (const voter of this.#voters) if (lacksObject(this.#voters, voter)) this.#ask(voter, "object");
  }

  /** Asks until the awaited answers would suffice; when nothing is awaited and yet not enough, one more. The tally then. */
  #askNext(before: Tally): Tally {
    let tally = before;
    for (const voter of this.#voters) {
      if (voter.state !== "idle") continue;
      if (tally.awaitedCount > 0 && slotCount(tally.firm | tally.awaited) >= this.#need.total) return tally;
      this.#ask(voter, isObjectComing(this.#voters) ? "digest" : "object");
      tally = this.#tally();
    }
    return tally;
  }

  #tally(): Tally {
    return tallyOf(this.#voters, this.#need.n, this.#isTimeUp);
  }

  #ask(voter: ReadVoter, question: ReadQuestion): void {
    asked(voter, question);
    this.#asks.push(this.#voters.indexOf(voter));
  }
}
