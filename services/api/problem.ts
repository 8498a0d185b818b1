/**
 * What goes wrong, as documents: the one table from code to status, title and meaning (API §3), and the JSON that
 * carries it. Pure. Source: RFC 9457. Must never invent a code outside `base/errors.ts`.
 */
import type { ErrorCode } from "../base/errors.ts";
import type { Failure } from "../coordinator/contract.ts";

interface CodeEntry {
  readonly status: number;
  readonly title: string;
  readonly meaning: string;
}

/** Every code with its HTTP status, its title, and one sentence for the page behind `type`. */
export const CODES: Readonly<Record<ErrorCode, CodeEntry>> = {
  invalid_request: {
    status: 400,
    title: "Invalid request",
    meaning: "A part of the request breaks a rule; the detail names both.",
  },
  invalid_context: {
    status: 400,
    title: "Invalid context",
    meaning:
      "The causal context was not given by this cluster for this key. Read the key again and send what it answers.",
  },
  quorum_exceeds_n: {
    status: 400,
    title: "Quorum exceeds N",
    meaning: "r, w, pr or pw asks for more replicas than the bucket has.",
  },
  unauthenticated: { status: 401, title: "Unauthenticated", meaning: "The request carries no valid token." },
  forbidden: {
    status: 403,
    title: "Forbidden",
    meaning: "The token does not have this right, or the request comes by a page or a host name that may not do this.",
  },
  not_found: {
    status: 404,
    title: "Not found",
    meaning:
      "As many owners of the key as were asked for hold nothing of it: it was never written, was deleted or ended long ago, or, where fewer were asked than hold each write, has not come to them yet.",
  },
  deleted: {
    status: 404,
    title: "Deleted",
    meaning: "There was a value and it was deleted. Send the context with a PUT and the new value follows the delete.",
  },
  no_such_route: { status: 404, title: "No such route", meaning: "The API has no such path." },
  method_not_allowed: {
    status: 405,
    title: "Method not allowed",
    meaning: "The path exists; Allow names its methods.",
  },
  siblings: {
    status: 409,
    title: "Concurrent versions",
    meaning: "A raw read found several concurrent versions. Read the envelope, merge, and PUT with its context.",
  },
  change_refused: {
    status: 409,
    title: "Change refused",
    meaning: "A rule of safety stands against this change of membership; refusals says which. Nothing was done.",
  },
  plan_changed: {
    status: 409,
    title: "Plan changed",
    meaning:
      "The membership is not what the plan was made for, or no such plan is known here. Plan again, then commit.",
  },
  value_too_large: { status: 413, title: "Value too large", meaning: "The body or the value is over its limit." },
  too_many_siblings: {
    status: 413,
    title: "Too many siblings",
    meaning: "The key holds its limit of concurrent versions. Read it, merge, and PUT with its context.",
  },
  unsupported_media_type: {
    status: 415,
    title: "Unsupported media type",
    meaning: "The body's type cannot be stored as it was sent.",
  },
  context_required: {
    status: 428,
    title: "Context required",
    meaning: "The bucket refuses blind writes. Read the key and send its Gyre-Context with the write.",
  },
  overloaded: {
    status: 503,
    title: "Overloaded",
    meaning: "This node has all the work that it takes at a time; nothing was applied.",
  },
  quorum_not_met: {
    status: 503,
    title: "Quorum not met",
    meaning: "Too few replicas answered in time. The outcome says whether a write may show up.",
  },
  not_ready: { status: 503, title: "Not ready", meaning: "This node cannot coordinate yet; ask another one." },
  stale: {
    status: 503,
    title: "Stale",
    meaning: "No replica that answered holds the version that the context asks for.",
  },
  shutting_down: {
    status: 503,
    title: "Shutting down",
    meaning: "This node is stopping; ask another one. Nothing was applied.",
  },
  not_finished: {
    status: 504,
    title: "Not finished in time",
    meaning:
      "What was waited for goes on by itself and is not done yet; left says what is missing. Ask again to wait longer.",
  },
  disk_full: { status: 507, title: "Disk full", meaning: "Too few replicas have room for the write; reads go on." },
  internal_error: {
    status: 500,
    title: "Internal error",
    meaning: "A defect in gyre; the node's log has the request id.",
  },
};

/** Where the page about a code is, relative to the node that answered. */
export function typeOf(code: ErrorCode): string {
  return `/docs/errors#${code}`;
}

/** A refusal of the client's request before anything was done. */
export function refusal(code: ErrorCode, detail: string, facts?: Readonly<Record<string, unknown>>): Failure {
  const base = { kind: "failed", code, outcome: "not_applied", retryable: false, detail } as const;
  return facts === undefined ? base : { ...base, facts };
}

/** A refusal that another try, or another node, may not meet. */
export function refusalForNow(code: ErrorCode, detail: string): Failure {
  return { kind: "failed", code, outcome: "not_applied", retryable: true, detail };
}

/** The members of the problem document, in the order in which they are shown. Facts never hide the fixed members. */
export function problemOf(failure: Failure, status: number): Record<string, unknown> {
  const { code, outcome, retryable, detail, required, received, replicas, facts, explain } = failure;
  const fixed = { type: typeOf(code), title: CODES[code].title, status, code, outcome, retryable, detail };
  const counted = {
    ...fixed,
    ...(required === undefined ? {} : { required }),
    ...(received === undefined ? {} : { received }),
  };
  return {
    ...counted,
    ...facts,
    ...counted,
    ...(replicas === undefined ? {} : { replicas }),
    ...(explain === undefined ? {} : { explain }),
  };
}
