/**
 * The leader's side of collecting tombstones: sees which partitions have some that are old enough, and takes them through
 * rounds (`collect-core.ts`), asking whom the round wants asked. Must never decide what an answer means.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import { COLLECT_ASK_MS, COLLECT_LOOK_AGAIN_MS, COLLECT_LOOKS, MAX_COLLECT_PARTITIONS } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import { type CollectQuestion, CollectRound, type LookPair, type RoundPartition } from "./collect-core.ts";
import type { CollectFloors, CollectMark } from "./collect-floors-core.ts";
import { COLLECT_TOPIC, encodeQuestion, type LookItem, parseAnswer, type RoundFrame } from "./collect-messages.ts";
import type { CollectSweep } from "./collect-sweep.ts";
import type { PairViews, SlotRules } from "./exchange-view.ts";

/** How long things are left alone, milliseconds. */
export interface CollectTimes {
  /** a tombstone is not collected before it is so old */
  readonly minAgeMs: number;
  /** between the promise of all members and the look; longer than any write may take */
  readonly settleMs: number;
  /** between two rounds of a leader, and between two hearings of the peers' marks */
  readonly everyMs: number;
  readonly hearMs: number;
}

/** What leading works with. */
export interface LeaderParts {
  readonly self: NodeId;
  readonly store: Pick<StorageEngine, "collectableCountOf" | "isSuspect" | "merkleRoot" | "partitionCount">;
  readonly floors: CollectFloors;
  readonly sweep: CollectSweep;
  readonly views: PairViews;
  readonly rules: SlotRules;
  readonly times: CollectTimes;
  readonly table: () => HolderTable | undefined;
  readonly slotOf: (partition: number) => number;
  readonly isMoving: (partition: number) => boolean;
  readonly members: () => readonly NodeId[];
  readonly isAlive: (node: NodeId) => boolean;
  readonly membersHash: () => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** over the bulk link, or of this node itself; undefined = no answer */
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  /** resolves after so many ms, or at once when the node stops */
  readonly pause: (ms: number) => Promise<void>;
  readonly isStopped: () => boolean;
}

/** This holder's roots by partition and slot of the other. */
type Looks = ReadonlyMap<string, bigint>;

const MICROS_PER_MS = 1_000;
/** Stands for the root of a partition that does not stand still: nobody has it. */
const NO_ROOT = 0xa5a5_5a5a_0f0f_f0f1n;

/** Leads the collections of the partitions whose slot 0 is held here. */
export class CollectLeader {
  readonly #parts: LeaderParts;
  /** by partition: hybrid microseconds before which none of its tombstones is old enough */
  readonly #dueFrom = new Map<number, number>();
  /** partitions that were seen to have some that are old enough, and were not collected since */
  readonly #ready = new Set<number>();
  readonly #waiting = new Map<number, string>();
  readonly #oldest = new Map<number, number>();
  #collectedPartitionCount = 0;
  /** where the next look for what is due begins: a round has room for some only, and all get their turn */
  #from = 0;
  #roundCount = 0;

  constructor(parts: LeaderParts) {
    this.#parts = parts;
  }

  /** What partitions with old tombstones wait for, in words. */
  get waiting(): ReadonlyMap<number, string> {
    return this.#waiting;
  }

  /** Rounds begun, and partitions collected, since start. */
  get counts(): { readonly roundCount: number; readonly partitionCount: number } {
    return { roundCount: this.#roundCount, partitionCount: this.#collectedPartitionCount };
  }

  /** The counter of the oldest tombstone that was seen in the partitions led here, 0 = none. */
  oldestCounter(): number {
    let oldest = 0;
    for (const counter of this.#oldest.values()) oldest = oldest === 0 ? counter : Math.min(oldest, counter);
    return oldest;
  }

  /** One round over the partitions that are due, if there are any. Rejects as the store does. */
  async lead(): Promise<void> {
    const mark = this.#markNow();
    const members = this.#parts.members();
    const partitions = await this.#due(mark);
    const membersHash = this.#parts.membersHash();
    const away = members.find((node) => node !== this.#parts.self && !this.#parts.isAlive(node));
    if (away !== undefined) {
      for (const { partition } of partitions) this.#waiting.set(partition, `node ${away} is away`);
      return;
    }
    if (partitions.length === 0 || membersHash === undefined || this.#parts.isStopped()) return;
    this.#roundCount += 1;
    const round = new CollectRound({ mark, self: this.#parts.self, members, partitions }, COLLECT_LOOKS);
    const frame = { mark, members: membersHash, rules: this.#parts.rules.fingerprint() };
    await this.#run(round, frame);
    for (const [partition, reason] of round.waiting) this.#waiting.set(partition, reason);
    for (const partition of round.reaped) {
      this.#waiting.delete(partition);
      this.#ready.delete(partition);
    }
    this.#collectedPartitionCount += round.reaped.size;
    const facts = { partitionCount: partitions.length, reapedCount: round.reaped.size };
    this.#parts.log.info({ event: "collect.round", ...facts, waiting: Object.fromEntries(reasonsOf(round.waiting)) });
  }

  /** Values with an end go when it has come for every clock within the allowed skew: each holder refuses a time ahead of its own. */
  #markNow(): CollectMark {
    const { clock, times } = this.#parts;
    const floor = Math.floor(clock.wallMicros() - times.minAgeMs * MICROS_PER_MS);
    return { floor, expiryMs: Math.floor(floor / MICROS_PER_MS) };
  }

  async #run(round: CollectRound, frame: RoundFrame): Promise<void> {
    const { pause, times, isStopped } = this.#parts;
    let stage = round.stage;
    while (round.stage !== "over" && !isStopped()) {
      if (round.stage === "settle") await pause(times.settleMs);
      else if (round.stage === stage && stage === "look") await pause(COLLECT_LOOK_AGAIN_MS);
      if (isStopped()) return;
      stage = round.stage;
      const looks = await this.#looksOf(round);
      const asking = [...round.questions()].map(async ([node, question]) =>
        round.answered(node, parseAnswer(await this.#ask(node, { frame, question, looks }))),
      );
      await Promise.all(asking);
      round.proceed();
    }
  }

  async #ask(
    node: NodeId,
    {
      frame,
      question,
      looks,
    }: { readonly frame: RoundFrame; readonly question: CollectQuestion; readonly looks: Looks },
  ): Promise<unknown> {
    const body =
      question.kind === "look"
        ? encodeQuestion(frame, { kind: "look", items: itemsOf(question.pairs, looks) })
        : encodeQuestion(frame, question);
    return this.#parts.ask(node, COLLECT_TOPIC, body, COLLECT_ASK_MS);
  }

  /**
   * This holder's roots for all pairs that are looked at. Those of one partition are of one moment, though slots that leave keys
   * out have other roots, which take their time: else one holder could be compared with what was here before a version came,
   * and another with what was here after, and none be equal to the other.
   */
  async #looksOf(round: CollectRound): Promise<Looks> {
    const looks = new Map<string, bigint>();
    const slots = new Map<number, LookPair[]>();
    for (const question of round.questions().values()) {
      if (question.kind !== "look") continue;
      for (const pair of question.pairs) slots.set(pair.partition, [...(slots.get(pair.partition) ?? []), pair]);
    }
    for (const [partition, pairs] of slots) {
      for (const [name, root] of (await this.#rootsAtOnce(partition, pairs)) ?? []) looks.set(name, root);
    }
    return looks;
  }

  /** Undefined when the partition changed each time: it is looked at again later. */
  async #rootsAtOnce(partition: number, pairs: readonly LookPair[]): Promise<ReadonlyMap<string, bigint> | undefined> {
    const { views, store } = this.#parts;
    for (let attempt = 0; attempt < COLLECT_LOOKS; attempt += 1) {
      const before = store.merkleRoot(partition);
      const roots = new Map<string, bigint>();
      for (const pair of pairs) {
        const root = views.root(views.sightOf(partition, { own: pair.ownSlot, peer: pair.peerSlot }));
        roots.set(nameOf(pair), root instanceof Promise ? await root : root);
      }
      if (store.merkleRoot(partition) === before) return roots;
    }
    return undefined;
  }

  /** The partitions led here that have something old enough, with their holders. */
  async #due(mark: CollectMark): Promise<readonly RoundPartition[]> {
    const { store, slotOf, table } = this.#parts;
    const due: RoundPartition[] = [];
    const believed = table();
    const first = this.#from;
    for (let step = 0; step < store.partitionCount && believed !== undefined; step += 1) {
      const partition = (first + step) % store.partitionCount;
      this.#from = partition;
      if (due.length >= MAX_COLLECT_PARTITIONS) break;
      if (slotOf(partition) !== 0 || store.collectableCountOf(partition) === 0) {
        this.#forget(partition);
        continue;
      }
      if ((this.#dueFrom.get(partition) ?? 0) > mark.floor) continue;
      if (!this.#ready.has(partition) && !(await this.#isReady(partition, mark))) continue;
      const holders = believed.claimsOf(partition).map(({ node, slot }) => ({ node, slot }));
      const obstacle = this.#obstacleOf(partition, believed, holders);
      if (obstacle === undefined) due.push({ partition, holders });
      else this.#waiting.set(partition, obstacle);
    }
    return due;
  }

  /** Looks through the partition, and remembers when it is worth the next look. */
  async #isReady(partition: number, mark: CollectMark): Promise<boolean> {
    const census = await this.#parts.sweep.census(partition, mark);
    if (census === undefined) return false;
    if (census.oldestCounter === 0) this.#oldest.delete(partition);
    else this.#oldest.set(partition, census.oldestCounter);
    if (census.readyCount > 0) {
      this.#ready.add(partition);
      return true;
    }
    this.#waiting.delete(partition);
    // Whatever is deleted from now on is younger than this moment.
    const nowCounter = mark.floor + this.#parts.times.minAgeMs * MICROS_PER_MS;
    this.#dueFrom.set(partition, census.nextCounter === 0 ? nowCounter : Math.min(census.nextCounter, nowCounter));
    return false;
  }

  #obstacleOf(
    partition: number,
    table: HolderTable,
    holders: readonly { readonly node: NodeId; readonly slot: number }[],
  ): string | undefined {
    const { store, isMoving, floors } = this.#parts;
    const slots = new Set(holders.map(({ slot }) => slot));
    const nodes = new Set(holders.map(({ node }) => node));
    if (slots.size !== table.replicaCount || nodes.size !== holders.length || slots.size !== holders.length) {
      return "a slot is on its way";
    }
    if (isMoving(partition)) return "a slot is on its way";
    if (store.isSuspect(partition)) return "a copy may lack records";
    return floors.isBehind(partition) ? "a copy is older than the last collection" : undefined;
  }

  #forget(partition: number): void {
    this.#ready.delete(partition);
    this.#waiting.delete(partition);
    this.#oldest.delete(partition);
    this.#dueFrom.delete(partition);
  }
}

/** Pairs without a root of this moment are not asked about: who says nothing of them has not seen them equal. */
function itemsOf(pairs: readonly LookPair[], looks: Looks): readonly LookItem[] {
  return pairs.map((pair) => ({ ...pair, root: looks.get(nameOf(pair)) ?? NO_ROOT }));
}

function nameOf({ partition, peerSlot }: LookPair): string {
  return `${partition}/${peerSlot}`;
}

/** How many partitions wait for each reason. */
export function reasonsOf(waiting: ReadonlyMap<number, string>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const reason of waiting.values()) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return counts;
}
