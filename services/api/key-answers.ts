/**
 * What the coordinator answered for one key, as a reply; shared by the key routes and the batch. Must never touch a
 * request beyond the two headers that shape a read.
 */
import { MAX_CONTEXT_TOKEN_CHARS } from "../base/limits.ts";
import type { Failure, GetAnswer, WriteAnswer } from "../coordinator/contract.ts";
import type { CausalContext } from "../versioning/types.ts";
import { essenceOf, isJsonType } from "./body.ts";
import type { Reply } from "./exchange.ts";
import { isoTime } from "./iso-time.ts";
import type { ContextCodec } from "./ports.ts";
import { refusal } from "./problem.ts";
import {
  appliedReply,
  envelopeReply,
  etagOf,
  failureReply,
  fallbackHeaders,
  notModifiedReply,
  rawReply,
} from "./reply.ts";
import type { KeyTarget } from "./target.ts";

/** How a read is to be shown. */
export interface ReadShape {
  readonly target: KeyTarget;
  readonly isRaw: boolean;
  /** the Accept header; undefined: the envelope */
  readonly accept: string | undefined;
  /** the If-None-Match header */
  readonly ifNoneMatch: string | undefined;
}

/** A read's reply: envelope, raw bytes, 304, or a problem. */
export function readReply(contexts: ContextCodec, shape: ReadShape, answer: GetAnswer): Reply {
  switch (answer.kind) {
    case "found": {
      const token = contexts.encode(shape.target.name, answer.set.clock);
      if (shape.ifNoneMatch !== undefined && namesTag(shape.ifNoneMatch, etagOf(answer.digest))) {
        return notModifiedReply(answer, token);
      }
      return foundReply(shape, answer, token);
    }
    case "deleted": {
      const token = contexts.encode(shape.target.name, answer.context);
      const { fallbacks } = answer;
      const stoodIn = fallbacks === undefined ? {} : { fallbacks };
      const gone = refusal("deleted", goneWords(answer), { context: token, ...expiredFact(answer), ...stoodIn });
      return failureReply(withExplain(gone, answer), {
        headers: { "gyre-context": token, ...fallbackHeaders(fallbacks) },
      });
    }
    case "not_found":
      return failureReply(
        withExplain(refusal("not_found", "as many owners as were asked for hold nothing of this key"), answer),
      );
    case "failed":
      return failureReply(answer);
  }
}

/** A write's reply: what was applied, or a problem. */
export function writeReply(contexts: ContextCodec, target: KeyTarget, answer: WriteAnswer): Reply {
  if (answer.kind === "failed") return failureReply(answer);
  return appliedReply(target, answer, contexts.encode(target.name, answer.context));
}

/** The context behind a token that a client sent for this key, or why it is none. */
export function contextOf(
  contexts: ContextCodec,
  target: KeyTarget,
  token: unknown,
): { readonly kind: "context"; readonly context: CausalContext } | Failure {
  if (typeof token !== "string" || token === "" || token.length > MAX_CONTEXT_TOKEN_CHARS) {
    const rule = `a context is a text of 1 to ${MAX_CONTEXT_TOKEN_CHARS} characters, as an answer gave it`;
    return refusal("invalid_context", rule);
  }
  const decoded = contexts.decode(target.name, token);
  if (decoded.kind === "context") return decoded;
  return refusal("invalid_context", `${decoded.reason}; read the key again and send the context that it answers`);
}

function foundReply(shape: ReadShape, answer: Extract<GetAnswer, { kind: "found" }>, token: string): Reply {
  const { siblings } = answer.set;
  const { accept } = shape;
  const isNamed = accept !== undefined && accept !== "*/*" && siblings.some((one) => names(accept, one.contentType));
  if (!shape.isRaw && !isNamed) return envelopeReply(shape.target, answer, token);
  const [only] = siblings;
  if (siblings.length === 1 && only !== undefined) return rawReply(answer, only, token);
  const words = `the key has ${siblings.length} concurrent versions; read it without raw, merge, and PUT with its context`;
  const { digest } = answer;
  const headers = {
    "gyre-context": token,
    "gyre-siblings": String(siblings.length),
    etag: etagOf(digest),
    vary: "accept",
    ...fallbackHeaders(answer.fallbacks),
  };
  return failureReply(refusal("siblings", words, { siblings: siblings.length, context: token }), { headers });
}

type Gone = Extract<GetAnswer, { kind: "deleted" }>;

function goneWords({ expiredAtMs }: Gone): string {
  return expiredAtMs === undefined
    ? "the key was deleted; a PUT with this context follows the delete"
    : "the value's time to live is over; a PUT with this context follows it";
}

function expiredFact({ expiredAtMs }: Gone): { readonly expired?: string } {
  return expiredAtMs === undefined ? {} : { expired: isoTime(expiredAtMs) };
}

function withExplain(failure: Failure, answer: GetAnswer): Failure {
  return answer.explain === undefined ? failure : { ...failure, explain: answer.explain };
}

/**
 * Whether `Accept` asks for the stored bytes: it names their type, and prefers it to `application/json`, which means the envelope.
 * Libraries name both by themselves (axios: `application/json, text/plain`), and must not lose siblings for it.
 */
function names(accept: string, contentType: string): boolean {
  if (isJsonType(contentType)) return false;
  const quality = qualityIn(accept, essenceOf(contentType));
  return quality > 0 && quality > qualityIn(accept, "application/json");
}

/** How much `Accept` wants a media type, 0 … 1; 0 when it does not name it: wildcards name nothing. */
function qualityIn(accept: string, essence: string): number {
  const range = accept.split(",").find((one) => essenceOf(one) === essence);
  if (range === undefined) return 0;
  const said = /;\s*q=([0-9.]+)\s*(?:;|$)/i.exec(range)?.[1];
  return said === undefined ? 1 : Number(said);
}

function namesTag(header: string, tag: string): boolean {
  if (header === tag) return true;
  return header.split(",").some((one) => one.trim() === "*" || one.trim().replace(/^W\//, "") === tag);
}
