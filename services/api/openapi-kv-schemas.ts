/** What keys, batches, listings and buckets are asked and answered with, as schemas. Pure. Must never be wider than the parsers. */
import { BUCKET_PATTERN } from "../base/ids.ts";
import { MAX_BATCH_OPS, MAX_CONTENT_TYPE_BYTES, MAX_CONTEXT_TOKEN_CHARS, MAX_KEY_BYTES } from "../base/limits.ts";
import type { ReplicaReport } from "../coordinator/contract.ts";
import { SETTING_RULES, TTL_SECONDS_RULE } from "./bucket-settings.ts";
import {
  amount,
  count,
  flag,
  listOf,
  objectOf,
  refTo,
  type Schema,
  schemaOfRule,
  text,
  unionOf,
  wordIn,
} from "./openapi-schema.ts";

/** A time as the API writes it. */
export const TIME: Schema = { type: "string", format: "date-time" };
/** A name of 64 bits. */
export const HEX_64: Schema = { type: "string", pattern: "^[0-9a-f]{16}$" };

const CONTEXT = refTo("Context");
const DOT = text("The name of one write.", { pattern: "^[0-9a-f]{12}-[0-9]+$" });
const NODE = refTo("NodeId");
const EXPIRES = { ...TIME, description: "When the value ends by itself; absent when it does not." };
const FALLBACKS = listOf(NODE, "Nodes that stood in for owners; absent when none did.");
const EXPLAIN = refTo("Explain");
const OPTIONAL_ANYWHERE = ["expires", "fallbacks", "explain"];

const ONE_VERSION = {
  value: { description: "The value, when it is JSON: exactly as it was sent." },
  base64: text("The value's bytes, when it is not JSON.", { contentEncoding: "base64" }),
  contentType: text("As it was sent with the value."),
  modified: { ...TIME, description: "When the version was written, by the clock of the node that took the write." },
  expires: EXPIRES,
  dot: DOT,
};
const VALUE_OR_BYTES = { oneOf: [{ required: ["value"] }, { required: ["base64"] }] };

const NAMED = { bucket: refTo("BucketName"), key: refTo("Key") };

const WRITTEN = {
  ...NAMED,
  context: CONTEXT,
  dot: DOT,
  outcome: { const: "applied" },
  acks: objectOf(
    {
      required: count("Replicas that had to confirm.", 1),
      received: count("Replicas that had confirmed when this was answered."),
      owners: count("Owners of the key among them."),
      fallbacks: count("Stand-ins among them."),
      durable: count("Those that had made it durable."),
    },
    { description: "Stored copies behind the write, counted in distinct slots." },
  ),
  siblings: count("Concurrent versions of the key now: more than 1 is a conflict to be merged."),
  expires: EXPIRES,
  explain: EXPLAIN,
};

const KEY_VALUE = { ...NAMED, ...ONE_VERSION, context: CONTEXT, fallbacks: FALLBACKS, explain: EXPLAIN };
const KEY_VALUE_OPTIONAL = [...OPTIONAL_ANYWHERE, "value", "base64"];
const KEY_SIBLINGS = {
  ...NAMED,
  siblings: {
    ...listOf(
      { ...objectOf(ONE_VERSION, { optional: KEY_VALUE_OPTIONAL }), ...VALUE_OR_BYTES },
      "The concurrent versions, newest first.",
    ),
    minItems: 2,
  },
  context: CONTEXT,
  fallbacks: FALLBACKS,
  explain: EXPLAIN,
};

const OK = { const: 200 };

function batchResult(): Schema {
  return {
    description: "What the operation alone would have been answered, with its status.",
    anyOf: [
      objectOf({ status: OK, ...WRITTEN }, { optional: OPTIONAL_ANYWHERE }),
      { ...objectOf({ status: OK, ...KEY_VALUE }, { optional: KEY_VALUE_OPTIONAL }), ...VALUE_OR_BYTES },
      objectOf({ status: OK, ...KEY_SIBLINGS }, { optional: OPTIONAL_ANYWHERE }),
      refTo("Problem"),
    ],
  };
}

const SETTINGS: Readonly<Record<string, Schema>> = {
  n: { ...schemaOfRule(SETTING_RULES.n), description: "Replicas of each key; at most the cluster's N." },
  r: { ...schemaOfRule(SETTING_RULES.r), description: "Replicas that must answer a read; at most n." },
  w: { ...schemaOfRule(SETTING_RULES.w), description: "Replicas that must confirm a write; at most n." },
  conflicts: {
    ...schemaOfRule(SETTING_RULES.conflicts),
    description: "siblings: concurrent versions all stay until a client merges them; lww: the last write wins.",
  },
  blindWrites: {
    ...schemaOfRule(SETTING_RULES.blindWrites),
    description:
      "What a write without Gyre-Context does, unless it says so itself by blind; but reject lets none overwrite.",
  },
  ttlSeconds: {
    ...schemaOfRule(SETTING_RULES.ttlSeconds),
    description: "How long values written from now on live; 0: for ever.",
  },
};
const BUCKET = {
  bucket: refTo("BucketName"),
  ...SETTINGS,
  explicit: flag("The bucket has settings of its own."),
  knownBy: count("Members, this one included, that are known to have the change; absent in reads.", 1),
};

const BATCH_SEEN = {
  key: refTo("Key"),
  context: { oneOf: [CONTEXT, { type: "null" }], description: "As Gyre-Context for one key." },
};
const BATCH_PUT = {
  op: { const: "put" },
  ...BATCH_SEEN,
  value: { description: "For a put: the value, any JSON; it is stored exactly as it is written here." },
  base64: text("For a put, in place of value: the bytes, in padded base64.", { contentEncoding: "base64" }),
  contentType: text("For a put.", { maxLength: MAX_CONTENT_TYPE_BYTES }),
  ttl: { ...schemaOfRule(TTL_SECONDS_RULE), description: "For a put: seconds that the value lives; 0: for ever." },
};

const REPLICA_REPORT = objectOf(
  {
    node: NODE,
    role: unionOf<ReplicaReport["role"]>({ owner: true, fallback: true }),
    slot: { type: "integer", minimum: -1 },
    zone: text("Where the node is."),
    asked: unionOf<ReplicaReport["asked"]>({ object: true, digest: true, store: true, nothing: true }),
    answer: text(
      "ok, or why not: a reason of the replica's, timeout, unreachable, link_closed, pending, failed, not_asked, " +
        "in_doubt (what it has or lacks is not to be believed now: it has just started, or may have lost records).",
    ),
    digest: { ...HEX_64, description: "Of the versions that it holds; absent when unknown." },
    askedAfterMs: amount("When it was asked, after the coordinator began; absent when it was not."),
    latencyMs: amount("How long it took to answer."),
    hint: flag("It keeps the write for an owner."),
  },
  { optional: ["digest", "askedAfterMs", "latencyMs"], description: "One replica's part in a request." },
);

/** Schemas by name. */
export const KV_SCHEMAS: Readonly<Record<string, Schema>> = {
  BucketName: text("1 to 63 characters.", { pattern: BUCKET_PATTERN.source, examples: ["carts"] }),
  Key: text(`1 to ${MAX_KEY_BYTES} bytes of UTF-8 without NUL; a / in a path is written %2F.`, {
    minLength: 1,
    maxLength: MAX_KEY_BYTES,
    examples: ["alice"],
  }),
  Context: text(
    "A causal context: what the answer that gave it has seen of this key. Opaque; sent back with a write it makes the write replace exactly that.",
    { minLength: 1, maxLength: MAX_CONTEXT_TOKEN_CHARS },
  ),
  Written: objectOf(WRITTEN, {
    optional: OPTIONAL_ANYWHERE,
    description: "A write that W replicas have made durable.",
  }),
  KeyValue: {
    ...objectOf(KEY_VALUE, { optional: KEY_VALUE_OPTIONAL, description: "A key with one version." }),
    ...VALUE_OR_BYTES,
  },
  KeySiblings: objectOf(KEY_SIBLINGS, {
    optional: OPTIONAL_ANYWHERE,
    description:
      "A key with concurrent versions. There is no value, so that careless code fails instead of losing data.",
  }),
  KeyPage: objectOf(
    {
      bucket: refTo("BucketName"),
      keys: listOf(refTo("Key"), "In the order of their hashes."),
      cursor: text("Where the next page begins; absent on the last one."),
      complete: flag("This was the last page."),
    },
    { optional: ["cursor"] },
  ),
  Batch: objectOf(
    {
      ops: {
        ...listOf({ oneOf: [refTo("BatchPut"), refTo("BatchGetOrDelete")] }),
        maxItems: MAX_BATCH_OPS,
      },
    },
    {
      isClosed: true,
      description: "Operations of one bucket. Those of one key run in the order given, others side by side.",
    },
  ),
  BatchPut: {
    ...objectOf(BATCH_PUT, { optional: ["context", "value", "base64", "contentType", "ttl"], isClosed: true }),
    ...VALUE_OR_BYTES,
  },
  BatchGetOrDelete: objectOf(
    { op: wordIn(["get", "delete"]), ...BATCH_SEEN },
    { optional: ["context"], isClosed: true },
  ),
  BatchResults: objectOf({ results: listOf(batchResult(), "In the order of the operations.") }),
  BucketSettings: objectOf(SETTINGS, {
    optional: Object.keys(SETTINGS),
    isClosed: true,
    description: "Settings of a bucket. n, r and w must agree: r and w are at most n.",
  }),
  Bucket: objectOf(BUCKET, { optional: ["knownBy"] }),
  BucketList: objectOf({
    buckets: listOf(refTo("Bucket"), "The buckets with settings of their own."),
    defaults: objectOf(SETTINGS, { description: "What holds for all others." }),
  }),
  ReplicaReport: REPLICA_REPORT,
  Explain: objectOf(
    {
      partition: count("Of the key."),
      ringHash: HEX_64,
      coordinator: NODE,
      replicas: listOf(refTo("ReplicaReport")),
      repaired: listOf(NODE, "Replicas that are brought what they lacked, after the answer."),
      hedged: flag("A further replica was asked because one was slow."),
      forwardedTo: NODE,
    },
    { optional: ["forwardedTo"], description: "Whom the request met and what they said; with explain=true." },
  ),
};
