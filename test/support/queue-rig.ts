/** An admission queue whose room is given and taken by hand. For unit tests. */

import { AdmissionQueue } from "../../services/api/admission-queue.ts";
import { NO_CALLER } from "../../services/api/caller-crowd.ts";
import type { Hindrance } from "../../services/api/front-gate.ts";
import type { KeyWork, Waiting } from "../../services/api/waiting-rows.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeConnection } from "./fake-connection.ts";

/** Why there is no room, in these tests. */
export const FULL: Hindrance = { kind: "node", reason: "limit", words: "full" };
/** The same for a hot key. */
export const HOT: Hindrance = { kind: "own", reason: "hot_key", words: "hot" };
const TOO_MUCH: Hindrance = { kind: "bytes", reason: "bytes", words: "too much" };

/** A queue, the room there is beside it, and what became of whom. */
export class QueueRig {
  readonly clock: FakeClock = new FakeClock();
  readonly room: Record<KeyWork, number> = { read: 0, write: 0 };
  readonly letIn: (readonly [what: string, waitedMs: number])[] = [];
  readonly refused: string[] = [];
  /** of them: the words */
  readonly why: string[] = [];
  /** of them: refused for a key that was not hot then */
  readonly untrue: string[] = [];
  /** bytes that what is let in may bring */
  freeBytes: number = Number.POSITIVE_INFINITY;
  /** places that either class may have */
  sharedRoom: number = Number.POSITIVE_INFINITY;
  /** how often it was asked whether somebody may come in */
  askedCount: number = 0;
  /** targets of keys that are hot */
  readonly hot: Set<string> = new Set();
  readonly queue: AdmissionQueue<string> = new AdmissionQueue({
    clock: this.clock,
    reasonNow: (work, { target }, bytes) => {
      this.askedCount += 1;
      if (this.room[work] <= 0 || this.sharedRoom <= 0) return FULL;
      if (bytes > this.freeBytes) return TOO_MUCH;
      return target !== undefined && this.hot.has(target) ? HOT : undefined;
    },
    letIn: (what, waitedMs) => {
      this.room[what.startsWith("w") ? "write" : "read"] -= 1;
      this.sharedRoom -= 1;
      this.letIn.push([what, waitedMs]);
    },
    refuse: (what, _work, { words }) => {
      this.refused.push(what);
      this.why.push(words);
      if (words === HOT.words && !this.hot.has(`/v1/kv/b/${what}`)) this.untrue.push(what);
    },
  });

  /** A request of the name; its class is the first letter's: `r…` or `w…`. */
  join(what: string, connection: FakeConnection = new FakeConnection(), bytes: number = 0, sinceMs?: number): boolean {
    const work: KeyWork = what.startsWith("w") ? "write" : "read";
    const request: Waiting<string> = {
      what,
      work,
      whose: { target: `/v1/kv/b/${what}`, caller: NO_CALLER, bringsValue: false },
      connection,
      sinceMs: sinceMs ?? this.queue.cameMs(connection),
      bytes,
      bringsBytes: bytes,
    };
    return this.queue.join(request);
  }

  joinMany(count: number): void {
    for (let n = 0; n < count; n += 1) this.join(`r${n}`);
  }

  /** Places of the class become free, one after the other in one turn. */
  async free(work: KeyWork, places: number): Promise<void> {
    for (let n = 0; n < places; n += 1) {
      this.room[work] += 1;
      this.queue.placeFree();
    }
    await this.clock.advance(0);
  }

  get names(): readonly string[] {
    return this.letIn.map(([what]) => what);
  }
}
