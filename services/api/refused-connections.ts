/**
 * Backpressure behind a refusal: a connection whose request was refused for overload is not read for a while, so that a client
 * which neither waits for `Retry-After` nor for its answers fills its own buffers instead of this node's time. Of those who wait,
 * as many are read again as there is room for, the last first: what they have sent is the youngest. Whoever was left over is read
 * in the end, the later the more of them there are and within a second. What may have waited for half a second, or was
 * left over, is read for an answer alone: it is refused, and its place left to what is of use to somebody yet.
 * A few refusals cost nothing and make nobody wait: a burst is over before a pause would be.
 * Must never hold back an answer, nor the rest of a request that has been let in, nor leave a connection unread.
 * Sources: TCP flow control; Cassandra's native transport does the same to clients that exceed its limits (CASSANDRA-16663);
 * adaptive LIFO (Maurer, "Fail at Scale", 2015).
 */
import {
  FLOOD_REFUSALS,
  FLOOD_WINDOW_MS,
  PAUSE_LOOK_MS,
  REFUSED_PAUSE_EACH_MS,
  REFUSED_PAUSE_MAX_MS,
  REFUSED_PAUSE_MIN_MS,
  REFUSED_USEFUL_MS,
} from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";

/** The classes of work that are refused before the framework sees them. */
export type RefusedWork = "read" | "write";

/** What is needed of a connection. */
export interface Readable {
  readonly destroyed: boolean;
  pause(): unknown;
  resume(): unknown;
  on(event: "resume", listener: () => void): unknown;
  off(event: "resume", listener: () => void): unknown;
}

/** What is needed of a request that was let in. */
export interface Arriving {
  /** all of it has been read */
  readonly complete: boolean;
}

/** What pausing works with. */
export interface PauseParts {
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer" | "defer">;
  /** how many requests of the class may be read without filling this node */
  readonly roomFor: (work: RefusedWork) => number;
}

interface Refused {
  work: RefusedWork;
  /** what was let in behind the refused one, its body perhaps on the way */
  behind: Arriving | undefined;
  /** it will be held once its parser is done with what was read */
  isToBeHeld: boolean;
  readonly onResume: () => void;
}

const CLASSES: readonly RefusedWork[] = ["read", "write"];
/** how far one turn moves what is taken for typical, and what is too much for that */
const LEARNT = 1 / 8;
const MANY_REQUESTS = 16;

/** The connections that are not read just now. At most as many as the listener has, and those that ended while they waited. */
export class RefusedConnections {
  readonly #parts: PauseParts;
  /** of this turn of the event loop: their parsers may be in the middle of what was read, and have them read on */
  readonly #ofTurn = new Map<Readable, Refused>();
  /** refusals of this turn, and what a connection typically brings at once */
  #refusalsOfTurn = 0;
  #typicalRequests = 1;
  #windowEndMs = 0;
  #countOfWindow = 0;
  /** since when each waits, by what was refused; oldest first */
  readonly #waiting: Readonly<Record<RefusedWork, Map<Readable, number>>> = { read: new Map(), write: new Map() };
  /** those that are read for an answer alone just now, and what they waited for */
  readonly #overdue = new Map<Readable, RefusedWork>();
  #isLooking = false;

  constructor(parts: PauseParts) {
    this.#parts = parts;
  }

  /** Connections that are not read. */
  get count(): number {
    return this.#waiting.read.size + this.#waiting.write.size;
  }

  /** Whether a request of the class that came over it just now has waited for too long: what room there is is for younger ones. */
  isOverdue(connection: Readable, work: RefusedWork): boolean {
    const waitedFor = this.#overdue.size === 0 ? undefined : this.#overdue.get(connection);
    // A flood of reads is no reason to refuse a write while less than half of the places for writes are taken, however old it is.
    return waitedFor !== undefined && (waitedFor === work || this.#parts.roomFor(work) <= 0);
  }

  /** A request of this connection was refused. */
  refused(connection: Readable, work: RefusedWork): void {
    if (!this.#isFlood()) return;
    if (this.#ofTurn.size === 0) this.#parts.clock.defer(this.#endTurn);
    this.#refusalsOfTurn += 1;
    const refused = this.#ofTurn.get(connection) ?? this.#follow(connection, work);
    refused.work = work;
    refused.behind = undefined;
    if (refused.isToBeHeld) return;
    refused.isToBeHeld = true;
    // Not at once: what the parser does next would undo it. Not at the end of the turn: in one, a socket is read 32 times.
    void Promise.resolve().then(() => {
      refused.isToBeHeld = false;
      this.#hold(connection);
    });
  }

  /** A request of this connection was let in. */
  admitted(connection: Readable, behind: Arriving): void {
    if (this.#ofTurn.size === 0) return;
    const refused = this.#ofTurn.get(connection);
    if (refused !== undefined) refused.behind = behind;
  }

  /** Reads all of them at once, and answers whether there were any: this node stops, and what they have sent is to be answered. */
  readAll(): boolean {
    this.#overdue.clear();
    const all = new Set(this.#endHolds().keys());
    for (const work of CLASSES) {
      for (const connection of this.#waiting[work].keys()) all.add(connection);
      this.#waiting[work].clear();
    }
    for (const connection of all) connection.resume();
    return all.size > 0;
  }

  #follow(connection: Readable, work: RefusedWork): Refused {
    // Node has a connection read on behind each request that came whole, and after what it has thrown away.
    const onResume = (): void => this.#hold(connection);
    const refused = { work, behind: undefined, isToBeHeld: false, onResume };
    connection.on("resume", onResume);
    this.#ofTurn.set(connection, refused);
    return refused;
  }

  /** Until the turn ends: each is read once in it. */
  #hold(connection: Readable): void {
    const refused = this.#ofTurn.get(connection);
    if (refused !== undefined && refused.behind?.complete !== false) connection.pause();
  }

  /** Answers whom they were for; from here on nobody is held by what comes late. */
  #endHolds(): ReadonlyMap<Readable, Refused> {
    const held = new Map(this.#ofTurn);
    this.#ofTurn.clear();
    for (const [connection, { onResume }] of held) connection.off("resume", onResume);
    return held;
  }

  #isFlood(): boolean {
    const nowMs = this.#parts.clock.monotonicMs();
    if (nowMs >= this.#windowEndMs) {
      this.#windowEndMs = nowMs + FLOOD_WINDOW_MS;
      this.#countOfWindow = 0;
    }
    this.#countOfWindow += 1;
    return this.#countOfWindow > FLOOD_REFUSALS;
  }

  readonly #endTurn = (): void => {
    const nowMs = this.#parts.clock.monotonicMs();
    const ended = this.#endHolds();
    if (ended.size > 0) {
      const ofEach = Math.min(MANY_REQUESTS, this.#refusalsOfTurn / ended.size);
      this.#typicalRequests += (ofEach - this.#typicalRequests) * LEARNT;
    }
    this.#refusalsOfTurn = 0;
    for (const [connection, { work, behind }] of ended) {
      if (connection.destroyed) continue;
      const waitsFor = CLASSES.find((one) => this.#waiting[one].has(connection));
      // It may have been held before that came: TLS hands on in parts what was read at once.
      if (behind?.complete === false) this.#read(connection, waitsFor ?? work);
      else {
        // Also one that waits already: a body that was thrown away, or a full buffer that emptied, has it read again.
        connection.pause();
        if (waitsFor === undefined) this.#waiting[work].set(connection, nowMs);
      }
    }
    this.#lookLater();
  };

  #lookLater(): void {
    if (this.#isLooking || this.count === 0) return;
    this.#isLooking = true;
    this.#parts.clock.setTimer(PAUSE_LOOK_MS, this.#look);
  }

  readonly #look = (): void => {
    this.#isLooking = false;
    const { clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    // The more there are, the longer it takes to hear all of them once.
    const pauseMs = Math.min(REFUSED_PAUSE_MAX_MS, Math.max(REFUSED_PAUSE_MIN_MS, this.count * REFUSED_PAUSE_EACH_MS));
    const overdue = CLASSES.flatMap((work) => this.#readSome(work, nowMs, pauseMs));
    if (overdue.length > 0) this.#forget(overdue);
    this.#lookLater();
  };

  /** Reads the last of a class, as many as there is room for, and of the others those whose pause is over; answers who is overdue. */
  #readSome(work: RefusedWork, nowMs: number, pauseMs: number): readonly Readable[] {
    const overdue: Readable[] = [];
    const room = Math.ceil(Math.max(0, this.#parts.roomFor(work)) / this.#typicalRequests);
    let leftOverCount = this.#waiting[work].size - room;
    for (const [connection, sinceMs] of this.#waiting[work]) {
      const isLeftOver = leftOverCount > 0;
      leftOverCount -= 1;
      const waitedMs = nowMs - sinceMs;
      if (isLeftOver && waitedMs < pauseMs) {
        if (room > 0) continue;
        break;
      }
      if (isLeftOver || waitedMs > REFUSED_USEFUL_MS) {
        overdue.push(connection);
        this.#overdue.set(connection, work);
      } else this.#overdue.delete(connection);
      this.#read(connection, work);
    }
    return overdue;
  }

  /** What they have sent is read in the turns to come, for an answer alone; what comes later is as good as any. */
  #forget(overdue: readonly Readable[]): void {
    const { clock } = this.#parts;
    // One turn to ask the kernel, one to be given it.
    clock.defer(() => {
      clock.defer(() => {
        for (const connection of overdue) this.#overdue.delete(connection);
      });
    });
  }

  #read(connection: Readable, work: RefusedWork): void {
    this.#waiting[work].delete(connection);
    connection.resume();
  }
}
