/** The operations on keys and buckets, one line for each route (API §3). Pure. Must never repeat what a rule or limit says. */

import type { ErrorCode } from "../base/errors.ts";
import { MAX_BATCH_BYTES, MAX_BATCH_OPS, MAX_VALUE_BYTES } from "../base/limits.ts";
import { WRITE_CODES } from "../coordinator/forward-answer.ts";
import { TTL_SECONDS_RULE } from "./bucket-settings.ts";
import { REFUSED_ON_WRITE } from "./kv-routes.ts";
import { type Content, type HeaderParameter, json, type Operation, ok } from "./openapi-operation.ts";
import { refTo, schemaOfRule, text } from "./openapi-schema.ts";
import { KNOB_QUERY, LIST_QUERY, PUT_QUERY, READ_QUERY } from "./query-rules.ts";

const KEY = "/v1/kv/:bucket/*";
const KEYS = "/v1/kv/:bucket";
const BUCKETS = "/v1/buckets";
const BUCKET = "/v1/buckets/:bucket";

/** Any bytes. */
const BYTES: Content = { mediaType: "*/*", schema: { type: "string", format: "binary" } };

const CONTEXT_IN_READ: HeaderParameter = {
  name: "Gyre-Context",
  schema: refTo("Context"),
  meaning:
    "Asks for at least this version: replicas that are older are passed over, and when none is left the answer is 503 stale. " +
    "So a reader sees its own writes.",
};
const CONTEXT_IN_WRITE: HeaderParameter = {
  name: "Gyre-Context",
  schema: refTo("Context"),
  meaning:
    "What an earlier answer gave for this key: the write replaces exactly what that reader saw, and stands beside anything newer.",
};
const IF_NONE_MATCH: HeaderParameter = {
  name: "If-None-Match",
  schema: text("An ETag, several, or *."),
  meaning: "When it names the current version the answer is 304, without the value.",
};
const TTL: HeaderParameter = {
  name: "Gyre-TTL",
  schema: schemaOfRule(TTL_SECONDS_RULE),
  meaning: "Seconds that the value lives, 0 for no end. The bucket's ttlSeconds when left out.",
};

const READ_HEADERS = ["Context", "Siblings", "ETag", "Expires", "Fallbacks", "ServerTiming"] as const;
const READ_CODES: readonly ErrorCode[] = [
  "invalid_context",
  "quorum_exceeds_n",
  "not_found",
  "deleted",
  "siblings",
  "quorum_not_met",
  "not_ready",
  "stale",
];
/** A delete needs no context, and leaves no version more than it met. */
const OF_PUT_ALONE: readonly ErrorCode[] = ["context_required", "too_many_siblings"];
const EXAMPLE_CONTEXT = "AQEAAAAAAAABm1…";
const EXAMPLE_DOT = "5f21c0de0001-1795168800000000";
const EXAMPLE_TIME = "2026-11-20T10:00:00.000Z";
const EXAMPLE_KEY = { bucket: "carts", key: "alice" };
const EXAMPLE_VERSION = { contentType: "application/json", modified: EXAMPLE_TIME, dot: EXAMPLE_DOT };
const EXAMPLE_WRITTEN = {
  ...EXAMPLE_KEY,
  context: EXAMPLE_CONTEXT,
  dot: EXAMPLE_DOT,
  outcome: "applied",
  acks: { required: 2, received: 2, owners: 2, fallbacks: 0, durable: 2 },
  siblings: 1,
};
const EXAMPLE_VALUE = { ...EXAMPLE_KEY, value: { apples: 3 }, ...EXAMPLE_VERSION, context: EXAMPLE_CONTEXT };

const READ_WORDS =
  "The answer is an envelope with the value, or with all concurrent versions as `siblings`, and the causal context of what it shows. " +
  "`raw=true`, or an `Accept` that names the stored type (other than JSON) and prefers it to `application/json`, answers the bytes as they were stored.";

const KEY_OPERATIONS: readonly Operation[] = [
  {
    id: "getKey",
    method: "GET",
    path: KEY,
    tag: "Keys",
    description: READ_WORDS,
    query: READ_QUERY,
    headers: [CONTEXT_IN_READ, IF_NONE_MATCH],
    answers: [
      {
        status: 200,
        meaning: "The key as R replicas know it.",
        headers: READ_HEADERS,
        content: [...json({ oneOf: [refTo("KeyValue"), refTo("KeySiblings")] }, EXAMPLE_VALUE), BYTES],
      },
      { status: 304, meaning: "The version that If-None-Match names is the current one.", headers: READ_HEADERS },
    ],
    codes: READ_CODES,
  },
  {
    id: "headKey",
    method: "HEAD",
    path: KEY,
    tag: "Keys",
    description: "As GET, without the body.",
    query: READ_QUERY,
    headers: [CONTEXT_IN_READ, IF_NONE_MATCH],
    answers: [
      { status: 200, meaning: "There is a value, or several.", headers: READ_HEADERS },
      { status: 304, meaning: "The version that If-None-Match names is the current one.", headers: READ_HEADERS },
    ],
    codes: READ_CODES,
  },
  {
    id: "putKey",
    method: "PUT",
    path: KEY,
    tag: "Keys",
    description:
      `The body is the value, of up to ${MAX_VALUE_BYTES} bytes. \`application/json\` is checked and stored exactly as it was sent; any other type ` +
      "is stored as bytes with its type. A form (`application/x-www-form-urlencoded`, what curl says by itself) whose body is JSON is taken as JSON. " +
      "`siblings` above 1 in the answer tells that the write made, or met, a conflict.",
    query: PUT_QUERY,
    headers: [CONTEXT_IN_WRITE, TTL],
    refusedHeaders: REFUSED_ON_WRITE,
    body: { isRequired: true, content: [...json({ description: "Any JSON." }, { apples: 3 }), BYTES] },
    answers: [
      {
        ...ok("W replicas have made the write durable.", refTo("Written"), EXAMPLE_WRITTEN),
        headers: ["Context", "Siblings", "ServerTiming"],
      },
    ],
    codes: [...WRITE_CODES, "invalid_context"],
  },
  {
    id: "deleteKey",
    method: "DELETE",
    path: KEY,
    tag: "Keys",
    description:
      "With Gyre-Context it removes what that reader saw, without it what the coordinating replica sees. It succeeds also when nothing was there.",
    query: KNOB_QUERY,
    headers: [CONTEXT_IN_WRITE],
    refusedHeaders: [...REFUSED_ON_WRITE, ["gyre-ttl", "Gyre-TTL belongs to a PUT; a delete has no end"]],
    answers: [
      {
        ...ok("W replicas have made the removal durable.", refTo("Written"), { ...EXAMPLE_WRITTEN, siblings: 0 }),
        headers: ["Context", "Siblings", "ServerTiming"],
      },
    ],
    codes: [...WRITE_CODES.filter((code) => !OF_PUT_ALONE.includes(code)), "invalid_context"],
  },
  {
    id: "listKeys",
    method: "GET",
    path: KEYS,
    tag: "Keys",
    description:
      "A page may be shorter than its limit, even empty, and not be the last: go on while there is a cursor. Any node goes on with it. " +
      "A key that was there all the while is listed; one that came or went meanwhile may be.",
    query: LIST_QUERY,
    answers: [ok("A page of keys.", refTo("KeyPage"), { bucket: "carts", keys: ["alice", "bob"], complete: true })],
    codes: ["quorum_not_met", "not_ready"],
  },
  {
    id: "batchKeys",
    method: "POST",
    path: KEYS,
    shownPath: "/v1/kv/{bucket}:batch",
    tag: "Keys",
    description:
      `At most ${MAX_BATCH_OPS} operations and ${MAX_BATCH_BYTES} bytes. Each has a result with a status of its own, the same as alone: a problem document when ` +
      "it failed. The batch is not atomic: some may be applied and others not. The parameters hold for each operation.",
    query: KNOB_QUERY,
    body: {
      isRequired: true,
      content: json(refTo("Batch"), {
        ops: [
          { op: "put", key: "alice", value: { apples: 3 } },
          { op: "get", key: "bob" },
        ],
      }),
    },
    answers: [
      ok("A result for each operation, in their order.", refTo("BatchResults"), {
        results: [
          { status: 200, ...EXAMPLE_WRITTEN },
          { status: 200, ...EXAMPLE_VALUE, key: "bob" },
        ],
      }),
    ],
    codes: ["no_such_route"],
  },
];

const SETTINGS_BODY = {
  isRequired: true,
  content: json(refTo("BucketSettings"), { conflicts: "lww", ttlSeconds: 3600 }),
};
const EXAMPLE_BUCKET = {
  bucket: "carts",
  n: 3,
  r: 2,
  w: 2,
  conflicts: "lww",
  blindWrites: "overwrite",
  ttlSeconds: 3600,
};
const CHANGED = ok("The settings that hold now. Other nodes learn of them within seconds.", refTo("Bucket"), {
  ...EXAMPLE_BUCKET,
  explicit: true,
  knownBy: 3,
});

const BUCKET_OPERATIONS: readonly Operation[] = [
  {
    id: "listBuckets",
    method: "GET",
    path: BUCKETS,
    tag: "Buckets",
    query: [],
    answers: [ok("Every bucket with settings of its own, and what holds for all others.", refTo("BucketList"))],
    codes: [],
  },
  {
    id: "getBucket",
    method: "GET",
    path: BUCKET,
    tag: "Buckets",
    description: "Every name has settings: those of its own, or the defaults.",
    query: [],
    answers: [ok("The settings that hold.", refTo("Bucket"), { ...EXAMPLE_BUCKET, explicit: true })],
    codes: [],
  },
  {
    id: "putBucket",
    method: "PUT",
    path: BUCKET,
    tag: "Buckets",
    query: [],
    body: SETTINGS_BODY,
    answers: [CHANGED],
    codes: ["quorum_exceeds_n", "not_ready"],
  },
  {
    id: "patchBucket",
    method: "PATCH",
    path: BUCKET,
    tag: "Buckets",
    query: [],
    body: SETTINGS_BODY,
    answers: [CHANGED],
    codes: ["quorum_exceeds_n", "not_ready"],
  },
  {
    id: "deleteBucket",
    method: "DELETE",
    path: BUCKET,
    tag: "Buckets",
    query: [],
    answers: [ok("The defaults, which hold again.", refTo("Bucket"))],
    codes: ["not_ready"],
  },
];

/** One line for each route on keys and buckets. */
export const KV_OPERATIONS: readonly Operation[] = [...KEY_OPERATIONS, ...BUCKET_OPERATIONS];
