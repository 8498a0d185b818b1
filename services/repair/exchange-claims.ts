/**
 * Which partition this node compares with whom just now, whoever began it. One at a time: two holders that bring the same
 * keys to a third one would send everything twice. A claim ends by itself when nothing is heard of it. Must never hold
 * up anything but comparisons.
 */
import type { NodeId } from "../base/ids.ts";
import { EXCHANGE_CLAIM_MS } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";

interface Claim {
  readonly peer: NodeId;
  readonly side: "asking" | "asked";
  readonly untilMs: number;
}

/** The claims of one node. */
export class ExchangeClaims {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #byPartition = new Map<number, Claim>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Takes or prolongs the claim; false while the partition is another one's. */
  take(partition: number, peer: NodeId, side: Claim["side"]): boolean {
    const nowMs = this.#clock.monotonicMs();
    const held = this.#byPartition.get(partition);
    const isOther = held !== undefined && (held.peer !== peer || held.side !== side) && held.untilMs > nowMs;
    if (isOther) return false;
    if (held === undefined && this.#byPartition.size > 1) this.#dropOver(nowMs);
    this.#byPartition.set(partition, { peer, side, untilMs: nowMs + EXCHANGE_CLAIM_MS });
    return true;
  }

  /** Ends the claim, if it is this one. */
  release(partition: number, peer: NodeId, side: Claim["side"]): void {
    const held = this.#byPartition.get(partition);
    if (held?.peer === peer && held.side === side) this.#byPartition.delete(partition);
  }

  #dropOver(nowMs: number): void {
    for (const [partition, { untilMs }] of this.#byPartition) {
      if (untilMs <= nowMs) this.#byPartition.delete(partition);
    }
  }
}
