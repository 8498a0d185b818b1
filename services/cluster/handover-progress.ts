/** How far the hand-over of this node's slots has come: counted as it goes, told to people. Must never steer anything. */
import type { NodeId } from "../base/ids.ts";
import type { HandoverOutcome } from "./handover-steps.ts";

/** One partition that is on its way. */
export interface HandoverMove {
  readonly partition: number;
  /** the other side: the donor, or the receiver; undefined for a minting */
  readonly peer: NodeId | undefined;
  /** `asking`, `copying`, `sealing`, …: where the core is */
  readonly stage: string;
}

/** What `GET /v1/cluster` tells of it. */
export interface HandoverProgress {
  readonly incoming: readonly HandoverMove[];
  readonly outgoing: readonly HandoverMove[];
  readonly minting: readonly HandoverMove[];
  /** partitions whose slot this node should hold and does not hold yet */
  readonly leftCount: number;
  /** slots taken since start, by hand-over and by minting */
  readonly takenCount: number;
  readonly mintedCount: number;
  /** slots given away whose old copies are not dropped yet */
  readonly oldCopyCount: number;
  readonly receivedBytes: number;
  /** of the last half minute or so */
  readonly bytesPerSecond: number;
  /** by the pace of the last slots; undefined while none has come, or none is left */
  readonly etaMs: number | undefined;
  /** why partitions wait, by how many: the last word on each */
  readonly stalls: Readonly<Record<string, number>>;
}

/** What has happened, in numbers. Rates decay over half a minute. */
export class HandoverCounts {
  takenCount = 0;
  mintedCount = 0;
  receivedBytes = 0;
  #bytes: Decaying = { value: 0, atMs: 0 };
  #slots: Decaying = { value: 0, atMs: 0 };
  readonly #stalls = new Map<number, string>();

  /** Bytes came in. */
  addBytes(sizeBytes: number, nowMs: number): void {
    this.receivedBytes += sizeBytes;
    this.#bytes = added(this.#bytes, sizeBytes, nowMs);
  }

  /** A hand-over or a minting ended. */
  addEnd(
    end: { readonly partition: number; readonly isMint: boolean; readonly outcome: HandoverOutcome },
    nowMs: number,
  ): void {
    const { partition, isMint, outcome } = end;
    if (outcome.kind === "failed") {
      const isTold = outcome.reply?.kind === "refused";
      this.#stalls.set(partition, isTold && outcome.reply.kind === "refused" ? outcome.reply.reason : outcome.why);
      return;
    }
    this.#stalls.delete(partition);
    this.#slots = added(this.#slots, 1, nowMs);
    if (isMint) this.mintedCount += 1;
    else this.takenCount += 1;
  }

  /** Bytes a second, of late. */
  bytesPerSecond(nowMs: number): number {
    return Math.round(rateOf(this.#bytes, nowMs));
  }

  /** How long `leftCount` slots take at the pace of the last ones. */
  etaMs(leftCount: number, nowMs: number): number | undefined {
    const perSecond = rateOf(this.#slots, nowMs);
    return leftCount === 0 || perSecond < 1e-6 ? undefined : Math.round((leftCount / perSecond) * 1_000);
  }

  /** Why the partitions in `left` wait. */
  stalls(left: readonly number[]): Readonly<Record<string, number>> {
    const counted: Record<string, number> = {};
    for (const partition of left) {
      const why = this.#stalls.get(partition);
      if (why !== undefined) counted[why] = (counted[why] ?? 0) + 1;
    }
    return counted;
  }
}

/** A sum that forgets: after `DECAY_MS` about a third of it is left. */
interface Decaying {
  readonly value: number;
  readonly atMs: number;
}

const DECAY_MS = 30_000;

function added({ value, atMs }: Decaying, amount: number, nowMs: number): Decaying {
  return { value: value * Math.exp((atMs - nowMs) / DECAY_MS) + amount, atMs: nowMs };
}

function rateOf({ value, atMs }: Decaying, nowMs: number): number {
  return (value * Math.exp((atMs - nowMs) / DECAY_MS)) / (DECAY_MS / 1_000);
}
