/**
 * What stands before the framework: requests of one key that are not let in now wait there, or are refused. Must never answer what
 * the framework would let in, unless it waited for too long, there or unread, or comes behind one that waits where no more may, and
 * never hold back any other request.
 */
import { MAX_VALUE_BYTES } from "../base/limits.ts";
import { QUEUE_BODY_BYTES, QUEUE_REQUEST_BYTES, QUEUE_USEFUL_MS } from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";
import { announcedBytes } from "./admission.ts";
import { AdmissionQueue } from "./admission-queue.ts";
import { NO_CALLER } from "./caller-crowd.ts";
import type { Incoming, WorkClass } from "./exchange.ts";
import { type FrontGate, type Hindrance, WAITED, type Whose } from "./front-gate.ts";
import { type NewcomerParts, Newcomers, type NewLine, type NewRequest } from "./newcomers.ts";
import { keyWorkOf, QuickRefusal, type RawRequest, type RawResponse, type RefusalParts } from "./quick-refusal.ts";
import type { Line } from "./unread-lines.ts";
import type { KeyWork } from "./waiting-rows.ts";

/** What is needed of a request. */
export interface ArrivingRequest extends RawRequest, Pick<Incoming, "headers"> {
  readonly socket: Line;
  readonly rawHeaders: readonly string[];
  /** ms, of one that was held before the door, waited at it, or was read late */
  waitedMs?: number;
}

/** What the door works with. */
export interface DoorParts extends RefusalParts {
  readonly clock: Clock;
  readonly gate: Pick<FrontGate, "isOpen" | "callerAtDoor">;
  /** why such a request of this class that brings so many bytes is not let in now; undefined: it may be */
  readonly reasonNow: (work: KeyWork, whose: Whose, bytes: number) => Hindrance | undefined;
  /** hands a request to the framework */
  readonly serve: (request: ArrivingRequest, response: RawResponse) => void;
}

interface Exchange {
  readonly request: ArrivingRequest;
  readonly response: RawResponse;
}

const BEHIND: Hindrance = {
  kind: "node",
  reason: "behind",
  words: "this node has no room for what came before over this connection",
};

/** The door of one listener. */
export class FrontDoor {
  readonly #parts: DoorParts;
  readonly #refusal: QuickRefusal;
  readonly #queue: AdmissionQueue<Exchange>;
  readonly #waited: Record<KeyWork, number> = { read: 0, write: 0 };
  #isOpenToAll = false;

  constructor(parts: DoorParts) {
    this.#parts = parts;
    this.#refusal = new QuickRefusal(parts);
    this.#queue = new AdmissionQueue({
      clock: parts.clock,
      reasonNow: parts.reasonNow,
      letIn: ({ request, response }, waitedMs) => {
        request.waitedMs = waitedMs;
        parts.serve(request, response);
      },
      refuse: ({ response }, work, why) => this.#refusal.answer(response, work, why),
    });
  }

  /** Requests that wait. */
  get waitingCount(): number {
    return this.#queue.count;
  }

  /** Requests of the class that have had to wait since the start. */
  waitedOf(work: WorkClass): number {
    return work === "read" || work === "write" ? this.#waited[work] : 0;
  }

  /** A request comes: it is served, waits, or is refused. */
  enter(request: ArrivingRequest, response: RawResponse): void {
    const work = keyWorkOf(request);
    if (work === undefined || this.#isOpenToAll) {
      this.#parts.serve(request, response);
      return;
    }
    const agedMs = Math.max(this.#queue.unreadMs(request.socket), request.waitedMs ?? 0);
    const caller = this.#parts.gate.callerAtDoor(work, request);
    const whose = { target: request.url, caller, bringsValue: request.method === "PUT" };
    const why = this.#whyNot(work, { request, whose }, agedMs);
    if (why === undefined) {
      if (agedMs > 0) request.waitedMs = agedMs;
      this.#parts.serve(request, response);
    } else if (!this.#hasWait({ request, response }, { work, whose, why })) this.#refusal.answer(response, work, why);
  }

  /** A request that was let in is over. */
  placeFree(): void {
    this.#queue.placeFree();
  }

  /** Lets everybody in, for an answer: this node stops. */
  letInAll(): void {
    this.#isOpenToAll = true;
    this.#queue.letInAll();
  }

  #whyNot(
    work: KeyWork,
    { request, whose }: { readonly request: ArrivingRequest; readonly whose: Whose },
    agedMs: number,
  ): Hindrance | undefined {
    if (this.#queue.isWaiting(request.socket)) return BEHIND;
    if (agedMs > QUEUE_USEFUL_MS) return WAITED;
    // Where there is room for the most that one may bring nobody is asked what he brings.
    const why = this.#parts.reasonNow(work, whose, MAX_VALUE_BYTES);
    if (why?.kind !== "bytes") return why;
    return this.#parts.reasonNow(work, whose, announcedBytes(request, MAX_VALUE_BYTES));
  }

  /** For a place: not for one that is held off for what it is itself, nor of a class of which nothing is let in. */
  #hasWait(
    what: Exchange,
    { work, whose, why }: { readonly work: KeyWork; readonly whose: Whose; readonly why: Hindrance },
  ): boolean {
    if (why.kind === "own" || !this.#parts.gate.isOpen(work)) return false;
    const { socket, waitedMs = 0 } = what.request;
    const bringsBytes = announcedBytes(what.request, MAX_VALUE_BYTES);
    const bytes = Math.min(bringsBytes, QUEUE_BODY_BYTES) + headBytes(what.request);
    const sinceMs = Math.min(this.#queue.cameMs(socket), this.#parts.clock.monotonicMs() - waitedMs);
    const caller = whose.caller === NO_CALLER ? this.#parts.gate.callerAtDoor(work, what.request, true) : whose.caller;
    const hasJoined = this.#queue.join({
      what,
      work,
      whose: { ...whose, caller },
      connection: socket,
      sinceMs,
      bytes,
      bringsBytes,
    });
    if (hasJoined) this.#waited[work] += 1;
    return hasJoined;
  }
}

/** What its line and headers take, roughly. */
function headBytes({ url = "", rawHeaders }: ArrivingRequest): number {
  return rawHeaders.reduce((sum, { length }) => sum + length, QUEUE_REQUEST_BYTES + url.length);
}

/** What is needed of a server. */
export interface RequestSource {
  listeners(event: "request"): readonly Parameters<typeof Reflect.apply>[0][];
  removeAllListeners(event: "request"): unknown;
  on(event: "request", listener: (request: ArrivingRequest & NewRequest, response: RawResponse) => void): unknown;
  on(event: "connection", listener: (line: NewLine) => void): unknown;
  on(event: "drop", listener: () => void): unknown;
}

/** Puts a door before a server's listeners: it sees requests before the framework does. A test's `inject` goes past it. */
export function standBefore(
  server: RequestSource,
  parts: Omit<DoorParts, "serve"> & Pick<NewcomerParts<unknown, unknown>, "onGone">,
): FrontDoor {
  const listeners = server.listeners("request");
  const serve: DoorParts["serve"] = (request, response) => {
    for (const listen of listeners) Reflect.apply(listen, server, [request, response]);
  };
  const door = new FrontDoor({ ...parts, serve });
  const newcomers = new Newcomers<ArrivingRequest & NewRequest, RawResponse>({
    ...parts,
    go: (request, response) => door.enter(request, response),
  });
  server.removeAllListeners("request");
  server.on("connection", (line) => newcomers.came(line));
  server.on("drop", () => newcomers.came());
  server.on("request", (request, response) => newcomers.enter(request, response));
  return door;
}
