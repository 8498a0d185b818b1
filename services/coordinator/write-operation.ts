/**
 * One PUT or DELETE at an owner: this node mints and stores, the other owners store what it minted, W of them make it
 * `applied`. The others are told in the turn in which the dot is minted, beside the local append. Must never send
 * before the local replica has minted, and never forward: that is `forward.ts`'s part.
 */
import type { NodeId } from "../base/ids.ts";
import { HEDGE_DELAY_MAX_MS } from "../base/limits.ts";
import type { CallResult, PeerRequest } from "../peers/messages.ts";
import type { Minted, ReplicaRefusal, ReplicaWriteResult } from "../replica/contract.ts";
import type { WriteAnswer } from "./contract.ts";
import { FanOut, type FanOutListener } from "./fan-out.ts";
import { HolderSearch, type HolderSeeker, type StrayWord, strayRefusalOf, strayWordOf } from "./holder-search.ts";
import type { Seat } from "./needs.ts";
import type { CoordinatorRoom } from "./request-scope.ts";
import { type WriteOrder, type WriteStanding, writeAnswer } from "./write-answer.ts";
import { isMissing, WriteCore, type WriteParty } from "./write-core.ts";
import { reachOf } from "./write-reach.ts";
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
  #request: PeerRequest | undefined;
  /** the slot this node holds by its own record, whatever the table says */
  #localSlot = -1;
  /** the quorum is in reach without those that have not answered lately */
  #canSpareSilent = false;
  #hasPassedOver = false;
  #search: HolderSearch | undefined;

  constructor(room: CoordinatorRoom, order: WriteOrder, onEnd: (end: WriteAnswer | Elsewhere) => void) {
    this.#room = room;
    this.#order = order;
    this.#onEnd = onEnd;
    this.core = new WriteCore(order.scope.seats, order.need);
    this.fanOut = new FanOut(room, this, order.knobs.timeoutMs);
  }

  /** Writes here, unless too few owners can be reached: then nothing is done anywhere. */
  start(): void {
    const { localIndex, location } = this.#order.scope;
    const reach = reachOf(this.#room, this.#order, this.fanOut.startedMs);
    this.#canSpareSilent = reach === "spare";
    // A known lack of owners is refused before anything is stored, so that `not_applied` writes never appear later.
    if (reach === "short") {
      this.#noteUnreachable();
      this.core.onSendingOver();
      this.#finish();
      return;
    }
    this.core.onAsked(localIndex);
    this.fanOut.noteStart(localIndex);
    this.#room.local
      .write(location, this.#order.intent, (minted) => this.#onMinted(minted))
      .then(
        (result) => this.#onLocal(result),
        (error: unknown) => this.#onDefect(error),
      );
  }

  onResult(index: number, result: CallResult): void {
    const stray = strayWordOf(result) ?? this.#unreachableOf(index, result);
    if (stray !== undefined && this.#mayTellMore()) {
      this.#onStray(index, stray);
      return;
    }
    if (result.kind !== "stored") this.#tellPassedOver();
    const isFirst = this.core.onWord(index, wordOf(result));
    if (!this.fanOut.isClosed) {
      this.#finishIfDecided();
      this.#lookIfMislaid();
      return;
    }
    this.#room.counters.lateReplyCount += 1;
    const party = this.core.parties[index];
    if (isFirst && party !== undefined) this.#noteMissed(party);
  }

  /** The others let wait: who was passed over is told too. Otherwise writes are never hedged, for all owners are told. */
  onSlow(): void {
    this.#tellPassedOver();
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
    const astray = this.core.parties.filter((party) => party.state === "astray");
    this.core.onSearchOver();
    if (this.fanOut.isClosed) for (const party of astray) this.#noteMissed(party);
    else this.#finishIfDecided();
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

  #searching(): HolderSearch {
    const { deadlineMs } = this.fanOut;
    return (this.#search ??= new HolderSearch(this.#room, { scope: this.#order.scope, deadlineMs }, this));
  }

  /** A replica that was found on the way and cannot be reached yet: its link may be under way. */
  #unreachableOf(index: number, result: CallResult): StrayWord | undefined {
    if (result.kind !== "unsent" || this.#search?.isFound(index) !== true) return undefined;
    return { reason: "unreachable", detail: result.reason };
  }

  #lookIfMislaid(): void {
    if (!this.fanOut.isClosed && this.core.isSearching) this.#searching().lookLater();
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

  #noteUnreachable(): void {
    const { seats, localIndex } = this.#order.scope;
    seats.forEach((seat, index) => {
      if (index !== localIndex && !this.#room.health.isReachable(seat.node)) this.core.onUnreachable(index);
    });
  }

  #onMinted(minted: Minted): void {
    this.minted = minted;
    const { seats, localIndex, location } = this.#order.scope;
    this.#localSlot = this.#room.local.slotOf(location.partition);
    this.#request = {
      kind: "store",
      key: location,
      baseDigest: minted.baseDigest,
      digest: minted.digest,
      object: minted.object,
    };
    // Answered already (`unknown`, the deadline passed before the dot came): the others are left to hints.
    const isTooLate = this.fanOut.isClosed;
    for (let index = 0; index < seats.length; index += 1) {
      const seat = seats[index];
      if (seat === undefined || index === localIndex) continue;
      const party = this.core.parties[index];
      if (isTooLate && party !== undefined) this.#miss(party, "expired");
      if (isTooLate) continue;
      if (this.#isPassedOver(seat.node)) this.#hasPassedOver = true;
      else this.#tell(index);
    }
    if (this.#hasPassedOver) this.fanOut.hedgeAfter(HEDGE_DELAY_MAX_MS);
  }

  /** Those who were passed over are needed after all. */
  #tellPassedOver(): void {
    if (!this.#hasPassedOver || this.core.verdict !== "pending") return;
    this.#hasPassedOver = false;
    for (let index = 0; index < this.core.parties.length; index += 1) {
      if (this.core.parties[index]?.state === "idle") this.#tell(index);
    }
  }

  /** Who has not answered lately is told now and then only, where the others suffice: it would hold the write in memory. */
  #isPassedOver(node: NodeId): boolean {
    const { health } = this.#room;
    const nowMs = this.fanOut.startedMs;
    return this.#canSpareSilent && health.isSilent(node, nowMs) && !health.takeProbe(node, nowMs);
  }

  #onLocal(result: ReplicaWriteResult): void {
    const { localIndex } = this.#order.scope;
    this.fanOut.noteEnd(localIndex);
    const stray = result.kind === "refused" ? strayRefusalOf(result) : undefined;
    if (stray !== undefined && this.#mayTellMore()) {
      this.#onStray(localIndex, stray);
      return;
    }
    if (result.kind !== "stored") this.#tellPassedOver();
    this.core.onWord(localIndex, localWordOf(result, this.#localSlot));
    if (this.fanOut.isClosed) {
      const party = this.core.parties[localIndex];
      if (party !== undefined) this.#noteMissed(party);
      return;
    }
    if (result.kind === "refused" && this.minted === undefined) {
      this.#finishRefused(result);
      return;
    }
    if (this.minted === undefined) this.core.onSendingOver();
    this.#finishIfDecided();
    this.#lookIfMislaid();
  }

  /** The replica threw: a bug. Without a dot nothing was sent nor kept; with one, others may hold the write. */
  #onDefect(error: unknown): void {
    this.#room.log.error({
      event: "coordinator.defect",
      operation: "write",
      isMinted: this.minted !== undefined,
      error,
    });
    if (this.minted !== undefined || this.fanOut.isClosed) {
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
    if (this.#hasPassedOver) this.core.dropPassedOver();
    this.#onEnd(writeAnswer(this.#room, this.#order, this));
    if (this.core.verdict !== "applied") {
      this.#search?.end();
      this.core.onSearchOver();
    }
    for (const party of this.core.parties) this.#noteMissed(party);
  }

  #noteMissed(party: WriteParty): void {
    if (isMissing(party)) this.#miss(party, party.reason);
  }

  #miss(party: WriteParty, reason: string): void {
    const minted = this.minted;
    // A hint for a write that was `not_applied` would be the trace that it must not have.
    if (minted === undefined || this.core.verdict === "not_applied") return;
    this.#room.counters.missedWriteCount += 1;
    this.#room.handoff.missed({
      location: this.#order.scope.location,
      slot: party.seat.slot,
      owner: party.seat.node,
      baseDigest: minted.baseDigest,
      digest: minted.digest,
      object: minted.object,
      reason,
    });
  }
}
