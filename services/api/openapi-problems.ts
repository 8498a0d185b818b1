/**
 * Every error code as a schema of its own: its outcomes, whether it may pass, the facts that it carries. Status, title and meaning
 * are those of the one table in `problem.ts`. Pure. Must never know which route gives which code.
 */
import type { ErrorCode, Outcome } from "../base/errors.ts";
import { count, flag, listOf, objectOf, refTo, type Schema, text, wordIn } from "./openapi-schema.ts";
import { CODES, typeOf } from "./problem.ts";

/** What is known of a code beside `CODES`. */
interface ProblemRule {
  /** what may have become of the request */
  readonly outcomes: readonly Outcome[];
  /** whether another try, or another node, may be answered otherwise; undefined: the answer says it */
  readonly isRetryable: boolean | undefined;
  /** other statuses that carry it: HTTP itself demands them */
  readonly otherStatuses?: readonly number[];
  /** what it carries every time, and what it may carry, beside what all carry */
  readonly always?: Readonly<Record<string, Schema>>;
  readonly sometimes?: Readonly<Record<string, Schema>>;
}

const PARAMETER = text("The parameter, field or setting that breaks the rule.");
const HEADER = text("The header that breaks the rule.");
const KNOWN = listOf({ type: "string" }, "What is known here.");
const EXPLAIN = { explain: refTo("Explain") };
const FALLBACKS = { fallbacks: listOf(refTo("NodeId"), "Nodes that stood in for owners.") };
const COUNTED = {
  required: count("Replicas that had to answer."),
  received: count("Replicas that did."),
  replicas: listOf(refTo("ReplicaReport"), "What each replica said."),
  ...EXPLAIN,
};
const SIZES = {
  limitBytes: count("The limit."),
  sizeBytes: count("What was sent."),
  limit: count("The limit."),
  size: count("What there would be."),
};
const BUCKET = { bucket: refTo("BucketName") };

const REFUSED: ProblemRule = { outcomes: ["not_applied"], isRetryable: false };
const PASSES: ProblemRule = { outcomes: ["not_applied"], isRetryable: true };

/** What each code's document is like. */
export const PROBLEM_RULES: Readonly<Record<ErrorCode, ProblemRule>> = {
  invalid_request: {
    ...REFUSED,
    // not sent to its end in time; line and headers too long
    otherStatuses: [408, 431],
    sometimes: { parameter: PARAMETER, header: HEADER, known: KNOWN },
  },
  invalid_context: REFUSED,
  quorum_exceeds_n: { ...REFUSED, always: { parameter: PARAMETER }, sometimes: { n: count("The bucket's n.") } },
  unauthenticated: REFUSED,
  forbidden: {
    ...REFUSED,
    sometimes: {
      header: HEADER,
      principal: text("Whose token it is."),
      right: text("The right that it lacks."),
      ...BUCKET,
    },
  },
  not_found: { ...REFUSED, sometimes: EXPLAIN },
  deleted: {
    ...REFUSED,
    always: { context: refTo("Context") },
    sometimes: {
      expired: text("When the value's time to live was over; absent for a delete.", { format: "date-time" }),
      ...FALLBACKS,
      ...EXPLAIN,
    },
  },
  no_such_route: REFUSED,
  method_not_allowed: { ...REFUSED, always: { allow: listOf({ type: "string" }, "The methods that the path takes.") } },
  siblings: {
    ...REFUSED,
    always: { siblings: count("How many versions there are.", 2), context: refTo("Context") },
  },
  change_refused: { ...REFUSED, always: { refusals: listOf({ type: "string" }, "The rules that stand against it.") } },
  plan_changed: REFUSED,
  value_too_large: { ...REFUSED, sometimes: SIZES },
  too_many_siblings: { ...REFUSED, sometimes: SIZES },
  unsupported_media_type: REFUSED,
  context_required: REFUSED,
  overloaded: { outcomes: ["not_applied"], isRetryable: undefined, otherStatuses: [429], sometimes: COUNTED },
  quorum_not_met: {
    outcomes: ["not_applied", "unknown"],
    isRetryable: true,
    sometimes: {
      ...COUNTED,
      consistency: text("Of GET /v1/cluster/health: the level that was asked for."),
      verdict: text("Of GET /v1/cluster/health."),
      reasons: listOf({ type: "string" }, "Of GET /v1/cluster/health."),
      partitionsWithoutQuorum: count("Of GET /v1/cluster/health."),
    },
  },
  not_ready: {
    outcomes: ["not_applied", "unknown"],
    isRetryable: undefined,
    sometimes: { checks: listOf(refTo("HealthCheck"), "Of the probes: every check.") },
  },
  stale: { ...PASSES, sometimes: COUNTED },
  shutting_down: { ...PASSES, sometimes: COUNTED },
  not_finished: {
    outcomes: ["unknown"],
    isRetryable: true,
    sometimes: { durationMs: { type: "number", minimum: 0 }, unreachable: listOf(refTo("NodeId")) },
  },
  disk_full: { ...PASSES, sometimes: COUNTED },
  internal_error: { outcomes: ["not_applied", "unknown"], isRetryable: undefined },
};

/** The codes in the order of their table. */
export const ALL_CODES: readonly ErrorCode[] = Object.keys(CODES).filter((code): code is ErrorCode => code in CODES);

/** The name of a code's schema: `QuorumNotMetProblem`. */
export function problemName(code: ErrorCode): string {
  const words = code.split("_").map((word) => word.slice(0, 1).toUpperCase() + word.slice(1));
  return `${words.join("")}Problem`;
}

/** Every status that can carry the code. */
export function statusesOf(code: ErrorCode): readonly number[] {
  return [CODES[code].status, ...(PROBLEM_RULES[code].otherStatuses ?? [])];
}

function problemSchema(code: ErrorCode): Schema {
  const { outcomes, isRetryable, always = {}, sometimes = {} } = PROBLEM_RULES[code];
  const { title, meaning } = CODES[code];
  const properties = {
    type: { const: typeOf(code) },
    title: { const: title },
    status: { type: "integer", enum: statusesOf(code) },
    code: { const: code },
    outcome: wordIn(outcomes),
    retryable: isRetryable === undefined ? { type: "boolean" } : { const: isRetryable },
    detail: text("In words, for people: what was wrong and what to do."),
    ...always,
    ...sometimes,
  };
  return { ...objectOf(properties, { description: meaning, optional: Object.keys(sometimes) }), title: code };
}

const PROBLEM: Schema = {
  ...objectOf({
    type: text("Where the code is explained, at the node that answered.", { format: "uri-reference" }),
    title: { type: "string" },
    status: { type: "integer", minimum: 400, maximum: 599 },
    code: wordIn(ALL_CODES, "For programs; more may be added."),
    outcome: wordIn(
      ["not_applied", "unknown"],
      "What became of the request. not_applied: no trace of it anywhere, ever; unknown: it may show up, now or later.",
    ),
    retryable: flag("Another try, or another node, may be answered otherwise."),
    detail: text("In words, for people: what was wrong and what to do."),
  }),
  description: "What went wrong (RFC 9457). Facts about it are further members.",
};

/** Schemas by name: `Problem`, and one for each code. */
export const PROBLEM_SCHEMAS: Readonly<Record<string, Schema>> = {
  Problem: PROBLEM,
  ...Object.fromEntries(ALL_CODES.map((code) => [problemName(code), problemSchema(code)])),
};
