/**
 * The audit trail: one line of the log for each refused request and each change of settings or membership, with the event `audit`.
 * Who, from where, what, with which outcome. Must never carry a value, a key, a token or anything else that a client made up.
 */
import type { Log } from "../base/ports.ts";

/** One line of the trail. */
export interface AuditEntry {
  /** the principal; `nobody` for a request without a valid token, `anyone` where there are no tokens */
  readonly principal: string;
  readonly address: string;
  /** method and pattern of the route */
  readonly route: string;
  readonly right: string;
  /** a valid bucket name; absent where there is none */
  readonly bucket?: string | undefined;
  readonly outcome: "refused" | "done" | "failed";
  readonly status: number;
  readonly code?: string | undefined;
  /** what is wrong with the client's certificate, a code of TLS; absent where that was not the reason */
  readonly certificate?: string;
  readonly requestId: string;
  /** refusals of the same source that were not told since the last line */
  readonly heldBackCount?: number;
}

/** Writes one line. */
export function audit(log: Log, entry: AuditEntry): void {
  const facts = { event: "audit", ...entry };
  if (entry.outcome === "refused") log.warn(facts);
  else log.info(facts);
}
