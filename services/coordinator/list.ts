/**
 * A bucket's keys, page by page, in the order of their hashes. The cursor is a hash position: it means the same on every
 * node and outlives changes of ownership.
 *
 * Eventually consistent, and said so: each partition is asked of ONE live owner. A write or delete that this owner has
 * not met yet is missed or still shown; a key that stands during the whole listing at every owner is shown exactly once.
 * Values whose time is over are shown until they are collected. Bounded per page: a page may be short, even empty, and
 * still have a cursor.
 */
import type { BucketName, NodeId } from "../base/ids.ts";
import { LIST_SCAN_MS } from "../base/limits.ts";
import { TopicRefusal } from "../peers/peer-handler.ts";
import type { PlacementTable } from "../placement/types.ts";
import { partitionAt, type ScanFound, type ScanParts, scanRun, startOf } from "./bucket-scan.ts";
import type { Failure, ListAnswer, ListRequest } from "./contract.ts";
import { notReady, refused } from "./failures.ts";
import type { Seat } from "./needs.ts";
import { type CoordinatorRoom, cappedSettings } from "./request-scope.ts";
import { parseFound, parseQuestion, plainFound, plainQuestion, SCAN_TOPIC, type ScanQuestion } from "./scan-message.ts";
import { WheelEntry } from "./timer-wheel.ts";

/** Lists buckets for clients, and answers runs for other nodes. */
export class BucketList {
  readonly #room: CoordinatorRoom;

  constructor(room: CoordinatorRoom) {
    this.#room = room;
  }

  /** One page; settles within its deadline and one tick. */
  page(request: ListRequest): Promise<ListAnswer> {
    const table = this.#room.placement.table();
    if (table === undefined) return Promise.resolve(notReady());
    return new Promise((resolve, reject) => {
      const deadlineMs = this.#room.clock.monotonicMs() + request.timeoutMs;
      const deadline = new ListDeadline(() => resolve(tooSlow()));
      this.#room.wheel.arm(deadline, deadlineMs);
      const end = (): void => this.#room.wheel.disarm(deadline);
      this.#gather(table, request, deadlineMs).then(resolve, reject).finally(end);
    });
  }

  /** Answers a run that another node asks for. */
  async answerScan(body: unknown, budgetMs: number): Promise<unknown> {
    const question = parseQuestion(body);
    const table = this.#room.placement.table();
    if (question === undefined) return new TopicRefusal("bad_request", "a scan is malformed");
    if (table === undefined) return new TopicRefusal("not_ready", "this node knows of no ring yet");
    const found = await this.#scanHere(table, question, budgetMs);
    return found === undefined ? new TopicRefusal("not_owner", "no slot is held here") : plainFound(found);
  }

  async #gather(table: PlacementTable, request: ListRequest, deadlineMs: number): Promise<ListAnswer> {
    const stopAtMs = this.#room.clock.monotonicMs() + Math.min(LIST_SCAN_MS, request.timeoutMs / 2);
    const keys: Uint8Array[] = [];
    let from = request.from;
    for (;;) {
      const { bucket, prefix } = request;
      const limit = request.limit - keys.length;
      // In hash order: the next run begins where this one ends.
      // oxlint-disable-next-line no-await-in-loop
      const found = await this.#run(table, { bucket, prefix, from, limit }, deadlineMs);
      if (found === undefined) return keys.length > 0 ? { kind: "page", keys, next: from } : unlistable(from);
      for (const key of found.keys) keys.push(key);
      if (found.next === undefined) return { kind: "page", keys, next: undefined };
      from = found.next;
      const isTimeUp = this.#room.clock.monotonicMs() >= stopAtMs;
      if (keys.length >= request.limit || isTimeUp) return { kind: "page", keys, next: from };
    }
  }

  /** The next run, from the first owner of its first partition that answers; undefined when none does. */
  async #run(
    table: PlacementTable,
    wanted: Omit<ScanQuestion, "through">,
    deadlineMs: number,
  ): Promise<ScanFound | undefined> {
    const n = this.#replicaCountOf(table, wanted.bucket);
    const first = partitionAt(wanted.from, table.partitionCount);
    for (const seat of this.#ownersInOrder(table, first, n)) {
      const through = this.#runEnd(table, { node: seat.node, first, n });
      const question = { ...wanted, through };
      const budgetMs = deadlineMs - this.#room.clock.monotonicMs();
      if (budgetMs < 1) return undefined;
      const isSelf = seat.node === this.#room.self;
      // The next owner is asked only when this one has failed.
      // oxlint-disable-next-line no-await-in-loop
      const found = await (isSelf
        ? this.#tryHere(table, question, budgetMs)
        : this.#ask(seat.node, question, budgetMs));
      if (found === undefined) continue;
      // The run may end before the ring does: then its end is where the next one begins.
      const next = found.next ?? startOf(through + 1, table.partitionCount);
      if (next === undefined || next > wanted.from) return { keys: found.keys, next };
    }
    return undefined;
  }

  #ownersInOrder(table: PlacementTable, partition: number, n: number): readonly Seat[] {
    const { self, local, peers, seats } = this.#room;
    const isWhole = this.#holds(partition, n) && !local.isSuspect(partition);
    const rankOf = (seat: Seat): number => {
      if (seat.node === self) return isWhole ? 0 : 2;
      return peers.isReachable(seat.node) ? 1 : 3;
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
  #tryHere(table: PlacementTable, question: ScanQuestion, budgetMs: number): Promise<ScanFound | undefined> {
    return this.#scanHere(table, question, budgetMs).catch(() => undefined);
  }

  #scanHere(table: PlacementTable, question: ScanQuestion, budgetMs: number): Promise<ScanFound | undefined> {
    const n = this.#replicaCountOf(table, question.bucket);
    const parts: ScanParts = {
      clock: this.#room.clock,
      scan: this.#room.scan,
      partitionCount: table.partitionCount,
      holds: (partition) => this.#holds(partition, n),
    };
    const stopAtMs = this.#room.clock.monotonicMs() + Math.min(LIST_SCAN_MS, budgetMs / 2);
    return scanRun(parts, { ...question, stopAtMs });
  }

  #ask(node: NodeId, question: ScanQuestion, budgetMs: number): Promise<ScanFound | undefined> {
    return new Promise((resolve) => {
      const request = { kind: "ask", topic: SCAN_TOPIC, body: plainQuestion(question) } as const;
      this.#room.peers.call(node, request, budgetMs, (result) => {
        resolve(result.kind === "answer" ? parseFound(result.body) : undefined);
      });
    });
  }

  #holds(partition: number, n: number): boolean {
    const slot = this.#room.local.slotOf(partition);
    return slot >= 0 && slot < n;
  }

  #replicaCountOf(table: PlacementTable, bucket: BucketName): number {
    return cappedSettings(this.#room.buckets.settingsOf(bucket), table.replicaCount).n;
  }
}

class ListDeadline extends WheelEntry {
  readonly onDue: () => void;
  constructor(onDue: () => void) {
    super();
    this.onDue = onDue;
  }
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
