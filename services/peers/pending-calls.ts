/**
 * The calls of one link that have not ended, by request id. An id is a slot (low 14 bits) under a generation, so that
 * finding a call is an array read and a late reply does not meet a younger call. The generation comes round after 262,144
 * calls, some ten seconds of a busy link: so a slot never gets the id again under which its last call ran out. (The reply to one
 * that ran out earlier in the same slot would have to come in the very turn of its own id: links end long before.) Must
 * never call anybody back.
 */
import assert from "node:assert/strict";
import type { CallResult } from "./messages.ts";
import type { WireRequest } from "./request-codec.ts";

/** One call between `call` and its result. */
export interface PendingCall {
  requestId: number;
  readonly requestKind: WireRequest["kind"];
  /** until it is encoded; from then on it may have left */
  request: WireRequest | undefined;
  readonly sizeBytes: number;
  readonly startedMs: number;
  readonly deadlineMs: number;
  readonly onResult: (result: CallResult) => void;
}

const SLOT_BITS = 14;
const SLOT_MASK = (1 << SLOT_BITS) - 1;
const GENERATION_MASK = 0xffff_ffff >>> SLOT_BITS;

/** The table of one link. */
export class PendingCalls {
  readonly #maximumCount: number;
  readonly #slots: (PendingCall | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  /** by slot: the id whose reply may still come, because its call ran out; 0: none. (Id 0 itself is as good as none.) */
  readonly #ranOut: number[] = [];
  #generation = 0;
  #count = 0;

  /** `maximumCount` ≤ 16384 */
  constructor(maximumCount: number) {
    assert.ok(maximumCount <= SLOT_MASK + 1, "slots fit into a request id");
    this.#maximumCount = maximumCount;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count >= this.#maximumCount;
  }

  /** Takes the call in and gives it its request id. Never when full. */
  add(call: PendingCall): void {
    assert.ok(!this.isFull, "a full table takes no call");
    const slot = this.#freeSlots.pop() ?? this.#newSlot();
    call.requestId = this.#nextId(slot);
    if (call.requestId === this.#ranOut[slot]) call.requestId = this.#nextId(slot);
    this.#slots[slot] = call;
    this.#count += 1;
  }

  /** The call waiting under this id. */
  find(requestId: number): PendingCall | undefined {
    const call = this.#slots[requestId & SLOT_MASK];
    return call?.requestId === requestId ? call : undefined;
  }

  /** Lets the call go; its id means nothing from now on. */
  remove(call: PendingCall): void {
    const slot = call.requestId & SLOT_MASK;
    assert.ok(this.#slots[slot] === call, "only a waiting call can end");
    this.#slots[slot] = undefined;
    this.#freeSlots.push(slot);
    this.#count -= 1;
  }

  /** Takes out every call whose deadline is not after `nowMs`. O(slots in use at most). */
  takeExpired(nowMs: number): readonly PendingCall[] {
    const expired = this.#slots.filter((call) => call !== undefined && call.deadlineMs <= nowMs);
    for (const call of expired) if (call !== undefined) this.#ranOut[call.requestId & SLOT_MASK] = call.requestId;
    return this.#taken(expired);
  }

  /** Takes out all calls. */
  takeAll(): readonly PendingCall[] {
    return this.#taken(this.#slots.filter((call) => call !== undefined));
  }

  /** The earliest deadline, `Infinity` when nothing waits. O(slots in use at most). */
  earliestDeadlineMs(): number {
    let earliestMs = Infinity;
    for (const call of this.#slots) {
      if (call !== undefined && call.deadlineMs < earliestMs) earliestMs = call.deadlineMs;
    }
    return earliestMs;
  }

  #newSlot(): number {
    this.#ranOut.push(0);
    return this.#slots.length;
  }

  #nextId(slot: number): number {
    this.#generation = (this.#generation + 1) & GENERATION_MASK;
    return ((this.#generation << SLOT_BITS) | slot) >>> 0;
  }

  #taken(calls: readonly (PendingCall | undefined)[]): readonly PendingCall[] {
    const taken: PendingCall[] = [];
    for (const call of calls) {
      if (call === undefined) continue;
      this.remove(call);
      taken.push(call);
    }
    return taken;
  }
}
