/**
 * ReceiverCore: fetching the slot of one partition from a departing holder, as a state machine without I/O.
 *
 * Invariants, in the words of the tests (gossip-ring notes §B.5):
 * R1 A slot is taken only by the release of the very transfer that is durably staged, from a donor that is not known as
 *    removed. A copy is staged only when it equals the donor's sealed one and is durable.
 * R2 What was consumed is never staged or taken again, however late or often it is heard.
 * R3 Who has staged a copy asks its donor until the transfer is released or over: the slot may be in transit to here.
 * R4 A slot that is promised to another is not staged, until the promise is known to be over.
 * R5 Nothing is fetched while an old copy of the partition is still needed by somebody (retained).
 * R6 Who leaves stages nothing, from the decision on: nothing comes to who has left.
 */
import type { MemberKey } from "../placement/member-record.ts";
import type { HandoverReply, HandoverRequest } from "./handover-messages.ts";
import type { FinalPage, FinishResult, ReceiveResult } from "./handover-ports.ts";
import {
  EffectList,
  isOf,
  mayFetch,
  objectionToFetch,
  promiseAfterCheck,
  promiseCheck,
  type Transfer,
  whyFailed,
} from "./handover-rules-core.ts";
import {
  type HandoverEffect,
  type HandoverEvent,
  type HandoverFacts,
  type HandoverFailure,
  type HandoverTimes,
  retryDelayMs,
} from "./handover-steps.ts";
import { consumedTx } from "./slot-ledger.ts";

type Stage =
  | { readonly kind: "idle" }
  | { readonly kind: "asking"; readonly from: MemberKey }
  | { readonly kind: "clearing"; readonly transfer: Transfer }
  | { readonly kind: "marking"; readonly transfer: Transfer; readonly token: number }
  | { readonly kind: "copying"; readonly transfer: Transfer }
  /** another holder is away: sealing waits */
  | { readonly kind: "waiting"; readonly transfer: Transfer; readonly token: number }
  | { readonly kind: "sealing"; readonly transfer: Transfer; readonly tries: number }
  | { readonly kind: "finishing"; readonly transfer: Transfer }
  | { readonly kind: "staging"; readonly transfer: Transfer; readonly token: number }
  | { readonly kind: "ready"; readonly transfer: Transfer; tries: number; token: number }
  | { readonly kind: "unstaging"; readonly why: HandoverFailure; readonly token: number }
  | { readonly kind: "taking"; readonly transfer: Transfer; readonly token: number };

/** Another holder is away: so often the seal is asked for again before others get this node's time. */
const MAX_WAITS = 4;
/** A seal lasts seconds: an answer that was lost is asked for again this often, at once. */
const SEAL_TRIES = 3;

/** One partition's receiver. `start` or, after a restart, `review` sets it going; `ended` says what came of it. */
export class ReceiverCore {
  readonly #partition: number;
  readonly #times: HandoverTimes;
  #stage: Stage = { kind: "idle" };
  #waits = 0;
  readonly #effects = new EffectList();

  constructor(partition: number, times: HandoverTimes) {
    this.#partition = partition;
    this.#times = times;
  }

  /** For progress and limits. */
  get stage(): Stage["kind"] {
    return this.#stage.kind;
  }

  /** Whom the slot is fetched from, while it is. */
  get donor(): MemberKey | undefined {
    return this.#stage.kind === "asking" ? this.#stage.from : this.transfer?.from;
  }

  /** The transfer under way, from its grant on. */
  get transfer(): Transfer | undefined {
    return "transfer" in this.#stage ? this.#stage.transfer : undefined;
  }

  /** Begins to fetch the slot from `from`; without effects when that may not be, now. */
  start(from: MemberKey, facts: HandoverFacts): readonly HandoverEffect[] {
    if (this.#stage.kind !== "idle" || facts.ledger.staged.has(this.#partition)) return [];
    if (!mayFetch(facts, this.#partition) || facts.view.isRemoved(from)) return [];
    this.#waits = 0;
    this.#stage = { kind: "asking", from };
    const request: HandoverRequest = {
      ...{ kind: "req", partition: this.#partition },
      ...{ from: facts.view.ownKey, news: facts.view.news() },
    };
    this.#effects.add({ kind: "ask", to: from, request });
    return this.#effects.drain();
  }

  /** One step. */
  take(event: HandoverEvent, facts: HandoverFacts): readonly HandoverEffect[] {
    const stage = this.#stage;
    if (event.kind === "answered") this.#takeAnswer(event, facts);
    else if (event.kind === "persisted") this.#takePersisted(event.token, facts);
    else if (event.kind === "timer") this.#takeTimer(event.token, facts);
    else if (event.kind === "review") this.#review(facts);
    else if (event.kind === "request" && event.request.kind === "settle") {
      this.#takeSettle(event.call, event.request, facts);
    } else if (event.kind === "cleared" && stage.kind === "clearing") {
      const { transfer } = stage;
      const token = this.#effects.persist({ kind: "receiving", partition: this.#partition, from: transfer.from });
      this.#stage = { kind: "marking", transfer, token };
    } else if (event.kind === "received" && stage.kind === "copying" && stage.transfer.tx === event.tx) {
      this.#takeReceived(stage.transfer, event.result, facts);
    } else if (event.kind === "finished" && stage.kind === "finishing" && stage.transfer.tx === event.tx) {
      this.#takeFinished(stage.transfer, event.result, facts);
    }
    return this.#effects.drain();
  }

  #takeAnswer({ from, request, reply }: Extract<HandoverEvent, { kind: "answered" }>, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind === "asking" && request.kind === "req" && stage.from === from) {
      this.#takeGrant(from, reply, facts);
    } else if (request.kind === "mint-check") {
      const change = promiseAfterCheck({ from, request, reply }, facts);
      if (change !== undefined) this.#effects.persist(change);
    } else if (stage.kind === "sealing" && request.kind === "seal" && isOf(stage.transfer, from, request.tx)) {
      this.#takeSealed(stage, reply, facts);
    } else if (stage.kind === "ready" && request.kind === "ready" && isOf(stage.transfer, from, request.tx)) {
      this.#takeReleased(stage.transfer, reply, facts);
    }
  }

  #takeGrant(from: MemberKey, reply: HandoverReply | undefined, facts: HandoverFacts): void {
    if (reply?.kind !== "granted") {
      // A release that nobody waits for any more was consumed long ago; the donor will ask about it (`settle`).
      this.#fail(whyFailed(reply), `req to ${from}`, reply);
      return;
    }
    const { tx, slot } = reply;
    const transfer: Transfer = { from, tx, slot };
    const objection = objectionToFetch(transfer, this.#partition, facts);
    if (objection !== undefined) {
      if (objection === "promised") this.#effects.add(...promiseCheck({ partition: this.#partition, slot }, facts));
      this.#fail(objection, `transfer ${tx} from ${from}`);
    } else if (facts.ledger.receiving.get(this.#partition) === from) {
      this.#copy(transfer);
    } else {
      this.#stage = { kind: "clearing", transfer };
      this.#effects.add({ kind: "clear" });
    }
  }

  #copy(transfer: Transfer): void {
    this.#stage = { kind: "copying", transfer };
    this.#effects.add({ kind: "receive", from: transfer.from, tx: transfer.tx });
  }

  #takeReceived(transfer: Transfer, result: ReceiveResult, facts: HandoverFacts): void {
    const objection = objectionToFetch(transfer, this.#partition, facts);
    if (result.kind === "failed") this.#fail("copy_failed", result.reason);
    else if (objection !== undefined) this.#fail(objection, `transfer ${transfer.tx} from ${transfer.from}`);
    else this.#seal(transfer, 1, facts);
  }

  #seal(transfer: Transfer, tries: number, facts: HandoverFacts): void {
    this.#stage = { kind: "sealing", transfer, tries };
    this.#ask("seal", transfer, facts);
  }

  #takeSealed(
    stage: Extract<Stage, { kind: "sealing" }>,
    reply: HandoverReply | undefined,
    facts: HandoverFacts,
  ): void {
    const { transfer, tries } = stage;
    if (reply?.kind === "sealed" && reply.tx === transfer.tx) {
      this.#stage = { kind: "finishing", transfer };
      const last: FinalPage = { body: reply.body, count: reply.count, root: reply.root };
      this.#effects.add({ kind: "finish", from: transfer.from, tx: transfer.tx, last });
    } else if (reply === undefined && tries < SEAL_TRIES) {
      this.#seal(transfer, tries + 1, facts);
    } else if (reply?.kind === "refused" && reply.reason === "others_down" && this.#waits < MAX_WAITS) {
      this.#waits += 1;
      this.#stage = { kind: "waiting", transfer, token: this.#effects.timer(retryDelayMs(this.#times, this.#waits)) };
    } else {
      this.#fail(whyFailed(reply), `seal of transfer ${transfer.tx}`, reply);
    }
  }

  #takeFinished(transfer: Transfer, result: FinishResult, facts: HandoverFacts): void {
    const objection = objectionToFetch(transfer, this.#partition, facts);
    if (result.kind !== "equal") {
      this.#fail(result.kind === "differs" ? "differs" : "copy_failed", result.reason);
    } else if (objection !== undefined) {
      this.#fail(objection, `transfer ${transfer.tx} from ${transfer.from}`);
    } else {
      const token = this.#effects.persist({ kind: "staged", partition: this.#partition, staged: transfer });
      this.#stage = { kind: "staging", transfer, token };
    }
  }

  #takeReleased(transfer: Transfer, reply: HandoverReply | undefined, facts: HandoverFacts): void {
    const { ledger, view } = facts;
    const staged = ledger.staged.get(this.#partition);
    if (staged === undefined || view.isRemoved(transfer.from)) {
      this.#review(facts);
    } else if (reply?.kind === "released" && reply.tx === staged.tx && this.#mayTake(staged, facts)) {
      const token = this.#effects.persist({ kind: "taken", partition: this.#partition, slot: staged.slot });
      this.#stage = { kind: "taking", transfer: staged, token };
    } else if (reply?.kind === "over" && reply.tx === staged.tx) {
      this.#unstage("over");
    }
    // Anything else says nothing of the transfer: the timer asks again.
  }

  #mayTake({ from, tx }: Transfer, { ledger }: HandoverFacts): boolean {
    return ledger.slots[this.#partition] === -1 && tx > consumedTx(ledger, this.#partition, from);
  }

  #unstage(why: HandoverFailure): void {
    const token = this.#effects.persist({ kind: "staged", partition: this.#partition, staged: undefined });
    this.#stage = { kind: "unstaging", why, token };
  }

  #takePersisted(token: number, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (!("token" in stage) || stage.token !== token) return;
    if (stage.kind === "marking") {
      this.#copy(stage.transfer);
    } else if (stage.kind === "staging") {
      this.#resume(facts);
    } else if (stage.kind === "unstaging") {
      this.#fail(stage.why, "the staged copy is given up");
    } else if (stage.kind === "taking") {
      this.#stage = { kind: "idle" };
      this.#effects.add({ kind: "hold", slot: stage.transfer.slot });
      this.#effects.add({ kind: "ended", outcome: { kind: "taken", slot: stage.transfer.slot } });
    }
  }

  /** Goes on with what is staged: asks whether it is released. */
  #resume(facts: HandoverFacts): void {
    const staged = facts.ledger.staged.get(this.#partition);
    if (staged === undefined) {
      this.#fail("over", "nothing is staged any more");
      return;
    }
    const tries = this.#stage.kind === "ready" ? this.#stage.tries + 1 : 0;
    this.#stage = {
      kind: "ready",
      transfer: staged,
      tries,
      token: this.#effects.timer(retryDelayMs(this.#times, tries)),
    };
    this.#ask("ready", staged, facts);
  }

  #takeTimer(token: number, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind === "waiting" && stage.token === token) {
      const objection = objectionToFetch(stage.transfer, this.#partition, facts);
      if (objection === undefined) this.#copy(stage.transfer);
      else this.#fail(objection, `transfer ${stage.transfer.tx} from ${stage.transfer.from}`);
    } else if (stage.kind === "ready" && stage.token === token) {
      this.#review(facts);
      if (this.#stage.kind === "ready") this.#resume(facts);
    }
  }

  // A removed donor's release is never accepted: what was staged of it is given up. One that has left had no release that
  // was not consumed: what is staged of it never came, and there may be nobody left to say so.
  #review(facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind !== "idle" && stage.kind !== "ready") return;
    const staged = facts.ledger.staged.get(this.#partition);
    if (staged !== undefined && facts.view.isRemoved(staged.from)) this.#unstage("removed");
    else if (staged !== undefined && facts.view.hasLeft(staged.from)) this.#unstage("over");
    else if (staged !== undefined && stage.kind === "idle") this.#resume(facts);
    else if (staged === undefined && stage.kind === "ready") this.#fail("over", "nothing is staged any more");
  }

  /** A donor asks whether its slot arrived: it did when that transfer, or a later one of it, was consumed. */
  #takeSettle(call: number, { from, tx }: Extract<HandoverRequest, { tx: number }>, { ledger }: HandoverFacts): void {
    const isTaken = tx <= consumedTx(ledger, this.#partition, from) && this.#stage.kind !== "taking";
    const reply: HandoverReply = isTaken ? { kind: "settled", tx } : { kind: "open", tx };
    this.#effects.add({ kind: "reply", call, reply });
  }

  #ask(kind: "seal" | "ready", { from, tx }: Transfer, { view }: HandoverFacts): void {
    const request: HandoverRequest = { kind, partition: this.#partition, from: view.ownKey, tx };
    this.#effects.add({ kind: "ask", to: from, request });
  }

  #fail(why: HandoverFailure, detail: string, reply?: HandoverReply): void {
    this.#stage = { kind: "idle" };
    const failed = { kind: "failed", why, detail } as const;
    this.#effects.add({ kind: "ended", outcome: reply === undefined ? failed : { ...failed, reply } });
  }
}
