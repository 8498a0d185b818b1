/**
 * What the core wants done, in order, and which timers and decisions it waits for. Ids are never used twice, so a timer
 * that was cancelled too late is nobody's. Must never let a datagram out while the generation is not durable.
 */

import type { MemberEntry } from "./member-table.ts";
import type { GossipEvent, Message } from "./messages.ts";
import type { Suspicion } from "./suspicion.ts";
import type { Output } from "./swim-api.ts";

/** What a timer or a decision is about. */
export type Purpose =
  | { readonly kind: "beat" | "gossip" | "recontact" | "seeds" | "sweep" | "sync" }
  | { readonly kind: "probe-timeout" | "relay-nack" | "relay-end"; readonly seq: number }
  | { readonly kind: "suspicion"; readonly entry: MemberEntry; readonly suspicion: Suspicion };

/** A timer that runs, or a decision that was put off: `dueMs` is when the timer should have run out. */
export interface Pending {
  readonly purpose: Purpose;
  readonly dueMs: number;
}

/** The outputs that wait to be drained. */
export class Outbox {
  readonly #timers = new Map<number, Pending>();
  readonly #decisions = new Map<number, Pending & { readonly lateMs: number }>();
  #outputs: Output[] = [];
  #lastId = 0;
  #isMuted = false;

  /** Whether datagrams are held back. */
  get isMuted(): boolean {
    return this.#isMuted;
  }

  /** Timers that run; for tests. */
  get timerCount(): number {
    return this.#timers.size;
  }

  drain(): readonly Output[] {
    if (this.#outputs.length === 0) return NOTHING;
    const outputs = this.#outputs;
    this.#outputs = [];
    return outputs;
  }

  push(output: Output): void {
    this.#outputs.push(output);
  }

  event(event: GossipEvent): void {
    this.#outputs.push({ kind: "event", event });
  }

  send(to: string, nodeId: string | undefined, messages: readonly Message[]): void {
    if (!this.#isMuted && to !== "") this.#outputs.push({ kind: "send", to, nodeId, messages });
  }

  /** From now on datagrams are dropped: any can be lost, so none needs to be kept. */
  mute(): void {
    this.#isMuted = true;
  }

  unmute(): void {
    this.#isMuted = false;
  }

  /** Starts a timer; its id. */
  arm(purpose: Purpose, delayMs: number, nowMs: number): number {
    this.#lastId += 1;
    this.#timers.set(this.#lastId, { purpose, dueMs: nowMs + delayMs });
    this.#outputs.push({ kind: "timer", id: this.#lastId, delayMs });
    return this.#lastId;
  }

  cancel(id: number): void {
    if (this.#timers.delete(id)) this.#outputs.push({ kind: "cancel-timer", id });
  }

  /** The timer that has run out, once; undefined when it was cancelled. */
  takeTimer(id: number): Pending | undefined {
    const timer = this.#timers.get(id);
    this.#timers.delete(id);
    return timer;
  }

  /** Puts the verdict of a timer off by one turn of the loop: what arrived while the loop stood still is read first. */
  decideSoon(timer: Pending, nowMs: number): void {
    this.#lastId += 1;
    this.#decisions.set(this.#lastId, { ...timer, lateMs: nowMs - timer.dueMs });
    this.#outputs.push({ kind: "decide-soon", id: this.#lastId });
  }

  takeDecision(id: number): (Pending & { readonly lateMs: number }) | undefined {
    const decision = this.#decisions.get(id);
    this.#decisions.delete(id);
    return decision;
  }

  /** Drops all timers and decisions: nothing happens any more. */
  stop(): void {
    for (const id of this.#timers.keys()) this.#outputs.push({ kind: "cancel-timer", id });
    this.#timers.clear();
    this.#decisions.clear();
    this.#isMuted = true;
  }
}

const NOTHING: readonly Output[] = [];
