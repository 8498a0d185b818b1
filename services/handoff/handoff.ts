/**
 * Handoff: the room's own parts, joined: what this node keeps for slots of others, how it gets there, what is told of it.
 * One per node, over an engine of its own. Must never decide which write needs a stand-in.
 */
import assert from "node:assert/strict";
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { TopicHandler } from "../peers/peer-handler.ts";
import type { ConflictRules } from "../replica/needs.ts";
import type { FallbackReplica } from "./contract.ts";
import { HintDelivery } from "./delivery.ts";
import { HintAges } from "./hint-ages.ts";
import { hintPartitionsOf } from "./hint-engine.ts";
import { HintFlush } from "./hint-flush.ts";
import { HintIntake } from "./hint-intake.ts";
import { HINTS_FLAG_TOPIC, HINTS_FLUSH_TOPIC, HINTS_OFFER_TOPIC, HINTS_TAKE_TOPIC } from "./hint-messages.ts";
import { rebuildTallies, rememberTallies } from "./hint-rebuild.ts";
import { HintRecords } from "./hint-records.ts";
import { HintRoom } from "./hint-room.ts";
import { HintStore, type HintStoreParts } from "./hint-store.ts";
import { type HintsView, hintsViewOf } from "./hints-view.ts";
import { MarkerStore } from "./marker-store.ts";
import { MissedWrites } from "./missed-writes.ts";
import type { HandoffPeers, KeyReplicas, MainReplica, SlotHolders } from "./needs.ts";
import { RepairFlags } from "./repair-flags.ts";
import { ShelfTally } from "./shelf-tally.ts";
import { Upkeep } from "./upkeep.ts";

/** What a node's handoff is made of. */
export interface HandoffParts {
  readonly self: NodeId;
  /** opened with `hintEngineOptions`, closed by `close` */
  readonly engine: StorageEngine;
  /** Q of the node */
  readonly partitionCount: number;
  readonly isDurable: boolean;
  /** nothing is minted before it is open; absent: it is */
  readonly gate?: HintStoreParts["gate"];
  readonly maxBytes: number;
  readonly windowMs: number;
  readonly main: MainReplica;
  readonly conflicts: ConflictRules;
  readonly replicas: KeyReplicas;
  readonly holders: SlotHolders;
  readonly peers: HandoffPeers;
  readonly isAlive: (node: NodeId) => boolean;
  readonly isRemoved: (node: NodeId) => boolean;
  /** this node is on its way out of the cluster */
  readonly isLeaving: () => boolean;
  /** it has nothing of others any more: called while it is leaving */
  readonly onDrained: () => void;
  readonly members: () => readonly NodeId[];
  readonly backgroundShare: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The handoff of one node. */
export class Handoff {
  readonly flags: RepairFlags;
  readonly flush: HintFlush;
  /** for writes that an owner missed and no stand-in took */
  readonly missedWrites: MissedWrites;
  readonly #parts: HandoffParts;
  readonly #store: HintStore;
  readonly #markers: MarkerStore;
  readonly #room: HintRoom;
  readonly #intake: HintIntake;
  readonly #delivery: HintDelivery;
  readonly #upkeep: Upkeep;
  readonly #ages: HintAges;
  #rebuilding: Promise<void> | undefined;
  #isReady = false;
  #isStopped = false;

  constructor(parts: HandoffParts) {
    const { engine, partitionCount, log } = parts;
    assert.ok(engine.partitionCount === hintPartitionsOf(partitionCount), "the hint store fits the node's partitions");
    this.#parts = parts;
    const documents = {
      read: (name: string) => engine.readDocument(name),
      write: (name: string, bytes: Uint8Array) => engine.writeDocument(name, bytes),
    };
    const onKept = (): void => this.#wake();
    this.#room = new HintRoom(engine, parts.maxBytes, parts.clock);
    this.flags = new RepairFlags(documents, partitionCount, log);
    this.#store = new HintStore({ ...parts, room: this.#room, onKept });
    this.#ages = new HintAges({ ...parts, tally: this.#store.tally });
    const tally = new ShelfTally(partitionCount, parts.clock);
    const records = new HintRecords(engine, "marker", tally);
    const { flags } = this;
    this.#markers = new MarkerStore({ ...parts, records, tally, flags, room: this.#room, onKept });
    this.#intake = new HintIntake({ ...parts, flags });
    const own = { store: this.#store, markers: this.#markers, flags };
    this.#delivery = new HintDelivery({ ...parts, ...own, intake: this.#intake, isReady: () => this.#isReady });
    this.#upkeep = new Upkeep({
      ...parts,
      ...own,
      room: this.#room,
      delivery: this.#delivery,
      onStep: () => {
        void this.#ages.note();
        if (parts.isLeaving() && this.isDrained) parts.onDrained();
      },
    });
    flags.onFlagged(() => this.#isReady && this.#upkeep.wake());
    this.missedWrites = new MissedWrites({ ...parts, ...own, onKept });
    this.flush = new HintFlush({
      ...parts,
      markers: this.#markers,
      missedWrites: this.missedWrites,
      delivery: this.#delivery,
      whenReady: () => this.#rebuilding ?? Promise.resolve(),
    });
  }

  /** What the coordinator and the handler of peers ask of a stand-in. */
  get fallback(): FallbackReplica {
    return this.#store;
  }

  /** The topics that others ask about. */
  get topics(): readonly (readonly [string, TopicHandler])[] {
    return [
      [HINTS_OFFER_TOPIC, this.#intake.offer],
      [HINTS_TAKE_TOPIC, this.#intake.take],
      [HINTS_FLAG_TOPIC, this.#intake.flag],
      [HINTS_FLUSH_TOPIC, this.flush.handler],
    ];
  }

  /** Goes on with what the store holds. Resolves when stores may come; what is kept is counted in the background. */
  async start(): Promise<void> {
    const { engine, clock, log } = this.#parts;
    // what looks like a clean stop may be the backup of one
    if (engine.recovery.mode === "clean") await this.#store.renewActor();
    const startedMs = clock.monotonicMs();
    this.#rebuilding = rebuildTallies({
      engine,
      objects: this.#store.records,
      markers: this.#markers.records,
      objectTally: this.#store.tally,
      markerTally: this.#markers.tally,
      ages: this.#ages,
      clock,
      log,
    }).then(() => {
      this.#isReady = true;
      const count = this.#store.tally.total;
      const markerCount = this.#markers.tally.total;
      if (count + markerCount + this.flags.count + engine.suspectPartitions().length === 0) return;
      log.info({ event: "hints.found", count, markerCount, durationMs: Math.round(clock.monotonicMs() - startedMs) });
      this.#wake();
    });
  }

  /**
   * This node is a member, and its slots are known. Notes of missed writes are written some moments after the answer: after
   * anything but a clean stop a few may be lost, and anti-entropy looks at what is held here, or was.
   */
  begin(): void {
    const { engine, main, partitionCount } = this.#parts;
    if (engine.recovery.mode !== "unclean") return;
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const refusal = main.refusalOf(partition);
      if (refusal === undefined || refusal.reason === "moved") this.flags.raise(partition);
    }
    this.#wake();
  }

  /** The node can be reached again. */
  peerUp(node: NodeId): void {
    this.#delivery.peerUp(node);
    this.#delivery.review();
  }

  /** Whether versions of the partition are kept here for others, or may be. */
  hasHintsOf(partition: number): boolean {
    return !this.#isReady || !this.#store.tally.isEmpty(partition);
  }

  /** Mints as a stand-in only above `counter` from now on, over restarts too once it resolves. Rejects as the store does. */
  async mintAbove(counter: number): Promise<void> {
    await this.#store.mintAbove(counter);
  }

  /** Nothing is kept here for anyone, and nothing was given up that nobody else knows of. */
  get isDrained(): boolean {
    const keptCount = this.#store.tally.total + this.#markers.tally.total;
    return this.#isReady && keptCount + this.flags.count === 0;
  }

  /** What is kept for whom, from memory. */
  view(): HintsView {
    const { clock } = this.#parts;
    return hintsViewOf({
      store: this.#store,
      markers: this.#markers,
      delivery: this.#delivery,
      intake: this.#intake,
      missed: this.missedWrites,
      flags: this.flags,
      room: this.#room,
      nowMs: clock.wallMicros() / 1_000,
    });
  }

  /** Delivers nothing more, and lets nobody wait. What others still hand in is kept. */
  stop(): void {
    this.#isStopped = true;
    this.#delivery.stop();
    this.#upkeep.stop();
  }

  /** Refuses to stand in from now on; resolves when what was accepted is durable. */
  async drain(): Promise<{ readonly isActorTrusted: boolean }> {
    await this.missedWrites.close();
    return this.#store.close();
  }

  /** After the links: the last notes, then the store's clean mark. Never rejects but for a store that cannot be closed. */
  async close(isActorTrusted: boolean): Promise<void> {
    const { engine, log } = this.#parts;
    let isClean = isActorTrusted;
    try {
      await this.#rebuilding;
      await this.#markers.flush();
      await this.flags.flush();
      await rememberTallies(engine, this.#store.tally);
    } catch (error) {
      // no room, or a store that has failed: without its mark of a clean stop the next start believes nothing it is told
      isClean = false;
      log.warn({ event: "hints.not-remembered", error });
    }
    await engine.close({ isClean });
  }

  /** Not before all is counted: what is not would be taken for nothing, delivered to too few, or swept away. */
  #wake(): void {
    if (this.#isStopped || !this.#isReady) return;
    this.#delivery.wake();
    this.#upkeep.wake();
  }
}
