/**
 * Requests for which there is no room just now: read, not begun, and not refused yet. As soon as there is room the youngest is let
 * in: its client is the likeliest to wait for it still. What has waited for half a second is let in no more and is refused in the
 * end, the later the more of them wait: a refusal costs half of what serving does, so that hearing everybody often would leave
 * no time to serve anybody. Who has gone meanwhile costs nothing.
 * Must never let a request of a key overtake one of its own connection that waits, keep more than its bounds, nor do much in one turn.
 * Sources: controlled delay with adaptive LIFO (Maurer, "Fail at Scale", 2015); CoDel (Nichols & Jacobson 2012); DESIGN §10.
 */
import {
  QUEUE_CROWDED_ROWS,
  QUEUE_DEALT_A_TURN,
  QUEUE_DUE_MS,
  QUEUE_LOOK_MS,
  QUEUE_LOOKED_AT,
  QUEUE_MAX_BEHIND,
  QUEUE_MAX_BYTES,
  QUEUE_MAX_MS,
  QUEUE_MAX_OF_ONE,
  QUEUE_REFUSALS_A_LOOK,
  QUEUE_REFUSE_EACH_MS,
  QUEUE_USEFUL_MS,
} from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";
import { type Hindrance, NOBODYS, PUSHED_OUT, WAITED, type Whose } from "./front-gate.ts";
import { type Line, UnreadLines } from "./unread-lines.ts";
import {
  countBefore,
  insert,
  insertAll,
  isOfUse,
  isThere,
  type KeyWork,
  type Row,
  takeOldest,
  type Waiting,
} from "./waiting-rows.ts";

/** What the queue works with. */
export interface QueueParts<R> {
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer" | "defer">;
  /** why such a request that brings so many bytes is not let in now; undefined: it may be */
  readonly reasonNow: (work: KeyWork, whose: Whose, bytes: number) => Hindrance | undefined;
  readonly letIn: (what: R, waitedMs: number) => void;
  readonly refuse: (what: R, work: KeyWork, why: Hindrance) => void;
}

const CLASSES: readonly KeyWork[] = ["write", "read"];
/** times as many refusals where there is room and nobody waits who may be let in */
const IDLE_PACE = 4;

/** Those who wait at one listener. */
export class AdmissionQueue<R> {
  readonly #parts: QueueParts<R>;
  readonly #rows = new Map<Line, Row<R>>();
  /** rows whose first request is of the class and of use yet, oldest first */
  readonly #fresh: Readonly<Record<KeyWork, Row<R>[]>> = { read: [], write: [] };
  /** rows whose first request waits for a refusal alone, oldest first */
  readonly #stale: Row<R>[] = [];
  readonly #unread: UnreadLines;
  /** connections of which a request has waited: their end is listened for */
  readonly #known = new WeakSet<Line>();
  readonly #order: KeyWork[] = [...CLASSES];
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

  /** Whether a request of this connection waits: those that come after it wait behind it. */
  isWaiting(connection: Line): boolean {
    return this.#rows.has(connection);
  }

  /** Since when what comes over this connection just now may have been on the way, by the monotonic clock. */
  cameMs(connection: Line): number {
    return this.#unread.cameMs(connection);
  }

  /** For how long what comes over this connection just now may have been left unread, ms. */
  unreadMs(connection: Line): number {
    return this.#unread.unreadMs(connection);
  }

  /** Has a request wait; false: there is no room for that either. */
  join(request: Waiting<R>): boolean {
    const { connection, bytes } = request;
    if (!this.#mayStandBehind(connection) || !this.#hasBytes(bytes)) return false;
    // not before: to make room for its bytes may have ended its row
    const row = this.#rows.get(connection);
    if (row === undefined) this.#begin(request);
    else row.requests.push(request);
    this.#count += 1;
    this.#bytes += bytes;
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

  /** Whether the row of a connection takes one more; one that has none takes the first. */
  #mayStandBehind(connection: Line): boolean {
    const row = this.#rows.get(connection);
    if (row === undefined) return true;
    this.#unread.leave(connection);
    return row.requests.length < QUEUE_MAX_OF_ONE && this.#count - this.#rows.size < QUEUE_MAX_BEHIND;
  }

  /** Whether there is room for so much; what is of no use any more gives way to it. */
  #hasBytes(bytes: number): boolean {
    const nowMs = this.#parts.clock.monotonicMs();
    for (let left = QUEUE_DEALT_A_TURN; left > 0 && this.#bytes + bytes > QUEUE_MAX_BYTES; ) {
      const row = this.#stale.shift();
      if (row === undefined) return false;
      left -= this.#refuseOld(row, nowMs);
      this.#place(row, nowMs);
    }
    return this.#bytes + bytes <= QUEUE_MAX_BYTES;
  }

  /** The first request of a connection. */
  #begin(request: Waiting<R>): void {
    if (this.#rows.size >= QUEUE_CROWDED_ROWS && !this.#known.has(request.connection)) this.#pushOutOldest();
    const row = { requests: [request], sinceMs: request.sinceMs };
    this.#rows.set(request.connection, row);
    this.#follow(request.connection);
    this.#place(row, this.#parts.clock.monotonicMs());
  }

  /**
   * No more connections wait than that: whoever has waited longest gives way to one that waits for the first time, and keeps its
   * connection. Those that come back do not push: whom they pushed out would come back as well.
   */
  #pushOutOldest(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    const row = takeOldest([this.#stale, this.#fresh.read, this.#fresh.write]);
    while (row !== undefined && row.requests.length > 0) {
      this.#refuseFirst(row, isOfUse(row, nowMs) ? PUSHED_OUT : WAITED);
    }
  }

  /** Whoever goes away waits no longer. */
  #follow(connection: Line): void {
    if (this.#known.has(connection)) return;
    this.#known.add(connection);
    connection.on("close", () => {
      const row = this.#rows.get(connection);
      while (row !== undefined && row.requests.length > 0) this.#shift(row);
      this.#unread.forget(connection);
    });
  }

  #letInYoungest(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    this.#setAsideOld(nowMs);
    let left = QUEUE_DEALT_A_TURN;
    for (let before = 0; left > 0 && left !== before; ) {
      // again, for what is next of a connection may be of the other class
      before = left;
      for (const work of this.#order) while (left > 0 && this.#dealWithYoungest(work, nowMs)) left -= 1;
    }
    // The classes take turns to be first.
    if (left < QUEUE_DEALT_A_TURN) this.#order.reverse();
    if (left === 0) this.placeFree();
  }

  /** Those that have become old are for a refusal alone. */
  #setAsideOld(nowMs: number): void {
    for (const work of CLASSES) {
      const rows = this.#fresh[work];
      insertAll(this.#stale, rows.splice(0, countBefore(rows, nowMs - QUEUE_USEFUL_MS)).filter(isThere));
    }
  }

  /** False: there is none of the class, or no room for it. Those that have gone may be thousands, and are met once each. */
  #dealWithYoungest(work: KeyWork, nowMs: number): boolean {
    const rows = this.#fresh[work];
    let left = QUEUE_LOOKED_AT;
    for (let at = rows.length - 1; at >= 0 && left > 0; at -= 1) {
      const row = rows[at];
      const first = row?.requests[0];
      const why = first && this.#parts.reasonNow(work, first.whose, first.bringsBytes);
      if (why?.kind === "node") return false;
      if (first !== undefined) left -= 1;
      if (why?.kind === "bytes") continue;
      rows.splice(at, 1);
      if (row === undefined || first === undefined) continue;
      // One that is held off for what it is itself is refused in its time: at once would be all of them, and all would come back at once.
      if (why !== undefined) insert(this.#stale, row);
      else {
        this.#letInFirst(row);
        this.#place(row, nowMs);
      }
      return true;
    }
    return false;
  }

  /** Has a row wait by what is first in it now. */
  #place(row: Row<R>, nowMs: number): void {
    const first = row.requests[0];
    if (first === undefined) return;
    row.sinceMs = first.sinceMs;
    insert(isOfUse(row, nowMs) ? this.#fresh[first.work] : this.#stale, row);
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
    // limits may have grown
    this.#letInYoungest();
    this.#refuseStale(nowMs);
    this.#lookLater();
  };

  /** At a pace, and faster the more are due: what comes at once is not refused in one turn, and nobody waits for long after that. */
  #refuseStale(nowMs: number): void {
    const isIdle = this.#isIdle();
    const pauseMs = Math.min(QUEUE_MAX_MS, Math.max(QUEUE_USEFUL_MS, this.#count * QUEUE_REFUSE_EACH_MS));
    const due = countBefore(this.#stale, isIdle ? nowMs : nowMs - pauseMs);
    let left = Math.max(QUEUE_REFUSALS_A_LOOK * (isIdle ? IDLE_PACE : 1), (due * QUEUE_LOOK_MS) / QUEUE_DUE_MS);
    let at = 0;
    for (; left > 0 && at < due; at += 1) left -= this.#refuseOld(this.#stale[at], nowMs);
    for (const row of this.#stale.splice(0, at)) this.#place(row, nowMs);
  }

  /**
   * Its first one, unless it is of use and not held off for itself any more, and all behind it that is of no use: a connection that was
   * not touched for a while is dear to touch. Answers how many it has dealt with.
   */
  #refuseOld(row: Row<R> | undefined, nowMs: number): number {
    const first = row?.requests[0];
    if (row === undefined || first === undefined) return 0;
    const before = row.requests.length;
    const why = isOfUse(row, nowMs) ? this.#parts.reasonNow(first.work, first.whose, first.bringsBytes) : WAITED;
    if (why !== WAITED && why?.kind !== "own") return 1;
    this.#refuseFirst(row, why);
    while (row.requests.length > 0 && !isOfUse(row, nowMs)) this.#refuseFirst(row, WAITED);
    return before - row.requests.length;
  }

  /** There is room, and nobody waits who may be let in. */
  #isIdle(): boolean {
    return CLASSES.every(
      (work) => this.#fresh[work].length === 0 && this.#parts.reasonNow(work, NOBODYS, 0) === undefined,
    );
  }
}
