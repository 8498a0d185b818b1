/**
 * The query parameters of every route, as data: what each is called, may be, and means. The routes parse by these lists and
 * the OpenAPI document shows them. Pure. Must never name a parameter that its route does not take.
 */
import { BUCKET_PATTERN } from "../base/ids.ts";
import {
  DEFAULT_LIST_LIMIT,
  DEFAULT_REPAIR_WAIT_MS,
  DEFAULT_TIMEOUT_MS,
  MAX_KEY_BYTES,
  MAX_LIST_LIMIT,
  MAX_PARTITIONS,
  MAX_REPAIR_WAIT_MS,
  MAX_TIMEOUT_MS,
} from "../base/limits.ts";
import type { QuorumLevel } from "../coordinator/contract.ts";
import type { ChoiceRule, IntegerRule, ValueRule } from "./value-rules.ts";

/** One query parameter of a route. */
export interface QueryParameter {
  readonly name: string;
  readonly rule: ValueRule;
  /** for people: what it does, in sentences */
  readonly meaning: string;
}

type WithFallback = IntegerRule & { readonly fallback: number };

/** How long a request of keys may take, ms. */
export const TIMEOUT_RULE: WithFallback = {
  kind: "integer",
  min: 1,
  max: MAX_TIMEOUT_MS,
  fallback: DEFAULT_TIMEOUT_MS,
};
/** Keys on a page. */
export const LIST_LIMIT_RULE: WithFallback = {
  kind: "integer",
  min: 1,
  max: MAX_LIST_LIMIT,
  fallback: DEFAULT_LIST_LIMIT,
};
/** The first partition of a page of the ring. */
export const RING_FROM_RULE: WithFallback = { kind: "integer", min: 0, max: MAX_PARTITIONS, fallback: 0 };
/** Partitions on a page of the ring. */
export const RING_LIMIT_RULE: WithFallback = { kind: "integer", min: 1, max: MAX_PARTITIONS, fallback: MAX_PARTITIONS };
/** How long somebody waits for a repair, ms. */
export const REPAIR_TIMEOUT_RULE: WithFallback = {
  kind: "integer",
  min: 1,
  max: MAX_REPAIR_WAIT_MS,
  fallback: DEFAULT_REPAIR_WAIT_MS,
};
/** What a blind write does beside what is there. */
export const BLIND_RULE: ChoiceRule<"overwrite" | "sibling" | "reject"> = {
  kind: "choice",
  words: ["overwrite", "sibling", "reject"],
};
/** How many owners of a partition are asked for, by name. */
export const LEVEL_RULE: ChoiceRule<Exclude<QuorumLevel, number>> = { kind: "choice", words: ["one", "quorum", "all"] };
/** What a repair may wait for. */
export const REPAIR_WAIT_RULE: ChoiceRule<"hints"> = { kind: "choice", words: ["hints"] };

function level(name: string, meaning: string): QueryParameter {
  return { name, rule: { kind: "level" }, meaning: `${meaning} The bucket's own setting when left out.` };
}

const KNOBS: readonly QueryParameter[] = [
  level("r", "How many replicas must answer a read."),
  level("w", "How many replicas must have made a write durable."),
  {
    name: "pr",
    rule: { kind: "level" },
    meaning: "How many of the replicas that answer a read must be owners of the key, not stand-ins.",
  },
  {
    name: "pw",
    rule: { kind: "level" },
    meaning: "How many of the replicas that confirm a write must be owners of the key, not stand-ins.",
  },
  {
    name: "sloppy",
    rule: { kind: "boolean", fallback: true },
    meaning: "Whether other nodes may stand in for owners that are away.",
  },
  { name: "timeout", rule: TIMEOUT_RULE, meaning: "Milliseconds after which the request ends, with what is known." },
  {
    name: "explain",
    rule: { kind: "boolean", fallback: false },
    meaning: "Whether the answer tells which replicas took part, and what each said.",
  },
];

/** What every request of keys understands. */
export const KNOB_QUERY: readonly QueryParameter[] = KNOBS;
/** GET and HEAD of a key. */
export const READ_QUERY: readonly QueryParameter[] = [
  ...KNOBS,
  {
    name: "raw",
    rule: { kind: "boolean", fallback: false },
    meaning:
      "Whether the answer is the value alone, as it was stored, with its own content type. Not together with explain=true.",
  },
];
/** PUT of a key. */
export const PUT_QUERY: readonly QueryParameter[] = [
  ...KNOBS,
  {
    name: "blind",
    rule: BLIND_RULE,
    meaning:
      "What a write without Gyre-Context does: overwrite replaces what the coordinating replica holds, sibling replaces nothing, " +
      "reject refuses it (428). The bucket's blindWrites when left out; where that is reject, overwrite is refused, too.",
  },
];
/** GET of a bucket's keys. */
export const LIST_QUERY: readonly QueryParameter[] = [
  {
    name: "limit",
    rule: LIST_LIMIT_RULE,
    meaning: "Keys on the page at most; a page may be shorter, even empty, and not be the last.",
  },
  { name: "cursor", rule: { kind: "text" }, meaning: "Where to go on: the cursor of the page before." },
  { name: "prefix", rule: { kind: "text", maxBytes: MAX_KEY_BYTES }, meaning: "Only keys that begin so." },
  { name: "timeout", rule: TIMEOUT_RULE, meaning: "Milliseconds after which the request ends." },
];
/** GET of the ring. */
export const RING_QUERY: readonly QueryParameter[] = [
  { name: "from", rule: RING_FROM_RULE, meaning: "The first partition of the page." },
  { name: "limit", rule: RING_LIMIT_RULE, meaning: "Partitions on the page; all that there are when left out." },
];
/** GET of the cluster's health. */
export const HEALTH_QUERY: readonly QueryParameter[] = [
  {
    name: "consistency",
    rule: { ...LEVEL_RULE, fallback: "quorum" },
    meaning: "The level at which every partition must be able to serve.",
  },
];
/** The three probes. */
export const PROBE_QUERY: readonly QueryParameter[] = [
  { name: "verbose", rule: { kind: "flag" }, meaning: "Shows each check by name, also when all is well." },
];

/** POST of a repair: what to do, one of them. */
export const REPAIR_MODES: readonly QueryParameter[] = [
  {
    name: "wait",
    rule: REPAIR_WAIT_RULE,
    meaning: "hints: waits until all that stand-ins keep now has been delivered.",
  },
  {
    name: "all",
    rule: { kind: "true" },
    meaning: "Compares all replicas and brings each what it lacks.",
  },
  {
    name: "partition",
    rule: { kind: "integer", min: 0, max: MAX_PARTITIONS - 1 },
    meaning: "Compares the replicas of this partition; less than the cluster's number of partitions.",
  },
  {
    name: "bucket",
    rule: { kind: "text", pattern: BUCKET_PATTERN },
    meaning: "Compares the replicas of every partition: a bucket's keys lie in all of them.",
  },
  {
    name: "scrub",
    rule: { kind: "true" },
    meaning: "The node that is asked re-reads all that its store has sealed.",
  },
];
/** POST of a repair. */
export const REPAIR_QUERY: readonly QueryParameter[] = [
  ...REPAIR_MODES,
  {
    name: "ignoreUnreachable",
    rule: { kind: "boolean", fallback: false },
    meaning: "With wait=hints: whether members that cannot be asked are only named. Else they are waited for as well.",
  },
  { name: "timeout", rule: REPAIR_TIMEOUT_RULE, meaning: "Milliseconds to wait; the repair goes on by itself." },
];

/** The names of parameters, as `parseQuery` takes them. */
export function namesOf(parameters: readonly QueryParameter[]): readonly string[] {
  return parameters.map(({ name }) => name);
}
