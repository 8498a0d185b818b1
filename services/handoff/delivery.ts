/**
 * HintDelivery: hands what is kept to those it is for: whoever holds the slot now, as records and the receivers themselves
 * say. Looks once a second while anything is kept; woken when a node can be reached again. Must never deliver to a removed
 * member (it holds no slot), nor hold anything up at a stop.
 */

import { HINT_REVIEW_MS } from "../base/hint-limits.ts";
import type { NodeId } from "../base/ids.ts";
import { MAX_REPLICAS } from "../base/limits.ts";
import type { Random, Timer } from "../base/ports.ts";
import { type DeliveryEnd, DeliverySchedule } from "./delivery-core.ts";
import { DeliveryRun, type HintPass } from "./delivery-run.ts";
import type { HintIntake } from "./hint-intake.ts";
import { HINTS_OFFER_TOPIC, HINTS_TAKE_TOPIC } from "./hint-messages.ts";
import { MarkerPass, ObjectPass, type PassParts } from "./hint-passes.ts";
import type { HandoffPeers } from "./needs.ts";
import type { ShelfTally } from "./shelf-tally.ts";
import { UnreadableHints } from "./unreadable-hints.ts";

/** What delivery works with. */
export interface DeliveryParts extends Omit<PassParts, "isGivenUp" | "onDelivered" | "unreadable"> {
  readonly self: NodeId;
  readonly peers: HandoffPeers;
  readonly intake: HintIntake;
  readonly isAlive: (node: NodeId) => boolean;
  /** every hint that is here is counted: before that nobody knows for whom else one is */
  readonly isReady: () => boolean;
  readonly backgroundShare: () => number;
  readonly random: Random;
}

/** A slot that something is kept for. */
export interface HintSlot {
  readonly partition: number;
  readonly slot: number;
  readonly tally: ShelfTally;
}

/** The same, and who is believed to hold it, or said to. */
export interface HintPlace extends HintSlot {
  readonly holder: NodeId;
}

/** Totals since the start. */
export interface DeliveryCounts {
  offeredCount: number;
  sentCount: number;
  sentBytes: number;
  deliveredCount: number;
  /** given up because some owner has them: their partitions are flagged */
  givenUpCount: number;
  failedRunCount: number;
}

/** where a slot was said to have gone counts for so long, unless records say so first */
const MOVED_MS = 30_000;

/** The deliveries of one node. */
export class HintDelivery {
  readonly counts: DeliveryCounts = {
    offeredCount: 0,
    sentCount: 0,
    sentBytes: 0,
    deliveredCount: 0,
    givenUpCount: 0,
    failedRunCount: 0,
  };
  /** partitions that are flagged, durably, and whose hints may go as soon as any owner has them */
  readonly givenUp: Set<number> = new Set();
  readonly #parts: DeliveryParts;
  readonly #schedule = new DeliverySchedule();
  readonly #random: Random;
  readonly #unreadable: UnreadableHints;
  readonly #moved = new Map<number, { readonly to: NodeId; readonly untilMs: number }>();
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
    this.#unreadable = new UnreadableHints(parts.clock);
    this.#random = parts.random.fork("hints");
  }

  /** Looks now, and again every second while anything is kept. */
  wake(): void {
    if (this.#timer !== undefined || this.#isStopped) return;
    this.#timer = this.#parts.clock.setTimer(HINT_REVIEW_MS, () => {
      this.#timer = undefined;
      this.review();
    });
  }

  /** The node can be reached again. */
  peerUp(node: NodeId): void {
    this.#schedule.cameUp(node, this.#parts.clock.monotonicMs(), this.#random.float());
  }

  /** Someone waits for all that is kept: nobody's turn is put off. */
  hurry(): void {
    this.review();
    this.#schedule.hurry(this.#parts.clock.monotonicMs());
    this.review();
  }

  /** Starts what is due. Whoever counts wakes this once it is done. */
  review(): void {
    const { clock, store, markers, isReady } = this.#parts;
    if (this.#isStopped || !isReady()) return;
    const nowMs = clock.monotonicMs();
    this.#schedule.review(this.targets(), nowMs, () => this.#random.float());
    for (const node of this.#schedule.start(nowMs, (target) => this.#canReach(target))) void this.#deliver(node);
    if (store.tally.total + markers.tally.total > 0) this.wake();
  }

  /** Begins nothing any more; what is under way ends with its next step. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Whom hints are for now. */
  targets(): ReadonlySet<NodeId> {
    const targets = new Set<NodeId>();
    this.forEachPlace(({ holder }) => targets.add(holder));
    return targets;
  }

  /** Every partition and slot that something is kept for, with its holder. */
  forEachPlace(tell: (place: HintPlace) => void): void {
    const { clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    for (const [partition, { untilMs }] of this.#moved) if (untilMs <= nowMs) this.#moved.delete(partition);
    this.#forEachKept((partition, tally) => this.#forEachHeld(partition, tally, tell));
  }

  /** Every partition and slot that something is kept for, and that nobody is believed to hold: it waits until somebody does. */
  forEachVacant(tell: (slot: HintSlot) => void): void {
    const table = this.#parts.holders.table();
    const count = table?.replicaCount ?? MAX_REPLICAS;
    this.#forEachKept((partition, tally) => {
      const owners = table?.ownersOf(partition) ?? [];
      const held = owners.reduce((mask, { slot }) => mask | (1 << slot), 0);
      const vacant = tally.maskOf(partition) & ~held;
      for (let slot = 0; slot < count; slot += 1) if ((vacant & (1 << slot)) !== 0) tell({ partition, slot, tally });
    });
  }

  #forEachKept(tell: (partition: number, tally: ShelfTally) => void): void {
    const { store, markers } = this.#parts;
    for (const tally of [store.tally, markers.tally]) {
      if (tally.total === 0) continue;
      for (let partition = 0; partition < tally.partitionCount; partition += 1) {
        if (tally.countOf(partition) > 0) tell(partition, tally);
      }
    }
  }

  #forEachHeld(partition: number, tally: ShelfTally, tell: (place: HintPlace) => void): void {
    const isForAny = tally === this.#parts.store.tally && this.givenUp.has(partition);
    const moved = this.#moved.get(partition)?.to;
    for (const { node, slot } of this.#parts.holders.table()?.ownersOf(partition) ?? []) {
      if ((tally.maskOf(partition) & (1 << slot)) === 0 && !isForAny) continue;
      tell({ holder: node, partition, slot, tally });
      if (moved !== undefined && moved !== node) tell({ holder: moved, partition, slot, tally });
    }
  }

  #passesFor(target: NodeId): readonly HintPass[] {
    const { store, main } = this.#parts;
    const parts: PassParts = {
      ...this.#parts,
      unreadable: this.#unreadable,
      isGivenUp: (partition) => this.givenUp.has(partition),
      onDelivered: (isInstead) => {
        if (isInstead) this.counts.givenUpCount += 1;
        else this.counts.deliveredCount += 1;
      },
    };
    const passes: HintPass[] = [];
    this.forEachPlace((place) => {
      if (place.holder !== target) return;
      if (place.tally === store.tally) passes.push(new ObjectPass(parts, place));
      else if (main.slotOf(place.partition) >= 0) passes.push(new MarkerPass(parts, place));
    });
    return passes;
  }

  async #deliver(target: NodeId): Promise<void> {
    const { clock, log, backgroundShare } = this.#parts;
    const startedMs = clock.monotonicMs();
    const run = new DeliveryRun({
      target,
      passes: this.#passesFor(target),
      ask: (node, topic, body, timeoutMs) => this.#ask(node, topic, { body, timeoutMs }),
      clock,
      backgroundShare,
      isStopped: () => this.#isStopped,
      onMoved: (partition, to) => {
        this.#moved.set(partition, { to, untilMs: clock.monotonicMs() + MOVED_MS });
      },
    });
    let end: DeliveryEnd = "failed";
    try {
      end = await run.run();
    } catch (error) {
      // a store that is closing, or one that has failed, which ends the process by itself
      if (!this.#isStopped) log.warn({ event: "hints.delivery-broken", to: target, error });
    }
    this.#count(run, end);
    const { offeredCount, sentCount, sentBytes, confirmedCount } = run.counts;
    if (confirmedCount > 0) {
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      const facts = { to: target, offeredCount, sentCount, sentBytes, confirmedCount, durationMs };
      log.info({ event: "hints.delivered", end, ...facts });
    }
    this.#schedule.ended(target, end, { nowMs: clock.monotonicMs(), chance: this.#random.float() });
    this.wake();
  }

  #count({ counts }: DeliveryRun, end: DeliveryEnd): void {
    this.counts.offeredCount += counts.offeredCount;
    this.counts.sentCount += counts.sentCount;
    this.counts.sentBytes += counts.sentBytes;
    if (end !== "done") this.counts.failedRunCount += 1;
  }

  #canReach(node: NodeId): boolean {
    return node === this.#parts.self || this.#parts.isAlive(node);
  }

  /** What is for this node itself, since it took the slot, goes the same way without a link. */
  async #ask(
    node: NodeId,
    topic: string,
    question: { readonly body: unknown; readonly timeoutMs: number },
  ): Promise<unknown> {
    const { self, intake, peers } = this.#parts;
    if (node !== self) return peers.ask(node, topic, question.body, question.timeoutMs);
    if (topic === HINTS_OFFER_TOPIC) return intake.offer(self, question.body);
    if (topic === HINTS_TAKE_TOPIC) return intake.take(self, question.body, question.timeoutMs);
    return undefined;
  }
}
