/**
 * What a life of tombstone collection is made of: the bugs that may be planted, machines with their disks, messages under way, what was
 * written and what became of it, and the sizes of this small world. Must never do anything: `collect-machines.ts` and what stands on it does.
 */
import type { NodeId } from "../../services/base/ids.ts";
import type { CollectRound } from "../../services/repair/collect-core.ts";
import type { CollectFloors, CollectMark } from "../../services/repair/collect-floors-core.ts";
import type { HolderCore } from "../../services/repair/collect-holder-core.ts";
import { type KnownRules, rulesOf } from "../../services/repair/collect-rules-core.ts";
import type { CausalContext, Dot, SiblingSet } from "../../services/versioning/types.ts";

/** Bugs that may be planted: what is done otherwise than it should be. */
export interface CollectPlan {
  /** tombstones go when they are old enough, and nobody is asked */
  readonly byTimer?: boolean;
  readonly withoutPromise?: boolean;
  readonly withoutHints?: boolean;
  /** the first of the other holders is asked, and stands for both */
  readonly withOneOther?: boolean;
  /** roots are not compared */
  readonly withoutLook?: boolean;
  /** what comes late is taken whatever was collected */
  readonly withoutLine?: boolean;
  /** who took no part is believed like the others */
  readonly believingAll?: boolean;
  /** who gave a page is asked for its marks when the page has come, not while it reads */
  readonly askingAfterwards?: boolean;
  /** a giver says what holds when it has read, and not what held when it began */
  readonly sayingAfterwards?: boolean;
  /** what was made from what is held is put there as it came */
  readonly appending?: boolean;
  /** a slot that should have keys that it had not goes on as before */
  readonly withoutDoubt?: boolean;
  /** what comes late is kept without what is below the line, whether or not that was deleted for certain */
  readonly droppingAnywhere?: boolean;
  /** a read takes the word of one that is behind */
  readonly readingAll?: boolean;
  /** no bug, but one trouble more: of every other start a bit has turned in the marks */
  readonly isRotten?: boolean;
  /** marks that cannot be read are taken for none */
  readonly forgettingMarks?: boolean;
  /** clocks are right, and no disk is set back: nothing but deletes and delays */
  readonly isCalm?: boolean;
}

/** One write as it happened. */
export interface Op {
  readonly key: string;
  readonly dot: Dot;
  readonly kind: "put" | "delete";
  /** what it replaces */
  readonly given: CausalContext;
  readonly startedAt: number;
  /** copies that the answer waits for */
  readonly needed: number;
  /** who has confirmed it in time for the answer */
  readonly acks: Set<number>;
  /** where it still is for that reason: less by disks that were set back */
  readonly places: Set<number>;
  isApplied: boolean;
}

export interface Disk {
  objects: Map<string, SiblingSet>;
  hints: Map<string, SiblingSet>;
  marks: Uint8Array;
  slot: number;
  tenure: number;
  lease: number;
  /** replicas of the key `k2`, and how new that is */
  setting: Setting;
}

export interface Setting {
  readonly n: number;
  readonly version: number;
}

export interface Leading {
  readonly round: CollectRound;
  readonly mark: CollectMark;
  readonly rules: bigint;
  asked: number;
  pending: number;
  settledAt: number;
  attempt: number;
}

export interface CatchingUp {
  readonly peer: number;
  readonly line: number;
  readonly rules: bigint;
  readonly mark: CollectMark;
  readonly keys: string[];
}

/** What a holder told of its marks: a floor of 0 stands for one that is not to be believed. */
export interface ToldMarks {
  readonly floor: number;
  readonly reaped: CollectMark | undefined;
  readonly rules: bigint;
}

export interface Life {
  readonly core: HolderCore;
  readonly floors: CollectFloors;
  last: number;
  readonly actor: number;
  readonly hintActor: number;
  readonly peers: Map<number, ToldMarks>;
  rules: KnownRules;
  leading: Leading | undefined;
  catchingUp: CatchingUp | undefined;
}

export interface Machine {
  readonly id: NodeId;
  disk: Disk;
  /** undefined: down */
  life: Life | undefined;
  skewMs: number;
  /** times that its disk was set back, or lost its slot's copy */
  era: number;
  /** its disk was set back, and it has not caught up since: it may show what it likes */
  isOld: boolean;
}

export interface Message {
  readonly to: number;
  readonly dueAt: number;
  readonly run: () => void;
}

/** What happened, so that an empty check is seen. */
export interface CollectCounts {
  writes: number;
  applied: number;
  deletes: number;
  rounds: number;
  collected: number;
  restores: number;
  moves: number;
  catchUps: number;
  staleDropped: number;
  reads: number;
  rules: number;
}

/** The one partition. */
export const P = 0;
export const KEYS: readonly string[] = ["k1", "k2"];
export const BASE_MS = 1_000_000_000;
export const DEADLINE = 30;
export const SETTLE = 62;
export const MIN_AGE = 40;
export const ANSWER_WITHIN = 25;
export const LOOKS = 3;
export const MEMBERS = "all";
/** The key whose bucket gets fewer replicas and more. */
export const RULED = "k2";
export const FIRST_SETTING: Setting = { n: 3, version: 0 };
export const FIRST_HEAD: { readonly promised: number; readonly rules: KnownRules } = {
  promised: 0,
  rules: rulesFor(FIRST_SETTING),
};
export const NODES: readonly number[] = [0, 1, 2, 3, 4];

export function rulesFor({ n }: Setting): KnownRules {
  return rulesOf({ standard: 3, named: [[RULED, n]] }, 3);
}

export function nameOf(key: string, dot: Dot): string {
  return `${key} ${dot.actor}.${dot.counter}`;
}
