/**
 * The bodies of the membership routes: strict JSON in, checked changes out. Pure. Must never let an unknown field or a wrong
 * type through: a misspelt `force` or `weight` would move data in silence.
 */
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { MAX_NODE_WEIGHT, MAX_PLAN_CHANGES } from "../base/limits.ts";
import type { Failure } from "../coordinator/contract.ts";
import type { PlanChange } from "./cluster-door.ts";
import { refusal } from "./problem.ts";
import { shown } from "./query.ts";

type Fields = Readonly<Record<string, unknown>>;
type Kind = PlanChange["kind"];
type Attribute = "weight" | "zone" | "host";

/** The fields of each kind of change, beside `kind` and `node`. */
export const CHANGE_FIELDS: Readonly<Record<Kind, readonly string[]>> = {
  join: [],
  leave: [],
  remove: ["force"],
  replace: ["with", "force"],
  weight: ["weight"],
  zone: ["zone"],
  host: ["host"],
};
const KINDS: readonly Kind[] = ["join", "leave", "remove", "replace", "weight", "zone", "host"];
/** Kinds that say who belongs: a node takes part in one of them at most. */
const BELONGING: readonly Kind[] = ["join", "leave", "remove", "replace"];
/** What zones and hosts look like. */
export const LABEL_PATTERN: RegExp = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;
/** What the hash of a plan looks like. */
export const PLAN_HASH_PATTERN: RegExp = /^[0-9a-f]{16,64}$/;

/** What POST /v1/cluster/plan asks for. */
export interface PlanRequest {
  readonly kind: "plan";
  readonly changes: readonly PlanChange[];
  /** it is only to be seen: no plan is pending afterwards */
  readonly isDryRun: boolean;
}

/** What POST /v1/cluster/commit asks for. With its changes a plan can be committed at any node. */
export interface CommitRequest {
  readonly kind: "commit";
  readonly planHash: string;
  readonly changes: readonly PlanChange[] | undefined;
}

/** What POST /v1/cluster/abort asks for. */
export interface AbortRequest {
  readonly kind: "abort";
  readonly node: NodeId | undefined;
}

/** The changes in a body, or what is wrong with it. */
export function planRequestIn(body: unknown): PlanRequest | Failure {
  const fields = fieldsIn(body, ["changes", "dryRun"], '{"changes":[{"kind":"join","node":"n4"}]}');
  if (isFailure(fields)) return fields;
  const { dryRun: isDryRun = false } = fields;
  if (typeof isDryRun !== "boolean") return broken("dryRun is true or false", "dryRun");
  const changes = changesIn(fields["changes"]);
  return "kind" in changes ? changes : { kind: "plan", changes, isDryRun };
}

/** The plan that a body names, or what is wrong with it. */
export function commitRequestIn(body: unknown): CommitRequest | Failure {
  const fields = fieldsIn(body, ["planHash", "changes"], '{"planHash":"…"}, and the changes that it was made of');
  if (isFailure(fields)) return fields;
  const { planHash, changes: given } = fields;
  if (typeof planHash !== "string" || !PLAN_HASH_PATTERN.test(planHash)) {
    return broken("planHash is what POST /v1/cluster/plan answered", "planHash");
  }
  if (given === undefined) return { kind: "commit", planHash, changes: undefined };
  const changes = changesIn(given);
  return "kind" in changes ? changes : { kind: "commit", planHash, changes };
}

/** The node that a body names, undefined for all of them, or what is wrong with it. */
export function abortRequestIn(body: unknown): AbortRequest | Failure {
  const fields = isEmpty(body) ? {} : fieldsIn(body, ["node"], '{"node":"n4"}, or empty');
  if (isFailure(fields)) return fields;
  if (fields["node"] === undefined) return { kind: "abort", node: undefined };
  const node = nodeIn(fields["node"]);
  return node === undefined ? broken("node is the name of a node", "node") : { kind: "abort", node };
}

/** Undefined when the body is empty or `{}`. */
export function bodyFlaw(body: unknown): Failure | undefined {
  if (isEmpty(body)) return undefined;
  const fields = fieldsIn(body, [], "{} or empty");
  return isFailure(fields) ? fields : undefined;
}

function changesIn(value: unknown): readonly PlanChange[] | Failure {
  if (!Array.isArray(value) || value.length === 0) return broken("changes is a list of at least one change", "changes");
  if (value.length > MAX_PLAN_CHANGES) {
    return broken(`changes has ${value.length} entries; the limit is ${MAX_PLAN_CHANGES}`, "changes");
  }
  const changes: PlanChange[] = [];
  for (const [index, entry] of value.entries()) {
    const change = parseChange(entry);
    if (typeof change === "string") return broken(`changes[${index}] ${change}`, `changes[${index}]`);
    changes.push(change);
  }
  const clash = clashIn(changes);
  return clash === undefined ? changes : broken(clash, "changes");
}

/** One change, or the rule that it breaks, in words that follow its name. */
function parseChange(entry: unknown): PlanChange | string {
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return "is no object";
  const fields = entry as Fields;
  const kind = kindIn(fields["kind"]);
  if (kind === undefined) return `needs a kind: ${KINDS.join(", ")}`;
  const known = ["kind", "node", ...CHANGE_FIELDS[kind]];
  const stranger = Object.keys(fields).find((name) => !known.includes(name));
  if (stranger !== undefined) return `has the unknown field ${shown(stranger)}; known for ${kind}: ${known.join(", ")}`;
  const node = nodeIn(fields["node"]);
  if (node === undefined) return "needs a node: the name of one";
  return detailsIn(kind, node, fields);
}

function detailsIn(kind: Kind, node: NodeId, fields: Fields): PlanChange | string {
  const { force = false } = fields;
  if (typeof force !== "boolean") return "has a force that is neither true nor false";
  switch (kind) {
    case "join":
    case "leave":
      return { kind, node };
    case "remove":
      return { kind, node, force };
    case "replace": {
      const successor = nodeIn(fields["with"]);
      if (successor === undefined) return 'needs "with": the name of the node that takes its place';
      return { kind, node, with: successor, force };
    }
    case "weight":
    case "zone":
    case "host":
      return attributeIn(kind, node, fields[kind]);
  }
}

function attributeIn(kind: Attribute, node: NodeId, value: unknown): PlanChange | string {
  if (kind === "weight") {
    const isWeight = typeof value === "number" && value > 0 && value <= MAX_NODE_WEIGHT;
    return isWeight ? { kind, node, weight: value } : `needs a weight above 0 and up to ${MAX_NODE_WEIGHT}`;
  }
  if (typeof value !== "string" || !LABEL_PATTERN.test(value)) return `needs a ${kind}: a label of 1 to 63 characters`;
  return kind === "zone" ? { kind, node, zone: value } : { kind, node, host: value };
}

/** Two changes that cannot both be meant, in words. */
function clashIn(changes: readonly PlanChange[]): string | undefined {
  const taken = new Set<string>();
  for (const change of changes) {
    const about = BELONGING.includes(change.kind) ? "belonging" : change.kind;
    const names = change.kind === "replace" ? [change.node, change.with] : [change.node];
    for (const name of names) {
      if (taken.has(`${about} ${name}`)) return `name ${name} twice: one change of a node's place at a time`;
      taken.add(`${about} ${name}`);
    }
  }
  return undefined;
}

function kindIn(value: unknown): Kind | undefined {
  return KINDS.find((kind) => kind === value);
}

function nodeIn(value: unknown): NodeId | undefined {
  return typeof value === "string" ? parseNodeId(value) : undefined;
}

function isEmpty(body: unknown): boolean {
  return !(body instanceof Buffer) || body.length === 0;
}

function isFailure(value: Fields | Failure): value is Failure {
  return "kind" in value && value["kind"] === "failed";
}

function fieldsIn(body: unknown, known: readonly string[], example: string): Fields | Failure {
  const fields = parseObject(body);
  if (fields === undefined) return broken(`the body is a JSON object: ${example}`, "body");
  const stranger = Object.keys(fields).find((name) => !known.includes(name));
  if (stranger === undefined) return fields;
  return broken(`unknown field ${shown(stranger)}; the body is ${example}`, stranger.slice(0, 64));
}

function parseObject(body: unknown): Fields | undefined {
  if (!(body instanceof Buffer)) return undefined;
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? (parsed as Fields) : undefined;
  } catch {
    return undefined;
  }
}

function broken(words: string, parameter: string): Failure {
  return refusal("invalid_request", words, { parameter });
}
