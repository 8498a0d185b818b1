/**
 * Requests for which there is no room just now: read, not begun, and not refused yet. As soon as there is room the youngest is let
 * in: its client is the likeliest to wait for it still. What has waited for half a second is let in no more and is refused in the
 * end, the later the more of them wait: a refusal costs a third of what serving does, so that hearing everybody often would leave
 * no time to serve anybody. Who has gone meanwhile costs nothing.
 * Must never let a request overtake one of its own connection, hold one for longer than `QUEUE_MAX_MS`, nor keep more than its bounds.
 * Sources: controlled delay with adaptive LIFO (Maurer, "Fail at Scale", 2015); CoDel (Nichols & Jacobson 2012); DESIGN §10.
 */
import { MAX_CLIENT_CONNECTIONS } from "../base/limits.ts";
import {
  QUEUE_LOOK_MS,
  QUEUE_MAX_BEHIND,
  QUEUE_MAX_BYTES,
  QUEUE_MAX_MS,
  QUEUE_MAX_OF_ONE,
  QUEUE_REFUSALS_A_LOOK,
  QUEUE_REFUSE_EACH_MS,
  QUEUE_USEFUL_MS,
} from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";
import type { Hindrance } from "./front-gate.ts";
import { type Line, UnreadLines } from "./unread-lines.ts";

/** The classes of work that wait. */
export type KeyWork = "read" | "write";

/** A request that waits; `R` is what the queue's owner knows it by. */
export interface Waiting<R> {
  readonly what: R;
  readonly work: KeyWork;
  readonly target: string | undefined;
  readonly connection: Line;
  readonly sinceMs: number;
  /** of its body, at most so many are held */
  readonly bytes: number;
}

/** What the queue works with. */
export interface QueueParts<R> {
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer" | "defer">;
  /** why a request is not let in now; undefined: it may be */
  readonly reasonNow: (work: KeyWork, target: string | undefined) => Hindrance | undefined;
  readonly letIn: (what: R, waitedMs: number) => void;
  readonly refuse: (what: R, work: KeyWork, why: Hindrance) => void;
}

/** What one connection has sent, oldest first; empty: it is over, and its place in a list means nothing any more. */
interface Row<R> {
  readonly requests: Waiting<R>[];
  /** of the first one, which places the row */
  sinceMs: number;
}

const CLASSES: readonly KeyWork[] = ["write", "read"];
/** Why a request is refused that has waited, here or unread. */
export const WAITED: Hindrance = {
  kind: "node",
  words: "this node has had no room for this request, and it has waited for too long",
};

/** Those who wait at one listener. */
export class AdmissionQueue<R> {
  readonly #parts: QueueParts<R>;
  readonly #rows = new Map<Line, Row<R>>();
  /** rows whose first request is of the class and of use yet, oldest first */
  readonly #fresh: Readonly<Record<KeyWork, Row<R>[]>> = { read: [], write: [] };
  /** rows whose first request waits for a refusal alone, oldest first */
  readonly #stale: Row<R>[] = [];
  readonly #unread: UnreadLines;
  /** connections whose end is listened for */
  readonly #known = new WeakSet<Line>();
  readonly #joined: Record<KeyWork, number> = { read: 0, write: 0 };
  #count = 0;
  #bytes = 0;
  #isPassing = false;
  #isLooking = false;

  constructor(parts: QueueParts<R>) {
    this.#parts = parts;
    this.#unread = new UnreadLines(parts.clock);
  }

  /** Requests that wait. */
  get count(): number {
    return this.#count;
  }

  /** Requests of the class that have had to wait since the start. */
  joinedOf(work: KeyWork): number {
    return this.#joined[work];
  }

  /** Whether a request of this connection waits: those that come after it wait behind it. */
  isWaiting(connection: Line): boolean {
    return this.#rows.has(connection);
  }

  /** Since when what comes over this connection just now may have been on the way, by the monotonic clock. */
  cameMs(connection: Line): number {
    return this.#unread.cameMs(connection);
  }

  /** Whether what comes over this connection just now has waited unread for too long. */
  isOverdue(connection: Line): boolean {
    if (!this.#unread.isReadAgain(connection)) return false;
    return this.#parts.clock.monotonicMs() - this.#unread.cameMs(connection) > QUEUE_USEFUL_MS;
  }

  /** Has a request wait; false: there is no room for that either. */
  join(request: Waiting<R>): boolean {
    const { connection, work, bytes, sinceMs } = request;
    if (this.#bytes + bytes > QUEUE_MAX_BYTES) return false;
    const row = this.#rows.get(connection);
    if (row === undefined) {
      if (this.#rows.size >= MAX_CLIENT_CONNECTIONS) return false;
      const first = { requests: [request], sinceMs };
      this.#rows.set(connection, first);
      this.#follow(connection);
      this.#place(first, this.#parts.clock.monotonicMs());
    } else {
      this.#unread.leave(connection);
      if (row.requests.length >= QUEUE_MAX_OF_ONE || this.#count - this.#rows.size >= QUEUE_MAX_BEHIND) return false;
      row.requests.push(request);
    }
    this.#count += 1;
    this.#bytes += bytes;
    this.#joined[work] += 1;
    this.#lookLater();
    return true;
  }

  /** A request that was let in is over: its place goes to the youngest, in the turns to come. */
  placeFree(): void {
    if (this.#isPassing || this.#count === 0) return;
    this.#isPassing = true;
    this.#parts.clock.defer(() => {
      this.#isPassing = false;
      this.#letInYoungest();
    });
  }

  /** Lets everybody in, for an answer: this node stops. */
  letInAll(): void {
    for (const row of [...this.#rows.values()]) {
      while (row.requests.length > 0) this.#letInFirst(row);
    }
  }

  /** Whoever goes away waits no longer. */
  #follow(connection: Line): void {
    if (this.#known.has(connection)) return;
    this.#known.add(connection);
    connection.on("close", () => {
      const row = this.#rows.get(connection);
      while (row !== undefined && row.requests.length > 0) this.#shift(row);
    });
  }

  #letInYoungest(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    for (const work of CLASSES) while (this.#dealWithYoungest(work, nowMs));
  }

  /** False: there is none of the class, or no room for it. */
  #dealWithYoungest(work: KeyWork, nowMs: number): boolean {
    const rows = this.#fresh[work];
    const row = rows.at(-1);
    if (row === undefined) return false;
    const first = row.requests[0];
    const isFresh = first !== undefined && nowMs - first.sinceMs <= QUEUE_USEFUL_MS;
    const why = isFresh ? this.#parts.reasonNow(work, first.target) : undefined;
    if (why?.kind === "node") return false;
    rows.pop();
    if (why !== undefined) this.#refuseFirst(row, why);
    else if (isFresh) this.#letInFirst(row);
    this.#place(row, nowMs);
    return true;
  }

  /** Has a row wait by what is first in it now. */
  #place(row: Row<R>, nowMs: number): void {
    const first = row.requests[0];
    if (first === undefined) return;
    row.sinceMs = first.sinceMs;
    insert(nowMs - first.sinceMs > QUEUE_USEFUL_MS ? this.#stale : this.#fresh[first.work], row);
  }

  #letInFirst(row: Row<R>): void {
    const first = this.#shift(row);
    if (first === undefined || first.connection.destroyed) return;
    this.#parts.letIn(first.what, this.#parts.clock.monotonicMs() - first.sinceMs);
  }

  #refuseFirst(row: Row<R>, why: Hindrance): void {
    const first = this.#shift(row);
    if (first !== undefined) this.#parts.refuse(first.what, first.work, why);
  }

  #shift(row: Row<R>): Waiting<R> | undefined {
    const first = row.requests.shift();
    if (first === undefined) return undefined;
    this.#count -= 1;
    this.#bytes -= first.bytes;
    if (row.requests.length === 0) {
      this.#rows.delete(first.connection);
      this.#unread.readOn(first.connection);
    }
    return first;
  }

  #lookLater(): void {
    if (this.#isLooking || this.#count === 0) return;
    this.#isLooking = true;
    this.#parts.clock.setTimer(QUEUE_LOOK_MS, this.#look);
  }

  readonly #look = (): void => {
    this.#isLooking = false;
    const nowMs = this.#parts.clock.monotonicMs();
    for (const work of CLASSES) {
      const old = takeOldest(this.#fresh[work], nowMs - QUEUE_USEFUL_MS);
      for (const row of old) this.#place(row, nowMs);
    }
    // limits may have grown
    this.#letInYoungest();
    this.#refuseStale(nowMs);
    this.#lookLater();
  };

  /** So many at most: where clients send on without waiting there are more of them than connections. */
  #refuseStale(nowMs: number): void {
    const pauseMs = Math.min(QUEUE_MAX_MS, Math.max(QUEUE_USEFUL_MS, this.#count * QUEUE_REFUSE_EACH_MS));
    const beforeMs = this.#isIdle() ? nowMs : nowMs - pauseMs;
    let left = QUEUE_REFUSALS_A_LOOK;
    let at = 0;
    for (; left > 0; at += 1) {
      const row = this.#stale[at];
      if (row === undefined || row.sinceMs > beforeMs) break;
      left -= this.#refuseOld(row, nowMs);
    }
    for (const row of this.#stale.splice(0, at)) this.#place(row, nowMs);
  }

  /** All that is of no use in it: a connection that was not touched for a while is dear to touch. Answers how many. */
  #refuseOld(row: Row<R>, nowMs: number): number {
    const before = row.requests.length;
    while (nowMs - (row.requests[0]?.sinceMs ?? nowMs) > QUEUE_USEFUL_MS) this.#refuseFirst(row, WAITED);
    return before - row.requests.length;
  }

  /** There is room, and nobody waits who may be let in. */
  #isIdle(): boolean {
    return CLASSES.every(
      (work) => this.#fresh[work].length === 0 && this.#parts.reasonNow(work, undefined) === undefined,
    );
  }
}

/** Nearly always at the end: what comes is the youngest. */
function insert<R>(rows: Row<R>[], row: Row<R>): void {
  let at = rows.length;
  while (at > 0 && (rows[at - 1]?.sinceMs ?? 0) > row.sinceMs) at -= 1;
  if (at === rows.length) rows.push(row);
  else rows.splice(at, 0, row);
}

/** Those that wait since before then. */
function takeOldest<R>(rows: Row<R>[], beforeMs: number): Row<R>[] {
  let count = 0;
  while (count < rows.length && (rows[count]?.sinceMs ?? 0) < beforeMs) count += 1;
  return rows.splice(0, count);
}
