/**
 * What stands before the framework: requests that are not let in now are refused there, and their connections left unread for
 * a while. Must never answer what the framework would let in, unless it waited there for too long, and never make it wait.
 */
import type { Clock } from "../base/ports.ts";
import type { FrontGate } from "./front-gate.ts";
import { QuickRefusal, type RawRequest, type RawResponse, type RefusalParts } from "./quick-refusal.ts";
import { type Arriving, type Readable, RefusedConnections } from "./refused-connections.ts";

/** What the door works with. */
export interface DoorParts extends RefusalParts {
  readonly clock: Clock;
  readonly gate: FrontGate;
}

/** What is needed of a request. */
export interface ArrivingRequest extends RawRequest, Arriving {
  readonly socket: Readable;
}

/** The door of one listener. */
export class FrontDoor {
  readonly #quick: QuickRefusal;
  readonly #refused: RefusedConnections;
  readonly #clock: Clock;

  constructor(parts: DoorParts) {
    this.#clock = parts.clock;
    this.#quick = new QuickRefusal(parts);
    this.#refused = new RefusedConnections({ clock: parts.clock, roomFor: (work) => parts.gate.roomFor(work) });
  }

  /** Connections that are not read just now. */
  get unreadCount(): number {
    return this.#refused.count;
  }

  /** Whether the framework is to see the request; false: it has been answered. */
  passes(request: ArrivingRequest, response: RawResponse): boolean {
    const refusal = this.#quick.refuse(request, response, (work) => this.#refused.isOverdue(request.socket, work));
    if (refusal === undefined) this.#refused.admitted(request.socket, request);
    else if (refusal.kind === "node") this.#refused.refused(request.socket, refusal.work);
    return refusal === undefined;
  }

  /** Reads everybody again; resolves when what they had sent has been read, for an answer. Asked by a node that stops. */
  async readAll(): Promise<void> {
    if (!this.#refused.readAll()) return;
    // One turn to ask the kernel, one to be given it.
    for (let turn = 0; turn < 2; turn += 1) await new Promise<void>((resolve) => this.#clock.defer(resolve));
  }
}
