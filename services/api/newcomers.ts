/**
 * First requests of new connections, while a node takes in fewer connections than come. Those wait in the kernel then, some for
 * longer than their client does, and what a client sent is read before its end is: its request would be begun for nobody. There it
 * is held for two turns of the event loop, a reading of what came and another of its end, and dropped unbegun if that has come. At
 * all other times nothing is held. A client that says that nothing more comes and waits on for an answer cannot be told from one
 * that has gone (Node ends its connection either way), so that under such load it has none.
 * Must never let a request of a connection overtake one that is held, nor hold where a connection cannot have waited for long.
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
}

/** Those of one listener: `go` is told of each request, of a doubtful one's a little later or not at all. */
export class Newcomers<Q extends NewRequest, S> {
  readonly #clock: Pick<Clock, "monotonicMs" | "defer">;
  readonly #go: (request: Q, response: S) => void;
  /** connections that have sent a request */
  readonly #known = new WeakSet<NewLine>();
  readonly #held = new Map<NewLine, (readonly [request: Q, response: S])[]>();
  /** since when each turn has taken in a connection: none of them waited in the kernel for longer than since just before */
  #crowdedSinceMs: number | undefined;
  #hasCome = false;

  constructor(clock: Pick<Clock, "monotonicMs" | "defer">, go: (request: Q, response: S) => void) {
    this.#clock = clock;
    this.#go = go;
  }

  /** A connection is taken in. */
  came(): void {
    this.#hasCome = true;
    if (this.#crowdedSinceMs !== undefined) return;
    this.#crowdedSinceMs = this.#clock.monotonicMs();
    this.#followTurns();
  }

  /** A request comes. */
  enter(request: Q, response: S): void {
    const { socket } = request;
    const held = this.#held.size === 0 ? undefined : this.#held.get(socket);
    if (held !== undefined) held.push([request, response]);
    else if (this.#known.has(socket)) this.#go(request, response);
    else {
      this.#known.add(socket);
      if (this.#isDoubtful() && keyWorkOf(request) !== undefined) this.#hold(request, response);
      else this.#go(request, response);
    }
  }

  #isDoubtful(): boolean {
    const sinceMs = this.#crowdedSinceMs;
    return sinceMs !== undefined && this.#clock.monotonicMs() - sinceMs >= NEWCOMER_DOUBTFUL_MS;
  }

  #followTurns(): void {
    this.#clock.defer(() => {
      if (this.#hasCome) this.#followTurns();
      else this.#crowdedSinceMs = undefined;
      this.#hasCome = false;
    });
  }

  #hold(request: Q, response: S): void {
    const { socket } = request;
    const held: (readonly [Q, S])[] = [[request, response]];
    this.#held.set(socket, held);
    this.#clock.defer(() => {
      this.#clock.defer(() => {
        this.#held.delete(socket);
        if (socket.destroyed || socket.readableEnded) return;
        for (const [one, answer] of held) this.#go(one, answer);
      });
    });
  }
}
