/**
 * SlotHandover: moves slots to where they belong, as this node's part of it: fetches those that it should hold, gives away
 * those that others should, mints those that were lost with a removed member. Decides what to begin next and how much at
 * a time; everything about one slot is decided by the cores (`handover-…-core.ts`). Must never begin by liveness what the
 * records do not ask for.
 * Source: gossip-ring notes §B.5–B.7.
 */

import type { NodeId } from "../base/ids.ts";
import {
  HANDOVER_LOST_MS,
  HANDOVER_REVIEW_MS,
  MAX_INCOMING_HANDOVERS,
  MAX_OLD_COPY_PROOFS,
  MAX_OPEN_MINTS,
  MAX_OUTGOING_HANDOVERS,
} from "../base/limits.ts";
import type { Timer } from "../base/ports.ts";
import { TopicRefusal } from "../peers/peer-handler.ts";
import type { MemberKey } from "../placement/member-record.ts";
import { type HandoverReply, type HandoverRequest, parseHandoverRequest } from "./handover-messages.ts";
import { answerMint } from "./handover-mint-answer-core.ts";
import type { MintSettings } from "./handover-mint-core.ts";
import { HandoverPartition, type HandoverRole, type HandoverShared } from "./handover-partition.ts";
import type { HandoverParts, WantedPartition } from "./handover-ports.ts";
import { HandoverCounts, type HandoverProgress, movesOf, stalledOf } from "./handover-progress.ts";
import { type HandoverSettings, mintSettingsOf } from "./handover-settings.ts";
import { type HandoverFacts, type HandoverOutcome, retryDelayMs } from "./handover-steps.ts";
import { forgetRemoved, HandoverSweep } from "./handover-sweep.ts";
import { MissingSlots } from "./missing-slots.ts";
import { TurnQueue } from "./turn-queue.ts";

interface Backoff {
  readonly tries: number;
  readonly untilMs: number;
}

/** One node's hand-over. `start` it when the node is a member, `review` it when records change. */
export class SlotHandover {
  readonly #parts: HandoverParts;
  readonly #settings: HandoverSettings;
  readonly #mintSettings: MintSettings;
  readonly #partitions = new Map<number, HandoverPartition>();
  readonly #backoffs = new Map<number, Backoff>();
  readonly #missing = new MissingSlots();
  readonly #counts = new HandoverCounts();
  /** copies of mintings, and proofs of old copies */
  readonly #copies = new TurnQueue(MAX_INCOMING_HANDOVERS);
  readonly #proofs = new TurnQueue(MAX_OLD_COPY_PROOFS);
  readonly #shared: HandoverShared;
  readonly #sweep: HandoverSweep;
  #drawnTx = 0;
  #timer: Timer | undefined;
  #isRunning = false;
  #isReviewing = false;
  #isResumed = false;
  constructor(parts: HandoverParts, settings: HandoverSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#sweep = new HandoverSweep(parts);
    this.#mintSettings = mintSettingsOf(settings);
    this.#shared = {
      parts,
      settings: this.#mintSettings,
      facts: () => this.#facts(),
      inTurn: (kind, work) => (kind === "copy" ? this.#copies : this.#proofs).run(work),
      onEnded: (partition, role, outcome) => this.#onEnded(partition, role, outcome),
      onBytes: (partition, sizeBytes) => this.#counts.addBytes(partition, sizeBytes, this.#parts.clock.monotonicMs()),
    };
  }

  /** Goes on with what the ledger says, and looks for more from now on. */
  start(): void {
    this.#isRunning = true;
    this.review();
  }

  /** Begins nothing more and answers nobody; seals end with the process. */
  stop(): void {
    this.#isRunning = false;
    this.#timer?.cancel();
    for (const partition of this.#partitions.values()) partition.stop();
    this.#partitions.clear();
    this.#copies.stop();
    this.#proofs.stop();
  }

  /** Looks at records and ledger again, on the next turn: called whenever either may have changed. */
  review(): void {
    if (!this.#isRunning || this.#isReviewing) return;
    this.#isReviewing = true;
    this.#parts.clock.defer(() => {
      this.#isReviewing = false;
      this.#timer?.cancel();
      if (!this.#isRunning) return;
      this.#look();
      this.#timer = this.#parts.clock.setTimer(HANDOVER_REVIEW_MS, () => this.review());
    });
  }

  /** Answers the topic `handover`. */
  readonly handler = async (from: NodeId, body: unknown): Promise<HandoverReply | TopicRefusal> => {
    const request = parseHandoverRequest(body);
    if (request === undefined || request.partition >= this.#settings.partitionCount) {
      return new TopicRefusal("bad_request", "not a hand-over request");
    }
    if (!this.#isGoing()) return new TopicRefusal("not_ready", "this node hands nothing over now");
    if (request.kind === "req" || request.kind === "mint-query") await this.#parts.view.learn(request.news);
    const { view } = this.#parts;
    if (view.isRemoved(view.ownKey) || view.isRemoved(request.from)) return { kind: "refused", reason: "removed" };
    if (view.nodeOf(request.from) !== from) return { kind: "refused", reason: "view_differs" };
    return this.#answer(request);
  };

  /** True while the partition's slot comes or goes here, or may: what is held is not to change but by writes. */
  isMoving(partition: number): boolean {
    const { staged, minting, receiving } = this.#parts.store.ledger;
    const isNoted = staged.has(partition) || minting.has(partition) || receiving.has(partition);
    return isNoted || this.#partitions.get(partition)?.isIdle === false;
  }

  /** For `GET /v1/cluster`. O(partitions under way). */
  progress(): HandoverProgress {
    const { view, store, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const counts = this.#counts;
    const sources = { partitions: this.#partitions, parts: this.#parts, counts };
    const incoming = movesOf("receiver", sources);
    const minting = movesOf("mint", sources);
    // A slot on its way has no donor that could be asked, and is not here yet.
    const waiting = [...view.wanted().map(({ partition }) => ({ partition })), ...view.mints()];
    const left = new Set([...waiting, ...incoming].map((one) => one.partition));
    return {
      incoming,
      outgoing: movesOf("donor", sources),
      minting,
      leftCount: left.size,
      takenCount: counts.takenCount,
      mintedCount: counts.mintedCount,
      oldCopyCount: store.ledger.retained.size,
      receivedBytes: counts.receivedBytes,
      bytesPerSecond: counts.bytesPerSecond(nowMs),
      etaMs: counts.etaMs(left.size, nowMs),
      stalled: stalledOf(waiting, { active: [...incoming, ...minting], counts }),
    };
  }

  async #answer(request: HandoverRequest): Promise<HandoverReply> {
    const partition = this.#at(request.partition);
    const answer = answerMint(request, this.#facts());
    if (answer === undefined) {
      if (request.kind === "req" && this.#isFull(partition)) return { kind: "refused", reason: "busy" };
      return partition.answer(request.kind === "settle" ? "receiver" : "donor", request);
    }
    partition.run("receiver", answer.checks);
    if (answer.changes.length > 0) await this.#parts.store.commit(answer.changes);
    return answer.reply;
  }

  /** True when this node gives away as many slots as it may, and this is not one of them. */
  #isFull(partition: HandoverPartition): boolean {
    if (!partition.donor.isIdle) return false;
    const running = [...this.#partitions.values()].filter((one) => !one.donor.isIdle);
    return running.length >= MAX_OUTGOING_HANDOVERS;
  }

  /** True once this node's disk may be believed; then it goes on with what the ledger says. */
  #isGoing(): boolean {
    if (!this.#isRunning || this.#isResumed) return this.#isRunning;
    const { view, store } = this.#parts;
    if (!view.isConfirmed()) return false;
    this.#isResumed = true;
    const { staged, minting, retained } = store.ledger;
    const open = new Set([...staged.keys(), ...minting.keys(), ...retained]);
    for (const partition of open) this.#at(partition).review();
    void forgetRemoved(this.#parts);
    return true;
  }

  #look(): void {
    if (!this.#isGoing()) return;
    for (const [partition, cores] of this.#partitions) {
      cores.review();
      if (!cores.isIdle) continue;
      cores.forget();
      this.#partitions.delete(partition);
    }
    const { view } = this.#parts;
    if (view.isRemoved(view.ownKey)) return;
    if (this.#parts.hasRoom?.() !== false) {
      this.#lookForMints();
      this.#lookForSlots();
    }
    this.#sweep.review((partition) => this.#partitions.get(partition)?.isIdle !== false);
  }

  /** The fewest live holders first, then those whose donor goes, then in order. */
  #lookForSlots(): void {
    const { view, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const busyDonors = new Set<MemberKey>();
    let runningCount = this.#copies.runningCount;
    for (const { receiver } of this.#partitions.values()) {
      if (receiver.stage === "idle") continue;
      // Who only waits for a release costs nothing, and may wait for long.
      if (receiver.stage !== "ready") runningCount += 1;
      if (receiver.donor !== undefined) busyDonors.add(receiver.donor);
    }
    if (runningCount >= MAX_INCOMING_HANDOVERS) return;
    for (const wanted of view.wanted().toSorted(bySafety)) {
      if (runningCount >= MAX_INCOMING_HANDOVERS) return;
      const donor = this.#donorFor(wanted, busyDonors, nowMs);
      if (donor === undefined) continue;
      const partition = this.#at(wanted.partition);
      partition.fetch(donor);
      if (partition.receiver.stage === "idle") continue;
      busyDonors.add(donor);
      runningCount += 1;
    }
  }

  #donorFor(wanted: WantedPartition, busy: ReadonlySet<MemberKey>, nowMs: number): MemberKey | undefined {
    const backoff = this.#backoffs.get(wanted.partition);
    if (backoff !== undefined && backoff.untilMs > nowMs) return undefined;
    const isOpen = this.#partitions.get(wanted.partition)?.receiver.stage ?? "idle";
    if (isOpen !== "idle" || wanted.donors.length === 0 || wanted.partition === this.#sweep.partition) return undefined;
    // Another one each time: the first may be wrong, or away.
    const donor = wanted.donors[(backoff?.tries ?? 0) % wanted.donors.length];
    return donor === undefined || busy.has(donor) ? undefined : donor;
  }

  #lookForMints(): void {
    const { view, store, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const mints = view.mints();
    const entitled = new Map(mints.map((mint) => [mint.partition, mint.slot]));
    this.#missing.note(mints, nowMs);
    for (const [partition, { slot }] of store.ledger.minting) {
      if (entitled.get(partition) !== slot) this.#at(partition).stopMint();
      else this.#at(partition).review();
    }
    for (const [partition, slot] of entitled) {
      if (store.ledger.minting.size >= MAX_OPEN_MINTS) return;
      if (partition === this.#sweep.partition) continue;
      if (this.#missing.missedForMs(partition, nowMs) < HANDOVER_LOST_MS) continue;
      if (store.ledger.minting.has(partition) || (this.#backoffs.get(partition)?.untilMs ?? 0) > nowMs) continue;
      this.#at(partition).startMint(slot);
    }
  }

  #onEnded(partition: number, role: HandoverRole, outcome: HandoverOutcome): void {
    const { clock, random, log } = this.#parts;
    const isMint = role === "mint";
    const nowMs = clock.monotonicMs();
    this.#counts.addEnd({ partition, isMint, outcome }, nowMs);
    if (outcome.kind === "taken") {
      this.#backoffs.delete(partition);
      log.debug({ event: isMint ? "handover.minted" : "handover.taken", partition, slot: outcome.slot });
    } else {
      const tries = (this.#backoffs.get(partition)?.tries ?? 0) + 1;
      const delayMs = retryDelayMs(this.#mintSettings.times, tries) * (0.5 + random.float() / 2);
      this.#backoffs.set(partition, { tries, untilMs: nowMs + delayMs });
      log.debug({ event: "handover.failed", partition, isMint, why: outcome.why, detail: outcome.detail });
    }
    this.review();
  }

  #at(partition: number): HandoverPartition {
    const known = this.#partitions.get(partition);
    if (known !== undefined) return known;
    const made = new HandoverPartition(partition, this.#shared);
    this.#partitions.set(partition, made);
    return made;
  }

  #facts(): HandoverFacts {
    const { store, view, clock } = this.#parts;
    return {
      ledger: store.ledger,
      view,
      nowMs: clock.monotonicMs(),
      wallMs: Math.floor(clock.wallMicros() / 1_000),
      nextTx: () => {
        this.#drawnTx = Math.max(this.#drawnTx, store.ledger.txCounter) + 1;
        return this.#drawnTx;
      },
    };
  }
}

function bySafety(a: WantedPartition, b: WantedPartition): number {
  return a.liveHolderCount - b.liveHolderCount || Number(b.isUrgent) - Number(a.isUrgent) || a.partition - b.partition;
}
