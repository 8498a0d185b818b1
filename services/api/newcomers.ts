/**
 * First requests of new connections, while a node takes in fewer connections than come. Those wait in the kernel then, some for
 * longer than their client does, and what a client sent is read before its end is: its request would be begun for nobody. So what
 * comes over a connection just after it was taken in is held for two turns of the event loop, a reading of what came and another of
 * its end, and dropped unbegun if that has come. What comes later was sent, or sent again, after that; of it, and at all other times,
 * nothing is held. A client that says that nothing more comes and waits on for an answer cannot be told from one that has
 * gone (Node ends its connection either way), so that under such load it has none.
 * With TLS nothing is held: who has gone does not shake hands, and requests come over another object than what was taken in.
 * Must never let a request of a connection overtake one that is held, nor hold where no connection waited for long.
 * Sources: one connection is taken in in each turn (libuv/libuv#3696); nginx ends work for who has ended (its status 499).
 */
import { NEWCOMER_DOUBTFUL_MS } from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";
import { keyWorkOf, type RawRequest } from "./quick-refusal.ts";

/** What is needed of a connection. */
export interface NewLine {
  readonly destroyed: boolean;
  /** its other side has said that nothing more comes */
  readonly readableEnded: boolean;
}

/** What is needed of a request. */
export interface NewRequest extends RawRequest {
  readonly socket: NewLine;
  /** for how long it was held, ms */
  waitedMs?: number;
}

/** What becomes of requests. */
export interface NewcomerParts<Q, S> {
  readonly clock: Pick<Clock, "monotonicMs" | "defer">;
  /** each request, a held one a little later */
  readonly go: (request: Q, response: S) => void;
  /** one is not begun, for its client has gone */
  readonly onGone: () => void;
}

interface Held<Q, S> {
  readonly request: Q;
  readonly response: S;
  readonly sinceMs: number;
}

/** The turn in which a connection is taken in, the next, in which what lay in the kernel for it is read, and one to spare: a long queue of events is read in parts. */
const READ_TURNS = 3;
/** Turns for which a request is held. */
const HELD_TURNS = 2;

/** Those of one listener. */
export class Newcomers<Q extends NewRequest, S> {
  readonly #parts: NewcomerParts<Q, S>;
  /** connections whose client may have gone, for some turns and until what is held of them is let on; with that */
  readonly #doubtful = new Map<NewLine, Held<Q, S>[]>();
  /** since when each turn has taken in a connection: for how long they may have waited, but for a long turn before */
  #crowdedSinceMs: number | undefined;
  #hasCome = false;

  constructor(parts: NewcomerParts<Q, S>) {
    this.#parts = parts;
  }

  /** A connection is taken in; undefined: to be closed at once. */
  came(line?: NewLine): void {
    const nowMs = this.#parts.clock.monotonicMs();
    this.#hasCome = true;
    if (this.#crowdedSinceMs === undefined) {
      this.#crowdedSinceMs = nowMs;
      this.#followTurns();
    } else if (line !== undefined && nowMs - this.#crowdedSinceMs >= NEWCOMER_DOUBTFUL_MS) {
      this.#doubt(line);
    }
  }

  /** A request comes. */
  enter(request: Q, response: S): void {
    const { socket } = request;
    const held = this.#doubtful.size === 0 ? undefined : this.#doubtful.get(socket);
    if (held === undefined) return this.#parts.go(request, response);
    if (held.length > 0) return this.#hold(held, request, response);
    if (keyWorkOf(request) === undefined) {
      this.#doubtful.delete(socket);
      return this.#parts.go(request, response);
    }
    this.#hold(held, request, response);
    this.#afterTurns(HELD_TURNS, () => this.#decide(socket, held));
  }

  #doubt(line: NewLine): void {
    const held: Held<Q, S>[] = [];
    this.#doubtful.set(line, held);
    this.#afterTurns(READ_TURNS, () => {
      if (held.length === 0) this.#doubtful.delete(line);
    });
  }

  #hold(held: Held<Q, S>[], request: Q, response: S): void {
    held.push({ request, response, sinceMs: this.#parts.clock.monotonicMs() });
  }

  #followTurns(): void {
    this.#parts.clock.defer(() => {
      if (this.#hasCome) this.#followTurns();
      else this.#crowdedSinceMs = undefined;
      this.#hasCome = false;
    });
  }

  #afterTurns(count: number, run: () => void): void {
    this.#parts.clock.defer(count === 1 ? run : () => this.#afterTurns(count - 1, run));
  }

  #decide(socket: NewLine, held: readonly Held<Q, S>[]): void {
    this.#doubtful.delete(socket);
    const isGone = socket.destroyed || socket.readableEnded;
    const nowMs = this.#parts.clock.monotonicMs();
    for (const { request, response, sinceMs } of held) {
      if (isGone) this.#parts.onGone();
      else {
        request.waitedMs = nowMs - sinceMs;
        this.#parts.go(request, response);
      }
    }
  }
}
