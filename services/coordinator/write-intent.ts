/**
 * What a client's PUT or DELETE asks of the replica that mints it, and what of it is refused before anything is sent. Must
 * never look at what is held.
 */
import type { BucketSettings } from "../base/bucket-settings.ts";
import { MAX_VALUE_BYTES } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import type { WriteIntent } from "../replica/contract.ts";
import type { Failure } from "./contract.ts";
import { refused } from "./failures.ts";
import type { WriteRequest } from "./forward-request.ts";

const MICROS_PER_MS = 1_000;
const MS_PER_SECOND = 1_000;

type BlindRule = "overwrite" | "sibling" | "reject";

/** What forbids the write before anything is sent, or undefined. */
export function problemOf(request: WriteRequest, bucketRule: BlindRule): Failure | undefined {
  if (request.op === "delete") return undefined;
  if (request.bytes.length > MAX_VALUE_BYTES) {
    return refused(
      "value_too_large",
      `A value has at most ${MAX_VALUE_BYTES} bytes; this one has ${request.bytes.length}.`,
      {
        facts: { limit: MAX_VALUE_BYTES, size: request.bytes.length },
      },
    );
  }
  if (request.context !== undefined || ruleOf(request.blind, bucketRule) !== "reject") return undefined;
  return refused(
    "context_required",
    "This write needs the Gyre-Context of an earlier answer: GET the key first and send what its header says. " +
      "A key that has none yet is written with blind=sibling, which replaces nothing.",
  );
}

/**
 * What the write says goes before what the bucket says, but for one: a bucket that refuses blind writes lets nobody overwrite
 * what he has not seen. `sibling` replaces nothing, and without it no key could be made there: an absence has no context.
 */
function ruleOf(asked: BlindRule | undefined, bucketRule: BlindRule): BlindRule {
  return bucketRule === "reject" && asked === "overwrite" ? "reject" : (asked ?? bucketRule);
}

/** The write as a replica is asked for it, in a bucket with these settings; a length of life becomes a date by this clock. */
export function intentOf(request: WriteRequest, settings: BucketSettings, clock: Clock): WriteIntent {
  const budgetMs = request.knobs.timeoutMs;
  if (request.op === "delete") return { kind: "delete", context: request.context, budgetMs };
  const rule = ruleOf(request.blind, settings.blindWrites);
  const ttlSeconds = request.ttlSeconds ?? settings.ttlSeconds ?? 0;
  return {
    kind: "put",
    contentType: request.contentType,
    bytes: request.bytes,
    // Here and nowhere else a length becomes a date: this node mints, and so one clock decides.
    expiresAtMs: ttlSeconds === 0 ? 0 : Math.floor(clock.wallMicros() / MICROS_PER_MS) + ttlSeconds * MS_PER_SECOND,
    context: request.context,
    // With a context the rule is never looked at; `sibling` claims nothing, should it be.
    blind: rule === "overwrite" ? "overwrite" : "sibling",
    budgetMs,
  };
}
