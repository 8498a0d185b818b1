/**
 * Connections that are not read while a request of theirs waits, for they send on without waiting: what they send fills their own
 * buffers instead of this node's. What comes when one is read again may be as old as that, and counts as such: what comes in one turn;
 * and what follows without a pause once it is as much as one reading takes, for then there may be more behind it, here or at its client.
 * Who ends such a connection is not noticed before it is read again.
 * Must never leave a connection unread that nobody reads on, nor take what it brings then for younger than it may be, but for what is
 * behind a mebibyte or a pause: a client that always has more on the way would never be young again, and what comes after a pause was
 * sent after it, or held back by a closed window, which nobody can tell here. That Node reads no more of a client which takes no
 * answers is no pause, if it begins after this one reads it again.
 * Sources: TCP flow control; Cassandra's native transport does the same to clients that exceed its limits (CASSANDRA-16663).
 */
import { UNREAD_MAX_BYTES, UNREAD_MORE_BYTES } from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";

/** What is needed of a connection. */
export interface Line {
  readonly destroyed: boolean;
  /** since it began */
  readonly bytesRead: number;
  on(event: "close", listener: () => void): unknown;
  once(event: "resume", listener: () => void): unknown;
  isPaused(): boolean;
  pause(): unknown;
  resume(): unknown;
}

/** How old what was not read may be. */
interface Backlog {
  /** by the monotonic clock */
  readonly sinceMs: number;
  /** what the connection had brought then */
  readonly fromBytes: number;
}

/** Those of one listener. */
export class UnreadLines {
  readonly #clock: Pick<Clock, "monotonicMs" | "defer">;
  /** those that are not read, or are not to be from the end of this turn on */
  readonly #unread = new Map<Line, Backlog>();
  readonly #toPause = new Set<Line>();
  /** those that are read again, while what comes is of their backlog */
  readonly #again = new Map<Line, Backlog>();

  constructor(clock: Pick<Clock, "monotonicMs" | "defer">) {
    this.#clock = clock;
  }

  /** Since when what comes over this connection just now may have been on the way, by the monotonic clock. */
  cameMs(line: Line): number {
    // what is read again came before what is left unread now
    return (this.#again.get(line) ?? this.#unread.get(line))?.sinceMs ?? this.#clock.monotonicMs();
  }

  /** For how long what comes over this connection just now may have been left unread, ms. */
  unreadMs(line: Line): number {
    const backlog = this.#again.size === 0 ? undefined : this.#again.get(line);
    return backlog === undefined ? 0 : this.#clock.monotonicMs() - backlog.sinceMs;
  }

  /** Reads it no further from the end of this turn on. To be told again of each request that comes all the same. */
  leave(line: Line): void {
    if (!this.#unread.has(line)) {
      this.#unread.set(line, { sinceMs: this.#clock.monotonicMs(), fromBytes: line.bytesRead });
    }
    if (this.#toPause.has(line)) return;
    this.#toPause.add(line);
    // Not at once: a parser has its connection read on behind each request that it has read.
    this.#clock.defer(() => {
      this.#toPause.delete(line);
      if (!this.#unread.has(line)) return;
      const backlog = this.#again.get(line);
      // it was not read to its end
      if (backlog !== undefined) this.#unread.set(line, backlog);
      this.#again.delete(line);
      line.pause();
    });
  }

  /** Reads it again; nothing if it was read. */
  readOn(line: Line): void {
    const left = this.#unread.get(line);
    if (left === undefined) return;
    // Left and read on in one turn: what it was read again for has not come to its end. A copy: who followed that one stops.
    const backlog = { ...(this.#again.get(line) ?? left) };
    this.#unread.delete(line);
    this.#again.set(line, backlog);
    line.resume();
    this.#follow(line, backlog, { bytes: line.bytesRead, isAsked: false });
  }

  /** It has ended. */
  forget(line: Line): void {
    this.#unread.delete(line);
    this.#again.delete(line);
  }

  /** Until what comes is of its backlog no more. A reading takes two turns: one to ask the kernel, one to be given it. */
  #follow(line: Line, backlog: Backlog, last: { readonly bytes: number; readonly isAsked: boolean }): void {
    this.#clock.defer(() => {
      if (this.#again.get(line) !== backlog) return;
      const bytes = line.bytesRead;
      // Its client does not take its answers, and Node reads no more of it until it does: that is no pause of what comes.
      if (line.isPaused()) {
        line.once("resume", () => this.#follow(line, backlog, { bytes, isAsked: false }));
        return;
      }
      const allBytes = bytes - backlog.fromBytes;
      const isMore = bytes > last.bytes && allBytes >= UNREAD_MORE_BYTES && allBytes < UNREAD_MAX_BYTES;
      const isToCome = bytes === last.bytes && !last.isAsked;
      if (isMore || isToCome) this.#follow(line, backlog, { bytes, isAsked: isToCome });
      else this.#again.delete(line);
    });
  }
}
