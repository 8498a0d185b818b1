/**
 * One PUT or DELETE at an owner: this node mints and stores, the other owners store what it minted, W of them make it
 * `applied`. The others are told in the turn in which the dot is minted, beside the local append; other nodes stand in
 * for those out of reach, in that turn too, and for those who refuse, fall silent or are lost, as soon as that is known.
 * When no owner can be reached at all, this node mints as a stand-in itself. Must never send before the local replica has
 * minted, and never forward: that is `forward-operation.ts`'s part.
 */
import type { NodeId } from "../base/ids.ts";
import { HEDGE_DELAY_MAX_MS, STAND_IN_DELAY_MS } from "../base/limits.ts";
import type { CallResult } from "../peers/messages.ts";
import type { Minted, ReplicaRefusal, ReplicaWriteResult } from "../replica/contract.ts";
import type { WriteAnswer } from "./contract.ts";
import { FanOut, type FanOutListener } from "./fan-out.ts";
import { HolderSearch, type HolderSeeker, type StrayWord, strayRefusalOf, strayWordOf } from "./holder-search.ts";
import { ownSlotOf, storeRequestOf, writeHere } from "./local-write.ts";
import type { Seat } from "./needs.ts";
import type { CoordinatorRoom } from "./request-scope.ts";
import { type WriteOrder, type WriteStanding, writeAnswer } from "./write-answer.ts";
import { WriteCore } from "./write-core.ts";
import { noteMisses } from "./write-misses.ts";
import { isMissing, type WriteParty } from "./write-party-core.ts";
import { noteUnreachable, placeOf, type Reach, reachOf } from "./write-reach.ts";
import { noteSlow, type StoreRequest, WriteStandIns } from "./write-stand-ins.ts";
import { defectBeforeDot, type Elsewhere, endOfRefusal, localWordOf, wordOf } from "./write-words.ts";

/** A write under way; `start` it once. Calls `onEnd` exactly once, within the deadline and one tick. */
export class WriteOperation implements FanOutListener, HolderSeeker, WriteStanding {
  readonly #room: CoordinatorRoom;
  readonly #order: WriteOrder;
  readonly #onEnd: (end: WriteAnswer | Elsewhere) => void;
  /** what the answer is made of; nobody else changes it */
  readonly core: WriteCore;
  readonly fanOut: FanOut;
  minted: Minted | undefined;
  #request: StoreRequest | undefined;
  /** the slot this node holds by its own record, whatever the table says; or stands in for */
  #localSlot = -1;
  #reach: Reach = "well";
  #hasPassedOver = false;
  #search: HolderSearch | undefined;
  #standIns: WriteStandIns | undefined;
  /** slots whose miss has been noted, as a mask */
  #missedSlots = 0;

  constructor(room: CoordinatorRoom, order: WriteOrder, onEnd: (end: WriteAnswer | Elsewhere) => void) {
    this.#room = room;
    this.#order = order;
    this.#onEnd = onEnd;
    this.core = new WriteCore(order.scope.seats, order.need);
    this.fanOut = new FanOut(room, this, order.knobs.timeoutMs);
  }

  /** Writes here, unless too few owners can be reached: then nothing is done anywhere. */
  start(): void {
    const { localIndex } = this.#order.scope;
    this.#reach = reachOf(this.#room, this.#order, this.fanOut.startedMs);
    // A known lack of owners is refused before anything is stored, so that `not_applied` writes never appear later.
    if (this.#reach === "short") {
      noteUnreachable(this.#room, this.#order.scope, this.core);
      this.core.onSendingOver();
      this.#finish();
      return;
    }
    if (this.#mayStandIn) {
      this.#room.writeHedges.earn();
      this.fanOut.hedgeAt(this.#standInDueMs());
    }
    this.core.onAsked(localIndex);
    this.fanOut.noteStart(localIndex);
    writeHere(this.#room, this.#order, (minted) => this.#onMinted(minted)).then(
      (result) => this.#onLocal(result),
      (error: unknown) => this.#onDefect(error),
    );
  }

  onResult(index: number, result: CallResult): void {
    const stray = this.#strayOf(index, result);
    if (stray !== undefined && this.#mayTellMore()) {
      this.#onStray(index, stray);
      return;
    }
    const word = wordOf(result, this.minted?.dot.counter ?? 0);
    if (word.kind !== "stored") this.#tellPassedOver();
    this.core.onWord(index, word);
    if (!this.fanOut.isClosed) return this.#goOn();
    this.#room.counters.lateReplyCount += 1;
    this.#noteMisses();
  }

  /** The others let wait: who was passed over is told too; then others stand in for all who are silent. */
  onSlow(): void {
    const hadPassedOver = this.#hasPassedOver;
    this.#tellPassedOver();
    if (!this.#mayStandIn) return;
    if (hadPassedOver) return this.fanOut.hedgeAt(this.#standInDueMs());
    this.fanOut.hedgeAfter(HEDGE_DELAY_MAX_MS);
    if (this.minted !== undefined && noteSlow(this.#room, this.core)) this.#goOn();
  }

  onDeadline(): void {
    this.core.onDeadline();
    this.#finishIfDecided();
  }

  get seats(): readonly WriteParty[] {
    return this.core.parties;
  }

  dropReplaced(): void {
    this.core.dropReplaced();
  }

  askHolders(seats: readonly Seat[]): void {
    if (!this.#mayTellMore()) {
      this.onSearchOver();
      return;
    }
    for (const seat of seats) if (seat.node !== this.#room.self) this.#tell(this.core.tell(seat));
    if (this.core.isSearching) this.#search?.lookLater();
  }

  onSearchOver(): void {
    this.fanOut.beginStep();
    this.core.onSearchOver();
    if (this.fanOut.isClosed) this.#noteMisses();
    else this.#goOn();
  }

  /** Others stand in for whose slot is vacant now; then the answer, if there is one; else the search, if there is need. */
  #goOn(): void {
    this.#replaceVacant();
    this.#finishIfDecided();
    if (!this.fanOut.isClosed && this.core.isSearching) this.#searching().lookLater();
  }

  get #mayStandIn(): boolean {
    return (this.#order.need.standIns ?? 0) > 0;
  }

  #standInDueMs(): number {
    return this.fanOut.startedMs + Math.min(STAND_IN_DELAY_MS, this.#order.knobs.timeoutMs / 2);
  }

  #replaceVacant(): void {
    if (this.#request === undefined || this.core.nextVacant() < 0) return;
    this.#standIns ??= new WriteStandIns(this.#room, this.#order, this);
    this.#standIns.replaceVacant(this.#request);
  }

  /** Whoever holds no slot did nothing: another one is told in its place, now or when it is known who. */
  #onStray(index: number, word: StrayWord): void {
    if (this.fanOut.isClosed) this.#room.counters.lateReplyCount += 1;
    this.#tellPassedOver();
    const search = this.#searching();
    const instead = word.to === this.#room.self ? undefined : search.follow(index, word.to);
    const next = this.core.onAstray(index, word, instead);
    if (next >= 0) this.#tell(next);
    else search.lookLater();
    this.#finishIfDecided();
  }

  /** The word of an owner that did nothing: it holds no slot, or was found on the way and its link may be under way. */
  #strayOf(index: number, result: CallResult): StrayWord | undefined {
    if (this.core.parties[index]?.seat.role !== "owner") return undefined;
    const isOnTheWay = result.kind === "unsent" && this.#search?.isFound(index) === true;
    return isOnTheWay ? { reason: "unreachable", detail: result.reason } : strayWordOf(result);
  }

  #searching(): HolderSearch {
    const { deadlineMs } = this.fanOut;
    return (this.#search ??= new HolderSearch(this.#room, { scope: this.#order.scope, deadlineMs }, this));
  }

  /** A write that stands is taken on to the holders of its slots after its answer too, but never one that does not. */
  #mayTellMore(): boolean {
    const { verdict } = this.core;
    const isWanted = verdict === "pending" || verdict === "applied";
    return this.minted !== undefined && isWanted && this.fanOut.remainingMs() > 0;
  }

  #tell(index: number): void {
    const party = this.core.parties[index];
    if (party === undefined || this.#request === undefined) return;
    this.core.onAsked(index);
    this.fanOut.send(index, party.seat.node, this.#request);
  }

  #onMinted(minted: Minted): void {
    this.minted = minted;
    this.fanOut.beginStep();
    const { scope } = this.#order;
    this.#localSlot = ownSlotOf(this.#room, scope);
    this.#request = storeRequestOf(this.#order, minted);
    // Answered already (`unknown`, the deadline passed before the dot came): the others are left to hints.
    if (this.fanOut.isClosed) {
      this.core.dropUntold("expired");
      this.#noteMisses();
      return;
    }
    for (let index = 0; index < scope.seats.length; index += 1) {
      const seat = scope.seats[index];
      if (seat === undefined || index === scope.localIndex) continue;
      if (this.#reach === "well") this.#tell(index);
      else this.#tellInDoubt(index, seat.node);
    }
    if (this.#reach === "well") return;
    if (this.#hasPassedOver) this.fanOut.hedgeAfter(HEDGE_DELAY_MAX_MS);
    this.#goOn();
  }

  /** Who is out of reach is not told where another can stand in; who is silent is told, and another beside it. */
  #tellInDoubt(index: number, node: NodeId): void {
    const place = placeOf(this.#room, { node, reach: this.#reach }, this.fanOut.startedMs);
    if (place === "away" && this.#mayStandIn) {
      this.core.onAway(index);
      return;
    }
    if (place === "passed_over") this.#hasPassedOver = true;
    else this.#tell(index);
    if (this.#mayStandIn && (place === "passed_over" || place === "silent")) this.core.onSlow(index);
  }

  /** Those who were passed over are needed after all. */
  #tellPassedOver(): void {
    if (!this.#hasPassedOver || this.core.verdict !== "pending") return;
    this.#hasPassedOver = false;
    for (let index = 0; index < this.core.parties.length; index += 1) {
      if (this.core.parties[index]?.state === "idle") this.#tell(index);
    }
  }

  #onLocal(result: ReplicaWriteResult): void {
    const { localIndex } = this.#order.scope;
    this.fanOut.noteEnd(localIndex);
    const role = this.core.parties[localIndex]?.seat.role ?? "owner";
    const stray = result.kind === "refused" && role === "owner" ? strayRefusalOf(result) : undefined;
    if (stray !== undefined && this.#mayTellMore()) {
      this.#onStray(localIndex, stray);
      return;
    }
    if (result.kind !== "stored") this.#tellPassedOver();
    this.core.onWord(localIndex, localWordOf(result, this.#localSlot, role));
    if (this.fanOut.isClosed) {
      this.#noteMisses();
      return;
    }
    if (result.kind === "refused" && this.minted === undefined) {
      this.#finishRefused(result);
      return;
    }
    if (this.minted === undefined) this.core.onSendingOver();
    this.#goOn();
  }

  /** The replica threw: a bug. Without a dot nothing was sent nor kept; with one, others may hold the write. */
  #onDefect(error: unknown): void {
    const isMinted = this.minted !== undefined;
    this.#room.log.error({ event: "coordinator.defect", operation: "write", isMinted, error });
    if (isMinted || this.fanOut.isClosed) {
      this.#onLocal({ kind: "failed", detail: "the store of the coordinating node failed" });
      return;
    }
    this.fanOut.close();
    this.#onEnd(defectBeforeDot());
  }

  #finishRefused(refusal: ReplicaRefusal): void {
    const end = endOfRefusal(refusal);
    if (end === undefined) {
      this.core.onSendingOver();
      this.#finish();
      return;
    }
    this.fanOut.close();
    this.#onEnd(end);
  }

  #finishIfDecided(): void {
    if (this.core.verdict !== "pending" && !this.fanOut.isClosed) this.#finish();
  }

  #finish(): void {
    this.fanOut.close();
    if (this.#hasPassedOver) this.core.dropUntold("unreachable");
    this.#onEnd(writeAnswer(this.#room, this.#order, this));
    if (this.core.verdict !== "applied") {
      this.#search?.end();
      this.core.onSearchOver();
    }
    this.#noteMisses();
  }

  /** Slots that neither their owners nor others for them have stored. */
  #noteMisses(): void {
    if (this.core.parties.some(isMissing)) {
      this.#missedSlots = noteMisses(this.#room, { ...this.#order, standing: this, notedSlots: this.#missedSlots });
    }
  }
}
