/**
 * One operation of a batch, parsed strictly from its slice of the body. Pure. A put's JSON value is cut out of the text
 * as it was sent. Must never let an unknown field pass.
 */
import type { BucketName } from "../base/ids.ts";
import type { Failure } from "../coordinator/contract.ts";
import type { CausalContext } from "../versioning/types.ts";
import { isJsonType, type Value, valueOf } from "./body.ts";
import { TTL_RULE, TTL_SECONDS_RULE } from "./bucket-settings.ts";
import { membersAt, type Slice } from "./json-slices.ts";
import { contextOf } from "./key-answers.ts";
import type { ContextCodec } from "./ports.ts";
import { refusal } from "./problem.ts";
import { shown } from "./query.ts";
import { checkedKey, type KeyTarget } from "./target.ts";
import { type ChoiceRule, wordOf, wordsText } from "./value-rules.ts";

/** An operation that may be run. */
export type BatchOp =
  | { readonly kind: "get"; readonly target: KeyTarget; readonly context: CausalContext | undefined }
  | { readonly kind: "delete"; readonly target: KeyTarget; readonly context: CausalContext | undefined }
  | {
      readonly kind: "put";
      readonly target: KeyTarget;
      readonly context: CausalContext | undefined;
      readonly value: Value;
      readonly ttlSeconds: number | undefined;
    };

/** What all operations of a batch share. */
export interface BatchScope {
  readonly bucket: BucketName;
  /** the whole body, known to be JSON */
  readonly text: string;
  readonly contexts: ContextCodec;
}

const VALUE_FIELDS = ["value", "base64", "contentType"];
/** The fields that an operation may have. */
export const BATCH_OP_FIELDS: readonly string[] = ["op", "key", "context", ...VALUE_FIELDS, "ttl"];
/** What may be done. */
export const BATCH_OP_RULE: ChoiceRule<BatchOp["kind"]> = { kind: "choice", words: ["get", "put", "delete"] };
const NOTHING_SEEN = { kind: "context", context: undefined } as const;

/** The operation at `slice`, or what is wrong with it. */
export function parseBatchOp(scope: BatchScope, slice: Slice): BatchOp | Failure {
  const members = membersAt(scope.text, slice.start);
  if (members === undefined) return refusal("invalid_request", "an op is a JSON object");
  const stranger = members.keys().find((name) => !BATCH_OP_FIELDS.includes(name));
  if (stranger !== undefined) {
    return refusal(
      "invalid_request",
      `unknown field ${shown(stranger)} in an op; known: ${BATCH_OP_FIELDS.join(", ")}`,
    );
  }
  const op = wordOf(BATCH_OP_RULE, parsedMember(scope, members, "op"));
  if (op === undefined) {
    return refusal("invalid_request", `op is ${wordsText(BATCH_OP_RULE)}`, { parameter: "op" });
  }
  const target = targetOf(scope, parsedMember(scope, members, "key"));
  if (target.kind === "failed") return target;
  const token = parsedMember(scope, members, "context");
  const seen = token === undefined || token === null ? NOTHING_SEEN : contextOf(scope.contexts, target, token);
  if (seen.kind === "failed") return seen;
  const { context } = seen;
  if (op === "put") {
    const value = batchValue(scope, members);
    if (value.kind === "failed") return value;
    const ttlSeconds = batchTtl(scope, members);
    return typeof ttlSeconds === "object" ? ttlSeconds : { kind: "put", target, context, value, ttlSeconds };
  }
  if (members.has("ttl")) return refusal("invalid_request", `a ${op} takes no ttl`, { parameter: "ttl" });
  if (VALUE_FIELDS.some((name) => members.has(name))) {
    return refusal("invalid_request", `a ${op} takes no value`, { parameter: "value" });
  }
  return { kind: op, target, context };
}

function targetOf(scope: BatchScope, key: unknown): KeyTarget | Failure {
  if (typeof key !== "string") return refusal("invalid_request", "key is a text", { parameter: "key" });
  if (!key.isWellFormed()) {
    return refusal("invalid_request", "the key has half of a surrogate pair: it is not UTF-8", { parameter: "key" });
  }
  const bytes = Buffer.from(key, "utf8");
  const checked = checkedKey(bytes);
  if (checked.kind === "failed") return checked;
  return { kind: "key", name: { bucket: scope.bucket, key: bytes }, keyText: key, query: "" };
}

function batchTtl(scope: BatchScope, members: ReadonlyMap<string, Slice>): number | undefined | Failure {
  const ttl = parsedMember(scope, members, "ttl");
  if (ttl === undefined) return undefined;
  const isTtl = typeof ttl === "number" && Number.isInteger(ttl) && ttl >= 0 && ttl <= TTL_SECONDS_RULE.max;
  return isTtl ? ttl : refusal("invalid_request", `ttl is ${TTL_RULE}`, { parameter: "ttl" });
}

function batchValue(scope: BatchScope, members: ReadonlyMap<string, Slice>): Value | Failure {
  const slice = members.get("value");
  const base64 = parsedMember(scope, members, "base64");
  const contentType = parsedMember(scope, members, "contentType");
  if (contentType !== undefined && typeof contentType !== "string") {
    return refusal("invalid_request", "contentType is a text", { parameter: "contentType" });
  }
  if ((slice === undefined) === (base64 === undefined)) {
    return refusal("invalid_request", 'a put has either "value" (JSON) or "base64"', { parameter: "value" });
  }
  if (slice !== undefined) {
    const type = contentType ?? "application/json";
    if (isJsonType(type)) return valueOf(type, Buffer.from(scope.text.slice(slice.start, slice.end), "utf8"));
    return refusal("invalid_request", '"value" is JSON; other types go into "base64"', { parameter: "contentType" });
  }
  if (typeof base64 !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64) || base64.length % 4 !== 0) {
    return refusal("invalid_request", "base64 is a text of padded base64", { parameter: "base64" });
  }
  return valueOf(contentType, Buffer.from(base64, "base64"));
}

function parsedMember(scope: BatchScope, members: ReadonlyMap<string, Slice>, name: string): unknown {
  const slice = members.get(name);
  const parsed: unknown = slice === undefined ? undefined : JSON.parse(scope.text.slice(slice.start, slice.end));
  return parsed;
}
