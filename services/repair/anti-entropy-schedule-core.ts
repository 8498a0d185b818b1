/**
 * Which partition is compared with which holder next, and what has been verified since when. Pure: times come in. Suspect
 * partitions first, then those that people or dropped hints named, then whatever was not looked at for longest. Must
 * never count a comparison that began before the reason to compare came up, nor forget a reason before all are through.
 * Source: reliability notes §3.6 (suspect), §4 O11 (no partition starves).
 */
import type { NodeId } from "../base/ids.ts";

/** Why a partition is urgent, the most urgent first. */
export type Urgency = "suspect" | "flagged" | "ordered";

/** How often pairs are compared. */
export interface ScheduleTimes {
  readonly everyMs: number;
  /** the holder with the greater name waits so many times longer: it only steps in */
  readonly backupFactor: number;
  /** first comparisons are spread over this time */
  readonly firstMs: number;
}

/** A pair, and for how long nobody has compared it to the end. */
export interface UnverifiedPair {
  readonly peer: NodeId;
  readonly partition: number;
  /** monotonic ms: the beginning of the last complete comparison; where there was none, when the pair came into the schedule */
  readonly sinceMs: number;
  /** false: never since it came into the schedule */
  readonly wasVerified: boolean;
}

/** What is known of the pairs. */
export interface ScheduleSummary {
  readonly pairCount: number;
  readonly neverVerifiedCount: number;
  /** the one that was not verified for longest; undefined: there are no pairs */
  readonly oldest: UnverifiedPair | undefined;
}

interface PeerPairs {
  readonly everyMs: number;
  partitions: readonly number[];
  /** monotonic ms of when the pair came into the schedule, the last time that it did */
  readonly knownMs: Float64Array;
  /** monotonic ms of the beginning of the last complete comparison, −1 = never */
  readonly verifiedMs: Float64Array;
  readonly notBeforeMs: Float64Array;
}

const URGENCIES: readonly Urgency[] = ["suspect", "flagged", "ordered"];

/** The schedule of one node. */
export class PairSchedule {
  readonly #self: NodeId;
  readonly #partitionCount: number;
  readonly #times: ScheduleTimes;
  /** 0 … 1, at random */
  readonly #draw: () => number;
  readonly #peers = new Map<NodeId, PeerPairs>();
  readonly #since: Readonly<Record<Urgency, Map<number, number>>> = {
    suspect: new Map(),
    flagged: new Map(),
    ordered: new Map(),
  };

  constructor(parts: {
    readonly self: NodeId;
    readonly partitionCount: number;
    readonly times: ScheduleTimes;
    readonly draw: () => number;
  }) {
    this.#self = parts.self;
    this.#partitionCount = parts.partitionCount;
    this.#times = parts.times;
    this.#draw = parts.draw;
  }

  /** Who shares which partitions with this node from now on. What is known of a pair that stays is kept. */
  setPairs(pairs: ReadonlyMap<NodeId, readonly number[]>, nowMs: number): void {
    for (const node of this.#peers.keys()) if (!pairs.has(node)) this.#peers.delete(node);
    for (const [node, partitions] of pairs) {
      const known = this.#peers.get(node) ?? this.#newPeer(node);
      this.#peers.set(node, known);
      const before = new Set(known.partitions);
      const after = new Set(partitions);
      for (const partition of before) if (!after.has(partition)) known.verifiedMs[partition] = -1;
      for (const partition of partitions) {
        if (before.has(partition)) continue;
        known.knownMs[partition] = nowMs;
        known.notBeforeMs[partition] = nowMs + this.#draw() * this.#times.firstMs;
      }
      known.partitions = partitions;
    }
  }

  /** Nodes that share partitions with this one. */
  peers(): readonly NodeId[] {
    return [...this.#peers.keys()];
  }

  /** Names a partition as urgent; the first time that it was named stands until it is settled. */
  urge(partition: number, urgency: Urgency, nowMs: number): void {
    const since = this.#since[urgency];
    if (since.has(partition)) return;
    since.set(partition, nowMs);
    this.#hurry(partition, nowMs);
  }

  /** Names it anew: only what is compared from now on counts. */
  urgeAnew(partition: number, urgency: Urgency, nowMs: number): void {
    this.#since[urgency].delete(partition);
    this.urge(partition, urgency, nowMs);
  }

  /** It is urgent no more for this reason. */
  settle(partition: number, urgency: Urgency): void {
    this.#since[urgency].delete(partition);
  }

  /** Partitions that are urgent for this reason. */
  urgent(urgency: Urgency): readonly number[] {
    return [...this.#since[urgency].keys()];
  }

  /** Since when, monotonic ms; undefined: it is not. */
  urgentSince(partition: number, urgency: Urgency): number | undefined {
    return this.#since[urgency].get(partition);
  }

  /** A comparison that began at `beganMs` was complete. */
  verified(node: NodeId, partition: number, beganMs: number): void {
    const pairs = this.#peers.get(node);
    if (pairs === undefined || partition >= this.#partitionCount) return;
    pairs.verifiedMs[partition] = Math.max(pairs.verifiedMs[partition] ?? -1, beganMs);
    pairs.notBeforeMs[partition] = 0;
  }

  /** The pair is left alone until then. */
  postpone(node: NodeId, partition: number, untilMs: number): void {
    const pairs = this.#peers.get(node);
    if (pairs !== undefined && partition < this.#partitionCount) pairs.notBeforeMs[partition] = untilMs;
  }

  /** The beginning of the last complete comparison, monotonic ms; −1 = never. */
  verifiedMs(node: NodeId, partition: number): number {
    return this.#peers.get(node)?.verifiedMs[partition] ?? -1;
  }

  /** All of these have been compared to the end, from a beginning after that moment. */
  isVerifiedSince(partition: number, sinceMs: number, nodes: readonly NodeId[]): boolean {
    return nodes.every((node) => this.verifiedMs(node, partition) > sinceMs);
  }

  /** Up to `limit` partitions that are due with this node, in their order. O(partitions of the pair). */
  due(node: NodeId, nowMs: number, limit: number): readonly number[] {
    const pairs = this.#peers.get(node);
    if (pairs === undefined) return [];
    const due: { readonly partition: number; readonly rank: number; readonly verifiedMs: number }[] = [];
    for (const partition of pairs.partitions) {
      if ((pairs.notBeforeMs[partition] ?? 0) > nowMs) continue;
      const verifiedMs = pairs.verifiedMs[partition] ?? -1;
      const rank = this.#rankOf(partition, verifiedMs);
      const isDue = rank < URGENCIES.length || verifiedMs < 0 || nowMs - verifiedMs >= pairs.everyMs;
      if (isDue) due.push({ partition, rank, verifiedMs });
    }
    // sorting is stable: equals stay in the order of partitions
    due.sort((a, b) => a.rank - b.rank || a.verifiedMs - b.verifiedMs);
    return due.slice(0, limit).map(({ partition }) => partition);
  }

  /** A pair that was never verified is as old as it is known: else one that never can be would look like none. O(pairs). */
  summary(): ScheduleSummary {
    let pairCount = 0;
    let neverVerifiedCount = 0;
    let oldest: UnverifiedPair | undefined;
    for (const [peer, { partitions, knownMs, verifiedMs }] of this.#peers) {
      for (const partition of partitions) {
        const at = verifiedMs[partition] ?? -1;
        const wasVerified = at >= 0;
        const sinceMs = wasVerified ? at : (knownMs[partition] ?? 0);
        pairCount += 1;
        if (!wasVerified) neverVerifiedCount += 1;
        if (oldest === undefined || sinceMs < oldest.sinceMs) oldest = { peer, partition, sinceMs, wasVerified };
      }
    }
    return { pairCount, neverVerifiedCount, oldest };
  }

  #rankOf(partition: number, verifiedMs: number): number {
    for (const [rank, urgency] of URGENCIES.entries()) {
      const since = this.#since[urgency].get(partition);
      if (since !== undefined && verifiedMs <= since) return rank;
    }
    return URGENCIES.length;
  }

  #hurry(partition: number, nowMs: number): void {
    for (const { notBeforeMs } of this.#peers.values()) {
      notBeforeMs[partition] = Math.min(notBeforeMs[partition] ?? 0, nowMs);
    }
  }

  #newPeer(node: NodeId): PeerPairs {
    const { everyMs, backupFactor } = this.#times;
    return {
      everyMs: this.#self < node ? everyMs : everyMs * backupFactor,
      partitions: [],
      knownMs: new Float64Array(this.#partitionCount),
      verifiedMs: new Float64Array(this.#partitionCount).fill(-1),
      notBeforeMs: new Float64Array(this.#partitionCount),
    };
  }
}
