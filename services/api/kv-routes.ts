/**
 * GET, HEAD, PUT and DELETE of one key (API §3): parse strictly, ask the coordinator, hand over to `key-answers`. Must
 * never ignore a header or parameter that would change what a write means.
 */
import { MAX_TTL_SECONDS, MAX_VALUE_BYTES } from "../base/limits.ts";
import type { Failure, GetAnswer, GetRequest, Knobs, PutRequest, WriteAnswer } from "../coordinator/contract.ts";
import type { CausalContext } from "../versioning/types.ts";
import { type Value, valueOf } from "./body.ts";
import { TTL_RULE } from "./bucket-settings.ts";
import type { Handler, Incoming, Reply, Route } from "./exchange.ts";
import { contextOf, readReply, writeReply } from "./key-answers.ts";
import { afterWait, KNOB_NAMES, knobsOf } from "./knobs.ts";
import type { ApiDependencies, ContextCodec } from "./ports.ts";
import { refusal } from "./problem.ts";
import { booleanOf, parseQuery, shown } from "./query.ts";
import { BLIND_RULE, namesOf, PUT_QUERY, READ_QUERY } from "./query-rules.ts";
import { failureReply } from "./reply.ts";
import { type KeyTarget, keyTarget } from "./target.ts";
import { watchOf } from "./timing.ts";
import { wordOf, wordsText } from "./value-rules.ts";

const PREFIX = "/v1/kv/";
const READ_PARAMETERS = namesOf(READ_QUERY);
const PUT_PARAMETERS = namesOf(PUT_QUERY);
const EMPTY: Buffer = Buffer.alloc(0);

/** The headers that would change a write's meaning and are not supported: refused, never ignored. */
export const REFUSED_ON_WRITE: readonly (readonly [name: string, words: string])[] = [
  ["idempotency-key", "Idempotency-Key is not supported yet; leave it out"],
  ["if-match", "If-Match is not supported; send Gyre-Context: the write then replaces exactly what was read"],
  ["if-none-match", "If-None-Match is not supported on writes; two creators become siblings, none is lost"],
  ["if-unmodified-since", "If-Unmodified-Since is not supported; send Gyre-Context instead"],
  ["content-range", "Content-Range is not supported: a PUT replaces the whole value"],
];

/** The routes of one key. */
export function kvRoutes(deps: KeyDependencies): readonly Route[] {
  const path = "/v1/kv/:bucket/*";
  const get: Handler = (request) => getKey(deps, request);
  const put: Handler = (request) => putKey(deps, request);
  const remove: Handler = (request) => deleteKey(deps, request);
  return [
    {
      method: "GET",
      path,
      summary: "Reads a key: its value, or its concurrent versions.",
      access: { kind: "bucket", right: "read", prefix: PREFIX },
      work: "read",
      bodyLimitBytes: MAX_VALUE_BYTES,
      isOfOneKey: true,
      handle: get,
    },
    {
      method: "PUT",
      path,
      summary: "Writes the body as the value of a key.",
      access: { kind: "bucket", right: "write", prefix: PREFIX },
      work: "write",
      bodyLimitBytes: MAX_VALUE_BYTES,
      isOfOneKey: true,
      handle: put,
    },
    {
      method: "DELETE",
      path,
      summary: "Deletes what the context has seen of a key.",
      access: { kind: "bucket", right: "write", prefix: PREFIX },
      work: "write",
      bodyLimitBytes: MAX_VALUE_BYTES,
      isOfOneKey: true,
      handle: remove,
    },
  ];
}

type KeyDependencies = Pick<ApiDependencies, "coordinator" | "contexts" | "clock">;

interface KeyRequest {
  readonly kind: "request";
  readonly target: KeyTarget;
  readonly knobs: Knobs;
  readonly context: CausalContext | undefined;
  readonly isRaw: boolean;
  readonly blind: PutRequest["blind"] | undefined;
}

function getKey(deps: KeyDependencies, request: Incoming): Reply | Promise<Reply> {
  const parsed = keyRequest(deps.contexts, request, READ_PARAMETERS);
  if (parsed.kind === "failed") return failureReply(parsed);
  const { target, knobs, context, isRaw } = parsed;
  if (isRaw && knobs.explain) {
    const words = "explain=true is shown in the envelope; leave out raw=true";
    return failureReply(refusal("invalid_request", words, { parameter: "raw" }));
  }
  const { name } = target;
  const watch = watchOf(request, knobs, deps.clock);
  const told = { name, knobs: watch?.knobs ?? knobs, asker: request.asker };
  const asked: GetRequest = context === undefined ? told : { ...told, atLeast: context };
  const accept = knobs.explain ? undefined : textOf(request.headers["accept"]);
  const shape = { target, isRaw, accept, ifNoneMatch: textOf(request.headers["if-none-match"]) };
  const make = (answer: GetAnswer): Reply => readReply(deps.contexts, shape, answer);
  return deps.coordinator.get(asked).then(watch === undefined ? make : (answer) => watch.read(answer, make));
}

function putKey(deps: KeyDependencies, request: Incoming): Reply | Promise<Reply> {
  const parsed = keyRequest(deps.contexts, request, PUT_PARAMETERS);
  if (parsed.kind === "failed") return failureReply(parsed);
  const value = refusedHeader(request) ?? bodyValue(request);
  if (value.kind === "failed") return failureReply(value);
  const ttlSeconds = ttlOf(request.headers["gyre-ttl"]);
  if (typeof ttlSeconds === "object") return failureReply(ttlSeconds);
  const { target, context, blind } = parsed;
  const { contentType, bytes } = value;
  const { name } = target;
  const watch = watchOf(request, parsed.knobs, deps.clock);
  const knobs = watch?.knobs ?? parsed.knobs;
  const asked: PutRequest =
    blind === undefined
      ? { name, knobs, contentType, bytes, context }
      : { name, knobs, contentType, bytes, context, blind };
  const make = (answer: WriteAnswer): Reply => writeReply(deps.contexts, target, answer);
  return deps.coordinator
    .put(ttlSeconds === undefined ? asked : { ...asked, ttlSeconds })
    .then(watch === undefined ? make : (answer) => watch.write(answer, make));
}

function deleteKey(deps: KeyDependencies, request: Incoming): Reply | Promise<Reply> {
  const parsed = keyRequest(deps.contexts, request, KNOB_NAMES);
  if (parsed.kind === "failed") return failureReply(parsed);
  const refused = refusedHeader(request) ?? refusedTtl(request);
  if (refused !== undefined) return failureReply(refused);
  const { target, knobs, context } = parsed;
  const watch = watchOf(request, knobs, deps.clock);
  const make = (answer: WriteAnswer): Reply => writeReply(deps.contexts, target, answer);
  return deps.coordinator
    .delete({ name: target.name, knobs: watch?.knobs ?? knobs, context })
    .then(watch === undefined ? make : (answer) => watch.write(answer, make));
}

function keyRequest(contexts: ContextCodec, request: Incoming, known: readonly string[]): KeyRequest | Failure {
  const target = keyTarget(request.raw.url, PREFIX);
  if (target.kind === "failed") return target;
  const query = parseQuery(target.query, known);
  if (query.kind === "failed") return query;
  const asAsked = knobsOf(query);
  if ("kind" in asAsked) return asAsked;
  const knobs = afterWait(asAsked, request);
  if ("kind" in knobs) return knobs;
  const isRaw = booleanOf(query, "raw", false);
  if (typeof isRaw !== "boolean") return isRaw;
  const asked = query.values.get("blind");
  const blind = asked === undefined ? undefined : wordOf(BLIND_RULE, asked);
  if (asked !== undefined && blind === undefined) {
    const rule = `blind is ${wordsText(BLIND_RULE)}, not ${shown(asked)}`;
    return refusal("invalid_request", rule, { parameter: "blind" });
  }
  const token = request.headers["gyre-context"];
  if (token === undefined) return { kind: "request", target, knobs, context: undefined, isRaw, blind };
  const context = contextOf(contexts, target, token);
  if (context.kind === "failed") return context;
  return { kind: "request", target, knobs, context: context.context, isRaw, blind };
}

function bodyValue(request: Incoming): Value | Failure {
  const { body, headers } = request;
  if (!(body instanceof Buffer) && headers["content-length"] === undefined) {
    return refusal("invalid_request", "the value is missing: send it as the body", { parameter: "body" });
  }
  return valueOf(textOf(headers["content-type"]), body instanceof Buffer ? body : EMPTY);
}

/** A delete that should end by itself means nothing: refused rather than ignored. */
function refusedTtl(request: Incoming): Failure | undefined {
  if (request.headers["gyre-ttl"] === undefined) return undefined;
  return refusal("invalid_request", "Gyre-TTL belongs to a PUT; a delete has no end", { header: "gyre-ttl" });
}

function refusedHeader(request: Incoming): Failure | undefined {
  for (const [name, words] of REFUSED_ON_WRITE) {
    if (request.headers[name] !== undefined) return refusal("invalid_request", words, { header: name });
  }
  const encoding = request.headers["content-encoding"];
  if (encoding === undefined || encoding === "identity") return undefined;
  return refusal("unsupported_media_type", "Content-Encoding is not kept with a value; send the bytes without it");
}

/** The Gyre-TTL header: seconds, 0 for no end; undefined: as the bucket says. */
function ttlOf(header: string | readonly string[] | undefined): number | undefined | Failure {
  if (header === undefined) return undefined;
  const seconds = typeof header === "string" && /^\d{1,10}$/.test(header) ? Number(header) : Number.NaN;
  if (seconds <= MAX_TTL_SECONDS) return seconds;
  return refusal("invalid_request", `Gyre-TTL is ${TTL_RULE}`, { header: "gyre-ttl" });
}

function textOf(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === "string" ? header : undefined;
}
