/**
 * Comparing with one other holder: the roots of many partitions in one message; what differs twice is exchanged, a few
 * partitions beside each other: most of an exchange is waiting, for answers, for the disk, for writes to settle. Must never let what is merely being written cost more than a second root.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import {
  ANTI_ENTROPY_CONFIRM_MS,
  ANTI_ENTROPY_RETRY_MS,
  EXCHANGE_ASK_MS,
  MAX_EXCHANGE_ROOTS,
  MAX_EXCHANGES_PER_LANE,
  MAX_FILTERED_ROOTS,
} from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { PairSchedule } from "./anti-entropy-schedule-core.ts";
import type { ExchangeClaims } from "./exchange-claims.ts";
import { BUSY_WORDS } from "./exchange-ends-core.ts";
import type { ExchangeResult, ExchangeRunner, Pair } from "./exchange-runner.ts";
import type { PairViews } from "./exchange-view.ts";
import { encodeRoots, parseVerdicts, ROOTS_TOPIC, type RootItem, type RootVerdict } from "./roots-messages.ts";

/** What comparing works with. */
export interface LaneParts {
  readonly store: Pick<StorageEngine, "isSuspect">;
  readonly clock: Clock;
  readonly log: Log;
  readonly schedule: PairSchedule;
  readonly views: PairViews;
  readonly claims: ExchangeClaims;
  readonly runner: ExchangeRunner;
  readonly table: () => HolderTable | undefined;
  readonly slotOf: (partition: number) => number;
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  readonly pause: (ms: number) => Promise<void>;
  readonly isStopped: () => boolean;
  /** 0 … 1, at random */
  readonly draw: () => number;
  /** 0 … 1: the share of its pace that background work has now */
  readonly share: () => number;
  readonly onVerified: (partition: number) => void;
}

/** Totals since start. */
export interface LaneCounts {
  /** roots that were asked about */
  readonly rootCount: number;
  readonly exchangeCount: number;
  readonly unsettledCount: number;
}

/** A rest for the foreground's sake is never longer. */
const LONGEST_REST_MS = 5_000;

/** Compares with others, one call at a time for each of them. */
export class ExchangeLane {
  readonly #parts: LaneParts;
  #rootCount = 0;
  #exchangeCount = 0;
  #unsettledCount = 0;
  #runningCount = 0;
  #lastError: { readonly reason: string; readonly node: NodeId; readonly partition: number } | undefined;

  constructor(parts: LaneParts) {
    this.#parts = parts;
  }

  /** Exchanges under way. */
  get runningCount(): number {
    return this.#runningCount;
  }

  /** Why an exchange ended before its time, the last time that one did. */
  get lastError(): { readonly reason: string; readonly node: NodeId; readonly partition: number } | undefined {
    return this.#lastError;
  }

  counts(): LaneCounts {
    return {
      rootCount: this.#rootCount,
      exchangeCount: this.#exchangeCount,
      unsettledCount: this.#unsettledCount,
    };
  }

  /** Compares what is due with this holder; resolves when all of it has had its turn. Rejects as the store does. */
  async run(peer: NodeId): Promise<void> {
    const { schedule, store, clock, pause } = this.#parts;
    const due = schedule.due(peer, clock.monotonicMs(), MAX_EXCHANGE_ROOTS);
    const differing = await this.#compareRoots(peer, due);
    const urgent = differing.filter(({ partition }) => store.isSuspect(partition));
    const patient = differing.filter(({ partition }) => !store.isSuspect(partition));
    await this.#exchangeAll(urgent);
    if (patient.length === 0 || this.#parts.isStopped()) return;
    await pause(ANTI_ENTROPY_CONFIRM_MS);
    const standing = await this.#compareRoots(
      peer,
      patient.map(({ partition }) => partition),
    );
    await this.#exchangeAll(standing);
  }

  /** Fewer beside each other while the foreground needs the time; at least one. */
  async #exchangeAll(pairs: readonly Pair[]): Promise<void> {
    let next = 0;
    const work = async (worker: number): Promise<void> => {
      for (let pair = pairs[next]; pair !== undefined; pair = pairs[next]) {
        if (worker > 0 && worker >= Math.round(MAX_EXCHANGES_PER_LANE * this.#parts.share())) return;
        next += 1;
        await this.#exchange(pair);
      }
    };
    const workers = Array.from({ length: MAX_EXCHANGES_PER_LANE }, (_, worker) => work(worker));
    // all have ended before the lane is over, whatever became of one
    const ends = await Promise.allSettled(workers);
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  /** The pairs whose roots differ and are this node's to exchange. */
  async #compareRoots(peer: NodeId, partitions: readonly number[]): Promise<readonly Pair[]> {
    const { clock, ask } = this.#parts;
    const differing: Pair[] = [];
    let left: readonly Pair[] = partitions.flatMap((partition) => this.#pairOf(peer, partition));
    while (left.length > 0 && !this.#parts.isStopped()) {
      const beganMs = clock.monotonicMs();
      const { items, rest } = await this.#itemsOf(left);
      const asked = left.slice(0, items.length);
      left = rest;
      this.#rootCount += items.length;
      const body = await ask(peer, ROOTS_TOPIC, encodeRoots(items), EXCHANGE_ASK_MS);
      const verdicts = parseVerdicts(body, items.length);
      for (const [at, pair] of asked.entries()) {
        const verdict = verdicts?.[at];
        if (this.#judge(pair, verdict, beganMs)) differing.push(pair);
      }
      // who does not answer is asked for the rest another time
      if (verdicts === undefined) left = left.filter((pair) => this.#judge(pair, undefined, beganMs));
    }
    return differing;
  }

  /** True when the pair is this node's to exchange. */
  #judge(pair: Pair, verdict: RootVerdict | undefined, beganMs: number): boolean {
    const { schedule, store } = this.#parts;
    if (verdict === "equal") {
      schedule.verified(pair.peer, pair.partition, beganMs);
      this.#parts.onVerified(pair.partition);
      return false;
    }
    // a suspect holder asks for what it lacks itself: both would bring the same keys
    const isOurs = verdict === "differs" || (verdict === "suspect" && store.isSuspect(pair.partition));
    if (!isOurs) this.#postpone(pair, ANTI_ENTROPY_RETRY_MS);
    return isOurs;
  }

  async #exchange(pair: Pair): Promise<void> {
    const { claims, runner, store, schedule, clock, share, pause } = this.#parts;
    const { partition, peer } = pair;
    if (this.#parts.isStopped()) return;
    if (!claims.take(partition, peer, "asking")) return this.#postpone(pair, ANTI_ENTROPY_CONFIRM_MS);
    const beganMs = clock.monotonicMs();
    this.#runningCount += 1;
    this.#exchangeCount += 1;
    try {
      const result = await runner.run(pair, !store.isSuspect(partition), () => claims.take(partition, peer, "asking"));
      this.#note(pair, result);
      if (result.kind === "complete") {
        schedule.verified(peer, partition, beganMs);
        this.#parts.onVerified(partition);
      }
    } finally {
      this.#runningCount -= 1;
      claims.release(partition, peer, "asking");
    }
    const restMs = (clock.monotonicMs() - beganMs) * (1 / Math.max(0.01, share()) - 1);
    if (restMs >= 1) await pause(Math.min(LONGEST_REST_MS, restMs));
  }

  #note(pair: Pair, result: ExchangeResult): void {
    const { log } = this.#parts;
    const { partition, peer } = pair;
    switch (result.kind) {
      case "complete":
      case "more":
        return;
      case "unsettled":
        this.#unsettledCount += 1;
        return this.#postpone(pair, ANTI_ENTROPY_RETRY_MS);
      case "ended": {
        const { reason } = result;
        const isBusy = reason === BUSY_WORDS;
        this.#postpone(pair, isBusy ? ANTI_ENTROPY_CONFIRM_MS : ANTI_ENTROPY_RETRY_MS);
        if (isBusy) return;
        this.#lastError = { reason, node: peer, partition };
        log.debug({ event: "anti-entropy.exchange-ended", partition, peer, reason });
      }
    }
  }

  #postpone({ peer, partition }: Pick<Pair, "peer" | "partition">, ms: number): void {
    const { schedule, clock, draw } = this.#parts;
    schedule.postpone(peer, partition, clock.monotonicMs() + ms * (1 + draw()));
  }

  /** In which slots both hold the partition; none when one of them holds none any more: then the table will say so soon. */
  #pairOf(peer: NodeId, partition: number): readonly Pair[] {
    const ownSlot = this.#parts.slotOf(partition);
    const claim = this.#parts
      .table()
      ?.claimsOf(partition)
      .find((one) => one.node === peer);
    if (ownSlot < 0 || claim === undefined) {
      this.#postpone({ partition, peer }, ANTI_ENTROPY_RETRY_MS);
      return [];
    }
    return [{ partition, peer, ownSlot, peerSlot: claim.slot }];
  }

  /** The roots of as many pairs as one message takes. */
  async #itemsOf(
    pairs: readonly Pair[],
  ): Promise<{ readonly items: readonly RootItem[]; readonly rest: readonly Pair[] }> {
    const { views } = this.#parts;
    const items: RootItem[] = [];
    let filteredCount = 0;
    for (const { partition, ownSlot, peerSlot } of pairs) {
      const sight = views.sightOf(partition, { own: ownSlot, peer: peerSlot });
      if (sight.isFiltered) filteredCount += 1;
      if (filteredCount > MAX_FILTERED_ROOTS || items.length >= MAX_EXCHANGE_ROOTS) break;
      const root = views.root(sight);
      const { isFiltered } = sight;
      items.push({ partition, ownSlot, peerSlot, isFiltered, root: root instanceof Promise ? await root : root });
    }
    return { items, rest: pairs.slice(items.length) };
  }
}
