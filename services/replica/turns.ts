/**
 * The doorkeeper of the replica: through the gate of the partition first, then one operation at a time for a key, and
 * none any more once the node stops. Must never let go of an operation that it has let in: `drain` waits for all of
 * them, and so does the closing of a gate.
 */
import { MAX_GATE_WAITERS, MAX_KEY_QUEUE, MAX_KEY_WAITERS } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import type { KeyLocation, ReplicaRefusal } from "./contract.ts";
import { KeyMutex } from "./key-mutex.ts";
import { PartitionGates } from "./partition-gates.ts";
import { expired, refused } from "./refusals.ts";

/** How asking for a turn ends: whoever has it must `leave`. */
export type Turn = "taken" | ReplicaRefusal;

/** Turns at keys. */
export class Turns {
  readonly gates: PartitionGates;
  readonly #clock: Clock;
  readonly #mutex: KeyMutex = new KeyMutex(MAX_KEY_WAITERS);
  #isClosed = false;
  #insideCount = 0;
  #refusedCount = 0;
  #onEmpty: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.gates = new PartitionGates(clock, MAX_GATE_WAITERS);
  }

  /** Operations refused because too many waited for their key, since the start. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /**
   * The turn at a key: at once, or when the gate opens and those before are done, at most until `endMs` (monotonic), and
   * behind at most `maxQueue` others.
   */
  enter(location: KeyLocation, endMs: number, maxQueue: number = MAX_KEY_QUEUE): Turn | Promise<Turn> {
    if (this.#isClosed) return stopping();
    if (!this.gates.tryEnter(location.partition)) return this.#enterLater(location, endMs);
    return this.#takeTurn(location, endMs, maxQueue);
  }

  /** Ends the turn at the key. */
  leave(location: KeyLocation): void {
    this.#mutex.release(location.hash);
    this.#insideCount -= 1;
    this.gates.leave(location.partition);
    if (this.#insideCount > 0 || this.#onEmpty.length === 0) return;
    const waiting = this.#onEmpty;
    this.#onEmpty = [];
    for (const wake of waiting) wake();
  }

  /** Lets nobody in from now on; resolves when all who were let in have left. */
  async drain(): Promise<void> {
    this.#isClosed = true;
    this.gates.openAll();
    if (this.#insideCount > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve));
  }

  /** True when the monotonic time is over. */
  isOver(endMs: number): boolean {
    return this.#clock.monotonicMs() >= endMs;
  }

  /** Whoever has waited at the gate, which has a bound of its own, is not turned away at the key. */
  async #enterLater(location: KeyLocation, endMs: number): Promise<Turn> {
    const waiting = this.gates.wait(location.partition, endMs);
    if (waiting === "full") return refused("overloaded", "too many writes wait for a partition that is handed over");
    if (!(await waiting)) return expired();
    if (!this.#isClosed) return this.#takeTurn(location, endMs, MAX_KEY_WAITERS);
    this.gates.leave(location.partition);
    return stopping();
  }

  /** For whoever is through the gate. */
  #takeTurn(location: KeyLocation, endMs: number, maxQueue: number): Turn | Promise<Turn> {
    const turn = this.#mutex.acquire(location.hash, maxQueue);
    if (turn === "full") {
      this.gates.leave(location.partition);
      this.#refusedCount += 1;
      const isHot = this.#mutex.waitersOf(location.hash) >= maxQueue;
      const words = isHot ? "too many operations wait for this key" : "too many operations wait for their keys";
      return refused("overloaded", words);
    }
    this.#insideCount += 1;
    return turn === "taken" ? turn : turn.then(() => this.#inTime(location, endMs));
  }

  #inTime(location: KeyLocation, endMs: number): Turn {
    if (!this.isOver(endMs)) return "taken";
    this.leave(location);
    return expired();
  }
}

function stopping(): ReplicaRefusal {
  return refused("shutting_down", "this node is stopping");
}
