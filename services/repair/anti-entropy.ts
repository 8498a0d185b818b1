/**
 * Anti-entropy: compares every partition that this node holds with every other holder of it, for ever, and brings both
 * what they lack. Idle it costs roots; suspect partitions go first and at once. Must never answer or ask for a slot that
 * is not held, nor hold up a client: all of it is background work, paced by the share that it is given.
 * Sources: Dynamo §4.7; DESIGN §8; reliability notes §3.6, §4 O11.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { StoreClosedError } from "../../storage/errors.ts";
import type { NodeId } from "../base/ids.ts";
import {
  ANTI_ENTROPY_BACKUP_FACTOR,
  ANTI_ENTROPY_EVERY_MS,
  ANTI_ENTROPY_FIRST_MS,
  ANTI_ENTROPY_FIRST_UNCLEAN_MS,
  ANTI_ENTROPY_LOOK_MS,
  MAX_EXCHANGE_LANES,
} from "../base/limits.ts";
import type { Clock, Log, Random, Timer } from "../base/ports.ts";
import type { CallResult, PeerRequest } from "../peers/messages.ts";
import type { TopicHandler } from "../peers/peer-handler.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { LocalReplica } from "../replica/contract.ts";
import { ExchangeLane } from "./anti-entropy-lane.ts";
import { type OrderProgress, type RepairFlags, RepairReasons } from "./anti-entropy-reasons.ts";
import { PairSchedule, type UnverifiedPair } from "./anti-entropy-schedule-core.ts";
import { ExchangeAnswers } from "./exchange-answers.ts";
import { ExchangeClaims } from "./exchange-claims.ts";
import { EXCHANGE_TOPIC } from "./exchange-messages.ts";
import type { Moved, OldVersions } from "./exchange-objects.ts";
import { ExchangeRunner } from "./exchange-runner.ts";
import { PairViews, type SlotRules } from "./exchange-view.ts";
import { Pauses } from "./pauses.ts";
import { ROOTS_TOPIC } from "./roots-messages.ts";
import { TransferPace } from "./transfer-pace.ts";

/** What anti-entropy is joined to. */
export interface AntiEntropyParts {
  readonly self: NodeId;
  readonly store: StorageEngine;
  readonly replica: Pick<LocalReplica, "readEncoded" | "store" | "slotOf" | "isSuspect">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** who holds what by everyone's records; undefined before this node is a member */
  readonly table: () => HolderTable | undefined;
  readonly isAlive: (node: NodeId) => boolean;
  /** removed members are not answered */
  readonly isRemoved: (node: NodeId) => boolean;
  readonly rules: SlotRules;
  /** of a key's bytes; default: the ring's own hash */
  readonly hashOf?: (key: Uint8Array) => bigint;
  readonly oldVersions: OldVersions;
  /** dropped hints; undefined while nobody keeps any */
  readonly flags?: RepairFlags | undefined;
  /** see `ReasonParts` */
  readonly onLost?: ((partition: number) => Promise<void>) | undefined;
  /** notes, durably, that a partition was not whole, before it is taken for whole again */
  readonly beforeWhole?: ((partition: number) => Promise<void>) | undefined;
  /** 0 … 1: the share of its full pace that background work has now */
  readonly share: () => number;
  /** over the bulk link; undefined = no answer */
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  readonly call: (to: NodeId, request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void) => void;
}

/** How it stands; counts and bytes are totals since start. */
export interface AntiEntropyStatus {
  readonly suspectPartitions: number;
  readonly flaggedPartitions: number;
  /** records that cannot be read and that nobody has brought yet; and those that nobody has */
  readonly unreadableKeys: number;
  readonly lostKeys: number;
  /** pairs of a partition of this node and another holder */
  readonly pairs: number;
  readonly neverVerified: number;
  /** the pair that was not verified for longest; undefined: there are no pairs */
  readonly oldestUnverified: (Omit<UnverifiedPair, "sinceMs"> & { readonly ageMs: number }) | undefined;
  /** exchanges under way */
  readonly running: number;
  readonly comparedRoots: number;
  readonly exchanges: number;
  readonly pulledKeys: number;
  readonly pushedKeys: number;
  /** of objects: in by pulling, out by pushing or because others pulled */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly lastError: { readonly reason: string; readonly node: NodeId; readonly partition: number } | undefined;
}

/** Anti-entropy of one node. */
export class AntiEntropy {
  readonly #parts: AntiEntropyParts;
  readonly #schedule: PairSchedule;
  readonly #reasons: RepairReasons;
  readonly #answers: ExchangeAnswers;
  readonly #lane: ExchangeLane;
  readonly #busy = new Set<NodeId>();
  /** when this node last turned to each, monotonic ms */
  readonly #served = new Map<NodeId, number>();
  readonly #pauses: Pauses;
  #timer: Timer | undefined;
  #isStopped = true;
  #table: HolderTable | undefined;
  #pulledCount = 0;
  #pushedCount = 0;
  #receivedBytes = 0;
  #sentBytes = 0;

  constructor(parts: AntiEntropyParts) {
    this.#parts = parts;
    this.#pauses = new Pauses(parts.clock);
    const { store, replica, clock, random, self, share } = parts;
    const draw = (): number => random.float();
    const times = {
      everyMs: ANTI_ENTROPY_EVERY_MS,
      backupFactor: ANTI_ENTROPY_BACKUP_FACTOR,
      firstMs: store.recovery.mode === "unclean" ? ANTI_ENTROPY_FIRST_UNCLEAN_MS : ANTI_ENTROPY_FIRST_MS,
    };
    const schedule = new PairSchedule({ self, partitionCount: store.partitionCount, times, draw });
    const slotOf = (partition: number): number => replica.slotOf(partition);
    const own = {
      ...parts,
      schedule,
      slotOf,
      draw,
      views: new PairViews(store, parts.rules),
      claims: new ExchangeClaims(clock),
      pace: new TransferPace({ clock, share }),
      partitionCount: store.partitionCount,
      pause: (ms: number) => this.#pause(ms),
      isStopped: () => this.#isStopped,
    };
    this.#schedule = schedule;
    this.#reasons = new RepairReasons({ ...own, flags: () => parts.flags });
    this.#answers = new ExchangeAnswers({
      ...own,
      wordOf: (partition) => parts.oldVersions.wordOf(partition),
      onEqual: (peer, partition) => this.#verified(peer, partition),
      onSent: (_, sizeBytes) => {
        this.#sentBytes += sizeBytes;
      },
    });
    const runner = new ExchangeRunner({ ...own, onMoved: (_, moved) => this.#count(moved) });
    this.#lane = new ExchangeLane({ ...own, runner, onVerified: (partition) => this.#reasons.review(partition) });
  }

  /** The questions of other holders; those that come before this node is a member find no slot. */
  topics(): readonly (readonly [string, TopicHandler])[] {
    return [
      [ROOTS_TOPIC, async (from, body) => (this.#parts.isRemoved(from) ? null : this.#answers.roots(from, body))],
      [EXCHANGE_TOPIC, async (from, body) => (this.#parts.isRemoved(from) ? null : this.#answers.exchange(from, body))],
    ];
  }

  /** Begins. Once, when this node is a member. */
  start(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#lookLater(this.#parts.random.float() * ANTI_ENTROPY_LOOK_MS);
  }

  /** Begins nothing any more; exchanges under way end at their next step. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#pauses.end();
  }

  /** Compares a partition (undefined: all that this node holds) with all other holders now. The same name again goes on. */
  order(name: string, partition: number | undefined): OrderProgress | undefined {
    this.#refreshPairs();
    this.#reasons.order(name, partition);
    if (!this.#isStopped) this.#look();
    return this.#reasons.progress(name);
  }

  /** How far an order has come; undefined when it is not known (any more). */
  progress(name: string): OrderProgress | undefined {
    return this.#reasons.progress(name);
  }

  /** When the partition was last compared to the end with that holder, monotonic ms; −1 = never in this life. */
  verifiedMs(node: NodeId, partition: number): number {
    return this.#schedule.verifiedMs(node, partition);
  }

  /** Records that cannot be read here and that no other holder has. */
  get lostKeys(): number {
    return this.#reasons.lostCount;
  }

  /** O(pairs). */
  status(): AntiEntropyStatus {
    const { store, flags, clock } = this.#parts;
    const { pairCount, neverVerifiedCount, oldest } = this.#schedule.summary();
    const { rootCount, exchangeCount } = this.#lane.counts();
    return {
      suspectPartitions: store.suspectPartitions().length,
      flaggedPartitions: flags?.flaggedPartitions().length ?? 0,
      unreadableKeys: this.#reasons.unreadableCount,
      lostKeys: this.#reasons.lostCount,
      pairs: pairCount,
      neverVerified: neverVerifiedCount,
      oldestUnverified: oldest && { ...oldest, ageMs: Math.round(clock.monotonicMs() - oldest.sinceMs) },
      running: this.#lane.runningCount,
      comparedRoots: rootCount,
      exchanges: exchangeCount,
      pulledKeys: this.#pulledCount,
      pushedKeys: this.#pushedCount,
      receivedBytes: this.#receivedBytes,
      sentBytes: this.#sentBytes,
      lastError: this.#lane.lastError,
    };
  }

  #lookLater(delayMs: number): void {
    this.#timer = this.#parts.clock.setTimer(delayMs, () => {
      this.#look();
      // two holders that looked in step would ask each other at once, and refuse each other, again and again
      if (!this.#isStopped) this.#lookLater(ANTI_ENTROPY_LOOK_MS * (0.5 + this.#parts.random.float()));
    });
  }

  /** Sees what has come up, and compares what is due with those who are there. */
  #look(): void {
    this.#refreshPairs();
    this.#reasons.look();
    const nowMs = this.#parts.clock.monotonicMs();
    // who was served last comes last: nobody waits for ever behind the others
    for (const peer of this.#schedule.peers().toSorted((a, b) => this.#servedAt(a) - this.#servedAt(b))) {
      if (this.#busy.size >= MAX_EXCHANGE_LANES) return;
      if (this.#busy.has(peer) || !this.#parts.isAlive(peer)) continue;
      if (this.#schedule.due(peer, nowMs, 1).length > 0) this.#open(peer);
    }
  }

  #servedAt(peer: NodeId): number {
    return this.#served.get(peer) ?? 0;
  }

  #open(peer: NodeId): void {
    this.#busy.add(peer);
    this.#served.set(peer, this.#parts.clock.monotonicMs());
    this.#lane.run(peer).then(
      () => this.#closed(peer),
      (error: unknown) => {
        this.#busy.delete(peer);
        // a store that is closed or has failed tells so itself
        if (this.#isStopped || error instanceof StoreClosedError) return;
        this.#parts.log.warn({ event: "anti-entropy.lane-failed", peer, error });
      },
    );
  }

  #closed(peer: NodeId): void {
    this.#busy.delete(peer);
    // more may be due: it need not wait for the next look
    if (!this.#isStopped) this.#parts.clock.defer(() => (this.#isStopped ? undefined : this.#look()));
  }

  #refreshPairs(): void {
    const { table, self, replica, clock } = this.#parts;
    const now = table();
    if (now === undefined || now === this.#table) return;
    this.#table = now;
    const pairs = new Map<NodeId, number[]>();
    for (let partition = 0; partition < now.partitionCount; partition += 1) {
      if (replica.slotOf(partition) < 0) continue;
      for (const { node } of now.claimsOf(partition)) {
        if (node === self) continue;
        const partitions = pairs.get(node) ?? [];
        pairs.set(node, partitions);
        if (partitions.at(-1) !== partition) partitions.push(partition);
      }
    }
    this.#schedule.setPairs(pairs, clock.monotonicMs());
    for (const node of this.#served.keys()) if (!pairs.has(node)) this.#served.delete(node);
  }

  #verified(peer: NodeId, partition: number): void {
    this.#schedule.verified(peer, partition, this.#parts.clock.monotonicMs());
    if (!this.#isStopped) this.#reasons.review(partition);
  }

  #count({ pulledCount, pulledBytes, pushedCount, pushedBytes }: Moved): void {
    this.#pulledCount += pulledCount;
    this.#pushedCount += pushedCount;
    this.#receivedBytes += pulledBytes;
    this.#sentBytes += pushedBytes;
  }

  #pause(ms: number): Promise<void> {
    return this.#isStopped ? Promise.resolve() : this.#pauses.pause(ms);
  }
}
