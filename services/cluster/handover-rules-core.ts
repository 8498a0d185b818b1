/** What more than one core of the hand-over asks: who may give, who may take; and the list in which effects gather. */
import type { MemberKey } from "../placement/member-record.ts";
import type { HandoverReply } from "./handover-messages.ts";
import type { HandoverEffect, HandoverEvent, HandoverFacts, HandoverFailure } from "./handover-steps.ts";
import {
  consumedTx,
  type LedgerChange,
  movedTo,
  promiseFor,
  type SlotLedger,
  type SlotPromise,
} from "./slot-ledger.ts";

/** One transfer of a slot, as its receiver knows it. */
export interface Transfer {
  readonly from: MemberKey;
  readonly tx: number;
  readonly slot: number;
}

/** Whether a word of `from` about its transfer `tx` is about this one. */
export function isOf(transfer: Transfer, from: MemberKey, tx: number): boolean {
  return transfer.from === from && transfer.tx === tx;
}

/** The slot that this node holds of the partition by its ledger, −1 for none. */
export function heldSlot({ ledger }: HandoverFacts, partition: number): number {
  return ledger.slots[partition] ?? -1;
}

/** True when this node should hold a slot of the partition, holds none, and nothing stands in the way of fetching one. */
export function mayFetch({ ledger, view }: HandoverFacts, partition: number): boolean {
  if (ledger.slots[partition] !== -1 || !view.isTarget(partition, view.ownKey)) return false;
  return !ledger.retained.has(partition) && !ledger.minting.has(partition) && view.isStaying() && view.isIntroduced();
}

/** Why a receiver must not go on with a transfer, or undefined. */
export function objectionToFetch(
  { from, tx, slot }: Transfer,
  partition: number,
  facts: HandoverFacts,
): HandoverFailure | undefined {
  const { ledger, view } = facts;
  if (view.isRemoved(from) || view.isRemoved(view.ownKey)) return "removed";
  if (!mayFetch(facts, partition) || tx <= consumedTx(ledger, partition, from)) return "unwanted";
  // Who gives away what was promised to it has taken it: its minting is over.
  const promise = standingPromise({ partition, slot }, facts);
  return promise === undefined || promise.to === from ? undefined : "promised";
}

/** The promise that binds this node for a slot, or undefined: one to a member that is out or has left binds nobody. */
export function standingPromise(
  { partition, slot }: { readonly partition: number; readonly slot: number },
  { ledger, view }: HandoverFacts,
): SlotPromise | undefined {
  const promise = promiseFor(ledger, partition, slot);
  return promise === undefined || view.isRemoved(promise.to) || view.hasLeft(promise.to) ? undefined : promise;
}

/** Asks the owner of the promise that binds this node for a slot whether it is still needed; nothing when none binds it. */
export function promiseCheck(
  seat: { readonly partition: number; readonly slot: number },
  facts: HandoverFacts,
): readonly HandoverEffect[] {
  const { view } = facts;
  const promise = standingPromise(seat, facts);
  if (promise === undefined || promise.to === view.ownKey) return [];
  return [{ kind: "ask", to: promise.to, request: { kind: "mint-check", ...seat, from: view.ownKey, tx: promise.tx } }];
}

/** What the owner's answer changes: its word that the minting is over ends the promise. */
export function promiseAfterCheck(
  { from, request, reply }: Pick<Extract<HandoverEvent, { kind: "answered" }>, "from" | "request" | "reply">,
  { ledger }: HandoverFacts,
): LedgerChange | undefined {
  if (request.kind !== "mint-check" || reply?.kind !== "over" || reply.tx !== request.tx) return undefined;
  return promiseEnd({ ...request, to: from }, ledger);
}

/** The change that ends a promise, when it is the one that stands. */
export function promiseEnd(
  { partition, slot, to, tx }: { partition: number; slot: number; to: MemberKey; tx: number },
  ledger: SlotLedger,
): LedgerChange | undefined {
  const promise = promiseFor(ledger, partition, slot);
  if (promise === undefined || promise.to !== to || promise.tx !== tx) return undefined;
  return { kind: "promised", partition, slot, promise: { ...promise, isOver: true } };
}

/** Why a holder should not give its slot to this receiver, or undefined. */
export function objectionToGive(
  to: MemberKey,
  partition: number,
  { view }: HandoverFacts,
): "not_departing" | "not_target" | "removed" | undefined {
  if (view.isRemoved(to) || view.isRemoved(view.ownKey)) return "removed";
  if (view.isTarget(partition, view.ownKey)) return "not_departing";
  return view.isTarget(partition, to) ? undefined : "not_target";
}

/** Sealing while another holder is away would leave writes of the partition without a quorum. */
export function areOthersAlive({ view }: HandoverFacts, partition: number): boolean {
  return view.holdersOf(partition).every(({ key }) => key === view.ownKey || view.isAlive(key));
}

/** What a node answers that holds no slot of the partition. */
export function noSlotReply({ ledger }: HandoverFacts, partition: number): HandoverReply {
  const holder = movedTo(ledger, partition);
  return holder === undefined ? { kind: "refused", reason: "no_slot" } : { kind: "refused", reason: "no_slot", holder };
}

/** What an answer that does not help comes to. */
export function whyFailed(reply: HandoverReply | undefined): HandoverFailure {
  if (reply === undefined) return "silent";
  return reply.kind === "refused" ? "refused" : "over";
}

/** Gathers the effects of one step; writes and timers get tokens that no other of this list has. */
export class EffectList {
  #effects: HandoverEffect[] = [];
  #lastToken = 0;

  /** What has gathered since the last call. */
  drain(): readonly HandoverEffect[] {
    const drained = this.#effects;
    this.#effects = [];
    return drained;
  }

  /** Adds effects in order. */
  add(...effects: readonly HandoverEffect[]): void {
    this.#effects.push(...effects);
  }

  /** Answers a call. */
  reply(call: number, reply: HandoverReply): void {
    this.#effects.push({ kind: "reply", call, reply });
  }

  /** Answers calls that waited for the same thing. */
  replyAll(calls: readonly number[], reply: HandoverReply): void {
    for (const call of calls) this.reply(call, reply);
  }

  /** Writes changes; answers the token with which `persisted` comes back. */
  persist(...changes: readonly LedgerChange[]): number {
    this.#lastToken += 1;
    this.#effects.push({ kind: "persist", changes, token: this.#lastToken });
    return this.#lastToken;
  }

  /** Sets a timer; answers the token with which it comes back. */
  timer(delayMs: number): number {
    this.#lastToken += 1;
    this.#effects.push({ kind: "timer", delayMs, token: this.#lastToken });
    return this.#lastToken;
  }
}
