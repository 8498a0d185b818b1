/**
 * What cluster, ring, membership and repair are asked and answered with, as schemas. Pure. Words of states come from the types
 * that the documents are made of. Must never be narrower than those.
 */
import { NODE_ID_PATTERN } from "../base/ids.ts";
import { MAX_NODE_WEIGHT, MAX_PARTITIONS, MAX_PLAN_CHANGES, MAX_REPLICAS } from "../base/limits.ts";
import { SHOWN_ENTRIES } from "./cluster-document.ts";
import type { ActiveMove, ClusterMember, PlanChange } from "./cluster-door.ts";
import { HEX_64 } from "./openapi-kv-schemas.ts";
import {
  amount,
  count,
  flag,
  listOf,
  mapOf,
  objectOf,
  orNull,
  refTo,
  type Schema,
  text,
  unionOf,
  wordIn,
} from "./openapi-schema.ts";
import { CHANGE_FIELDS, LABEL_PATTERN, PLAN_HASH_PATTERN } from "./plan-changes.ts";
import type { ClusterHealth } from "./ports.ts";
import { LEVEL_RULE } from "./query-rules.ts";

const NODE = refTo("NodeId");
const PLAN_HASH = text("Over the changes and all that is known of membership: equal hashes, equal outcome.", {
  pattern: PLAN_HASH_PATTERN.source,
});
const PARTITION: Schema = { type: "integer", minimum: 0, maximum: MAX_PARTITIONS - 1 };
const SLOT: Schema = { type: "integer", minimum: 0, maximum: MAX_REPLICAS - 1 };
const STATUS = unionOf<ClusterMember["status"]>(
  { waiting: true, joining: true, normal: true, leaving: true, left: true, removed: true },
  "What its record says; waiting: an empty node that is no member yet; removed: by an operator.",
);
const VERDICT = unionOf<ClusterHealth["verdict"]>({ healthy: true, degraded: true, unavailable: true });
const REASONS = listOf({ type: "string" }, "In words, one for each thing that is wrong.");

const MEMBER = objectOf({
  node: NODE,
  memberKey: text("16 hex digits; empty before the cluster is made."),
  status: STATUS,
  liveness: unionOf<ClusterMember["liveness"]>({ alive: true, suspect: true, dead: true, left: true, unknown: true }),
  sinceMs: amount("For how long it has been so, as this node saw it."),
  fitness: orNull(
    objectOf(
      {
        diskWritable: flag("Its disk takes writes."),
        degraded: flag("It is slow, and asks to be asked last."),
        loopDelayMs: amount("How late its event loop runs."),
        health: { type: "integer", minimum: 0, maximum: 7, description: "0 is well." },
      },
      { description: "As the member said last." },
    ),
  ),
  address: text("Where other nodes reach it."),
  zone: text("Where it is."),
  host: text("The machine it runs on."),
  weight: amount("Its share of the slots, relative to others."),
  slotsHeld: count("By its own record."),
  slotsTarget: count("That it should hold."),
  incoming: count("Slots that it should hold and does not yet."),
  outgoing: count("Slots that it holds and should not any more."),
  recordsHash: orNull(HEX_64),
});

const MOVES = objectOf({
  partitionsLeft: count("Partitions with a slot that has to move."),
  copiesLeft: count("Slots that have to move."),
  bytesPerSecond: amount("Received by this node of late."),
  etaSeconds: orNull({ type: "number", minimum: 0, description: "At that pace; null while unknown." }),
  active: listOf(
    objectOf({
      partition: PARTITION,
      slot: { ...orNull(SLOT), description: "null until the donor has said which one it gives." },
      from: { ...orNull(NODE), description: "null: made anew from the other holders, or nobody is asked for it now." },
      to: NODE,
      phase: unionOf<ActiveMove["phase"]>({
        waiting: true,
        copying: true,
        "catching-up": true,
        sealed: true,
        verifying: true,
        minting: true,
      }),
      bytes: {
        ...orNull(count("Received by this node so far.")),
        description: "Received by this node so far; null while nothing has come, and where it gives the slot away.",
      },
      keys: { ...orNull(count("Of the partition.")), description: "Of the partition, here by now; null as bytes is." },
      stalled: orNull(text("Why it does not go on.")),
    }),
    "Those that this node takes part in.",
  ),
  stalled: listOf({ type: "string" }, "Why moves stand still, each reason once."),
});

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

const PLACEMENT = {
  partition: PARTITION,
  owners: listOf(NODE, "By slot: whom coordinators ask for it."),
  pending: listOf(NODE, "Should hold a slot and do not yet."),
  departing: listOf(NODE, "Hold a slot and should not any more."),
  fallbacks: listOf(NODE, "Stand in for owners, in this order."),
  vacant: listOf(SLOT, "Slots that nobody holds now."),
};

const VERIFIED_AT = orNull(
  text("Last compared to the end; null: never since this node started.", { format: "date-time" }),
);
const HEALING = objectOf({
  holders: listOf(objectOf({ node: NODE, lastVerifiedAt: VERIFIED_AT }), "The partition's other holders."),
  tombstonesWaitFor: orNull(text("Why old tombstones stay; null: none waits, or another node leads their collection.")),
});

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

const REPAIRED = {
  oneOf: [
    objectOf(
      { waitedFor: wordIn(["hints"]), durationMs: amount(""), unreachable: listOf(NODE) },
      { description: "wait=hints" },
    ),
    objectOf(
      {
        compared: {
          oneOf: [
            objectOf({ all: { const: true } }),
            objectOf({ partition: PARTITION }),
            objectOf({ bucket: refTo("BucketName") }),
          ],
        },
        comparisons: count("Comparisons of a partition of one holder with another."),
        repairedKeys: count("Objects that were brought where they lacked."),
        unreachable: listOf(NODE, "Members that did not answer."),
        durationMs: amount("How long it took."),
      },
      { description: "all, partition or bucket" },
    ),
    objectOf(
      {
        scrubbed: NODE,
        readBytes: count("Of its store."),
        rotCount: count("Places whose bytes are not what was written."),
        lostCount: count("Newest records of keys among them: anti-entropy brings them back."),
        rebuiltIndexCount: count("Index files that were made again."),
        durationMs: amount("How long it took."),
      },
      { description: "scrub=true" },
    ),
  ],
};

/** Schemas by name. */
export const CLUSTER_SCHEMAS: Readonly<Record<string, Schema>> = {
  NodeId: text("The stable name of a node.", { pattern: NODE_ID_PATTERN.source, examples: ["n1"] }),
  Member: MEMBER,
  Cluster: objectOf({
    verdict: VERDICT,
    reasons: REASONS,
    cluster: text("Its name."),
    clusterId: orNull(text("null before the cluster is made.")),
    node: NODE,
    waitingFor: orNull(text("What this node waits for; null for a member.")),
    partitions: count("Q.", 1),
    replicas: count("N.", 1),
    ringHash: HEX_64,
    recordsHash: HEX_64,
    agreed: flag("All members that can be asked know the same records."),
    differing: listOf(NODE, "Those that do not."),
    members: listOf(refTo("Member")),
    moves: MOVES,
    underReplicated: objectOf({
      count: count("Partitions with fewer replicas within reach than they should have."),
      partitions: { ...listOf(PARTITION, "The first of them."), maxItems: SHOWN_ENTRIES },
    }),
    vacantSlots: objectOf({
      count: count("Slots that nobody holds."),
      slots: {
        ...listOf(objectOf({ partition: PARTITION, slot: SLOT }), "The first of them."),
        maxItems: SHOWN_ENTRIES,
      },
    }),
    pendingPlan: orNull(
      objectOf(
        { planHash: PLAN_HASH, changes: listOf(refTo("PlanChange")), ageMs: amount("Since it was made.") },
        {
          description:
            "What was planned at this node last and may still be committed; never what was refused, or planned with dryRun.",
        },
      ),
    ),
    details: {
      type: "object",
      description: "Further facts by name: recovery, hints, anti-entropy, load. They may change.",
    },
  }),
  ClusterHealth: objectOf({
    consistency: wordIn(LEVEL_RULE.words, "The level that was asked for."),
    verdict: VERDICT,
    reasons: REASONS,
    partitionsWithoutQuorum: count("Partitions that cannot serve at that level."),
  }),
  PartitionPlacement: objectOf(PLACEMENT),
  Ring: objectOf({
    ringHash: HEX_64,
    partitionCount: count("Q."),
    partitions: listOf(refTo("PartitionPlacement")),
    next: orNull(count("Where the next page begins; null at the end.")),
  }),
  KeyPlacement: objectOf({
    bucket: refTo("BucketName"),
    key: refTo("Key"),
    ringHash: HEX_64,
    ...PLACEMENT,
    healing: HEALING,
  }),
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
  AbortRequest: objectOf({ node: NODE }, { optional: ["node"], isClosed: true }),
  Aborted: objectOf({ outcome: { const: "applied" }, nodes: listOf(objectOf({ node: NODE, status: STATUS })) }),
  LeaveRequest: { type: "object", description: "Nothing, or {}.", additionalProperties: false },
  Leaving: objectOf({ outcome: { const: "applied" }, status: { const: "leaving" }, slotsHeld: count("Still to go.") }),
  Repaired: REPAIRED,
  HealthCheck: objectOf({ name: { type: "string" }, ok: { type: "boolean" }, reason: text("In words.") }),
};
