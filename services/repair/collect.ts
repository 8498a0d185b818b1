/**
 * Collecting tombstones: the leader's and the holder's sides of one node, what holders tell each other of their marks, and
 * catching up where one is behind. Begins when the node is a member; all of it is background work. Must never let a mark
 * of a peer's former life count for its present one.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import {
  COLLECT_AGAIN_MS,
  COLLECT_EVERY_MS,
  COLLECT_FIRST_HEARING_MS,
  COLLECT_HEAR_MS,
  COLLECT_HEAR_SOON_MS,
  COLLECT_LEAST_EVERY_MS,
  COLLECT_SETTLE_MS,
} from "../base/limits.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { TopicHandler } from "../peers/peer-handler.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import { CatchUp, type CatchUpParts } from "./collect-catch-up.ts";
import { type CatchUpAnswerParts, CatchUpAnswers } from "./collect-catch-up-answers.ts";
import { CatchUpTurns } from "./collect-catch-up-turns.ts";
import type { CollectDoor } from "./collect-door.ts";
import type { CollectFloors } from "./collect-floors-core.ts";
import { CollectHearing } from "./collect-hearing.ts";
import { CollectHolder } from "./collect-holder.ts";
import { CollectLeader, type CollectTimes, reasonsOf } from "./collect-leader.ts";
import { CATCH_UP_TOPIC, COLLECT_TOPIC, FLOORS_TOPIC } from "./collect-messages.ts";
import type { CollectRules } from "./collect-rules-core.ts";
import { CollectSweep } from "./collect-sweep.ts";
import { CollectTimers, STEP_REST_MS, type StepRest } from "./collect-timers.ts";
import { UnprovedKeys } from "./collect-unproved-core.ts";
import type { CollectWords } from "./collect-word-core.ts";
import { PairViews } from "./exchange-view.ts";

/** The times of a real cluster in which tombstones wait at least so long, ms: a twelfth of it between two rounds, within bounds. */
export function collectTimesOf(minAgeMs: number): CollectTimes {
  return {
    minAgeMs,
    settleMs: COLLECT_SETTLE_MS,
    everyMs: Math.max(COLLECT_LEAST_EVERY_MS, Math.min(COLLECT_EVERY_MS, minAgeMs / 12)),
    hearMs: Math.max(COLLECT_LEAST_EVERY_MS, Math.min(COLLECT_HEAR_MS, minAgeMs / 12)),
  };
}

/** What collecting is joined to. */
export interface CollectParts {
  readonly self: NodeId;
  readonly store: StorageEngine;
  readonly replica: CatchUpParts["replica"] & CatchUpAnswerParts["replica"];
  /** the same that the replica takes its lines from */
  readonly door: CollectDoor;
  readonly rules: CollectRules;
  readonly times: CollectTimes;
  /** who holds what by everyone's records; undefined before this node is a member */
  readonly table: () => HolderTable | undefined;
  readonly membersHash: () => string | undefined;
  readonly isMoving: (partition: number) => boolean;
  readonly hasHintsOf: (partition: number) => boolean;
  /** whatever mints at this node mints above the counter from now on, durably when it resolves */
  readonly mintAbove: (counter: number) => Promise<void>;
  readonly isAlive: (node: NodeId) => boolean;
  readonly isRemoved: (node: NodeId) => boolean;
  /** 0 … 1: the share of its full pace that background work has now */
  readonly share: () => number;
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How it stands at this node; counts are totals since start. */
export interface CollectStatus {
  /** tombstones in the store */
  readonly count: number;
  /** of the oldest that was seen in the partitions led here; undefined: none */
  readonly oldestAgeMs: number | undefined;
  readonly collected: number;
  /** partitions led here, by what their old tombstones wait for */
  readonly waiting: Readonly<Record<string, number>>;
  /** partitions of which this node is behind a peer */
  readonly behind: number;
  readonly rounds: number;
  /** keys of which nobody who was asked could say what was held; until the next proof of their partitions */
  readonly unproved: number;
}

const MICROS_PER_MS = 1_000;

/** Collecting at one node. */
export class Collecting {
  readonly #parts: CollectParts;
  readonly #holder: CollectHolder;
  readonly #leader: CollectLeader;
  readonly #sweep: CollectSweep;
  readonly #answers: CatchUpAnswers;
  readonly #turns: CatchUpTurns;
  readonly #unproved: UnprovedKeys;
  readonly #hearing: CollectHearing;
  readonly #timers: CollectTimers;
  #floors: CollectFloors;
  #isStopped = true;
  #isFollowingSoon = false;

  constructor(parts: CollectParts) {
    this.#parts = parts;
    this.#floors = parts.door.floors;
    const floors = this.#floors;
    const slotOf = (partition: number): number => parts.replica.slotOf(partition);
    this.#timers = new CollectTimers(parts);
    const steps = (): StepRest => this.#timers.steps();
    const views = new PairViews(parts.store, parts.rules);
    this.#sweep = new CollectSweep({ ...parts, floors, slotOf, steps, isTold: (one) => this.#holder.isTold(one) });
    const own = { ...parts, floors, slotOf, steps, views, sweep: this.#sweep };
    this.#holder = new CollectHolder({ ...own, onReaped: (partition) => this.#sweep.mark(partition) });
    this.#unproved = new UnprovedKeys(floors);
    const rulesOfMarks = (): bigint => this.#holder.rulesOfMarks();
    const behind = { ...own, unproved: this.#unproved, holder: this.#holder, isStopped: () => this.#isStopped };
    this.#answers = new CatchUpAnswers({ ...behind, rulesOfMarks });
    this.#turns = new CatchUpTurns({ ...behind, catchUp: new CatchUp({ ...own, rulesOfMarks }) });
    this.#hearing = new CollectHearing({
      ...behind,
      turns: this.#turns,
      boot: Buffer.from(parts.random.bytes(6)).toString("hex"),
    });
    this.#leader = new CollectLeader({
      ...own,
      members: () => parts.table()?.all.map((member) => member.nodeId) ?? [],
      ask: (to, topic, body, timeoutMs) =>
        to === parts.self ? this.#holder.answer(to, body) : parts.ask(to, topic, body, timeoutMs),
      pause: (ms) => this.#timers.pause(ms),
      isStopped: () => this.#isStopped,
    });
  }

  /** The questions of others; those that come before this node is a member have no answer. */
  topics(): readonly (readonly [string, TopicHandler])[] {
    const answering = (answer: (from: NodeId, body: unknown) => Promise<unknown>): TopicHandler => {
      return async (from, body) =>
        this.#isStopped || this.#parts.isRemoved(from) ? null : ((await answer(from, body)) ?? null);
    };
    return [
      [COLLECT_TOPIC, answering((from, body) => this.#holder.answer(from, body))],
      [FLOORS_TOPIC, answering(async (_, body) => this.#hearing.tell(body))],
      [CATCH_UP_TOPIC, answering((_, body) => this.#answers.answer(body))],
    ];
  }

  /** Begins. Once, when this node is a member and its slots are known. Rejects as the store does. */
  async begin(): Promise<void> {
    this.#isStopped = false;
    this.#timers.start();
    const { random, times, door } = this.#parts;
    door.hides = (partition, key) => this.#hides(partition, key);
    door.leavesOut = ({ partition, key }) => this.#parts.rules.isExempt(key, this.#parts.replica.slotOf(partition));
    // Nobody is waited for for ever: a node that is alone goes on with what it knows.
    this.#timers.after(COLLECT_FIRST_HEARING_MS, () => this.#hasHeardEnough());
    // In one turn with the marks: nobody is told of keys without proof as if they had one.
    await Promise.all([this.#holder.begin(), this.#turns.begin()]);
    this.#timers.every(0, () => this.#hearAgain());
    this.#timers.every((0.2 + random.float()) * times.everyMs, async () => {
      await this.collect();
      return times.everyMs;
    });
  }

  /** Begins nothing any more. */
  stop(): void {
    this.#isStopped = true;
    this.#timers.stop();
    // Whoever waits to mint meets a store that closes, and says so.
    this.#hasHeardEnough();
  }

  /** A slot of the partition has come, or has gone. */
  slotChanged(partition: number): void {
    this.#holder.slotChanged(partition);
    if (this.#isStopped || this.#isFollowingSoon || this.#parts.replica.slotOf(partition) < 0) return;
    this.#isFollowingSoon = true;
    this.#timers.after(STEP_REST_MS, () => {
      this.#isFollowingSoon = false;
      this.#follow(() => this.#hearing.takeMarks());
    });
  }

  /** Settings of buckets have changed. */
  rulesChanged(): void {
    if (!this.#isStopped) this.#holder.reviewRules();
  }

  /** Records of the partition are missing, or were: it is compared, before its old versions are believed. Rejects as the store does. */
  async lostRecords(partition: number): Promise<void> {
    if (this.#isStopped || !this.#floors.isMarked(partition)) return;
    this.#holder.lostRecords(partition);
    // It may have been noted before, and be on its way to the disk.
    await this.#holder.persist();
  }

  /** A link to the node stands: what it told in a former life counts no more. */
  peerUp(node: NodeId): void {
    this.#hearing.forget(node);
    if (!this.#isStopped) this.#follow(() => this.#hearing.hear(node));
  }

  /** What goes with records that are given to others, and what comes of it with theirs. */
  get words(): CollectWords {
    return this.#hearing;
  }

  /**
   * Dots up to this counter may have been collected. Exact where this node holds the partition and took part in its last
   * proof; elsewhere what it has promised, as every member did before any proof at that floor.
   */
  collectedThrough(partition: number): number {
    const { noted, heard } = this.#floors.marksOf(partition);
    const tookPart = noted.floor > 0 && !this.#parts.door.isHearing && !this.#floors.isBehind(partition);
    return tookPart ? Math.max(noted.floor, heard.floor) : this.#holder.promised;
  }

  /** Leads one round for what is due, and takes out what may go. Rejects as the store does. */
  async collect(): Promise<void> {
    this.#holder.review();
    await this.#leader.lead();
    await this.#sweep.run();
  }

  /** Takes out what may go by the marks of now. Rejects as the store does. */
  async sweep(): Promise<void> {
    await this.#sweep.run();
  }

  /** What the old tombstones of a partition wait for; undefined: none waits, or this node does not lead it. */
  waitingFor(partition: number): string | undefined {
    return this.#leader.waiting.get(partition);
  }

  /** From memory. O(partitions that wait). */
  status(): CollectStatus {
    const { store, clock } = this.#parts;
    const floors = this.#floors;
    const oldest = this.#leader.oldestCounter();
    let behind = 0;
    for (let partition = 0; partition < floors.partitionCount; partition += 1) {
      if (floors.isBehind(partition)) behind += 1;
    }
    return {
      count: store.stats().tombstoneCount,
      oldestAgeMs: oldest === 0 ? undefined : Math.max(0, Math.round((clock.wallMicros() - oldest) / MICROS_PER_MS)),
      collected: this.#sweep.collectedCount,
      waiting: Object.fromEntries(reasonsOf(this.#leader.waiting)),
      behind,
      rounds: this.#leader.counts.roundCount,
      unproved: this.#unproved.count,
    };
  }

  /** Hears all, and answers when to hear them again: soon, while this node waits for somebody. */
  async #hearAgain(): Promise<number> {
    await this.#hearing.hearAll();
    this.#reviewHearing();
    void this.#timers.guarded(() => this.#hearing.catchUp());
    void this.#timers.guarded(() => this.#sweep.run());
    const { hearMs } = this.#parts.times;
    // Writes wait for this: a peer that was no member yet, or had no link, may be one now.
    if (this.#parts.door.isHearing) return Math.min(COLLECT_HEAR_SOON_MS, hearMs);
    return this.status().behind > 0 ? Math.min(COLLECT_AGAIN_MS, hearMs) : hearMs;
  }

  /** Writes wait for what is heard, never for what is caught up because of it. */
  #follow(hear: () => Promise<void>): void {
    void this.#timers.guarded(async () => {
      await hear().finally(() => this.#reviewHearing());
      await this.#hearing.catchUp();
    });
  }

  #reviewHearing(): void {
    const { door, self, table } = this.#parts;
    if (this.#hearing.isEnoughToMint()) door.gate.open();
    const others = (table()?.all ?? []).filter(({ nodeId }) => nodeId !== self);
    if (others.every(({ nodeId }) => this.#hearing.hasHeard(nodeId))) this.#hasHeardEnough();
  }

  #hasHeardEnough(): void {
    this.#parts.door.gate.open();
    this.#parts.door.isHearing = false;
  }

  /** What is held of a key, or of any (undefined), may be older than what was collected elsewhere. */
  #hides(partition: number, key: Uint8Array | undefined): boolean {
    const { store, door, replica } = this.#parts;
    if (store.isSuspect(partition)) this.#holder.lostRecords(partition);
    if (this.#floors.isHidden(partition)) return true;
    if (this.#floors.doubtOf(partition) === "rules" && this.#holder.isRaised(key, replica.slotOf(partition)))
      return true;
    return door.isHearing && !this.#hearing.hasHeardHolders(partition);
  }
}
