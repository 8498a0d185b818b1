/**
 * HandoverPartition: carries out what the four cores of one partition want done, and feeds back what came of it. Must never
 * decide what a failed step means: the cores do. What a port rejects is tried again: nothing counts as done that is not.
 */
import { HANDOVER_ASK_MS } from "../base/limits.ts";
import type { Timer } from "../base/ports.ts";
import type { MemberKey } from "../placement/member-record.ts";
import { CopyEmptier, type Emptying } from "./copy-emptier.ts";
import { askMember, attemptPages, heldPages } from "./handover-asks.ts";
import { DonorCore } from "./handover-donor-core.ts";
import type { HandoverReply, HandoverRequest } from "./handover-messages.ts";
import { MintCore, type MintSettings } from "./handover-mint-core.ts";
import { OldCopyCore } from "./handover-old-copy-core.ts";
import type { HandoverParts, PageSource, ReceiveResult } from "./handover-ports.ts";
import { ReceiverCore } from "./handover-receiver-core.ts";
import type { HandoverEffect, HandoverEvent, HandoverFacts, HandoverOutcome, PageRequest } from "./handover-steps.ts";

/** The four parts that a node plays for a partition. */
export type HandoverRole = "donor" | "oldCopy" | "receiver" | "mint";

/** What all partitions of a node share. */
export interface HandoverShared {
  readonly parts: HandoverParts;
  readonly settings: MintSettings;
  facts(): HandoverFacts;
  /** runs `work`, which must not reject, when one of the node's few places for copies of mintings, or for proofs, is free */
  inTurn(kind: "copy" | "proof", work: () => Promise<void>): void;
  onEnded(partition: number, role: HandoverRole, outcome: HandoverOutcome): void;
  onBytes(partition: number, sizeBytes: number): void;
}

type Effect<K extends HandoverEffect["kind"]> = Extract<HandoverEffect, { readonly kind: K }>;

type DataEffect = Effect<"clear" | "drop" | "receive" | "finish" | "merge" | "prove">;
type DonorEffect = Effect<"open-attempt" | "close-attempt" | "seal" | "unseal" | "hold">;

/** One partition. */
export class HandoverPartition {
  readonly donor: DonorCore;
  readonly oldCopy: OldCopyCore;
  readonly receiver: ReceiverCore;
  readonly mint: MintCore;
  readonly #partition: number;
  readonly #shared: HandoverShared;
  readonly #emptier: CopyEmptier;
  readonly #calls = new Map<number, (reply: HandoverReply) => void>();
  readonly #timers = new Set<Timer>();
  #lastCall = 0;
  /** merges under way or in the queue: what one of them writes belongs to no minting any more when that is over */
  #mergeCount = 0;
  #isStopped = false;

  constructor(partition: number, shared: HandoverShared) {
    this.#partition = partition;
    this.#shared = shared;
    this.#emptier = new CopyEmptier(shared.parts, partition);
    this.donor = new DonorCore(partition, shared.settings.times);
    this.oldCopy = new OldCopyCore(partition, shared.settings.times);
    this.receiver = new ReceiverCore(partition, shared.settings.times);
    this.mint = new MintCore(partition, shared.settings);
  }

  /** True while nothing is under way: it may be forgotten, the ledger knows the rest. */
  get isIdle(): boolean {
    const isQuiet = this.donor.isIdle && this.oldCopy.isIdle && this.#calls.size === 0 && this.#mergeCount === 0;
    return isQuiet && this.#emptier.isIdle && this.receiver.stage === "idle" && this.mint.stage === "idle";
  }

  /** Something that was begun for a transfer or a minting which is over still changes the copy. */
  get #isChanging(): boolean {
    return !this.#emptier.isIdle || this.#mergeCount > 0;
  }

  /** To be called when it is forgotten: its timers are of use to nobody. */
  forget(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /** Nothing more is done; calls that wait stay unanswered. */
  stop(): void {
    this.#isStopped = true;
    this.forget();
    this.#emptier.stop();
  }

  /** Has all four look at the ledger and the records again. */
  review(): void {
    this.#emptier.review();
    for (const role of ["donor", "oldCopy", "receiver", "mint"] as const) this.feed(role, { kind: "review" });
  }

  /** Fetches the slot from `from`, if that may be. */
  fetch(from: MemberKey): void {
    if (this.#isChanging) return;
    this.run("receiver", this.receiver.start(from, this.#shared.facts()));
  }

  /** Mints `slot`, if that may be. */
  startMint(slot: number): void {
    if (this.#isChanging) return;
    this.run("mint", this.mint.start(slot, this.#shared.facts()));
  }

  /** Ends a minting that is another's to do. */
  stopMint(): void {
    this.run("mint", this.mint.stop(this.#shared.facts()));
  }

  /** The answer to a request; pending until the cores have one. */
  answer(role: HandoverRole, request: HandoverRequest): Promise<HandoverReply> {
    this.#lastCall += 1;
    const call = this.#lastCall;
    return new Promise((resolve) => {
      this.#calls.set(call, resolve);
      this.feed(role, { kind: "request", call, request });
    });
  }

  /** One event for one core. */
  feed(role: HandoverRole, event: HandoverEvent): void {
    if (!this.#isStopped) this.run(role, this[role].take(event, this.#shared.facts()));
  }

  /** Carries out effects, in order. */
  run(role: HandoverRole, effects: readonly HandoverEffect[]): void {
    for (const effect of effects) {
      if (!this.#isStopped) this.#do(role, effect);
    }
  }

  #do(role: HandoverRole, effect: HandoverEffect): void {
    if (effect.kind === "reply") this.#reply(effect.call, effect.reply);
    else if (effect.kind === "serve") void this.#serve(effect);
    else if (effect.kind === "persist") void this.#persist(role, effect);
    else if (effect.kind === "ask") void this.#ask(role, effect);
    else if (effect.kind === "ended") this.#shared.onEnded(this.#partition, role, effect.outcome);
    else if (effect.kind === "timer") {
      this.#later(effect.delayMs, () => this.feed(role, { kind: "timer", token: effect.token }));
    } else this.#doWithData(role, effect);
  }

  #doWithData(role: HandoverRole, effect: DataEffect | DonorEffect): void {
    if (effect.kind === "clear" || effect.kind === "drop") this.#empty(role, effect.kind);
    else if (effect.kind === "receive") void this.#receive(effect);
    else if (effect.kind === "finish") void this.#finish(effect);
    else if (effect.kind === "merge") this.#mergeInTurn(effect);
    else if (effect.kind === "prove") this.#shared.inTurn("proof", () => this.#prove(effect));
    else this.#doAtDonor(effect);
  }

  #doAtDonor(effect: DonorEffect): void {
    const partition = this.#partition;
    const { gate, donorData } = this.#shared.parts;
    if (effect.kind === "open-attempt") donorData.openAttempt(partition, effect.tx);
    else if (effect.kind === "close-attempt") donorData.closeAttempt(partition, effect.tx);
    else if (effect.kind === "hold") gate.hold(partition, effect.slot);
    else if (effect.kind === "unseal") gate.open(partition);
    else void this.#seal(effect.tx);
  }

  /** Nothing may be taken as empty that is not; nor be emptied for a core that has gone on. */
  #empty(role: HandoverRole, what: Emptying): void {
    const core = role === "mint" ? this.mint : this.receiver;
    const isWanted = (): boolean => (what === "drop" ? this.oldCopy.isDropping : core.stage === "clearing");
    const onDone = (): void => this.feed(role, { kind: what === "clear" ? "cleared" : "dropped" });
    this.#emptier.empty({ what, isWanted, onDone });
  }

  #reply(call: number, reply: HandoverReply): void {
    const answer = this.#calls.get(call);
    this.#calls.delete(call);
    answer?.(reply);
  }

  async #serve({ call, request, slot }: Effect<"serve">): Promise<void> {
    const { donorData, store } = this.#shared.parts;
    try {
      const body = await this.#page(request, donorData);
      const isHeld = store.ledger.slots[this.#partition] === slot;
      // A minter counts a copy only while its source holds the slot.
      if (request.kind === "mint-pull" && !isHeld) this.#reply(call, { kind: "refused", reason: "no_slot" });
      else this.#reply(call, { kind: "page", body, slot });
    } catch (error) {
      this.#warn("handover.page-failed", error);
      this.#reply(call, { kind: "refused", reason: "busy" });
    }
  }

  #page(request: PageRequest, donorData: HandoverParts["donorData"]): Promise<unknown> {
    const { tx, body } = request;
    if (request.kind === "mint-pull") return donorData.copy(this.#partition, body, request.takesSuspect);
    return donorData[request.kind](this.#partition, tx, body);
  }

  async #persist(role: HandoverRole, { changes, token }: Effect<"persist">): Promise<void> {
    try {
      await this.#shared.parts.store.commit(changes);
    } catch (error) {
      // The store ends this node; nothing may be said of what was to be durable.
      this.#warn("handover.ledger-failed", error);
      return;
    }
    this.feed(role, { kind: "persisted", token });
  }

  async #ask(role: HandoverRole, { to, request }: Effect<"ask">): Promise<void> {
    const reply = await askMember(this.#shared.parts, to, { request, timeoutMs: HANDOVER_ASK_MS });
    this.feed(role, { kind: "answered", from: to, request, reply });
  }

  async #seal(tx: number): Promise<void> {
    const { gate, donorData } = this.#shared.parts;
    const isClosing = (): boolean => this.donor.attempt?.tx === tx && this.donor.attempt.stage === "closing";
    try {
      await gate.close(this.#partition);
      if (!isClosing()) return;
      const last = await donorData.seal(this.#partition, tx);
      this.feed("donor", { kind: "sealed", tx, last });
    } catch (error) {
      this.#warn("handover.seal-failed", error);
      this.feed("donor", { kind: "seal-failed", tx });
    }
  }

  async #receive({ from, tx }: Effect<"receive">): Promise<void> {
    const { receiverData } = this.#shared.parts;
    const onProgress = (sizeBytes: number): void => this.#shared.onBytes(this.#partition, sizeBytes);
    const result = await receiverData.receive(this.#partition, this.#pages(from, tx), onProgress).catch(failed);
    this.feed("receiver", { kind: "received", tx, result });
  }

  async #finish({ from, tx, last }: Effect<"finish">): Promise<void> {
    const result = await this.#shared.parts.receiverData
      .finish(this.#partition, this.#pages(from, tx), last)
      .catch(failed);
    this.feed("receiver", { kind: "finished", tx, result });
  }

  #mergeInTurn(effect: Effect<"merge">): void {
    this.#mergeCount += 1;
    this.#shared.inTurn("copy", async () => {
      try {
        if (this.mint.isMerging(effect)) await this.#merge(effect);
      } finally {
        this.#mergeCount -= 1;
      }
    });
  }

  /** Every page must come from a holder of one and the same slot. */
  async #merge({ from, tx, takesSuspect }: Effect<"merge">): Promise<void> {
    const { parts } = this.#shared;
    const source = heldPages(parts, { partition: this.#partition, from, tx, takesSuspect });
    const onProgress = (sizeBytes: number): void => this.#shared.onBytes(this.#partition, sizeBytes);
    const result: ReceiveResult = await parts.receiverData.merge(this.#partition, source, onProgress).catch(failed);
    if (result.kind === "failed") this.#warn("handover.merge-failed", result.reason);
    const [slot] = source.slots;
    const isWhole = result.kind === "copied" && source.slots.size === 1;
    const isSuspect = takesSuspect || (result.kind === "failed" && result.isSuspect === true);
    this.feed("mint", { kind: "merged", from, tx, slot: isWhole ? slot : undefined, isSuspect });
  }

  /** By the word of a holder of one and the same slot. */
  async #prove({ to, highestSlot }: Effect<"prove">): Promise<void> {
    const { parts } = this.#shared;
    const node = parts.view.nodeOf(to);
    const source = heldPages(parts, { partition: this.#partition, from: to, tx: 0 });
    let isCovered = false;
    try {
      const holder = node === undefined || this.#isStopped ? undefined : { node, pull: source.pull };
      isCovered = holder !== undefined && (await parts.donorData.isCoveredBy(this.#partition, holder));
    } catch (error) {
      this.#warn("handover.proof-failed", error);
    }
    isCovered &&= source.slots.size === 1 && Math.max(...source.slots) <= highestSlot;
    this.feed("oldCopy", { kind: "proved", isCovered });
  }

  #pages(from: MemberKey, tx: number): PageSource {
    return attemptPages(this.#shared.parts, { partition: this.#partition, from, tx });
  }

  #later(delayMs: number, run: () => void): void {
    if (this.#isStopped) return;
    const timer = this.#shared.parts.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }

  #warn(event: string, error: unknown): void {
    if (!this.#isStopped) this.#shared.parts.log.warn({ event, partition: this.#partition, error });
  }
}

function failed(error: unknown): { readonly kind: "failed"; readonly reason: string } {
  return { kind: "failed", reason: String(error) };
}
