/**
 * Whether a request may come in just now, and why not, in words: the fixed bounds, what calm says of this node, and what one key
 * or one caller may have of it. Must never count anything itself, nor refuse control work.
 */
import { MAX_INFLIGHT_REQUESTS } from "../base/limits.ts";
import { CROWDED_FROM } from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";
import type { Admission } from "./admission.ts";
import { AnswerSize } from "./answer-size.ts";
import { CallerCrowd, NO_CALLER } from "./caller-crowd.ts";
import type { Incoming, WorkClass } from "./exchange.ts";
import { crowdPlaceOf, KeyCrowd } from "./key-crowd.ts";
import type { ApiDependencies } from "./ports.ts";

/**
 * By what name a refusal is counted: bytes under way, the fixed bound of requests, what calm admits (a limit that falls with the
 * queue's delay and rises after a start, memory, the event loop), its key's or its principal's part, or what became of its wait.
 */
export type ShedReason =
  | "bytes"
  | "requests"
  | "limit"
  | "memory"
  | "event_loop"
  | "hot_key"
  | "principal"
  | "waited"
  | "crowded_out"
  | "behind";

/** Why a request is not let in just now. */
export interface Hindrance {
  /** there is no room for just this (its key's, its caller's, its kind), for what brings so much, or for any of the class */
  readonly kind: "own" | "bytes" | "node";
  /** for counting */
  readonly reason: ShedReason;
  readonly words: string;
}

/** There are too many bytes under way for what a request brings. */
export const FULL_OF_BYTES: Hindrance = {
  kind: "bytes",
  reason: "bytes",
  words: "this node holds all the bytes of requests that it takes at a time",
};
/** Why a request is refused that has waited, at the door or unread. */
export const WAITED: Hindrance = {
  kind: "node",
  reason: "waited",
  words: "this node has had no room for this request, and it has waited for too long",
};
/** Why one is refused that may have waited a little only. */
export const PUSHED_OUT: Hindrance = {
  kind: "node",
  reason: "crowded_out",
  words: "this node has no room for this request, and more connections wait for room than it keeps waiting",
};
/** Why one is refused that is for a key of which enough are under way. */
export const CROWDED: Hindrance = {
  kind: "own",
  reason: "hot_key",
  words: "this node has all the requests of this key that it takes at a time",
};
/** Why one is refused whose sender has enough under way. */
export const CROWDED_CALLER: Hindrance = {
  kind: "own",
  reason: "principal",
  words: "this node has all the requests of this principal that it takes at a time while others ask",
};

/** Why one is refused that brings a value. */
export const NO_MEMORY: Hindrance = {
  kind: "own",
  reason: "memory",
  words: "this node has no memory left for values; it takes reads, and deletes of single keys",
};

/** Whose a request is. */
export interface Whose {
  /** undefined: of no key in particular */
  readonly target: string | undefined;
  /** the counter of its principal */
  readonly caller: number;
  /** it may bring a value, unlike a delete */
  readonly bringsValue: boolean;
}

/** Of no key and no principal in particular. */
export const NOBODYS: Whose = { target: undefined, caller: NO_CALLER, bringsValue: false };

/** What a gate goes by. */
export interface GateParts extends Pick<ApiDependencies, "calm" | "tokens"> {
  readonly clock: Pick<Clock, "monotonicMs" | "wallMicros">;
}

/** The gate of one listener. */
export class FrontGate {
  readonly crowd: KeyCrowd = new KeyCrowd();
  readonly callers: Readonly<Record<WorkClass, CallerCrowd>> = {
    control: new CallerCrowd(),
    write: new CallerCrowd(),
    read: new CallerCrowd(),
    list: new CallerCrowd(),
  };
  /** of reads of one key */
  readonly readAnswers: AnswerSize = new AnswerSize();
  readonly #admission: Admission;
  readonly #parts: GateParts;

  constructor(admission: Admission, parts: GateParts) {
    this.#admission = admission;
    this.#parts = parts;
  }

  /**
   * Whose a request at the door is, by its token; asked while the class is half full, or for one that is to wait until it may be,
   * for to judge a token costs more than the rest. Who shows none that is valid is nobody here, and hears so behind the door.
   */
  callerAtDoor(work: WorkClass, { headers }: Pick<Incoming, "headers">, isToWait = false): number {
    const { tokens, clock } = this.#parts;
    const isRoomy = this.#admission.inflightOf(work) < this.#limitOf(work) * CROWDED_FROM;
    if (tokens === undefined || (isRoomy && !isToWait)) return NO_CALLER;
    const { authorization } = headers;
    const shown = tokens.present(
      typeof authorization === "string" ? authorization : undefined,
      () => clock.wallMicros() / 1_000,
    );
    return shown.kind === "known" ? this.callers[work].came(shown.caller.name, clock.monotonicMs()) : NO_CALLER;
  }

  /** The same of one that was judged. Where nobody has a token all are alike. */
  callerOf(work: WorkClass, { caller }: Pick<Incoming, "caller">): number {
    const { tokens, clock } = this.#parts;
    return tokens === undefined || caller === undefined
      ? NO_CALLER
      : this.callers[work].came(caller.name, clock.monotonicMs());
  }

  /** Whether any request of the class is let in, soon or later. */
  isOpen(work: WorkClass): boolean {
    return this.#parts.calm?.limitOf(work) !== 0;
  }

  /** Whether anything is let in that brings a value. */
  get takesValues(): boolean {
    return this.#parts.calm?.takesValues?.() !== false;
  }

  /** Whether the caller has his part of the class already. */
  isCrowded(work: WorkClass, caller: number): boolean {
    if (caller === NO_CALLER) return false;
    const [inflightCount, limit] = [this.#admission.inflightOf(work), this.#limitOf(work)];
    return this.callers[work].isFull(caller, { inflightCount, limit, nowMs: this.#parts.clock.monotonicMs() });
  }

  /** Why no such request of the class that brings so many bytes is let in just now; undefined: one may be. */
  reasonNow(work: WorkClass, { target, caller, bringsValue }: Whose, bytes: number): Hindrance | undefined {
    const { calm } = this.#parts;
    if (bringsValue && !this.takesValues) return NO_MEMORY;
    const limit = this.#limitOf(work);
    const inflightCount = this.#admission.inflightOf(work);
    if (inflightCount >= limit && calm !== undefined) {
      return { kind: "node", reason: calm.causeOf?.(work) ?? "limit", words: calm.reasonOf(work) };
    }
    if (this.#admission.isFull(work)) {
      return { kind: "node", reason: "requests", words: `this node has all the ${work} work that it takes at a time` };
    }
    const guessed = work === "read" ? this.readAnswers.bytes : 0;
    if (this.#admission.isFullOf(work, bytes + guessed)) return FULL_OF_BYTES;
    if (target === undefined || inflightCount < limit * CROWDED_FROM) return undefined;
    if (this.crowd.isFull(crowdPlaceOf(target), inflightCount, limit)) return CROWDED;
    return this.isCrowded(work, caller) ? CROWDED_CALLER : undefined;
  }

  #limitOf(work: WorkClass): number {
    return this.#parts.calm?.limitOf(work) ?? MAX_INFLIGHT_REQUESTS;
  }
}
