/**
 * DonorCore: the holder's side of handing over its slot of one partition, as a state machine without I/O.
 *
 * Invariants, in the words of the tests (gossip-ring notes §B.5):
 * D1 A slot is given away only while its partition is sealed for the very attempt that asks: what the receiver has then
 *    is all that there is. A seal that was lifted, for whatever reason, ends its attempt; numbers are never used again.
 * D2 The durable release is the commit point; nobody hears of it earlier, and asked again it is answered again.
 * D3 `over` is said only of attempts that can never be released.
 * D4 While sealed, reads are answered: the copy is complete until the release is durable. Writes wait.
 * D5 Nothing is released to a member known as removed, nor by one.
 * What becomes of the old copy afterwards is the old-copy core's (handover-old-copy-core.ts).
 */
import type { MemberKey } from "../placement/member-record.ts";
import type { HandoverReply, HandoverRequest } from "./handover-messages.ts";
import { areOthersAlive, EffectList, heldSlot, noSlotReply, objectionToGive } from "./handover-rules-core.ts";
import type { HandoverEffect, HandoverEvent, HandoverFacts, HandoverTimes, PageRequest } from "./handover-steps.ts";
import type { ReleasedSlot } from "./slot-ledger.ts";

interface Attempt {
  readonly tx: number;
  readonly to: MemberKey;
  heardMs: number;
}

type Stage =
  | { readonly kind: "idle" }
  | { readonly kind: "granting"; readonly attempt: Attempt; readonly token: number; readonly calls: number[] }
  | { readonly kind: "copying"; readonly attempt: Attempt }
  | { readonly kind: "closing"; readonly attempt: Attempt; readonly calls: number[] }
  | { readonly kind: "sealed"; readonly attempt: Attempt; readonly reply: HandoverReply }
  | { readonly kind: "releasing"; readonly attempt: Attempt; readonly token: number; readonly calls: number[] };

/** Answers that wait for one write of the ledger: repeats beyond this are left to be asked again. */
const MAX_WAITING_CALLS = 8;

type Numbered = Pick<Extract<HandoverRequest, { readonly tx: number }>, "tx" | "from">;

/** One partition's donor. */
export class DonorCore {
  readonly #partition: number;
  readonly #times: HandoverTimes;
  #stage: Stage = { kind: "idle" };
  readonly #effects = new EffectList();

  constructor(partition: number, times: HandoverTimes) {
    this.#partition = partition;
    this.#times = times;
  }

  /** True while the core may be forgotten: what it would do next follows from the ledger. */
  get isIdle(): boolean {
    return this.#stage.kind === "idle";
  }

  /** The running attempt, for progress. */
  get attempt(): { readonly to: MemberKey; readonly tx: number; readonly stage: string } | undefined {
    if (this.#stage.kind === "idle") return undefined;
    const { to, tx } = this.#stage.attempt;
    return { to, tx, stage: this.#stage.kind };
  }

  /** One step. */
  take(event: HandoverEvent, facts: HandoverFacts): readonly HandoverEffect[] {
    if (event.kind === "request") this.#takeRequest(event.call, event.request, facts);
    else if (event.kind === "persisted") this.#takePersisted(event.token, facts);
    else if (event.kind === "timer") this.#takeTimer(event.token, facts);
    else if (event.kind === "sealed" || event.kind === "seal-failed") this.#takeSealEnd(event);
    else if (event.kind === "review") this.#review(facts);
    return this.#effects.drain();
  }

  #takeSealEnd(event: Extract<HandoverEvent, { kind: "sealed" | "seal-failed" }>): void {
    if (this.#stage.kind !== "closing" || this.#stage.attempt.tx !== event.tx) return;
    if (event.kind === "seal-failed") {
      this.#abort();
      return;
    }
    const { attempt, calls } = this.#stage;
    const reply: HandoverReply = { kind: "sealed", tx: attempt.tx, ...event.last };
    this.#stage = { kind: "sealed", attempt, reply };
    this.#effects.replyAll(calls, reply);
  }

  #takeRequest(call: number, request: HandoverRequest, facts: HandoverFacts): void {
    const { view } = facts;
    if (view.isRemoved(view.ownKey) || view.isRemoved(request.from)) {
      this.#effects.reply(call, { kind: "refused", reason: "removed" });
      return;
    }
    if (request.kind === "req") this.#takeReq(call, request.from, facts);
    else if (request.kind === "seal") this.#takeSeal(call, request, facts);
    else if (request.kind === "ready") this.#takeReady(call, request, facts);
    else if (request.kind === "mint-pull") this.#takeMintPull(call, request, facts);
    else if ("body" in request) this.#takePageRequest(call, request, facts);
  }

  /** No attempt is needed, only a slot: what a minter copies is merged with what others hold. */
  #takeMintPull(call: number, request: PageRequest, facts: HandoverFacts): void {
    const slot = heldSlot(facts, this.#partition);
    if (slot === -1) this.#effects.reply(call, noSlotReply(facts, this.#partition));
    else this.#effects.add({ kind: "serve", call, request, slot });
  }

  #takeReq(call: number, from: MemberKey, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind === "releasing") {
      if (stage.attempt.to === from) this.#wait(stage.calls, call);
      else this.#effects.reply(call, this.#busy(facts, stage.attempt.to));
      return;
    }
    if (heldSlot(facts, this.#partition) === -1) {
      const released = facts.ledger.released.get(this.#partition);
      const isTheirs = released !== undefined && released.to === from && !released.isSettled;
      this.#effects.reply(call, isTheirs ? releasedReply(released) : noSlotReply(facts, this.#partition));
      return;
    }
    const objection = this.#objection(from, facts);
    if (objection !== undefined) {
      if (stage.kind !== "idle" && stage.attempt.to === from) this.#abort();
      this.#effects.reply(call, { kind: "refused", reason: objection });
      return;
    }
    if (stage.kind !== "idle" && stage.attempt.to !== from) {
      if (this.#objection(stage.attempt.to, facts) === undefined) {
        this.#effects.reply(call, this.#busy(facts, stage.attempt.to));
        return;
      }
      this.#abort();
    }
    this.#grant(call, from, facts);
  }

  /** A repeated request joins the attempt that runs; with none, another begins under a number of its own. */
  #grant(call: number, from: MemberKey, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind === "granting") {
      this.#wait(stage.calls, call);
    } else if (stage.kind === "idle" && !areOthersAlive(facts, this.#partition)) {
      // It could not be sealed: no copy is begun for that.
      this.#effects.reply(call, { kind: "refused", reason: "others_down" });
    } else if (stage.kind === "idle") {
      const attempt: Attempt = { tx: facts.nextTx(), to: from, heardMs: facts.nowMs };
      const token = this.#effects.persist({ kind: "counted", tx: attempt.tx });
      this.#stage = { kind: "granting", attempt, token, calls: [call] };
    } else {
      stage.attempt.heardMs = facts.nowMs;
      this.#effects.reply(call, { kind: "granted", tx: stage.attempt.tx, slot: heldSlot(facts, this.#partition) });
    }
  }

  #takePageRequest(call: number, request: PageRequest, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (!this.#isCurrent(request)) {
      this.#effects.reply(call, this.#past(request, facts));
    } else if (stage.kind === "copying" || stage.kind === "closing" || stage.kind === "sealed") {
      stage.attempt.heardMs = facts.nowMs;
      this.#effects.add({ kind: "serve", call, request, slot: heldSlot(facts, this.#partition) });
    } else {
      this.#effects.reply(call, this.#busy(facts, request.from));
    }
  }

  #takeSeal(call: number, request: Numbered, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (!this.#isCurrent(request)) {
      this.#effects.reply(call, this.#past(request, facts));
    } else if (stage.kind === "sealed") {
      this.#effects.reply(call, stage.reply);
    } else if (stage.kind === "closing") {
      this.#wait(stage.calls, call);
    } else if (stage.kind !== "copying") {
      this.#effects.reply(call, this.#busy(facts, request.from));
    } else if (this.#objection(request.from, facts) !== undefined) {
      this.#abort();
      this.#effects.reply(call, { kind: "over", tx: request.tx });
    } else if (!areOthersAlive(facts, this.#partition)) {
      stage.attempt.heardMs = facts.nowMs;
      this.#effects.reply(call, { kind: "refused", reason: "others_down" });
    } else {
      this.#stage = { kind: "closing", attempt: stage.attempt, calls: [call] };
      this.#effects.add({ kind: "timer", delayMs: this.#times.sealMs, token: request.tx });
      this.#effects.add({ kind: "seal", tx: request.tx });
    }
  }

  #takeReady(call: number, request: Numbered, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (!this.#isCurrent(request)) {
      this.#effects.reply(call, this.#past(request, facts));
      return;
    }
    if (stage.kind === "releasing") {
      this.#wait(stage.calls, call);
      return;
    }
    const toNode = facts.view.nodeOf(request.from);
    if (stage.kind !== "sealed" || toNode === undefined || this.#objection(request.from, facts) !== undefined) {
      this.#abort();
      this.#effects.reply(call, { kind: "over", tx: request.tx });
      return;
    }
    const { attempt } = stage;
    const slot = heldSlot(facts, this.#partition);
    const { to, tx } = attempt;
    const released: ReleasedSlot = { to, toNode, tx, slot, atMs: facts.wallMs, isSettled: false };
    const token = this.#effects.persist({ kind: "released", partition: this.#partition, released });
    this.#stage = { kind: "releasing", attempt, token, calls: [call] };
  }

  #takePersisted(token: number, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind === "granting" && stage.token === token) {
      const { attempt, calls } = stage;
      this.#stage = { kind: "copying", attempt };
      this.#effects.add({ kind: "open-attempt", tx: attempt.tx });
      this.#effects.add({ kind: "timer", delayMs: this.#times.idleMs, token: -attempt.tx });
      this.#effects.replyAll(calls, { kind: "granted", tx: attempt.tx, slot: heldSlot(facts, this.#partition) });
    } else if (stage.kind === "releasing" && stage.token === token) {
      const released = facts.ledger.released.get(this.#partition);
      this.#stage = { kind: "idle" };
      // Writes that waited at the gate find no slot when it opens, and are told to whom it went.
      this.#effects.add({ kind: "hold", slot: -1 }, { kind: "unseal" });
      this.#effects.add({ kind: "close-attempt", tx: stage.attempt.tx });
      if (released !== undefined) this.#effects.replyAll(stage.calls, releasedReply(released));
    }
  }

  /** Tokens: a seal's is the attempt's number, that of its idleness the number negated. */
  #takeTimer(token: number, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind === "closing" || stage.kind === "sealed") {
      if (token === stage.attempt.tx) this.#abort();
    }
    if (stage.kind === "copying" && token === -stage.attempt.tx) {
      const quietMs = facts.nowMs - stage.attempt.heardMs;
      if (quietMs >= this.#times.idleMs || this.#objection(stage.attempt.to, facts) !== undefined) this.#abort();
      else this.#effects.add({ kind: "timer", delayMs: this.#times.idleMs - quietMs, token });
    }
  }

  /** Ends the running attempt: it will never be released. Not for one whose release is being written. */
  #abort(): void {
    const stage = this.#stage;
    if (stage.kind === "idle" || stage.kind === "releasing") return;
    this.#stage = { kind: "idle" };
    if (stage.kind === "closing" || stage.kind === "sealed") this.#effects.add({ kind: "unseal" });
    if (stage.kind !== "granting") this.#effects.add({ kind: "close-attempt", tx: stage.attempt.tx });
    if (stage.kind === "granting" || stage.kind === "closing") {
      this.#effects.replyAll(stage.calls, { kind: "over", tx: stage.attempt.tx });
    }
  }

  #review({ view }: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind !== "idle" && (view.isRemoved(view.ownKey) || view.isRemoved(stage.attempt.to))) this.#abort();
  }

  #objection(to: MemberKey, facts: HandoverFacts): ReturnType<typeof objectionToGive> {
    return objectionToGive(to, this.#partition, facts);
  }

  #isCurrent({ tx, from }: Numbered): boolean {
    const stage = this.#stage;
    return stage.kind !== "idle" && stage.attempt.tx === tx && stage.attempt.to === from;
  }

  /** Of an attempt that is not the running one. */
  #past({ tx, from }: Numbered, { ledger }: HandoverFacts): HandoverReply {
    const released = ledger.released.get(this.#partition);
    return released?.to === from && released.tx === tx ? releasedReply(released) : { kind: "over", tx };
  }

  #busy({ view }: HandoverFacts, to: MemberKey): HandoverReply {
    const holder = view.nodeOf(to);
    return holder === undefined ? { kind: "refused", reason: "busy" } : { kind: "refused", reason: "busy", holder };
  }

  #wait(calls: number[], call: number): void {
    if (calls.length < MAX_WAITING_CALLS) calls.push(call);
    else this.#effects.reply(call, { kind: "refused", reason: "busy" });
  }
}

function releasedReply({ tx, slot }: ReleasedSlot): HandoverReply {
  return { kind: "released", tx, slot };
}
