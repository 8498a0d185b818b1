/**
 * OldCopyCore: what becomes of the copy of a partition whose slot this node gave away, as a state machine without I/O.
 *
 * Invariants: the copy is removed only when a holder of today is found to have all of it, as it is or newer; and that is not
 * looked for before the receiver has durably taken the slot (it says so itself, asked until it does; or its record says that it
 * has left, which it could not with the slot on its way to it), or was removed. While there is no such holder the copy stays,
 * also when this node should hold the partition again: it may be the last one. A holder of a higher slot does not do while a
 * lower one or the same is held: reads do not count it for keys of buckets with fewer replicas, whatever it keeps of them.
 * Source: gossip-ring notes §B.4 ("never delete on completion"), §B.5 step 7.
 */
import type { MemberKey } from "../placement/member-record.ts";
import type { HandoverReply } from "./handover-messages.ts";
import { EffectList } from "./handover-rules-core.ts";
import {
  type HandoverEffect,
  type HandoverEvent,
  type HandoverFacts,
  type HandoverTimes,
  retryDelayMs,
} from "./handover-steps.ts";
import type { ReleasedSlot } from "./slot-ledger.ts";

/** In this life of the process; the ledger says the rest. */
type Stage = "idle" | "asking" | "recording" | "proving" | "pausing" | "dropping" | "forgetting";

/** One partition's old copy. Feed `review` after a release and after a restart. */
export class OldCopyCore {
  readonly #partition: number;
  readonly #times: HandoverTimes;
  #stage: Stage = "idle";
  #tries = 0;
  /** of the write or timer that is waited for */
  #token = 0;
  readonly #effects = new EffectList();

  constructor(partition: number, times: HandoverTimes) {
    this.#partition = partition;
    this.#times = times;
  }

  /** True while nothing is under way. */
  get isIdle(): boolean {
    return this.#stage === "idle";
  }

  /** The copy is being removed. */
  get isDropping(): boolean {
    return this.#stage === "dropping";
  }

  /** One step. */
  take(event: HandoverEvent, facts: HandoverFacts): readonly HandoverEffect[] {
    const stage = this.#stage;
    if (event.kind === "answered") this.#takeAnswer(event.from, event.reply, facts);
    else if (event.kind === "proved" && stage === "proving") this.#takeProof(event.isCovered);
    else if (event.kind === "dropped" && stage === "dropping") this.#forget();
    else if (this.#isAwaited(event)) this.#look(facts);
    return this.#effects.drain();
  }

  /** Whatever comes of it: what to do next follows from the ledger. */
  #isAwaited(event: HandoverEvent): boolean {
    if (event.kind === "review") return this.#stage === "idle";
    const awaited = { timer: ["asking", "pausing"], persisted: ["recording", "forgetting"] };
    if (event.kind !== "timer" && event.kind !== "persisted") return false;
    return event.token === this.#token && awaited[event.kind].includes(this.#stage);
  }

  #forget(): void {
    this.#stage = "forgetting";
    this.#token = this.#effects.persist({ kind: "dropped", partition: this.#partition });
  }

  #look({ ledger, view }: HandoverFacts): void {
    const released = ledger.released.get(this.#partition);
    this.#stage = "idle";
    if (!ledger.retained.has(this.#partition)) return;
    const isReceiverGone = released === undefined || view.isRemoved(released.to);
    if (isReceiverGone || released.isSettled) {
      this.#prove(released, view);
    } else if (view.hasLeft(released.to)) {
      this.#settle(released);
    } else {
      this.#stage = "asking";
      const request = { kind: "settle", partition: this.#partition, from: view.ownKey, tx: released.tx } as const;
      this.#effects.add({ kind: "ask", to: released.to, request });
      this.#token = this.#effects.timer(retryDelayMs(this.#times, this.#tries));
      this.#tries += 1;
    }
  }

  /**
   * By who holds the slot now: the receiver may have passed it on, or was removed. Those of lower slots after that, in turn: they
   * count for every key of this one. Higher ones are asked only when there are none: the slot is vacant then, and whoever
   * makes it anew, which may wait for this very copy to go, merges what they hold.
   */
  #prove(released: ReleasedSlot | undefined, view: HandoverFacts["view"]): void {
    const known = view.holdersOf(this.#partition).filter(({ key }) => key !== view.ownKey);
    // of an earlier life: any slot it may have been
    const ownSlot = released?.slot ?? 0;
    const counting = known.filter(({ slot }) => slot <= ownSlot);
    const holders = counting.length > 0 ? counting : known;
    const highestSlot = counting.length > 0 ? ownSlot : Number.POSITIVE_INFINITY;
    const now = holders.filter(({ slot }) => slot === released?.slot).map(({ key }) => key);
    const receiver = released === undefined || view.isRemoved(released.to) ? [] : [released.to];
    const inOrder = [...new Set([...now, ...receiver, ...holders.map(({ key }) => key)])];
    const to = inOrder[this.#tries % Math.max(1, inOrder.length)];
    if (to === undefined) return this.#pause();
    this.#stage = "proving";
    this.#effects.add({ kind: "prove", to, highestSlot });
  }

  #pause(): void {
    this.#stage = "pausing";
    this.#tries += 1;
    this.#token = this.#effects.timer(this.#times.retryMaxMs);
  }

  #takeAnswer(from: MemberKey, reply: HandoverReply | undefined, { ledger }: HandoverFacts): void {
    const released = ledger.released.get(this.#partition);
    if (this.#stage !== "asking" || released === undefined || released.to !== from || released.isSettled) return;
    if (reply?.kind === "settled" && reply.tx === released.tx) this.#settle(released);
  }

  #settle({ tx }: ReleasedSlot): void {
    this.#stage = "recording";
    this.#tries = 0;
    this.#token = this.#effects.persist({ kind: "settled", partition: this.#partition, tx });
  }

  #takeProof(isCovered: boolean): void {
    if (!isCovered) return this.#pause();
    this.#stage = "dropping";
    this.#effects.add({ kind: "drop" });
  }
}
