/**
 * Counts requests in and out: their places and bytes, and of whose key and of which principal they are. Bytes of an answer count from when
 * its request is let in: as many as answers of its route hold on average, until it is made. Must never refuse control work, nor
 * count a request in or out twice.
 */
import type { Clock } from "../base/ports.ts";
import type { Asker } from "../coordinator/contract.ts";
import { Admission, announcedBytes } from "./admission.ts";
import { AnswerSize } from "./answer-size.ts";
import type { Incoming, Route } from "./exchange.ts";
import { CROWDED_CALLER, FrontGate, FULL_OF_BYTES, type Hindrance, NO_MEMORY, NOBODYS } from "./front-gate.ts";
import { crowdPlaceOf } from "./key-crowd.ts";
import { Place } from "./place.ts";
import type { ApiDependencies } from "./ports.ts";

/** What an entrance works with. */
export interface EntranceParts extends Pick<ApiDependencies, "calm" | "tokens"> {
  readonly clock: Pick<Clock, "monotonicMs" | "wallMicros">;
  /** a request that was let in is over */
  readonly onFree: () => void;
}

/** What one request occupies that was let in, and who sent it. */
export class Stay implements Asker {
  readonly place: Place;
  #onGone: (() => void) | undefined;
  #isOver = false;
  readonly #admission: Admission;
  readonly #answers: AnswerSize;
  /** what it brought, and what its answer holds or is taken to hold; undefined: all of it is given back */
  #heldBytes: number | undefined;
  #guessedBytes: number;

  constructor(
    parts: { readonly admission: Admission; readonly answers: AnswerSize; readonly free: (heldBytes: number) => void },
    bytes: { readonly held: number; readonly guessed: number },
  ) {
    this.#admission = parts.admission;
    this.#answers = parts.answers;
    this.#heldBytes = bytes.held;
    this.#guessedBytes = bytes.guessed;
    this.place = new Place(() => {
      const held = this.#heldBytes ?? 0;
      this.#heldBytes = undefined;
      parts.free(held);
    });
  }

  whenGone(run: () => void): void {
    if (this.#isOver) run();
    else this.#onGone = run;
  }

  /** Whether the exchange is over. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The exchange is over: its client has the answer, or has gone. */
  over(): void {
    this.#isOver = true;
    this.place.over();
    const run = this.#onGone;
    this.#onGone = undefined;
    run?.();
  }

  /** Its answer is made, and holds so many bytes until the connection has taken them. After its end nothing is counted any more. */
  answered(bytes: number): void {
    if (this.#heldBytes === undefined) return;
    // a client that takes its answer slowly must not keep all that it was made of
    this.#onGone = undefined;
    const more = bytes - this.#guessedBytes;
    this.#guessedBytes = bytes;
    this.#heldBytes += more;
    this.#admission.grow(more);
    this.#answers.saw(bytes);
  }
}

/** The entrance of one server. */
export class Entrance {
  readonly gate: FrontGate;
  readonly admission: Admission = new Admission();
  readonly #parts: EntranceParts;

  constructor(parts: EntranceParts) {
    this.#parts = parts;
    this.gate = new FrontGate(this.admission, parts);
  }

  /** What is known of a route's answers: to be asked for once for each route. */
  answersOf({ isOfOneKey, work }: Pick<Route, "isOfOneKey" | "work">): AnswerSize {
    return isOfOneKey === true && work === "read" ? this.gate.readAnswers : new AnswerSize();
  }

  /** Before the body is read: lets a request in, or says why not. */
  tryEnter(
    { work, method, bodyLimitBytes, isOfOneKey }: Pick<Route, "work" | "method" | "bodyLimitBytes" | "isOfOneKey">,
    answers: AnswerSize,
    request: Pick<Incoming, "raw" | "headers" | "caller">,
  ): Stay | Hindrance {
    const { gate, admission } = this;
    const bytes = announcedBytes(request, bodyLimitBytes);
    // what a write of one key is answered is small, and known
    const isKnown = work === "control" || (work === "write" && isOfOneKey === true);
    const guessed = isKnown ? 0 : answers.bytes;
    const caller = work === "control" ? NOBODYS.caller : gate.callerOf(work, request);
    if (work === "write" && method !== "DELETE" && !gate.takesValues) return NO_MEMORY;
    // those of one key have been asked at the door
    if (isOfOneKey !== true && gate.isCrowded(work, caller)) return CROWDED_CALLER;
    if (!admission.tryEnter(work, bytes + guessed, this.#parts.calm?.limitOf(work))) {
      return gate.reasonNow(work, NOBODYS, bytes) ?? FULL_OF_BYTES;
    }
    const place = isOfOneKey === true ? crowdPlaceOf(request.raw.url) : -1;
    if (place >= 0) gate.crowd.enter(place);
    gate.callers[work].enter(caller);
    const free = (heldBytes: number): void => {
      if (place >= 0) gate.crowd.leave(place);
      gate.callers[work].leave(caller);
      admission.leave(work, heldBytes);
      this.#parts.onFree();
    };
    return new Stay({ admission, answers, free }, { held: bytes + guessed, guessed });
  }
}
