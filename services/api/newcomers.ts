/**
 * First requests of new connections, while a node takes in fewer connections than come. Those wait in the kernel then, some for
 * longer than their client does, and what a client sent is read before its end is: its request would be begun for nobody. There it
 * is held for two turns of the event loop, a reading of what came and another of its end, and dropped unbegun if that has come. At
 * all other times nothing is held. A client that says that nothing more comes and waits on for an answer cannot be told from one
 * that has gone (Node ends its connection either way), so that under such load it has none.
 * With TLS nothing is held: who has gone does not shake hands.
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
  /** with TLS */
  readonly encrypted?: boolean;
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
  /** each request, of a doubtful one a little later */
  readonly go: (request: Q, response: S) => void;
  /** one is not begun, for its client has gone */
  readonly onGone: () => void;
}

/** Those of one listener. */
export class Newcomers<Q extends NewRequest, S> {
  readonly #parts: NewcomerParts<Q, S>;
  /** connections that have sent a request */
  readonly #known = new WeakSet<NewLine>();
  readonly #held = new Map<NewLine, (readonly [request: Q, response: S])[]>();
  /** since when each turn has taken in a connection: none of them waited in the kernel for longer than that and the turn before */
  #crowdedSinceMs: number | undefined;
  #hasCome = false;

  constructor(parts: NewcomerParts<Q, S>) {
    this.#parts = parts;
  }

  /** A connection is taken in, to stay or to be closed at once. */
  came(): void {
    this.#hasCome = true;
    if (this.#crowdedSinceMs !== undefined) return;
    this.#crowdedSinceMs = this.#parts.clock.monotonicMs();
    this.#followTurns();
  }

  /** A request comes. */
  enter(request: Q, response: S): void {
    const { socket } = request;
    const held = this.#held.size === 0 ? undefined : this.#held.get(socket);
    if (held !== undefined) held.push([request, response]);
    else if (this.#known.has(socket)) this.#parts.go(request, response);
    else {
      this.#known.add(socket);
      if (this.#isDoubtful(socket) && keyWorkOf(request) !== undefined) this.#hold(request, response);
      else this.#parts.go(request, response);
    }
  }

  #isDoubtful({ encrypted }: NewLine): boolean {
    const sinceMs = this.#crowdedSinceMs;
    return (
      sinceMs !== undefined && encrypted !== true && this.#parts.clock.monotonicMs() - sinceMs >= NEWCOMER_DOUBTFUL_MS
    );
  }

  #followTurns(): void {
    this.#parts.clock.defer(() => {
      if (this.#hasCome) this.#followTurns();
      else this.#crowdedSinceMs = undefined;
      this.#hasCome = false;
    });
  }

  #hold(request: Q, response: S): void {
    const { socket } = request;
    const held: (readonly [Q, S])[] = [[request, response]];
    const sinceMs = this.#parts.clock.monotonicMs();
    this.#held.set(socket, held);
    this.#parts.clock.defer(() => {
      this.#parts.clock.defer(() => {
        this.#held.delete(socket);
        const isGone = socket.destroyed || socket.readableEnded;
        for (const [one, answer] of held) {
          one.waitedMs = this.#parts.clock.monotonicMs() - sinceMs;
          if (isGone) this.#parts.onGone();
          else this.#parts.go(one, answer);
        }
      });
    });
  }
}
