/** What the API needs of repair, declared here and satisfied by `node`. Types only: no code. */
import type { NodeId } from "../base/ids.ts";
import type { HintsWaited, ReplicasCompared } from "../base/repair-reports.ts";

/** What a scrub of one node's store has read and found. */
export interface StoreScrubbed {
  readonly node: NodeId;
  /** false: the time was up first, or the store fails or stops; it goes on by itself if it can */
  readonly isDone: boolean;
  readonly readBytes: number;
  /** places whose bytes are not what was written, in live records, dead ones and headers */
  readonly rotCount: number;
  /** newest records of keys among them: anti-entropy brings them back */
  readonly lostCount: number;
  readonly rebuiltIndexCount: number;
  readonly durationMs: number;
}

/** Repairs that are asked for. */
export interface RepairDoor {
  /** Q */
  readonly partitionCount: number;
  /** Compares one partition, or all (undefined), between all holders now; resolves when done or the time is up. Never rejects. */
  compare(partition: number | undefined, timeoutMs: number): Promise<ReplicasCompared>;
  /**
   * Resolves when all that is kept for others now has been delivered, or the time is up. `ignoresUnreachable`: what members
   * keep that cannot be asked is not waited for. Never rejects.
   */
  waitForHints(timeoutMs: number, ignoresUnreachable: boolean): Promise<HintsWaited>;
  /** Re-reads all that this node's store has sealed; resolves when done or the time is up. Never rejects. */
  scrub(timeoutMs: number): Promise<StoreScrubbed>;
}
