/** What whoever orders a repair, or waits for one, is told. Types only: `api` shows them, `repair` and `handoff` make them. */
import type { NodeId } from "./ids.ts";

/** Hints that a member still keeps for a node. */
export interface HintsLeft {
  readonly at: NodeId;
  /** null: for slots that nobody is believed to hold now */
  readonly target: NodeId | null;
  readonly count: number;
}

/** What became of waiting for hints. */
export interface HintsWaited {
  /** nothing is left of what the members kept when they were first asked, and all answered, unless who did not is ignored */
  readonly isDone: boolean;
  readonly left: readonly HintsLeft[];
  /** members that could not be asked, or did not answer: what they keep was not waited for */
  readonly unreachable: readonly NodeId[];
  readonly durationMs: number;
}

/** How far a comparison of replicas has come. */
export interface ReplicasCompared {
  /** every holder was compared with every other one to the end, and every member was asked */
  readonly isDone: boolean;
  /** comparisons of a partition of one holder with another, and those that are left */
  readonly pairs: number;
  readonly left: number;
  /** holders that are not through, each with how many comparisons wait for it */
  readonly waitingFor: Readonly<Record<string, number>>;
  /** members that did not answer */
  readonly unreachable: readonly NodeId[];
  /** objects that were brought where they lacked, by all members that answered */
  readonly repairedKeys: number;
  readonly durationMs: number;
}
