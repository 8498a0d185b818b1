/** How far the hand-over of this node's slots has come: counted as it goes, told to people. Must never steer anything. */
import type { NodeId } from "../base/ids.ts";
import type { HandoverPartition } from "./handover-partition.ts";
import type { HandoverParts } from "./handover-ports.ts";
import type { HandoverOutcome } from "./handover-steps.ts";

/** One partition that is on its way. */
export interface HandoverMove {
  readonly partition: number;
  /** undefined until the donor has said which one it gives */
  readonly slot: number | undefined;
  /** the other side: the donor, or the receiver; undefined for a minting */
  readonly peer: NodeId | undefined;
  /** `asking`, `copying`, `sealing`, …: where the core is */
  readonly stage: string;
  /** received here since it began; undefined while nothing has come, and where this node is the donor */
  readonly receivedBytes: number | undefined;
  /** why the last try failed, while another one has only begun */
  readonly stalled: string | undefined;
}

/** One partition whose slot should come here, that nothing is done about now: the last try failed. */
export interface StalledMove {
  readonly partition: number;
  /** known of slots that are made anew */
  readonly slot: number | undefined;
  readonly why: string;
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
  /** those that wait for another try, with the last word on each */
  readonly stalled: readonly StalledMove[];
}

/** What has happened, in numbers. Rates decay over half a minute. */
export class HandoverCounts {
  takenCount = 0;
  mintedCount = 0;
  receivedBytes = 0;
  #bytes: Decaying = { value: 0, atMs: 0 };
  #slots: Decaying = { value: 0, atMs: 0 };
  readonly #stalls = new Map<number, string>();
  /** of what is under way */
  readonly #received = new Map<number, number>();

  /** Bytes of a partition came in. */
  addBytes(partition: number, sizeBytes: number, nowMs: number): void {
    this.receivedBytes += sizeBytes;
    this.#received.set(partition, (this.#received.get(partition) ?? 0) + sizeBytes);
    this.#bytes = added(this.#bytes, sizeBytes, nowMs);
  }

  /** A hand-over or a minting ended. */
  addEnd(
    end: { readonly partition: number; readonly isMint: boolean; readonly outcome: HandoverOutcome },
    nowMs: number,
  ): void {
    const { partition, isMint, outcome } = end;
    this.#received.delete(partition);
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

  /** Received of the partition since its move began; undefined while nothing has come. */
  receivedOf(partition: number): number | undefined {
    return this.#received.get(partition);
  }

  /** Why the last try for the partition failed; undefined when none has. */
  stallOf(partition: number): string | undefined {
    return this.#stalls.get(partition);
  }
}

/** What the moves are read from. */
export interface MoveSources {
  readonly partitions: ReadonlyMap<number, HandoverPartition>;
  readonly parts: Pick<HandoverParts, "view" | "store">;
  readonly counts: HandoverCounts;
}

/** What this node does now in this role. */
export function movesOf(role: "receiver" | "donor" | "mint", sources: MoveSources): readonly HandoverMove[] {
  const { view } = sources.parts;
  return [...sources.partitions].flatMap(([partition, cores]) => {
    const { attempt } = cores.donor;
    const stage = role === "donor" ? (attempt?.stage ?? "idle") : cores[role].stage;
    if (stage === "idle") return [];
    const peer = role === "donor" ? attempt?.to : role === "receiver" ? cores.receiver.donor : undefined;
    const isBegun = role === "donor" || stage !== "asking";
    return [
      {
        partition,
        slot: slotOf(role, sources, partition),
        peer: peer === undefined ? undefined : view.nodeOf(peer),
        stage,
        receivedBytes: role === "donor" ? undefined : sources.counts.receivedOf(partition),
        stalled: isBegun ? undefined : sources.counts.stallOf(partition),
      },
    ];
  });
}

/** Those of `left` that nothing is done about now, and that were tried. */
export function stalledOf(
  left: readonly { readonly partition: number; readonly slot?: number }[],
  { active, counts }: { readonly active: readonly HandoverMove[]; readonly counts: HandoverCounts },
): readonly StalledMove[] {
  const busy = new Set(active.map(({ partition }) => partition));
  const told = new Map(left.map(({ partition, slot }) => [partition, slot]));
  return [...told].flatMap(([partition, slot]) => {
    const why = busy.has(partition) ? undefined : counts.stallOf(partition);
    return why === undefined ? [] : [{ partition, slot, why }];
  });
}

function slotOf(
  role: "receiver" | "donor" | "mint",
  { partitions, parts }: MoveSources,
  partition: number,
): number | undefined {
  const { ledger } = parts.store;
  if (role === "receiver") return partitions.get(partition)?.receiver.transfer?.slot;
  if (role === "mint") return ledger.minting.get(partition)?.slot;
  const held = ledger.slots[partition] ?? -1;
  return held >= 0 ? held : ledger.released.get(partition)?.slot;
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
