/**
 * GET, HEAD, PUT and DELETE of one key (API §3): parse strictly, ask the coordinator, render. Must never ignore a header
 * or parameter that would change what a write means.
 */
import { MAX_CONTEXT_TOKEN_CHARS, MAX_VALUE_BYTES } from "../base/limits.ts";
import type { Failure, GetAnswer, GetRequest, Knobs, PutRequest, WriteAnswer } from "../coordinator/contract.ts";
import type { CausalContext } from "../versioning/types.ts";
import { essenceOf, isJsonType, valueOf } from "./body.ts";
import type { Handler, Incoming, Reply, Route } from "./exchange.ts";
import { KNOB_NAMES, knobsOf } from "./knobs.ts";
import type { ApiDependencies } from "./ports.ts";
import { refusal } from "./problem.ts";
import { booleanOf, parseQuery, shown } from "./query.ts";
import { appliedReply, envelopeReply, etagOf, failureReply, notModifiedReply, rawReply } from "./reply.ts";
import { type KeyTarget, keyTarget } from "./target.ts";

const PREFIX = "/v1/kv/";
const READ_PARAMETERS = [...KNOB_NAMES, "raw"];
const PUT_PARAMETERS = [...KNOB_NAMES, "blind"];

/** The headers that would change a write's meaning and are not supported: refused, never ignored. */
const REFUSED_ON_WRITE: readonly (readonly [name: string, words: string])[] = [
  ["idempotency-key", "Idempotency-Key is not supported yet; a write that carries Gyre-Context is safe to repeat"],
  ["if-match", "If-Match is not supported; send Gyre-Context: the write then replaces exactly what was read"],
  ["if-none-match", "If-None-Match is not supported on writes; two creators become siblings, none is lost"],
  ["if-unmodified-since", "If-Unmodified-Since is not supported; send Gyre-Context instead"],
  ["content-range", "Content-Range is not supported: a PUT replaces the whole value"],
];

/** The routes of one key. */
export function kvRoutes(deps: ApiDependencies): readonly Route[] {
  const path = "/v1/kv/:bucket/*";
  const get: Handler = (request) => getKey(deps, request);
  const put: Handler = (request) => putKey(deps, request);
  const remove: Handler = (request) => deleteKey(deps, request);
  return [
    { method: "GET", path, work: "read", bodyLimitBytes: MAX_VALUE_BYTES, handle: get },
    { method: "HEAD", path, work: "read", bodyLimitBytes: MAX_VALUE_BYTES, handle: get },
    { method: "PUT", path, work: "write", bodyLimitBytes: MAX_VALUE_BYTES, handle: put },
    { method: "DELETE", path, work: "write", bodyLimitBytes: MAX_VALUE_BYTES, handle: remove },
  ];
}

interface KeyRequest {
  readonly kind: "request";
  readonly target: KeyTarget;
  readonly knobs: Knobs;
  readonly context: CausalContext | undefined;
  readonly raw: boolean;
  readonly blind: "overwrite" | "sibling" | "reject" | undefined;
}

function getKey(deps: ApiDependencies, request: Incoming): Reply | Promise<Reply> {
  const parsed = keyRequest(deps, request, READ_PARAMETERS);
  if (parsed.kind === "failed") return failureReply(parsed);
  const { target, knobs, context, raw } = parsed;
  if (raw && knobs.explain) {
    return failureReply(
      refusal("invalid_request", "explain=true needs the envelope; leave out raw=true", { parameter: "raw" }),
    );
  }
  const asked: GetRequest =
    context === undefined ? { name: target.name, knobs } : { name: target.name, knobs, atLeast: context };
  return deps.coordinator
    .get(asked)
    .then((answer) => getReply(deps, { request, target, raw: raw, explain: knobs.explain }, answer));
}

interface ReadShape {
  readonly request: Incoming;
  readonly target: KeyTarget;
  readonly raw: boolean;
  readonly explain: boolean;
}

function getReply(deps: ApiDependencies, shape: ReadShape, answer: GetAnswer): Reply {
  const { target } = shape;
  switch (answer.kind) {
    case "found": {
      const token = deps.contexts.encode(target.name, answer.set.clock);
      const asked = shape.request.headers["if-none-match"];
      if (typeof asked === "string" && namesTag(asked, etagOf(answer.digest))) return notModifiedReply(answer, token);
      return foundReply(shape, answer, token);
    }
    case "deleted": {
      const token = deps.contexts.encode(target.name, answer.context);
      const gone = refusal("deleted", "the key was deleted; a PUT with this context follows the delete", {
        context: token,
      });
      const explained: Failure = answer.explain === undefined ? gone : { ...gone, explain: answer.explain };
      return failureReply(explained, { headers: { "gyre-context": token } });
    }
    case "not_found": {
      const missing = refusal("not_found", "the key has never been written");
      return failureReply(answer.explain === undefined ? missing : { ...missing, explain: answer.explain });
    }
    case "failed":
      return failureReply(answer);
  }
}

function foundReply(shape: ReadShape, answer: Extract<GetAnswer, { kind: "found" }>, token: string): Reply {
  const { siblings } = answer.set;
  const accept = shape.request.headers["accept"];
  const isRaw =
    shape.raw ||
    (!shape.explain &&
      typeof accept === "string" &&
      accept !== "*/*" &&
      siblings.some((one) => names(accept, one.contentType)));
  if (!isRaw) return envelopeReply(shape.target, answer, token);
  const [only] = siblings;
  if (siblings.length === 1 && only !== undefined) return rawReply(answer, only, token);
  const words = `the key has ${siblings.length} concurrent versions; read it without raw, merge, and PUT with its context`;
  return failureReply(refusal("siblings", words, { siblings: siblings.length, context: token }), {
    headers: {
      "gyre-context": token,
      "gyre-siblings": String(siblings.length),
      etag: etagOf(answer.digest),
      vary: "accept",
    },
  });
}

/** JSON values are never raw by `Accept`: `application/json` means the envelope. Wildcards name nothing. */
function names(accept: string, contentType: string): boolean {
  if (isJsonType(contentType)) return false;
  const wanted = essenceOf(contentType);
  return accept.split(",").some((range) => essenceOf(range) === wanted && !/;\s*q=0(\.0*)?\s*(;|$)/i.test(range));
}

function namesTag(header: string, tag: string): boolean {
  return (
    header === tag || header.split(",").some((one) => one.trim() === "*" || one.trim().replace(/^W\//, "") === tag)
  );
}

function putKey(deps: ApiDependencies, request: Incoming): Reply | Promise<Reply> {
  const parsed = keyRequest(deps, request, PUT_PARAMETERS);
  if (parsed.kind === "failed") return failureReply(parsed);
  const { target, knobs, context, blind } = parsed;
  const refused = refusedHeader(request);
  if (refused !== undefined) return failureReply(refused);
  if (!(request.body instanceof Buffer) && request.headers["content-length"] === undefined) {
    return failureReply(refusal("invalid_request", "the value is missing: send it as the body", { parameter: "body" }));
  }
  const declared = request.headers["content-type"];
  const value = valueOf(typeof declared === "string" ? declared : undefined, bodyOf(request));
  if (value.kind === "failed") return failureReply(value);
  const { contentType, bytes } = value;
  const asked: PutRequest =
    blind === undefined
      ? { name: target.name, knobs, contentType, bytes, context }
      : { name: target.name, knobs, contentType, bytes, context, blind };
  return deps.coordinator.put(asked).then((answer) => writeReply(deps, target, answer));
}

function deleteKey(deps: ApiDependencies, request: Incoming): Reply | Promise<Reply> {
  const parsed = keyRequest(deps, request, KNOB_NAMES);
  if (parsed.kind === "failed") return failureReply(parsed);
  const { target, knobs, context } = parsed;
  const refused = refusedHeader(request);
  if (refused !== undefined) return failureReply(refused);
  return deps.coordinator
    .delete({ name: target.name, knobs, context })
    .then((answer) => writeReply(deps, target, answer));
}

function writeReply(deps: ApiDependencies, target: KeyTarget, answer: WriteAnswer): Reply {
  if (answer.kind === "failed") return failureReply(answer);
  return appliedReply(target, answer, deps.contexts.encode(target.name, answer.context));
}

function keyRequest(deps: ApiDependencies, request: Incoming, known: readonly string[]): KeyRequest | Failure {
  const target = keyTarget(request.raw.url, PREFIX);
  if (target.kind === "failed") return target;
  const query = parseQuery(target.query, known);
  if (query.kind === "failed") return query;
  const knobs = knobsOf(query);
  if ("kind" in knobs) return knobs;
  const raw = booleanOf(query, "raw", false);
  if (typeof raw !== "boolean") return raw;
  const blind = query.values.get("blind");
  if (blind !== undefined && blind !== "overwrite" && blind !== "sibling" && blind !== "reject") {
    const rule = `blind is overwrite, sibling or reject, not ${shown(blind)}`;
    return refusal("invalid_request", rule, { parameter: "blind" });
  }
  const token = request.headers["gyre-context"];
  if (token === undefined) return { kind: "request", target, knobs, context: undefined, raw, blind };
  const context = contextOf(deps, target, token);
  if (context.kind === "failed") return context;
  return { kind: "request", target, knobs, context: context.context, raw, blind };
}

/** The context behind a token that a client sent for this key, or why it is none. */
export function contextOf(
  deps: ApiDependencies,
  target: KeyTarget,
  token: unknown,
): { readonly kind: "context"; readonly context: CausalContext } | Failure {
  if (typeof token !== "string" || token === "" || token.length > MAX_CONTEXT_TOKEN_CHARS) {
    return refusal(
      "invalid_context",
      `a context is a text of 1 to ${MAX_CONTEXT_TOKEN_CHARS} characters, as an answer gave it`,
    );
  }
  const decoded = deps.contexts.decode(target.name, token);
  if (decoded.kind === "context") return decoded;
  return refusal("invalid_context", `${decoded.reason}; read the key again and send the context that it answers`);
}

function refusedHeader(request: Incoming): Failure | undefined {
  for (const [name, words] of REFUSED_ON_WRITE) {
    if (request.headers[name] !== undefined) return refusal("invalid_request", words, { header: name });
  }
  const encoding = request.headers["content-encoding"];
  if (encoding === undefined || encoding === "identity") return undefined;
  return refusal("unsupported_media_type", "Content-Encoding is not kept with a value; send the bytes without it");
}

const EMPTY: Buffer = Buffer.alloc(0);

function bodyOf(request: Incoming): Buffer {
  return request.body instanceof Buffer ? request.body : EMPTY;
}
