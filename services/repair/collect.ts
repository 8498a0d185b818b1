/**
 * Collecting tombstones: the leader's and the holder's sides of one node, what holders tell each other of their marks, and
 * catching up where one is behind. Begins when the node is a member; all of it is background work. Must never let a mark
 * of a peer's former life count for its present one.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { StoreClosedError } from "../../storage/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { COLLECT_EVERY_MS, COLLECT_HEAR_MS, COLLECT_LEAST_EVERY_MS, COLLECT_SETTLE_MS } from "../base/limits.ts";
import type { Clock, Log, Random, Timer } from "../base/ports.ts";
import type { TopicHandler } from "../peers/peer-handler.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import { CatchUp, type CatchUpParts } from "./collect-catch-up.ts";
import type { CollectFloors } from "./collect-floors-core.ts";
import { CollectHearing } from "./collect-hearing.ts";
import { CollectHolder } from "./collect-holder.ts";
import { CollectLeader, type CollectTimes, reasonsOf } from "./collect-leader.ts";
import { CATCH_UP_TOPIC, COLLECT_TOPIC, FLOORS_TOPIC } from "./collect-messages.ts";
import { CollectSweep } from "./collect-sweep.ts";
import { PairViews, type SlotRules } from "./exchange-view.ts";

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
  readonly replica: CatchUpParts["replica"];
  /** the same that the replica takes its lines from */
  readonly floors: CollectFloors;
  readonly rules: SlotRules;
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
}

const MICROS_PER_MS = 1_000;
/** A step of background work is followed by a rest that leaves the foreground its share. */
const STEP_REST_MS = 1;
const LONGEST_REST_MS = 200;

/** Collecting at one node. */
export class Collecting {
  readonly #parts: CollectParts;
  readonly #holder: CollectHolder;
  readonly #leader: CollectLeader;
  readonly #sweep: CollectSweep;
  readonly #catchUp: CatchUp;
  readonly #hearing: CollectHearing;
  readonly #timers = new Set<Timer>();
  readonly #pauses = new Map<Timer, () => void>();
  #isStopped = true;

  constructor(parts: CollectParts) {
    this.#parts = parts;
    const slotOf = (partition: number): number => parts.replica.slotOf(partition);
    const rest = (): Promise<boolean> => this.#rest();
    const views = new PairViews(parts.store, parts.rules);
    this.#sweep = new CollectSweep({ ...parts, slotOf, rest });
    const own = { ...parts, slotOf, rest, views, sweep: this.#sweep };
    this.#holder = new CollectHolder({ ...own, onReaped: (partition) => this.#sweep.mark(partition) });
    this.#catchUp = new CatchUp({ ...own, rulesOfMarks: () => this.#holder.rulesOfMarks() });
    this.#hearing = new CollectHearing({
      ...own,
      holder: this.#holder,
      catchUp: this.#catchUp,
      boot: Buffer.from(parts.random.bytes(6)).toString("hex"),
      isStopped: () => this.#isStopped,
    });
    this.#leader = new CollectLeader({
      ...own,
      members: () => parts.table()?.all.map((member) => member.nodeId) ?? [],
      ask: (to, topic, body, timeoutMs) =>
        to === parts.self ? this.#holder.answer(to, body) : parts.ask(to, topic, body, timeoutMs),
      pause: (ms) => this.#pause(ms),
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
      [CATCH_UP_TOPIC, answering((_, body) => this.#catchUp.answer(body))],
    ];
  }

  /** Begins. Once, when this node is a member and its slots are known. Rejects as the store does. */
  async begin(): Promise<void> {
    this.#isStopped = false;
    await this.#holder.begin();
    const { random, times } = this.#parts;
    this.#every(times.hearMs, random.float() * times.hearMs, async () => {
      await this.#hearing.hearAll();
      await this.#sweep.run();
    });
    this.#every(times.everyMs, (0.2 + random.float()) * times.everyMs, () => this.collect());
  }

  /** Begins nothing any more. */
  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) timer.cancel();
    for (const [timer, goOn] of this.#pauses) {
      timer.cancel();
      goOn();
    }
    this.#timers.clear();
    this.#pauses.clear();
  }

  /** A slot of the partition has come, or has gone. */
  slotChanged(partition: number): void {
    this.#holder.slotChanged(partition);
  }

  /** A link to the node stands: what it told in a former life counts no more. */
  peerUp(node: NodeId): void {
    this.#hearing.forget(node);
    if (!this.#isStopped) void this.#guarded(() => this.#hearing.hear(node));
  }

  /** Whether what that node has of the partition may be believed, however old: it took part in the last collection. */
  isTrusted(node: NodeId, partition: number): boolean {
    return this.#hearing.isTrusted(node, partition);
  }

  /** Leads one round for what is due, and takes out what may go. Rejects as the store does. */
  async collect(): Promise<void> {
    this.#holder.reviewRules();
    await this.#leader.lead();
    await this.#sweep.run();
  }

  /** Takes out what may go by the marks of now. Rejects as the store does. */
  async sweep(): Promise<void> {
    await this.#sweep.run();
  }

  /** From memory. O(partitions that wait). */
  status(): CollectStatus {
    const { store, clock, floors } = this.#parts;
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
    };
  }

  #every(everyMs: number, firstMs: number, run: () => Promise<void>): void {
    if (this.#isStopped) return;
    const timer = this.#parts.clock.setTimer(firstMs, () => {
      this.#timers.delete(timer);
      void this.#guarded(run).then(() => this.#every(everyMs, everyMs * (0.9 + this.#parts.random.float() / 5), run));
    });
    this.#timers.add(timer);
  }

  async #guarded(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      // A store that is closed or has failed tells so itself.
      if (this.#isStopped || error instanceof StoreClosedError) return;
      this.#parts.log.warn({ event: "collect.failed", error });
    }
  }

  async #rest(): Promise<boolean> {
    if (this.#isStopped) return false;
    const share = Math.max(0.01, this.#parts.share());
    await this.#pause(Math.min(LONGEST_REST_MS, STEP_REST_MS / share));
    return !this.#isStopped;
  }

  #pause(ms: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#parts.clock.setTimer(ms, () => {
        this.#pauses.delete(timer);
        resolve();
      });
      this.#pauses.set(timer, resolve);
    });
  }
}
