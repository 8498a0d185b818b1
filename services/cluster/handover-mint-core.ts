/**
 * MintCore: taking a slot that was lost with a removed member, as a state machine without I/O. The only
 * place where ownership comes into being again. What the others answer: handover-mint-answer-core.ts.
 *
 * Invariants, in the words of the tests (gossip-ring notes §B.5, §C 12):
 * M1 A slot is minted only when every member that is not removed has durably left it to the minter: each has said that it
 *    neither holds the slot nor may get it from a transfer under way, and takes it from nobody afterwards.
 * M2 "Every member" is one set: an answer counts only from one that knows the very members and removals that are known
 *    here. A newcomer hands nothing over before a majority knows of it, so nobody who might hold the slot is left out.
 * M3 Copies begin after all have answered (and the quiet time): a write that counted an answer of the removed member is
 *    in at least W − 1 other slots by then, and N − W + 1 of them are merged. Those are distinct slots, not nodes. One whose
 *    holder may lack what it had (suspect) does not count; but when all N − 1 others are merged, nobody is left to wait for.
 * M4 A promise ends by the minter's word that its minting is over, for good, or by the minter's removal.
 * M5 A minting is named by a number that is never used again; after a restart its members are asked again.
 */
import type { MemberKey } from "../placement/member-record.ts";
import type { HandoverRequest } from "./handover-messages.ts";
import {
  EffectList,
  heldSlot,
  mayFetch,
  promiseAfterCheck,
  promiseCheck,
  standingPromise,
} from "./handover-rules-core.ts";
import {
  type HandoverEffect,
  type HandoverEvent,
  type HandoverFacts,
  type HandoverFailure,
  type HandoverTimes,
  retryDelayMs,
} from "./handover-steps.ts";

interface Minting {
  readonly slot: number;
  readonly tx: number;
  /** members that have left the slot to this node */
  readonly vacant: Set<MemberKey>;
  /** slots whose content is merged */
  readonly merged: Set<number>;
  /** and those of which it is only what their holders still have */
  readonly doubtful: Set<number>;
  /** sources that failed since the last pause, and those of them that said that they may lack what they had */
  readonly failed: Set<MemberKey>;
  readonly suspect: Set<MemberKey>;
  tries: number;
}

type Stage =
  | { readonly kind: "idle" }
  | { readonly kind: "opening"; readonly minting: Minting; readonly token: number }
  | { readonly kind: "asking"; readonly minting: Minting; readonly token: number }
  | { readonly kind: "quiet"; readonly minting: Minting; readonly token: number }
  | { readonly kind: "clearing"; readonly minting: Minting }
  | { readonly kind: "merging"; readonly minting: Minting; readonly from: MemberKey }
  | { readonly kind: "short"; readonly minting: Minting; readonly token: number }
  | { readonly kind: "taking"; readonly minting: Minting; readonly token: number }
  | { readonly kind: "ending"; readonly minting: Minting; readonly why: HandoverFailure; readonly token: number };

/** What minting needs to know beyond the facts. */
export interface MintSettings {
  readonly times: HandoverTimes;
  /** distinct other slots to merge: N − W + 1 for a majority W, at least 1 */
  readonly sourceCount: number;
  /** N − 1 */
  readonly otherSlotCount: number;
}

/** One partition's minter. `start` or, after a restart, `review` sets it going; `ended` says what came of it. */
export class MintCore {
  readonly #partition: number;
  readonly #settings: MintSettings;
  readonly #effects = new EffectList();
  #stage: Stage = { kind: "idle" };

  constructor(partition: number, settings: MintSettings) {
    this.#partition = partition;
    this.#settings = settings;
  }

  /** For progress and limits. */
  get stage(): Stage["kind"] {
    return this.#stage.kind;
  }

  /** False for a merge that was asked for by a minting which is over. */
  isMerging({ from, tx }: { readonly from: MemberKey; readonly tx: number }): boolean {
    return this.#stage.kind === "merging" && this.#stage.from === from && this.#stage.minting.tx === tx;
  }

  /** Begins to mint `slot`; without effects when that may not be, now. A promise in the way is asked about first. */
  start(slot: number, facts: HandoverFacts): readonly HandoverEffect[] {
    const { ledger, view } = facts;
    if (this.#stage.kind !== "idle" || ledger.staged.has(this.#partition)) return [];
    if (!mayFetch(facts, this.#partition) || view.isRemoved(view.ownKey)) return [];
    const standing = standingPromise({ partition: this.#partition, slot }, facts);
    if (standing !== undefined && standing.to !== view.ownKey) {
      this.#effects.add(...promiseCheck({ partition: this.#partition, slot }, facts));
      return this.#effects.drain();
    }
    const tx = facts.nextTx();
    const token = this.#effects.persist(
      { kind: "counted", tx },
      { kind: "minting", partition: this.#partition, mint: { slot, tx } },
      { kind: "promised", partition: this.#partition, slot, promise: { to: view.ownKey, tx, isOver: false } },
    );
    this.#stage = { kind: "opening", minting: newMinting(slot, tx), token };
    return this.#effects.drain();
  }

  /** Ends the minting for good: another is entitled, or this node is no longer wanted there. */
  stop(facts: HandoverFacts): readonly HandoverEffect[] {
    const stage = this.#stage;
    if (stage.kind !== "idle" && stage.kind !== "taking" && stage.kind !== "ending") {
      this.#end(stage.minting, "unwanted", facts);
    }
    return this.#effects.drain();
  }

  /** One step. */
  take(event: HandoverEvent, facts: HandoverFacts): readonly HandoverEffect[] {
    const stage = this.#stage;
    if (event.kind === "answered") this.#takeAnswer(event, facts);
    else if (event.kind === "review") this.#review(facts);
    else if (event.kind === "merged") this.#takeMerged(event, facts);
    else if (event.kind === "cleared" && stage.kind === "clearing") this.#mergeNext(stage.minting, facts);
    else if ("token" in event && "token" in stage && stage.token === event.token) {
      if (event.kind === "persisted") this.#takePersisted(facts);
      else this.#takeTimer(facts);
    }
    return this.#effects.drain();
  }

  #takePersisted(facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind === "opening") {
      this.#askAll(stage.minting, facts);
    } else if (stage.kind === "taking") {
      this.#stage = { kind: "idle" };
      this.#effects.add({ kind: "hold", slot: stage.minting.slot });
      this.#tellEnd(stage.minting, facts);
      this.#effects.add({ kind: "ended", outcome: { kind: "taken", slot: stage.minting.slot } });
    } else if (stage.kind === "ending") {
      this.#stage = { kind: "idle" };
      this.#tellEnd(stage.minting, facts);
      const detail = `minting ${stage.minting.tx} of slot ${stage.minting.slot}`;
      this.#effects.add({ kind: "ended", outcome: { kind: "failed", why: stage.why, detail } });
    }
  }

  #takeTimer(facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind === "asking") {
      this.#askAll(stage.minting, facts);
    } else if (stage.kind === "quiet") {
      this.#stage = { kind: "clearing", minting: stage.minting };
      this.#effects.add({ kind: "clear" });
    } else if (stage.kind === "short") {
      stage.minting.failed.clear();
      stage.minting.suspect.clear();
      this.#mergeNext(stage.minting, facts);
    }
  }

  /** Asks those that have not left the slot to this node yet; with none of them, goes on. */
  #askAll(minting: Minting, facts: HandoverFacts): void {
    const { view } = facts;
    const missing = view.others().filter((key) => !minting.vacant.has(key));
    if (missing.length === 0) {
      this.#stage = { kind: "quiet", minting, token: this.#effects.timer(this.#settings.times.mintQuietMs) };
      return;
    }
    const delayMs = retryDelayMs(this.#settings.times, minting.tries);
    minting.tries += 1;
    this.#stage = { kind: "asking", minting, token: this.#effects.timer(delayMs) };
    const request: HandoverRequest = {
      ...{ kind: "mint-query", partition: this.#partition, from: view.ownKey },
      ...{ tx: minting.tx, slot: minting.slot, members: view.membersHash(), news: view.news() },
    };
    this.#effects.add(...missing.map((to) => ({ kind: "ask", to, request }) as const));
  }

  #takeAnswer({ from, request, reply }: Extract<HandoverEvent, { kind: "answered" }>, facts: HandoverFacts): void {
    const stage = this.#stage;
    const change = promiseAfterCheck({ from, request, reply }, facts);
    if (change !== undefined) this.#effects.persist(change);
    if (stage.kind !== "asking" || request.kind !== "mint-query" || request.tx !== stage.minting.tx) return;
    const { minting } = stage;
    if (reply?.kind === "vacant" && reply.tx === minting.tx) {
      minting.vacant.add(from);
      if (facts.view.others().every((key) => minting.vacant.has(key))) this.#askAll(minting, facts);
    } else if (reply?.kind === "refused") {
      // `view_differs` mends itself: records are compared all the time.
      if (reply.reason === "not_vacant") this.#end(minting, "not_vacant", facts);
      if (reply.reason === "stale") this.#end(minting, "over", facts);
    }
  }

  #takeMerged({ from, tx, slot, isSuspect }: Extract<HandoverEvent, { kind: "merged" }>, facts: HandoverFacts): void {
    const stage = this.#stage;
    if (stage.kind !== "merging" || stage.from !== from || stage.minting.tx !== tx) return;
    const { minting } = stage;
    if (slot !== undefined && slot !== minting.slot) {
      (isSuspect ? minting.doubtful : minting.merged).add(slot);
    } else {
      // who is suspect is asked once more, for what it still has
      if (isSuspect && !minting.failed.has(from)) minting.suspect.add(from);
      else minting.suspect.delete(from);
      minting.failed.add(from);
    }
    this.#mergeNext(minting, facts);
  }

  #mergeNext(minting: Minting, facts: HandoverFacts): void {
    const { view } = facts;
    if (view.others().some((key) => !minting.vacant.has(key))) {
      // Somebody new is known: it must have left the slot to this node too, and copies begin after that.
      minting.merged.clear();
      minting.doubtful.clear();
      this.#askAll(minting, facts);
      return;
    }
    if (this.#isSourced(minting)) {
      this.#take(minting, facts);
      return;
    }
    const { merged, doubtful, failed, suspect } = minting;
    const others = view.holdersOf(this.#partition).filter(({ key, slot }) => key !== view.ownKey && !merged.has(slot));
    const source = others.find(({ key }) => !failed.has(key));
    const last = source ?? others.find(({ key, slot }) => suspect.has(key) && !doubtful.has(slot));
    if (last === undefined) {
      this.#stage = { kind: "short", minting, token: this.#effects.timer(this.#settings.times.retryMaxMs) };
    } else {
      this.#stage = { kind: "merging", minting, from: last.key };
      this.#effects.add({ kind: "merge", from: last.key, tx: minting.tx, takesSuspect: source === undefined });
    }
  }

  /** M3. */
  #isSourced({ merged, doubtful }: Minting): boolean {
    if (merged.size >= this.#settings.sourceCount) return true;
    return doubtful.size > 0 && new Set([...merged, ...doubtful]).size >= this.#settings.otherSlotCount;
  }

  #take(minting: Minting, facts: HandoverFacts): void {
    const { ledger, view } = facts;
    const partition = this.#partition;
    const isMine = ledger.minting.get(partition)?.tx === minting.tx && heldSlot(facts, partition) === -1;
    if (!isMine || ledger.staged.has(partition) || view.isRemoved(view.ownKey)) {
      this.#end(minting, "unwanted", facts);
      return;
    }
    const { slot, tx } = minting;
    const token = this.#effects.persist(
      { kind: "taken", partition, slot },
      { kind: "promised", partition, slot, promise: { to: view.ownKey, tx, isOver: true } },
    );
    this.#stage = { kind: "taking", minting, token };
  }

  /** What was merged, perhaps before a restart, is a copy that was begun: cleared before the next one, or swept. */
  #end(minting: Minting, why: HandoverFailure, { view }: HandoverFacts): void {
    const { slot, tx } = minting;
    const token = this.#effects.persist(
      { kind: "minting", partition: this.#partition, mint: undefined },
      { kind: "receiving", partition: this.#partition, from: view.ownKey },
      { kind: "promised", partition: this.#partition, slot, promise: { to: view.ownKey, tx, isOver: true } },
    );
    this.#stage = { kind: "ending", minting, why, token };
  }

  /** Once, to all: who does not hear it asks when the promise stands in its way (`mint-check`). */
  #tellEnd({ slot, tx }: Minting, { view }: HandoverFacts): void {
    const request: HandoverRequest = { kind: "mint-end", partition: this.#partition, from: view.ownKey, tx, slot };
    this.#effects.add(...view.others().map((to) => ({ kind: "ask", to, request }) as const));
  }

  #review(facts: HandoverFacts): void {
    const { ledger, view } = facts;
    const open = ledger.minting.get(this.#partition);
    if (this.#stage.kind === "idle" && open !== undefined) {
      this.#askAll(newMinting(open.slot, open.tx), facts);
    }
    const stage = this.#stage;
    if (stage.kind === "idle" || stage.kind === "opening" || stage.kind === "taking" || stage.kind === "ending") return;
    const isWanted = view.isTarget(this.#partition, view.ownKey) && !view.isRemoved(view.ownKey);
    if (!isWanted) this.#end(stage.minting, "unwanted", facts);
  }
}

function newMinting(slot: number, tx: number): Minting {
  const slots = { merged: new Set<number>(), doubtful: new Set<number>() };
  return { slot, tx, vacant: new Set(), ...slots, failed: new Set(), suspect: new Set(), tries: 0 };
}
