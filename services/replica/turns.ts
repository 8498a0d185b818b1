/**
 * The doorkeeper of the replica: one operation at a time for a key, and none any more once the node stops. Must never
 * let go of an operation that it has let in: `drain` waits for all of them.
 */
import { MAX_KEY_WAITERS } from "../base/limits.ts";
import type { ReplicaRefusal } from "./contract.ts";
import { KeyMutex } from "./key-mutex.ts";
import { refused } from "./refusals.ts";

/** Turns at keys. */
export class Turns {
  readonly #mutex: KeyMutex = new KeyMutex(MAX_KEY_WAITERS);
  #isClosed = false;
  #insideCount = 0;
  #onEmpty: (() => void)[] = [];

  /** The turn at a key of this hash: at once, or when those before are done; whoever gets in must `leave`. */
  enter(hash: bigint): ReplicaRefusal | "taken" | Promise<void> {
    if (this.#isClosed) return refused("shutting_down", "this node is stopping");
    const turn = this.#mutex.acquire(hash);
    if (turn === "full") return refused("overloaded", "too many operations wait for keys that are being written");
    this.#insideCount += 1;
    return turn;
  }

  /** Ends the turn at the key. */
  leave(hash: bigint): void {
    this.#mutex.release(hash);
    this.#insideCount -= 1;
    if (this.#insideCount > 0 || this.#onEmpty.length === 0) return;
    const waiting = this.#onEmpty;
    this.#onEmpty = [];
    for (const wake of waiting) wake();
  }

  /** Lets nobody in from now on; resolves when all who were let in have left. */
  async drain(): Promise<void> {
    this.#isClosed = true;
    if (this.#insideCount > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve));
  }
}
