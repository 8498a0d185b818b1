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

/** Repairs that are asked for. */
export interface RepairDoor {
  /** Resolves when all that is kept for others now has been delivered, or the time is up. Never rejects. */
  waitForHints(timeoutMs: number): Promise<HintsWaited>;
}
