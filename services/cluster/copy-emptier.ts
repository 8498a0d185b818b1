/**
 * CopyEmptier: removes what the disk holds of one partition, until it is done or nobody wants it any more. One removal after the
 * other. Must never remove a copy that is held or staged, nor one for somebody who has gone on without it.
 */
import assert from "node:assert/strict";
import { HANDOVER_RETRY_MAX_MS } from "../base/limits.ts";
import type { Timer } from "../base/ports.ts";
import type { HandoverParts } from "./handover-ports.ts";

/** What is removed: what an older tenure left, or the copy of a slot that was given away. */
export type Emptying = "clear" | "drop";

/** Who wants it. */
export interface EmptyingOrder {
  readonly what: Emptying;
  /** asked before each try */
  readonly isWanted: () => boolean;
  readonly onDone: () => void;
}

/** One partition's. */
export class CopyEmptier {
  readonly #parts: Pick<HandoverParts, "receiverData" | "store" | "clock" | "log">;
  readonly #partition: number;
  readonly #waiting: EmptyingOrder[] = [];
  #isRunning = false;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(parts: Pick<HandoverParts, "receiverData" | "store" | "clock" | "log">, partition: number) {
    this.#parts = parts;
    this.#partition = partition;
  }

  /** False while a removal is under way or to be tried again: nothing may be written meanwhile. */
  get isIdle(): boolean {
    return !this.#isRunning && this.#waiting.length === 0;
  }

  /** Removes the copy, durably: then `onDone`. A failed try is made again as long as it is wanted. */
  empty(order: EmptyingOrder): void {
    this.#waiting.push(order);
    if (!this.#isRunning && this.#timer === undefined) void this.#run();
  }

  /** Those whose order is not wanted any more are waited for no longer. */
  review(): void {
    if (this.#timer === undefined || this.#waiting.some((order) => order.isWanted())) return;
    this.#timer.cancel();
    this.#timer = undefined;
    this.#waiting.length = 0;
  }

  /** Tries no more; a removal under way ends by itself. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    this.#isRunning = true;
    for (let order = this.#waiting[0]; order !== undefined && !this.#isStopped; order = this.#waiting[0]) {
      if (order.isWanted() && !(await this.#isEmptied(order.what))) break;
      this.#waiting.shift();
      if (!this.#isStopped && order.isWanted()) order.onDone();
    }
    this.#isRunning = false;
    if (this.#waiting.length === 0 || this.#isStopped) return;
    this.#timer = this.#parts.clock.setTimer(HANDOVER_RETRY_MAX_MS, () => void this.#run());
  }

  async #isEmptied(what: Emptying): Promise<boolean> {
    const { receiverData, store, log } = this.#parts;
    const partition = this.#partition;
    const { slots, staged } = store.ledger;
    assert.ok(slots[partition] === -1 && !staged.has(partition), "a copy that is held or staged is not removed");
    try {
      if (what === "clear") await receiverData.clearLeftovers(partition);
      else await receiverData.dropPartition(partition);
      return true;
    } catch (error) {
      if (!this.#isStopped) log.warn({ event: `handover.${what}-failed`, partition, error });
      return false;
    }
  }
}
