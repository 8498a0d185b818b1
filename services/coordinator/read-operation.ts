/**
 * One GET on its way: carries out what `read-core` asks for and turns its verdict into the answer. Callbacks inside;
 * with a local slot and agreeing replicas it costs one local read and one digest call.
 */
import type { NodeId } from "../base/ids.ts";
import type { CallResult } from "../peers/messages.ts";
import { decodeSet } from "../versioning/object-codec.ts";
import type { SiblingSet } from "../versioning/types.ts";
import { ClientTerm } from "./client-term.ts";
import type { GetAnswer, GetRequest } from "./contract.ts";
import { explore } from "./exploration.ts";
import { readFailure } from "./failures.ts";
import { FanOut, type FanOutListener } from "./fan-out.ts";
import { HolderSearch, type HolderSeeker, type StrayWord, strayWordOf } from "./holder-search.ts";
import { type LocalWord, readAs } from "./local-read.ts";
import type { Seat } from "./needs.ts";
import { livingNow, readAnswer, withPeers } from "./read-answer.ts";
import { ReadCore } from "./read-core.ts";
import { readQuestion } from "./read-question.ts";
import { type Calendar, FOR_NOBODY, type ReadNeed, type ReadVerdict } from "./read-verdict.ts";
import { areAskedInDoubt, askedOthers, type ReadVoter } from "./read-voter-core.ts";
import { hedgeDelayMs, tellsPace } from "./replica-ranking-core.ts";
import { explainOf, readReports } from "./reports.ts";
import { askOrder, type CoordinatorRoom, type RequestScope } from "./request-scope.ts";
import { StandIns } from "./stand-ins.ts";

const NO_VOTE = { failed: "failed", stored: "bad_reply", pong: "bad_reply", answer: "bad_reply" } as const;

/** A read under way; `start` it once. Calls `onAnswer` exactly once, within the deadline and one tick. */
export class ReadOperation implements FanOutListener, HolderSeeker, Calendar {
  readonly #room: CoordinatorRoom;
  readonly #scope: RequestScope;
  readonly #request: GetRequest;
  readonly #need: ReadNeed;
  readonly #onAnswer: (answer: GetAnswer) => void;
  readonly #core: ReadCore;
  readonly #fanOut: FanOut;
  readonly #term: ClientTerm;
  #search: HolderSearch | undefined;
  #standIns: StandIns | undefined;
  #isPumping = false;
  #isHedgeArmed = false;
  #isHedged = false;
  #isGone = false;
  #othersLeft = 0;

  constructor(
    room: CoordinatorRoom,
    read: { readonly scope: RequestScope; readonly request: GetRequest; readonly need: ReadNeed },
    onAnswer: (answer: GetAnswer) => void,
  ) {
    this.#room = room;
    this.#scope = read.scope;
    this.#request = read.request;
    this.#need = read.need;
    this.#onAnswer = onAnswer;
    this.#fanOut = new FanOut(room, this, read.request.knobs.timeoutMs);
    this.#term = new ClientTerm(this.#fanOut.deadlineMs);
    const order = askOrder(room, read.scope, { nowMs: this.#fanOut.startedMs, mayProbe: true });
    this.#core = new ReadCore(order, read.need, this);
  }

  /** Asks the first replicas. */
  start(): void {
    this.#room.hedges.earn();
    this.#core.start();
    this.#pump();
    if (!this.#fanOut.isClosed) this.#request.asker?.whenGone(this.#onGone);
    explore(this.#room, { location: this.#scope.location, voters: this.#core.voters, byMs: this.#term.byMs });
  }

  onResult(index: number, result: CallResult): void {
    const tookMs = this.#fanOut.tookMs(index);
    const node = this.#core.voters[index]?.seat.node;
    if (node !== undefined && tookMs !== undefined && tellsPace(result)) this.#room.ranking.observe(node, tookMs);
    if (this.#fanOut.isClosed) {
      this.#room.counters.lateReplyCount += 1;
      return;
    }
    if (this.#isGone) return this.#endForNobody(1);
    this.#tell(index, result);
    this.#pump();
  }

  onSlow(): void {
    this.#isHedgeArmed = false;
    if (this.#isGone) return;
    if (!this.#core.canHedge) {
      // Nobody is left to ask: what stand-ins lack may count, once the owners that were asked have come into doubt.
      if (this.#core.isHeldUp) this.#noteSlow();
      return;
    }
    // Who waits for a node in doubt is not charged: a replica that has died would use up the budget of all others.
    if (!areAskedInDoubt(this.#core.voters, (node) => this.#isInDoubt(node)) && !this.#room.hedges.take()) {
      this.#armHedge();
      return;
    }
    this.#isHedged = true;
    this.#room.counters.hedgeCount += 1;
    this.#core.voters.forEach((voter, index) => {
      if (voter.state === "asked") this.#room.ranking.observe(voter.seat.node, this.#fanOut.waitedMs(index));
    });
    this.#noteSlow();
  }

  #noteSlow(): void {
    this.#core.onSlow((node) => this.#isInDoubt(node));
    this.#pump();
  }

  /** Its client has gone: others do what they were asked for all the same, and are waited for, but not this node's own disk. */
  readonly #onGone = (): void => {
    if (this.#fanOut.isClosed) return;
    this.#isGone = true;
    this.#search?.end();
    this.#term.end();
    this.#othersLeft = askedOthers(this.#core.voters, this.#room.self);
    this.#endForNobody(0);
  };

  #endForNobody(doneCount: number): void {
    this.#othersLeft -= doneCount;
    if (this.#othersLeft === 0) this.#finish(FOR_NOBODY);
  }

  onDeadline(): void {
    this.#core.onDeadline();
    this.#pump();
  }

  isGone(set: SiblingSet, isLww: boolean): boolean {
    return livingNow(this.#room, set, isLww).siblings.length === 0;
  }

  get seats(): readonly ReadVoter[] {
    return this.#core.voters;
  }

  dropReplaced(): void {
    this.#core.dropReplaced();
  }

  askHolders(seats: readonly Seat[]): void {
    this.#fanOut.beginStep();
    this.#core.askHolders(seats);
    this.#pump();
  }

  onSearchOver(): void {
    this.#fanOut.beginStep();
    this.#core.onSearchOver();
    this.#pump();
  }

  #isInDoubt(node: NodeId): boolean {
    const { health, clock, self } = this.#room;
    return node !== self && health.standingOf(node, clock.monotonicMs()) !== "well";
  }

  /** Whoever holds no slot has no vote: another one is asked in its place, now or when it is known who. */
  #onStray(index: number, word: StrayWord): void {
    this.#core.onAstray(index, word.reason, this.#searching().follow(index, word.to));
  }

  #tell(index: number, result: CallResult): void {
    const stray = strayWordOf(result);
    if (stray !== undefined) {
      this.#onStray(index, stray);
      return;
    }
    switch (result.kind) {
      case "digest":
        if (this.#core.voters[index]?.question === "digest") this.#core.onDigest(index, result, result.digest);
        else this.#core.onFailed(index, "bad_reply");
        return;
      case "object":
        this.#tellObject(index, result);
        return;
      case "refused":
      case "lost":
        this.#core.onFailed(index, result.reason);
        return;
      case "unsent":
        if (this.#search?.isFound(index) === true) this.#core.onAstray(index, "unreachable", undefined);
        else this.#core.onFailed(index, "unreachable");
        return;
      case "failed":
      case "stored":
      case "pong":
      case "answer":
        this.#core.onFailed(index, NO_VOTE[result.kind]);
    }
  }

  #tellObject(index: number, result: Extract<CallResult, { kind: "object" }>): void {
    const decoded = result.object === undefined ? ({ kind: "set", set: undefined } as const) : decodeSet(result.object);
    if (decoded.kind === "set") this.#core.onObject(index, result, decoded.set);
    else this.#core.onFailed(index, "corrupt_record");
  }

  #pump(): void {
    // A call may end before it returns: its result lands in the core, and the loop takes up what follows.
    if (this.#isPumping || this.#fanOut.isClosed) return;
    this.#isPumping = true;
    for (let index = this.#nextAsk(); index >= 0; index = this.#nextAsk()) this.#ask(index);
    this.#isPumping = false;
    const { verdict } = this.#core;
    if (verdict.kind !== "pending") {
      this.#finish(verdict);
      return;
    }
    if (!this.#isHedgeArmed && (this.#core.canHedge || this.#core.isHeldUp)) this.#armHedge();
    if (this.#core.isSearching) this.#searching().lookLater();
  }

  /** The next voter to ask; where the owners do not suffice, one that stands in. */
  #nextAsk(): number {
    const index = this.#core.nextAsk();
    const { counters } = this.#room;
    if (index >= 0 || !this.#core.wantsStandIn) return index;
    if (this.#standIns === undefined) counters.sloppyReadCount += 1;
    this.#standIns ??= new StandIns(this.#room, this.#scope);
    const node = this.#standIns.next(this.#core.voters);
    if (node !== undefined) counters.standInCount += 1;
    this.#core.onStandIn(node);
    return this.#nextAsk();
  }

  #searching(): HolderSearch {
    return (this.#search ??= new HolderSearch(this.#room, { scope: this.#scope, deadlineMs: this.#term.byMs }, this));
  }

  #ask(index: number): void {
    const voter = this.#core.voters[index];
    if (voter === undefined) return;
    if (voter.seat.node === this.#room.self) this.#askSelf(index);
    else {
      const topic = { location: this.#scope.location, n: this.#need.n, trace: this.#request.knobs.trace };
      this.#fanOut.send(index, voter.seat.node, readQuestion(voter, topic));
    }
  }

  #askSelf(index: number): void {
    this.#fanOut.noteStart(index);
    const word = readAs(this.#room, this.#scope, { voter: this.#core.voters[index], term: this.#term });
    if (word instanceof Promise) void word.then((later) => this.#onLaterWord(index, later));
    else this.#tellSelf(index, word);
  }

  #onLaterWord(index: number, word: LocalWord): void {
    if (this.#fanOut.isClosed || this.#isGone) return;
    this.#tellSelf(index, word);
    this.#pump();
  }

  #tellSelf(index: number, word: LocalWord): void {
    this.#fanOut.noteEnd(index);
    if (word.kind === "digest") this.#core.onDigest(index, word, word.digest);
    else if (word.kind === "set") this.#core.onObject(index, word, word.set);
    else if (word.kind === "stray") this.#onStray(index, word.word);
    else this.#core.onFailed(index, word.reason);
  }

  #armHedge(): void {
    this.#isHedgeArmed = true;
    this.#fanOut.hedgeAfter(hedgeDelayMs(this.#core.voters, this.#room.ranking));
  }

  #finish(verdict: Exclude<ReadVerdict, { kind: "pending" }>): void {
    this.#fanOut.close();
    this.#search?.end();
    // what waits for a turn at the disk here is of no use any more
    this.#term.end();
    const targets = this.#core.repairs();
    const explain = this.#request.knobs.explain
      ? explainOf(this.#room, this.#scope, {
          replicas: readReports(this.#scope, this.#core.voters, this.#fanOut),
          repaired: targets.map((target) => target.node),
          isHedged: this.#isHedged,
        })
      : undefined;
    if (verdict.kind !== "known") {
      if (!this.#isGone) this.#room.counters.readFailureCount += 1;
      const replicas = readReports(this.#scope, this.#core.voters, this.#fanOut);
      const facts = { required: this.#need.total, received: verdict.received, replicas, explain };
      this.#onAnswer(readFailure(verdict, facts));
      return;
    }
    const answer = readAnswer(this.#room, this.#scope, verdict);
    const isPlain = explain === undefined && this.#standIns === undefined;
    this.#onAnswer(isPlain ? answer : withPeers(answer, this.#core.voters, explain));
    if (targets.length === 0 || verdict.set === undefined) {
      this.#room.counters.agreedReadCount += 1;
      return;
    }
    this.#room.counters.repairTaskCount += 1;
    const { set, digest } = verdict;
    this.#room.repairs.repair({ location: this.#scope.location, set, digest, targets, isLww: this.#need.isLww });
  }
}
