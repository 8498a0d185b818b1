/**
 * Connections that are not read while a request of theirs waits, for they send on without waiting: what they send fills their own
 * buffers instead of this node's. What comes when one is read again may be as old as that, and counts as such.
 * Who ends such a connection is not noticed before it is read again.
 * Must never leave a connection unread that nobody reads on, nor take what it brings then for younger than it may be.
 * Sources: TCP flow control; Cassandra's native transport does the same to clients that exceed its limits (CASSANDRA-16663).
 */
import type { Clock } from "../base/ports.ts";

/** What is needed of a connection. */
export interface Line {
  readonly destroyed: boolean;
  on(event: "close", listener: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

/** Those of one listener. */
export class UnreadLines {
  readonly #clock: Pick<Clock, "monotonicMs" | "defer">;
  /** since when each is not read, or is not to be from the end of this turn on */
  readonly #sinceMs = new Map<Line, number>();
  /** those that are read again just now, and since when they were not */
  readonly #againSinceMs = new Map<Line, number>();

  constructor(clock: Pick<Clock, "monotonicMs" | "defer">) {
    this.#clock = clock;
  }

  /** Since when what comes over this connection just now may have been on the way, by the monotonic clock. */
  cameMs(line: Line): number {
    // what is read again came before what is left unread now
    return this.#againSinceMs.get(line) ?? this.#sinceMs.get(line) ?? this.#clock.monotonicMs();
  }

  /** Whether it is read again just now. */
  isReadAgain(line: Line): boolean {
    return this.#againSinceMs.has(line);
  }

  /** Reads it no further from the end of this turn on. To be told again of each request that comes all the same. */
  leave(line: Line): void {
    if (!this.#sinceMs.has(line)) this.#sinceMs.set(line, this.#clock.monotonicMs());
    // Not at once: a parser has its connection read on behind each request that it has read.
    this.#clock.defer(() => {
      if (this.#sinceMs.has(line)) line.pause();
    });
  }

  /** Reads it again; nothing if it was read. */
  readOn(line: Line): void {
    const sinceMs = this.#sinceMs.get(line);
    if (sinceMs === undefined) return;
    this.#sinceMs.delete(line);
    this.#againSinceMs.set(line, sinceMs);
    line.resume();
    // What it has sent comes in the turns to come: one to ask the kernel, one to be given it.
    this.#clock.defer(() => {
      this.#clock.defer(() => {
        if (this.#againSinceMs.get(line) === sinceMs) this.#againSinceMs.delete(line);
      });
    });
  }
}
