/**
 * What plans of membership are asked and answered with, as schemas. Pure. Must never be narrower than what
 * `services/api/plan-changes.ts` takes.
 */
import { MAX_NODE_WEIGHT, MAX_PLAN_CHANGES } from "../base/limits.ts";
import type { PlanChange } from "./cluster-door.ts";
import { amount, count, flag, listOf, mapOf, objectOf, refTo, type Schema, text } from "./openapi-schema.ts";
import { CHANGE_FIELDS, LABEL_PATTERN, PLAN_HASH_PATTERN } from "./plan-changes.ts";

const NODE = refTo("NodeId");
/** The hash of a plan. */
export const PLAN_HASH: Schema = text(
  "Over the changes and all that is known of membership: equal hashes, equal outcome.",
  {
    pattern: PLAN_HASH_PATTERN.source,
  },
);
const SHARE_OF_PLAN = objectOf({
  node: NODE,
  incoming: count("Slots that come to it."),
  outgoing: count("Slots that leave it."),
  bytesIn: amount("An estimate."),
  bytesOut: amount("An estimate."),
});
const PLANNED_RING = objectOf({
  maxOverFair: amount("Slots of the fullest member over its fair share; 1 is even."),
  hottestOverMean: amount("Slots of the fullest member over the mean of all."),
  slots: mapOf({ type: "integer", minimum: 0 }, "By node."),
  zones: mapOf({ type: "integer", minimum: 0 }, "By zone."),
  zoneViolations: count("Partitions whose owners lie in fewer zones than they could."),
  zonesUsed: listOf({ type: "integer", minimum: 0 }, "At place k: partitions with owners in k zones."),
});
const PLAN = {
  planHash: PLAN_HASH,
  changes: listOf(refTo("PlanChange")),
  allowed: flag("Nothing stands against it."),
  refusals: listOf({ type: "string" }, "What stands against it; then it is never committed."),
  warnings: listOf({ type: "string" }),
  movedCopies: count("Slots that would move."),
  minimumCopies: count("The fewest that any placement would have to move."),
  bytes: amount("An estimate."),
  moves: listOf(SHARE_OF_PLAN),
  before: PLANNED_RING,
  after: PLANNED_RING,
};

const FIELD_SCHEMAS: Readonly<Record<string, Schema>> = {
  force: {
    type: "boolean",
    default: false,
    description: "Although it is alive, or fewer sources are left than W asks for.",
  },
  with: NODE,
  weight: { type: "number", exclusiveMinimum: 0, maximum: MAX_NODE_WEIGHT },
  zone: text("A label.", { pattern: LABEL_PATTERN.source }),
  host: text("A label.", { pattern: LABEL_PATTERN.source }),
};
const KIND_WORDS: Readonly<Record<PlanChange["kind"], string>> = {
  join: "A waiting node becomes a member.",
  leave: "A member hands its slots over and goes.",
  remove: "A member that is gone for ever is taken out; its slots are made anew.",
  replace: "A waiting node takes the place of a member that is gone.",
  weight: "A member's share of the slots changes.",
  zone: "A member's zone changes.",
  host: "A member's host changes.",
};

function planChanges(): Schema {
  const kinds = Object.entries(KIND_WORDS).map(([kind, description]) => {
    const fields = Object.entries(CHANGE_FIELDS).find(([name]) => name === kind)?.[1] ?? [];
    const own = Object.fromEntries(fields.map((name) => [name, FIELD_SCHEMAS[name] ?? {}]));
    return objectOf(
      { kind: { const: kind }, node: NODE, ...own },
      { optional: ["force"], isClosed: true, description },
    );
  });
  return { description: "A change of membership. node need not be the node that is asked.", oneOf: kinds };
}

/** The schemas of plans, by name. */
export const PLAN_SCHEMAS: Readonly<Record<string, Schema>> = {
  PlanChange: planChanges(),
  PlanRequest: objectOf(
    {
      changes: { ...listOf(refTo("PlanChange")), minItems: 1, maxItems: MAX_PLAN_CHANGES },
      dryRun: flag(
        "The plan is only shown: it is not pending afterwards. To commit it, send its changes with its hash.",
      ),
    },
    { optional: ["dryRun"], isClosed: true },
  ),
  Plan: objectOf(PLAN, { description: "What changes would do; nothing has been done." }),
  CommitRequest: objectOf(
    {
      planHash: PLAN_HASH,
      changes: {
        ...listOf(refTo("PlanChange"), "What the plan was made of; with them it can be committed at any node."),
        minItems: 1,
        maxItems: MAX_PLAN_CHANGES,
      },
    },
    { optional: ["changes"], isClosed: true },
  ),
  Committed: objectOf({ outcome: { const: "applied" }, ...PLAN }),
};
