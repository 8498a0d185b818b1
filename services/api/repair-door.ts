/** What the API needs of repair, declared here and satisfied by `node`. Types only: no code. */
import type { NodeId } from "../base/ids.ts";

/** Hints that a member still keeps for a node. */
export interface HintsLeft {
  readonly at: NodeId;
  readonly target: NodeId;
  readonly count: number;
}

/** What became of waiting for hints. */
export interface HintsWaited {
  /** nothing is left of what the members that answered kept when they were first asked */
  readonly isDone: boolean;
  readonly left: readonly HintsLeft[];
  /** members that did not answer: what they keep was not waited for */
  readonly unreachable: readonly NodeId[];
  readonly durationMs: number;
}

/** How far a comparison of replicas has come. */
export interface ReplicasCompared {
  /** every holder was compared with every other one to the end, and brought what it lacked */
  readonly isDone: boolean;
  /** comparisons of a partition of one holder with another, and those that are left */
  readonly pairs: number;
  readonly left: number;
  /** holders that are not through, each with how many comparisons wait for it */
  readonly waitingFor: Readonly<Record<string, number>>;
  /** members that did not answer */
  readonly unreachable: readonly NodeId[];
  /** objects that were brought where they lacked */
  readonly repairedKeys: number;
  readonly durationMs: number;
}

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
  /** Resolves when all that is kept for others now has been delivered, or the time is up. Never rejects. */
  waitForHints(timeoutMs: number): Promise<HintsWaited>;
  /** Re-reads all that this node's store has sealed; resolves when done or the time is up. Never rejects. */
  scrub(timeoutMs: number): Promise<StoreScrubbed>;
}
