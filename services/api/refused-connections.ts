/**
 * Backpressure behind a refusal: a connection whose request was refused for overload is not read for a while, so a client that
 * neither waits for `Retry-After` nor for its answers fills its own buffers instead of this node's time. Bounds what refusals
 * cost by the number of connections and not by what clients care to send. Must never hold back an answer, nor the rest of a
 * request that has been let in, nor leave a connection unread.
 * Source: TCP flow control; Cassandra's native transport does the same to clients that exceed its limits (CASSANDRA-16663).
 */
import { PAUSE_LOOK_MS, REFUSED_PAUSE_MS } from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";

/** What is needed of a connection. */
export interface Readable {
  pause(): unknown;
  resume(): unknown;
}

/** What pausing works with. */
export interface PauseParts {
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer" | "defer">;
  /** there is room again: nobody needs to wait */
  readonly isRoomy: () => boolean;
}

interface Batch {
  readonly untilMs: number;
  readonly connections: readonly Readable[];
}

/** The connections that are not read just now. At most as many as the listener has. */
export class RefusedConnections {
  readonly #parts: PauseParts;
  /** refused in this turn of the event loop: their parsers may be in the middle of what they have read */
  readonly #ofTurn = new Set<Readable>();
  readonly #paused = new Set<Readable>();
  /** oldest first: all wait equally long */
  #batches: Batch[] = [];

  constructor(parts: PauseParts) {
    this.#parts = parts;
  }

  /** Connections that are not read. */
  get count(): number {
    return this.#paused.size;
  }

  /** A request of this connection was refused. */
  refused(connection: Readable): void {
    if (this.#ofTurn.size === 0) this.#parts.clock.defer(this.#endTurn);
    this.#ofTurn.add(connection);
  }

  /** A request of this connection was let in: its body may still have to be read. */
  admitted(connection: Readable): void {
    if (this.#ofTurn.size > 0) this.#ofTurn.delete(connection);
  }

  readonly #endTurn = (): void => {
    const { clock } = this.#parts;
    const connections = [...this.#ofTurn].filter((one) => !this.#paused.has(one));
    this.#ofTurn.clear();
    if (connections.length === 0) return;
    for (const one of connections) {
      this.#paused.add(one);
      one.pause();
    }
    if (this.#batches.length === 0) clock.setTimer(PAUSE_LOOK_MS, this.#look);
    this.#batches.push({ untilMs: clock.monotonicMs() + REFUSED_PAUSE_MS, connections });
  };

  readonly #look = (): void => {
    const { clock, isRoomy } = this.#parts;
    const nowMs = isRoomy() ? Number.POSITIVE_INFINITY : clock.monotonicMs();
    const due = this.#batches.filter(({ untilMs }) => untilMs <= nowMs);
    this.#batches = this.#batches.slice(due.length);
    for (const { connections } of due) for (const one of connections) this.#read(one);
    if (this.#batches.length > 0) clock.setTimer(PAUSE_LOOK_MS, this.#look);
  };

  #read(connection: Readable): void {
    this.#paused.delete(connection);
    connection.resume();
  }
}
