/**
 * One PUT or DELETE at an owner: this node mints and stores, the other owners store what it minted, W of them make it
 * `applied`. The others are told in the turn in which the dot is minted, beside the local append. Must never send
 * before the local replica has minted, and never forward: that is `forward.ts`'s part.
 */
import type { ErrorCode } from "../base/errors.ts";
import type { CallResult } from "../peers/messages.ts";
import type { Minted, ReplicaRefusal, ReplicaWriteResult, WriteIntent } from "../replica/contract.ts";
import type { Failure, Knobs, WriteAnswer } from "./contract.ts";
import { overloaded, refused, writeFailure } from "./failures.ts";
import { FanOut, type FanOutListener } from "./fan-out.ts";
import { explainOf, writeReports } from "./reports.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";
import { isMissing, WriteCore, type WriteNeed, type WriteParty, type WriteWord } from "./write-core.ts";

/** This node cannot coordinate the write and has certainly done nothing: another owner may. */
export interface Elsewhere {
  readonly kind: "elsewhere";
  readonly reason: "not_owner" | "disk_full" | "corrupt_record" | "shutting_down";
  readonly detail: string;
}

/** What to write, and what that must reach. */
export interface WriteOrder {
  readonly scope: RequestScope;
  readonly intent: WriteIntent;
  readonly need: WriteNeed;
  readonly knobs: Knobs;
}

/** A write under way; `start` it once. Calls `onEnd` exactly once, within the deadline and one tick. */
export class WriteOperation implements FanOutListener {
  readonly #room: CoordinatorRoom;
  readonly #order: WriteOrder;
  readonly #onEnd: (end: WriteAnswer | Elsewhere) => void;
  readonly #core: WriteCore;
  readonly #fanOut: FanOut;
  #minted: Minted | undefined;
  /** the slot this node holds by its own record, whatever the table says */
  #localSlot = -1;

  constructor(room: CoordinatorRoom, order: WriteOrder, onEnd: (end: WriteAnswer | Elsewhere) => void) {
    this.#room = room;
    this.#order = order;
    this.#onEnd = onEnd;
    this.#core = new WriteCore(order.scope.seats, order.need);
    this.#fanOut = new FanOut(room, this, order.knobs.timeoutMs);
  }

  /** Writes here, unless too few owners can be reached: then nothing is done anywhere. */
  start(): void {
    const { location, localIndex } = this.#order.scope;
    if (!this.#isQuorumInReach()) {
      this.#core.onSendingOver();
      this.#finish();
      return;
    }
    this.#localSlot = this.#room.local.slotOf(location.partition);
    this.#core.onAsked(localIndex);
    this.#fanOut.noteStart(localIndex);
    this.#room.local
      .write(location, this.#order.intent, (minted) => this.#onMinted(minted))
      .then(
        (result) => this.#onLocal(result),
        (error: unknown) => this.#onDefect(error),
      );
  }

  onResult(index: number, result: CallResult): void {
    const isFirst = this.#core.onWord(index, wordOf(result));
    if (!this.#fanOut.isClosed) {
      this.#finishIfDecided();
      return;
    }
    this.#room.counters.lateReplyCount += 1;
    const party = this.#core.parties[index];
    if (isFirst && party !== undefined) this.#noteMissed(party);
  }

  /** Writes are never hedged: every owner is asked anyway. */
  onSlow(): void {}

  onDeadline(): void {
    this.#core.onDeadline();
    this.#finishIfDecided();
  }

  /** A known lack of owners is refused before anything is stored, so that `not_applied` writes never appear later. */
  #isQuorumInReach(): boolean {
    const { seats, localIndex } = this.#order.scope;
    let reachable = 0;
    let owners = 0;
    for (let index = 0; index < seats.length; index += 1) {
      const seat = seats[index];
      if (seat === undefined) continue;
      if (index !== localIndex && !this.#room.peers.isReachable(seat.node)) {
        this.#core.onUnreachable(index);
        continue;
      }
      reachable += 1;
      if (seat.role === "owner") owners += 1;
    }
    return reachable >= this.#order.need.total && owners >= this.#order.need.owners;
  }

  #onMinted(minted: Minted): void {
    this.#minted = minted;
    const { seats, localIndex, location } = this.#order.scope;
    const request = {
      kind: "store",
      key: location,
      baseDigest: minted.baseDigest,
      digest: minted.digest,
      object: minted.object,
    } as const;
    // Answered already (`unknown`, the deadline passed before the dot came): the others are left to hints.
    const isTooLate = this.#fanOut.isClosed;
    for (let index = 0; index < seats.length; index += 1) {
      const seat = seats[index];
      if (seat === undefined || index === localIndex) continue;
      const party = this.#core.parties[index];
      if (isTooLate && party !== undefined) this.#miss(party, "expired");
      if (isTooLate) continue;
      this.#core.onAsked(index);
      this.#fanOut.send(index, seat.node, request);
    }
  }

  #onLocal(result: ReplicaWriteResult): void {
    const { localIndex } = this.#order.scope;
    this.#fanOut.noteEnd(localIndex);
    this.#core.onWord(
      localIndex,
      result.kind === "stored"
        ? { kind: "stored", slot: this.#localSlot, digest: result.digest, isDurable: result.isDurable }
        : { kind: result.kind, reason: result.kind === "refused" ? result.reason : "failed", detail: result.detail },
    );
    if (this.#fanOut.isClosed) {
      const party = this.#core.parties[localIndex];
      if (party !== undefined) this.#noteMissed(party);
      return;
    }
    if (result.kind === "refused" && this.#minted === undefined) {
      this.#finishRefused(result);
      return;
    }
    if (this.#minted === undefined) this.#core.onSendingOver();
    this.#finishIfDecided();
  }

  /** The replica threw: a bug. Without a dot nothing was sent nor kept; with one, others may hold the write. */
  #onDefect(error: unknown): void {
    this.#room.log.error({
      event: "coordinator.defect",
      operation: "write",
      isMinted: this.#minted !== undefined,
      error,
    });
    if (this.#minted !== undefined || this.#fanOut.isClosed) {
      this.#onLocal({ kind: "failed", detail: "the store of the coordinating node failed" });
      return;
    }
    this.#fanOut.close();
    this.#onEnd(refused("internal_error", "The coordinating node met a defect; nothing was written anywhere."));
  }

  #finishRefused(refusal: ReplicaRefusal): void {
    this.#fanOut.close();
    switch (refusal.reason) {
      case "not_owner":
      case "disk_full":
      case "corrupt_record":
      case "shutting_down":
        this.#onEnd({ kind: "elsewhere", reason: refusal.reason, detail: refusal.detail });
        return;
      case "too_many_siblings":
        this.#onEnd(limitFailure("too_many_siblings", refusal));
        return;
      case "object_too_large":
        this.#onEnd(limitFailure("value_too_large", refusal));
        return;
      case "overloaded":
        this.#onEnd(overloaded());
        return;
      case "expired":
        this.#core.onSendingOver();
        this.#finish();
    }
  }

  #finishIfDecided(): void {
    if (this.#core.verdict !== "pending" && !this.#fanOut.isClosed) this.#finish();
  }

  #finish(): void {
    this.#fanOut.close();
    const minted = this.#minted;
    this.#onEnd(this.#core.verdict === "applied" && minted !== undefined ? this.#applied(minted) : this.#failed());
    for (const party of this.#core.parties) this.#noteMissed(party);
  }

  #applied(minted: Minted): WriteAnswer {
    const counts = this.#core.counts();
    const answer: WriteAnswer = {
      kind: "applied",
      context: minted.context,
      dot: minted.dot,
      siblingCount: minted.siblingCount,
      acks: {
        required: this.#order.need.total,
        received: counts.received,
        owners: counts.owners,
        fallbacks: counts.fallbacks,
        durable: counts.durable,
      },
    };
    if (!this.#order.knobs.explain) return answer;
    const replicas = writeReports(this.#order.scope, this.#core.parties, this.#fanOut);
    const explain = explainOf(this.#room, this.#order.scope, { replicas, repaired: [], isHedged: false });
    return { ...answer, explain };
  }

  #failed(): Failure {
    const { scope, need, knobs } = this.#order;
    const replicas = writeReports(scope, this.#core.parties, this.#fanOut);
    return writeFailure(this.#core, need, {
      required: need.total,
      received: this.#core.counts().received,
      replicas,
      explain: knobs.explain ? explainOf(this.#room, scope, { replicas, repaired: [], isHedged: false }) : undefined,
    });
  }

  #noteMissed(party: WriteParty): void {
    if (isMissing(party)) this.#miss(party, party.reason);
  }

  #miss(party: WriteParty, reason: string): void {
    const minted = this.#minted;
    // A hint for a write that was `not_applied` would be the trace that it must not have.
    if (minted === undefined || this.#core.verdict === "not_applied") return;
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

function limitFailure(code: ErrorCode, refusal: ReplicaRefusal): Failure {
  return refused(code, refusal.detail, refusal.facts === undefined ? {} : { facts: refusal.facts });
}

function wordOf(result: CallResult): WriteWord {
  if (result.kind === "stored" || result.kind === "refused") return result;
  if (result.kind === "unsent") return { kind: "unsent", reason: "unreachable", detail: result.reason };
  if (result.kind === "lost") return { kind: "lost", reason: result.reason, detail: "" };
  if (result.kind === "failed") return { kind: "failed", reason: "failed", detail: result.detail };
  // Another kind of reply says nothing about what was stored.
  return { kind: "failed", reason: "bad_reply", detail: result.kind };
}
