/**
 * What the four cores of the hand-over are fed and what they answer with. No code but the bounds that they share.
 *
 * A core is one partition in one role. `take(event, facts)` changes it at once and returns effects, which the shell carries
 * out in order; what an effect comes to is fed back as an event. The ledger in the facts is as issued; whatever must be
 * durable before others may hear of it is ordered by `persist`, whose `persisted` comes back with the same token.
 * A restart is a new core over the ledger that the disk kept. Events may be late, doubled, or of an attempt long over.
 */
import type { MemberKey } from "../placement/member-record.ts";
import type { HandoverReply, HandoverRequest } from "./handover-messages.ts";
import type { FinalPage, FinishResult, HandoverView, ReceiveResult } from "./handover-ports.ts";
import type { LedgerChange, SlotLedger } from "./slot-ledger.ts";

/** What the cores may know. */
export interface HandoverFacts {
  /** as issued */
  readonly ledger: SlotLedger;
  readonly view: Omit<HandoverView, "learn" | "wanted" | "mints" | "isConfirmed">;
  readonly nowMs: number;
  /** milliseconds since 1970 */
  readonly wallMs: number;
  /** a transfer number above all that this node has drawn; one that is told to others must be `counted` first */
  nextTx(): number;
}

/** Requests that are answered with a page of objects. */
export type PageRequest = Extract<HandoverRequest, { readonly body: unknown }>;

/** Why a hand-over or a minting ended without a slot. */
export type HandoverFailure =
  | "silent"
  | "refused"
  | "over"
  | "copy_failed"
  | "differs"
  | "promised"
  | "not_vacant"
  | "unwanted"
  | "removed"
  | "under_sourced";

/** What came of a hand-over or a minting. */
export type HandoverOutcome =
  | { readonly kind: "taken"; readonly slot: number }
  | {
      readonly kind: "failed";
      readonly why: HandoverFailure;
      readonly detail: string;
      /** whom to ask next, when somebody knew */
      readonly reply?: HandoverReply;
    };

/** Merge what `from` holds into the copy here; comes back as `merged`. */
export interface MergeEffect {
  readonly kind: "merge";
  readonly from: MemberKey;
  readonly tx: number;
  /** also when the source may lack what it had */
  readonly takesSuspect: boolean;
}

/** What a core wants done. */
export type HandoverEffect =
  | { readonly kind: "reply"; readonly call: number; readonly reply: HandoverReply }
  /** answer the call with a page from the data port, and name the slot */
  | { readonly kind: "serve"; readonly call: number; readonly request: PageRequest; readonly slot: number }
  | { readonly kind: "persist"; readonly changes: readonly LedgerChange[]; readonly token: number }
  | { readonly kind: "ask"; readonly to: MemberKey; readonly request: HandoverRequest }
  | { readonly kind: "timer"; readonly delayMs: number; readonly token: number }
  | { readonly kind: "open-attempt"; readonly tx: number }
  | { readonly kind: "close-attempt"; readonly tx: number }
  /** close the gate, then gather the last page: comes back as `sealed` or `seal-failed` */
  | { readonly kind: "seal"; readonly tx: number }
  | { readonly kind: "unseal" }
  /** serve by this slot from now on, −1 for none: it is durable */
  | { readonly kind: "hold"; readonly slot: number }
  /** drop what an older tenure left: comes back as `cleared` */
  | { readonly kind: "clear" }
  | { readonly kind: "receive"; readonly from: MemberKey; readonly tx: number }
  | { readonly kind: "finish"; readonly from: MemberKey; readonly tx: number; readonly last: FinalPage }
  | MergeEffect
  /** does it hold a slot up to this one, and all that the old copy has? comes back as `proved` */
  | { readonly kind: "prove"; readonly to: MemberKey; readonly highestSlot: number }
  /** remove the old copy: comes back as `dropped` */
  | { readonly kind: "drop" }
  | { readonly kind: "ended"; readonly outcome: HandoverOutcome };

/** What a core is told. */
export type HandoverEvent =
  | { readonly kind: "request"; readonly call: number; readonly request: HandoverRequest }
  /** `reply` is undefined when none came in time */
  | {
      readonly kind: "answered";
      readonly from: MemberKey;
      readonly request: HandoverRequest;
      readonly reply: HandoverReply | undefined;
    }
  | { readonly kind: "persisted"; readonly token: number }
  | { readonly kind: "timer"; readonly token: number }
  | { readonly kind: "sealed"; readonly tx: number; readonly last: FinalPage }
  | { readonly kind: "seal-failed"; readonly tx: number }
  | { readonly kind: "cleared" }
  | { readonly kind: "received"; readonly tx: number; readonly result: ReceiveResult }
  | { readonly kind: "finished"; readonly tx: number; readonly result: FinishResult }
  /**
   * `slot` is the one that the source named with every page, undefined when not all came; `isSuspect`: it may lack what it had,
   * and gave what it has only if that was to be taken
   */
  | {
      readonly kind: "merged";
      readonly from: MemberKey;
      readonly tx: number;
      readonly slot: number | undefined;
      readonly isSuspect: boolean;
    }
  | { readonly kind: "proved"; readonly isCovered: boolean }
  | { readonly kind: "dropped" }
  /** records, or what looks alive, have changed, or time has passed: look again */
  | { readonly kind: "review" };

/** How long things may take; all in milliseconds. */
export interface HandoverTimes {
  /** a seal that is not released by then is lifted: clients' writes wait no longer */
  readonly sealMs: number;
  /** an attempt of which nothing is heard for so long is closed */
  readonly idleMs: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /**
   * Between the last member's answer and the first copy of a minting: operations that counted an answer of the removed
   * member have ended by then. As long as the longest operation, or 0 when coordinators discount removed members at
   * the moment in which they decide.
   */
  readonly mintQuietMs: number;
}

/** The delay before try `attempt` (0, 1, …): doubled each time, between the bounds. */
export function retryDelayMs(times: HandoverTimes, attempt: number): number {
  return Math.min(times.retryMaxMs, times.retryMinMs * 2 ** Math.min(attempt, 16));
}
