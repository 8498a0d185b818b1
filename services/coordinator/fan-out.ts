/**
 * Waits for several peers at once: the only place that does. One operation = one fan-out = one entry on the shared
 * timer wheel, first for the hedge (if any), then for the deadline. Callbacks, because a promise per peer would cost
 * more than the rest of a read. Must never decide what a reply means.
 */
import type { NodeId } from "../base/ids.ts";
import type { Clock } from "../base/ports.ts";
import type { CallResult, PeerRequest, Peers } from "../peers/messages.ts";
import type { PeerHealth } from "./peer-health.ts";
import { type TimerWheel, WheelEntry } from "./timer-wheel.ts";

/** What every fan-out of a node shares. */
export interface FanOutWindows {
  readonly peers: Peers;
  readonly health: PeerHealth;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
}

/** Who is told of results and time. */
export interface FanOutListener {
  /** Once per `send`, even after `close`: a late reply still counts for metrics and hints. */
  onResult(index: number, result: CallResult): void;
  /** The hedge delay has passed; at most once per `hedgeAfter`. */
  onSlow(): void;
  /** The time is up; at most once, never after `close`. */
  onDeadline(): void;
}

/**
 * Calls to several replicas under one deadline. What follows from one event (the start, a result, the time) is one step and
 * goes by the time at which that event came: reading the clock for each call would cost more than the rest of it.
 */
export class FanOut extends WheelEntry {
  readonly startedMs: number;
  readonly deadlineMs: number;
  readonly #windows: FanOutWindows;
  readonly #listener: FanOutListener;
  /** by index: when it was asked, then (negative) how long it took */
  readonly #sentMs: number[] = [];
  readonly #tookMs: number[] = [];
  /** when the step began that is under way */
  #nowMs: number;
  #hedgeMs = Number.POSITIVE_INFINITY;
  #isClosed = false;

  constructor(windows: FanOutWindows, listener: FanOutListener, timeoutMs: number) {
    super();
    this.#windows = windows;
    this.#listener = listener;
    this.startedMs = windows.clock.monotonicMs();
    this.#nowMs = this.startedMs;
    this.deadlineMs = this.startedMs + timeoutMs;
    windows.wheel.arm(this, this.deadlineMs);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A step begins of which this fan-out does not know: something else than a result or its time has come. */
  beginStep(): void {
    this.#nowMs = this.#windows.clock.monotonicMs();
  }

  /** Milliseconds left, never below 0. Begins a step. */
  remainingMs(): number {
    this.beginStep();
    return Math.max(0, this.deadlineMs - this.#nowMs);
  }

  /** Asks a replica; its result comes with the same index, possibly before this returns. */
  send(index: number, node: NodeId, request: PeerRequest): void {
    const nowMs = this.#nowMs;
    this.#sentMs[index] = nowMs;
    // What an `ask` takes depends on others too: its silence says nothing of the peer.
    const circuit = request.kind === "ask" ? undefined : this.#windows.health.circuitOf(node);
    circuit?.onSent(nowMs);
    this.#windows.peers.call(node, request, Math.max(1, this.deadlineMs - nowMs), (result) => {
      const endMs = this.noteEnd(index);
      circuit?.onResult(result, this.#tookMs[index] ?? 0, endMs);
      this.#listener.onResult(index, result);
    });
  }

  /** Notes when work of this node itself began, so that it is timed like the others. */
  noteStart(index: number): void {
    this.#sentMs[index] = this.#nowMs;
  }

  /** Notes its end, and when that is. Begins a step. */
  noteEnd(index: number): number {
    this.beginStep();
    this.#tookMs[index] = this.#nowMs - (this.#sentMs[index] ?? this.startedMs);
    return this.#nowMs;
  }

  /** When the replica was asked, in milliseconds after the start; undefined: it was not. */
  askedAfterMs(index: number): number | undefined {
    const sentMs = this.#sentMs[index];
    return sentMs === undefined ? undefined : sentMs - this.startedMs;
  }

  /** Milliseconds that the replica took; undefined while it is silent. */
  tookMs(index: number): number | undefined {
    return this.#tookMs[index];
  }

  /** Milliseconds since the replica was asked. */
  waitedMs(index: number): number {
    return this.#windows.clock.monotonicMs() - (this.#sentMs[index] ?? this.startedMs);
  }

  /** Asks to be told when `delayMs` have passed without `close`. */
  hedgeAfter(delayMs: number): void {
    this.hedgeAt(this.#nowMs + delayMs);
  }

  /** The same, for a time of the monotonic clock. */
  hedgeAt(dueMs: number): void {
    if (this.#isClosed || dueMs >= this.deadlineMs) return;
    this.#hedgeMs = dueMs;
    this.#windows.wheel.arm(this, dueMs);
  }

  /** No more of time; late results still come through. */
  close(): void {
    this.#isClosed = true;
    this.#windows.wheel.disarm(this);
  }

  onDue(nowMs: number): void {
    this.#nowMs = nowMs;
    if (nowMs >= this.deadlineMs) {
      this.#listener.onDeadline();
      return;
    }
    if (nowMs >= this.#hedgeMs) {
      this.#hedgeMs = Number.POSITIVE_INFINITY;
      this.#windows.wheel.arm(this, this.deadlineMs);
      this.#listener.onSlow();
    }
  }
}
