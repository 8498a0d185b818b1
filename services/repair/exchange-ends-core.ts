/** Why an exchange ends before all is the same on both sides, in words, and which failure of one object ends it. Pure. */
import type { ExchangeAnswer } from "./exchange-messages.ts";

/** Somebody else has the partition: it is tried again soon. */
export const BUSY_WORDS = "refused: busy";

/** Why there is no page, in words. */
export function reasonOf(answer: ExchangeAnswer | undefined): string {
  if (answer === undefined) return "no answer";
  return answer.kind === "refused" ? `refused: ${answer.reason}` : "an answer to another question";
}

/** What a replica, here or there, did not do. */
export interface Failure {
  readonly kind: string;
  readonly reason?: string;
  readonly detail?: string;
}

/** Of one object, or of this moment. */
const PASSING: ReadonlySet<string> = new Set(["corrupt_record", "overloaded", "uncertain"]);

/** Nothing more will go well: the slot has gone, the node stops, the disk is full, nobody is there. */
export function isEnd(failure: Failure): boolean {
  return !(failure.kind === "refused" && PASSING.has(failure.reason ?? ""));
}

/** For the log. */
export function wordsOf({ kind, reason, detail }: Failure): string {
  return reason ?? (detail === undefined ? kind : `${kind}: ${detail}`);
}
