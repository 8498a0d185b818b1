/**
 * What cluster, ring, membership and repair are asked and answered with, as schemas. Pure. Words of states come from the types
 * that the documents are made of. Must never be narrower than those.
 */
import { NODE_ID_PATTERN } from "../base/ids.ts";
import { MAX_PARTITIONS, MAX_REPLICAS } from "../base/limits.ts";
import { SHOWN_ENTRIES } from "./cluster-document.ts";
import type { ActiveMove, ClusterMember } from "./cluster-door.ts";
import { HEX_64 } from "./openapi-kv-schemas.ts";
import { PLAN_HASH, PLAN_SCHEMAS } from "./openapi-plan-schemas.ts";
import {
  amount,
  count,
  flag,
  listOf,
  objectOf,
  orNull,
  refTo,
  type Schema,
  text,
  unionOf,
  wordIn,
} from "./openapi-schema.ts";
import type { ClusterHealth } from "./ports.ts";
import { LEVEL_RULE } from "./query-rules.ts";

const NODE = refTo("NodeId");
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

const PLACEMENT = {
  partition: PARTITION,
  owners: listOf(NODE, "By slot: whom coordinators ask for it."),
  pending: listOf(NODE, "Should hold a slot and do not yet."),
  departing: listOf(NODE, "Hold a slot and should not any more."),
  fallbacks: listOf(NODE, "Stand in for owners, in this order."),
  vacant: listOf(SLOT, "Slots that nobody holds now."),
};

const VERIFIED_AT = orNull(
  text("Last compared to the end by this node; null: never since it started and both hold the partition.", {
    format: "date-time",
  }),
);
const HEALING = objectOf({
  holders: listOf(
    objectOf({ node: NODE, lastVerifiedAt: VERIFIED_AT }, { optional: ["lastVerifiedAt"] }),
    "The partition's other holders; without lastVerifiedAt where this node holds no replica of it: ask one of them.",
  ),
  tombstonesWaitFor: orNull(text("Why old tombstones stay; null: none waits, or another node leads their collection.")),
});

/** Facts that may change: those without a schema are no less true. */
const OPEN: Schema = { additionalProperties: true };
const ANTI_ENTROPY = objectOf(
  {
    pairs: count("Of a partition of this node and another holder of it."),
    neverVerified: count("Pairs that were not compared to the end since this node started."),
    oldestVerifiedAgeMs: orNull(
      amount("Since oldestUnverified was compared, or since this node knew it where it never was; null: no pairs."),
    ),
    oldestUnverified: {
      ...orNull(objectOf({ partition: PARTITION, peer: NODE, lastVerifiedAt: VERIFIED_AT })),
      description: "The pair that was not compared to the end for longest; null: there are no pairs.",
    },
  },
  { description: "How this node compares what it holds with other holders, and further counts of it." },
);
const DETAILS = objectOf(
  { antiEntropy: { ...ANTI_ENTROPY, ...OPEN } },
  {
    optional: ["antiEntropy"],
    description: "Further facts by name: recovery, hints, anti-entropy, load. They may change.",
  },
);

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
    details: { ...DETAILS, ...OPEN },
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
  ...PLAN_SCHEMAS,
  AbortRequest: objectOf({ node: NODE }, { optional: ["node"], isClosed: true }),
  Aborted: objectOf({ outcome: { const: "applied" }, nodes: listOf(objectOf({ node: NODE, status: STATUS })) }),
  LeaveRequest: { type: "object", description: "Nothing, or {}.", additionalProperties: false },
  Leaving: objectOf({ outcome: { const: "applied" }, status: { const: "leaving" }, slotsHeld: count("Still to go.") }),
  Repaired: REPAIRED,
  HealthCheck: objectOf({ name: { type: "string" }, ok: { type: "boolean" }, reason: text("In words.") }),
};
