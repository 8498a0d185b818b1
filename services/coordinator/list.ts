/**
 * A bucket's keys, page by page, in the order of their hashes. The cursor is a hash position: it means the same on every
 * node and outlives changes of ownership.
 *
 * Eventually consistent, and said so: each partition is asked of ONE live owner. A write or delete that this owner has
 * not met yet is missed or still shown; a key that stands during the whole listing at every owner is shown exactly once.
 * A key is not shown once the time of all its values is over by the clock of the owner asked. Bounded per page: a page may be short, even empty, and
 * still have a cursor.
 */
import type { BucketName, NodeId } from "../base/ids.ts";
import { LIST_SCAN_MS, MAX_HOLDER_LOOKS, MAX_MOVED_HOPS } from "../base/limits.ts";
import type { CallResult } from "../peers/messages.ts";
import { TopicRefusal } from "../peers/peer-handler.ts";
import type { PlacementTable } from "../placement/types.ts";
import { partitionAt, type ScanFound, type ScanParts, scanRun, startOf } from "./bucket-scan.ts";
import type { Failure, ListAnswer, ListRequest } from "./contract.ts";
import { notReady, refused } from "./failures.ts";
import { lookAgainAfterMs, strayRefusalOf, strayWordOf } from "./holder-search.ts";
import type { Seat } from "./needs.ts";
import type { Standing } from "./peer-health.ts";
import { type CoordinatorRoom, cappedSettings } from "./request-scope.ts";
import { parseFound, parseQuestion, plainFound, plainQuestion, SCAN_TOPIC, type ScanQuestion } from "./scan-message.ts";
import { WheelCall } from "./timer-wheel.ts";

/** This node comes first (0) or, when its store is not whole, after those that can be reached (3). */
const RANK_BY_STANDING: Readonly<Record<Standing, number>> = { well: 1, doubtful: 2, unreachable: 4 };

/** Lists buckets for clients, and answers runs for other nodes. */
export class BucketList {
  readonly #room: CoordinatorRoom;

  constructor(room: CoordinatorRoom) {
    this.#room = room;
  }

  /** One page; settles within its deadline and one tick. */
  page(request: ListRequest): Promise<ListAnswer> {
    if (this.#room.placement.table() === undefined) return Promise.resolve(notReady());
    return new Promise((resolve, reject) => {
      const deadlineMs = this.#room.clock.monotonicMs() + request.timeoutMs;
      const deadline = new WheelCall(() => resolve(tooSlow()));
      this.#room.wheel.arm(deadline, deadlineMs);
      const end = (): void => this.#room.wheel.disarm(deadline);
      this.#gather(request, deadlineMs).then(resolve, reject).finally(end);
    });
  }

  /** Answers a run that another node asks for. */
  async answerScan(body: unknown, budgetMs: number): Promise<unknown> {
    const question = parseQuestion(body);
    const table = this.#room.placement.table();
    if (question === undefined) return new TopicRefusal("bad_request", "a scan is malformed");
    if (table === undefined) return new TopicRefusal("not_ready", "this node knows of no ring yet");
    const found = await this.#scanHere(table, question, budgetMs);
    if (found !== undefined) return plainFound(found);
    const to = this.#movedTo(partitionAt(question.from, table.partitionCount));
    return new TopicRefusal(to === undefined ? "not_owner" : "moved", "no slot is held here", to);
  }

  async #gather(request: ListRequest, deadlineMs: number): Promise<ListAnswer> {
    const { clock } = this.#room;
    const stopAtMs = clock.monotonicMs() + Math.min(LIST_SCAN_MS, request.timeoutMs / 2);
    const keys: Uint8Array[] = [];
    let from = request.from;
    for (let lookCount = 0; ; ) {
      const { bucket, prefix } = request;
      const limit = request.limit - keys.length;
      // In hash order: the next run begins where this one ends. By the table in force then, for slots move.
      // oxlint-disable-next-line no-await-in-loop
      const run = await this.#run({ bucket, prefix, from, limit }, deadlineMs);
      if (run.kind === "nobody") {
        lookCount += 1;
        if (keys.length > 0) return { kind: "page", keys, next: from };
        if (!run.isMoving || lookCount > MAX_HOLDER_LOOKS) return unlistable(from);
        // Nobody holds the slots just now: a while later somebody does.
        // oxlint-disable-next-line no-await-in-loop
        if (!(await this.#waited(deadlineMs))) return unlistable(from);
        continue;
      }
      for (const key of run.found.keys) keys.push(key);
      if (run.found.next === undefined) return { kind: "page", keys, next: undefined };
      from = run.found.next;
      const isTimeUp = clock.monotonicMs() >= stopAtMs;
      if (keys.length >= request.limit || isTimeUp) return { kind: "page", keys, next: from };
    }
  }

  /** Waits until it is worth looking again; false when the deadline comes first. */
  #waited(deadlineMs: number): Promise<boolean> {
    const { clock, wheel, stagger } = this.#room;
    const dueMs = clock.monotonicMs() + lookAgainAfterMs(stagger.next());
    if (dueMs >= deadlineMs) return Promise.resolve(false);
    this.#room.counters.holderLookCount += 1;
    return new Promise((resolve) => wheel.arm(new WheelCall(() => resolve(true)), dueMs));
  }

  /** The next run, from the first owner of its first partition that answers, or whom it names. */
  async #run(wanted: Omit<ScanQuestion, "through">, deadlineMs: number): Promise<RunEnd> {
    const table = this.#room.placement.table();
    if (table === undefined) return { kind: "nobody", isMoving: false };
    const n = this.#replicaCountOf(table, wanted.bucket);
    const first = partitionAt(wanted.from, table.partitionCount);
    const nodes = this.#ownersInOrder(table, first, n).map((seat) => seat.node);
    let isMoving = false;
    let hopCount = 0;
    for (let at = 0; at < nodes.length; at += 1) {
      const node = nodes[at];
      const budgetMs = deadlineMs - this.#room.clock.monotonicMs();
      if (node === undefined || budgetMs < 1) break;
      const through = this.#runEnd(table, { node, first, n });
      const question = { ...wanted, through };
      // The next owner is asked only when this one has failed.
      // oxlint-disable-next-line no-await-in-loop
      const end = await (node === this.#room.self
        ? this.#tryHere(table, question, budgetMs)
        : this.#ask(node, question, budgetMs));
      if (end.kind === "nobody") {
        isMoving ||= end.isMoving;
        if (end.to === undefined || nodes.includes(end.to) || hopCount >= MAX_MOVED_HOPS) continue;
        hopCount += 1;
        this.#room.counters.movedCount += 1;
        nodes.splice(at + 1, 0, end.to);
        continue;
      }
      // The run may end before the ring does: then its end is where the next one begins.
      const next = end.found.next ?? startOf(through + 1, table.partitionCount);
      if (next === undefined || next > wanted.from) return { kind: "found", found: { keys: end.found.keys, next } };
    }
    return { kind: "nobody", isMoving };
  }

  #ownersInOrder(table: PlacementTable, partition: number, n: number): readonly Seat[] {
    const { self, local, health, seats } = this.#room;
    const isWhole = this.#holds(partition, n) && !local.isSuspect(partition);
    const nowMs = this.#room.clock.monotonicMs();
    const rankOf = (seat: Seat): number => {
      if (seat.node === self) return isWhole ? 0 : 3;
      return RANK_BY_STANDING[health.standingOf(seat.node, nowMs)];
    };
    return seats.ownersOf(table, partition, n).toSorted((a, b) => rankOf(a) - rankOf(b));
  }

  /** How far the node can go: while it owns, and while this node could not do it itself. */
  #runEnd(table: PlacementTable, run: { readonly node: NodeId; readonly first: number; readonly n: number }): number {
    let through = run.first;
    for (let next = run.first + 1; next < table.partitionCount; next += 1) {
      const slot = table.slotOf(next, run.node);
      const isOwner = slot >= 0 && slot < run.n;
      if (!isOwner || (run.node !== this.#room.self && this.#holds(next, run.n))) break;
      through = next;
    }
    return through;
  }

  /** A store that cannot be read is no empty one: another owner is asked. */
  #tryHere(table: PlacementTable, question: ScanQuestion, budgetMs: number): Promise<RunEnd> {
    const first = partitionAt(question.from, table.partitionCount);
    return this.#scanHere(table, question, budgetMs).then(
      (found) =>
        found === undefined ? { kind: "nobody", isMoving: true, to: this.#movedTo(first) } : { kind: "found", found },
      () => ({ kind: "nobody", isMoving: false }),
    );
  }

  #movedTo(partition: number): NodeId | undefined {
    const refusal = this.#room.local.refusalOf?.(partition);
    return refusal === undefined ? undefined : strayRefusalOf(refusal)?.to;
  }

  #scanHere(table: PlacementTable, question: ScanQuestion, budgetMs: number): Promise<ScanFound | undefined> {
    const n = this.#replicaCountOf(table, question.bucket);
    const parts: ScanParts = {
      clock: this.#room.clock,
      scan: this.#room.scan,
      local: this.#room.local,
      partitionCount: table.partitionCount,
      slotOf: (partition) => this.#slotOf(partition, n),
    };
    const stopAtMs = this.#room.clock.monotonicMs() + Math.min(LIST_SCAN_MS, budgetMs / 2);
    return scanRun(parts, { ...question, stopAtMs });
  }

  #ask(node: NodeId, question: ScanQuestion, budgetMs: number): Promise<RunEnd> {
    return new Promise((resolve) => {
      const request = { kind: "ask", topic: SCAN_TOPIC, body: plainQuestion(question) } as const;
      this.#room.peers.call(node, request, budgetMs, (result) => resolve(runEndOf(result)));
    });
  }

  #holds(partition: number, n: number): boolean {
    return this.#slotOf(partition, n) >= 0;
  }

  /** The slot of the bucket's n that is held here and can answer reads, −1 for none. */
  #slotOf(partition: number, n: number): number {
    const { local } = this.#room;
    const slot = local.slotOf(partition);
    return slot < n && local.isHidden?.(partition, undefined) !== true ? slot : -1;
  }

  #replicaCountOf(table: PlacementTable, bucket: BucketName): number {
    return cappedSettings(this.#room.buckets.settingsOf(bucket), table.replicaCount).n;
  }
}

/** What became of a run: keys, or why nobody could tell. */
type RunEnd =
  | { readonly kind: "found"; readonly found: ScanFound }
  /** `isMoving`: for want of a slot, which passes; `to`: who holds it instead */
  | { readonly kind: "nobody"; readonly isMoving: boolean; readonly to?: NodeId | undefined };

function runEndOf(result: CallResult): RunEnd {
  const found = result.kind === "answer" ? parseFound(result.body) : undefined;
  if (found !== undefined) return { kind: "found", found };
  const stray = strayWordOf(result);
  return { kind: "nobody", isMoving: stray !== undefined, to: stray?.to };
}

function tooSlow(): Failure {
  return refused("quorum_not_met", "The listing took longer than its timeout; go on from the same cursor.", {
    retryable: true,
  });
}

function unlistable(from: bigint): Failure {
  return refused("quorum_not_met", "No owner of the next partition answers; go on from the same cursor later.", {
    retryable: true,
    facts: { position: from.toString() },
  });
}
