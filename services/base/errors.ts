/** The closed list of codes that a client can meet (API §3), and what became of the request. */

/** A stable code for programs; what it means is told by the table in `api/problem.ts`. */
export type ErrorCode =
  | "invalid_request"
  | "invalid_context"
  | "quorum_exceeds_n"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "deleted"
  | "no_such_route"
  | "method_not_allowed"
  | "siblings"
  | "change_refused"
  | "plan_changed"
  | "value_too_large"
  | "too_many_siblings"
  | "unsupported_media_type"
  | "context_required"
  | "overloaded"
  | "quorum_not_met"
  | "not_ready"
  | "stale"
  | "shutting_down"
  | "not_finished"
  | "disk_full"
  | "internal_error";

/**
 * What became of a write: `applied` W replicas made it durable; `not_applied` no trace of it anywhere, ever;
 * `unknown` it may show up, now or later.
 */
export type Outcome = "applied" | "not_applied" | "unknown";
