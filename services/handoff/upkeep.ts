/**
 * Upkeep: what has grown too old or too much is given up by the rule of loss; what is lost is flagged; flags of partitions
 * that this node does not hold are brought to someone who does; removal marks are swept. A step every few seconds while
 * there is anything to look after. Must never drop before the flag is durable.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { HINT_ASK_MS, HINT_SWEEP_MARKS, HINT_UPKEEP_MS } from "../base/hint-limits.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Timer } from "../base/ports.ts";
import type { HintDelivery } from "./delivery.ts";
import { givenUpOf, type KeptPartition } from "./giving-up-core.ts";
import { encodeFlags, HINTS_FLAG_TOPIC, parseFlags } from "./hint-messages.ts";
import type { HintRoom } from "./hint-room.ts";
import type { HintStore } from "./hint-store.ts";
import type { MarkerStore } from "./marker-store.ts";
import type { HandoffPeers, MainReplica, SlotHolders } from "./needs.ts";
import type { RepairFlags } from "./repair-flags.ts";

/** What upkeep works with. */
export interface UpkeepParts {
  readonly engine: StorageEngine;
  readonly store: HintStore;
  readonly markers: MarkerStore;
  readonly delivery: HintDelivery;
  readonly flags: RepairFlags;
  readonly room: HintRoom;
  readonly main: MainReplica;
  readonly holders: SlotHolders;
  readonly peers: HandoffPeers;
  readonly isAlive: (node: NodeId) => boolean;
  readonly isLeaving: () => boolean;
  /** a step is over */
  readonly onStep: () => void;
  readonly windowMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** The upkeep of one node. */
export class Upkeep {
  readonly #parts: UpkeepParts;
  /** partitions of the engine in which records cannot be read: they go with the partition, once nothing else is in it */
  readonly #rotten = new Set<number>();
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** A step soon, and again while there is anything to do. */
  wake(): void {
    if (this.#timer !== undefined || this.#isStopped) return;
    this.#timer = this.#parts.clock.setTimer(HINT_UPKEEP_MS, () => {
      this.#timer = undefined;
      void this.#turn();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** One step. Rejects as the store does. */
  async step(): Promise<void> {
    await this.#flagLost();
    await this.#giveUp();
    await this.#sweep();
    await this.#bringFlags();
    this.#parts.onStep();
  }

  async #turn(): Promise<void> {
    const { log, store, markers, flags } = this.#parts;
    try {
      await this.step();
    } catch (error) {
      // no room for a flag, or a store that has failed, which ends the process: nothing was dropped
      if (!this.#isStopped) log.warn({ event: "hints.upkeep-failed", error });
    }
    if (store.tally.total + markers.tally.total > 0 || flags.count > 0) this.wake();
  }

  /** Records of the hint store that may be lost are flagged, and the suspicion ends there. */
  async #flagLost(): Promise<void> {
    const { engine, flags, store, markers, log } = this.#parts;
    const suspects = engine.suspectPartitions();
    if (suspects.length === 0) return;
    const { partitionCount } = store.tally;
    log.error({ event: "hints.may-be-lost", partitionCount: suspects.length });
    await flags.flag(suspects.map((shelf) => shelf % partitionCount));
    // what this store's actor minted may be among what is lost
    if (suspects.some((shelf) => shelf < partitionCount)) await store.renewActor();
    for (const shelf of suspects) {
      const { records } = shelf < partitionCount ? store : markers;
      await records.clearSuspect(shelf % partitionCount);
      this.#rotten.add(shelf);
    }
  }

  async #giveUp(): Promise<void> {
    const { room, delivery, flags, markers, main, log, clock, windowMs, isLeaving } = this.#parts;
    room.refresh();
    const kept = this.#kept();
    const objectCount = kept.reduce((sum, { kind, count }) => (kind === "object" ? sum + count : sum), 0);
    const decided = givenUpOf({
      kept,
      nowMs: clock.wallMicros() / 1_000,
      windowMs,
      excessBytes: room.excessBytes,
      averageBytes: objectCount === 0 ? 0 : room.usedBytes / objectCount,
      isLeaving: isLeaving(),
    });
    // the note of an owner that is none any more: the new one has all, and is told to look
    const moot = kept.filter(({ kind, partition }) => kind === "marker" && main.slotOf(partition) < 0);
    const droppable = [...new Set([...decided.markers, ...moot.map(({ partition }) => partition)])];
    delivery.givenUp.clear();
    if (droppable.length + decided.objects.length === 0) return;
    await flags.flag([...droppable, ...decided.objects].filter((partition) => !flags.isFlagged(partition)));
    await flags.flush();
    for (const partition of decided.objects) delivery.givenUp.add(partition);
    for (const partition of droppable) await markers.drop(partition);
    if (decided.objects.length > 0) delivery.wake();
    const facts = { markerPartitions: droppable.length, objectPartitions: decided.objects.length };
    log.warn({ event: "hints.given-up", ...facts, usedBytes: room.usedBytes });
  }

  #kept(): readonly KeptPartition[] {
    const { store, markers } = this.#parts;
    const kept: KeptPartition[] = [];
    const kinds = [
      ["object", store.tally],
      ["marker", markers.tally],
    ] as const;
    for (const [kind, tally] of kinds) {
      if (tally.total === 0) continue;
      for (let partition = 0; partition < tally.partitionCount; partition += 1) {
        const count = tally.countOf(partition);
        if (count > 0) kept.push({ partition, kind, count, oldestMs: tally.oldestMsOf(partition) });
      }
    }
    return kept;
  }

  async #sweep(): Promise<void> {
    const { store, markers } = this.#parts;
    const { partitionCount } = store.tally;
    for (const [shelf, base] of [
      [store, 0],
      [markers, partitionCount],
    ] as const) {
      for (let partition = 0; partition < partitionCount; partition += 1) {
        const marks = shelf.records.markCountOf(partition);
        const isDue = marks >= HINT_SWEEP_MARKS || this.#rotten.has(base + partition);
        if (!isDue || !shelf.tally.isEmpty(partition)) continue;
        await shelf.sweep(partition);
        this.#rotten.delete(base + partition);
      }
    }
  }

  /** Anti-entropy runs between holders: a flag of anything else goes to one of them, and here only once it is durable there. */
  async #bringFlags(): Promise<void> {
    const { flags, main, holders, isAlive, peers, store } = this.#parts;
    const table = holders.table();
    if (table === undefined || flags.count === 0) return;
    const byHolder = new Map<NodeId, number[]>();
    for (const partition of flags.flaggedPartitions()) {
      if (main.slotOf(partition) >= 0) continue;
      const holder = table.ownersOf(partition).find(({ node }) => isAlive(node));
      if (holder === undefined) continue;
      const partitions = byHolder.get(holder.node);
      if (partitions === undefined) byHolder.set(holder.node, [partition]);
      else partitions.push(partition);
    }
    for (const [node, partitions] of byHolder) {
      const counts = new Map(partitions.map((partition) => [partition, flags.flagCountOf(partition)]));
      const answer = await peers.ask(node, HINTS_FLAG_TOPIC, encodeFlags(partitions), HINT_ASK_MS);
      const taken = parseFlags(answer, store.tally.partitionCount) ?? [];
      await Promise.all(taken.map((partition) => flags.clearFlag(partition, counts.get(partition) ?? -1)));
    }
  }
}
