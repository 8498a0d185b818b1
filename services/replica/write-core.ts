/**
 * What a write makes of the versions that are held: pure, so that the shell only reads, mints and stores. Must never
 * refuse a delete for its size, nor a put that makes an object smaller: limits keep objects from growing, and what is
 * over them already must be able to shrink.
 */
import { MAX_OBJECT_BYTES, MAX_SIBLINGS } from "../base/limits.ts";
import { EMPTY_CONTEXT, greatestCounter } from "../versioning/causal-context.ts";
import { encodedDigestOf, encodedSizeOf, encodeSet } from "../versioning/object-codec.ts";
import { contextAfterWrite, livingAt, merge, put, reduceLww, remove } from "../versioning/sibling-set.ts";
import type { CausalContext, Dot, SiblingSet } from "../versioning/types.ts";
import type { Minted, ReplicaRefusal, WriteIntent } from "./contract.ts";
import type { HeldVersions } from "./held-versions.ts";

/** What the write counts as having seen: its context, or for a blind one all that is held, or nothing. */
export function givenContextOf(held: HeldVersions, intent: WriteIntent): CausalContext {
  if (intent.context !== undefined) return intent.context;
  return intent.kind === "put" && intent.blind === "sibling" ? EMPTY_CONTEXT : held.set.clock;
}

/**
 * The counter that a new dot must be above: where the last write wins that is all that is known of the key, or the new
 * write would lose to what it replaces. Elsewhere order does not decide, and a wrong clock must not pull ours along.
 */
export function floorOf(held: HeldVersions, write: { readonly given: CausalContext; readonly isLww: boolean }): number {
  if (!write.isLww) return 0;
  return Math.max(greatestCounter(held.set.clock), greatestCounter(write.given));
}

/**
 * What is held, without siblings whose time is over: a write leaves them behind, so that the dead count neither as
 * conflicts nor towards limits. To other replicas that is a removal like any other: the clock has seen their dots.
 */
export function livingOf(held: HeldVersions, nowMs: number): HeldVersions {
  const set = livingAt(held.set, nowMs);
  return set === held.set ? held : { set, digest: held.digest };
}

/** Whether any of it has an end: only then does a write look at the clock for it. */
export function hasEnds({ set }: HeldVersions): boolean {
  for (const sibling of set.siblings) if (sibling.expiresAtMs !== 0) return true;
  return false;
}

/** A write that has its dot, with what it is made of. */
export interface WritePlan {
  readonly intent: WriteIntent;
  readonly given: CausalContext;
  readonly dot: Dot;
  readonly isLww: boolean;
}

/** The object after the write, encoded, or a refusal because it would outgrow a client's limits. */
export function mintedOf(
  held: HeldVersions,
  plan: WritePlan,
): { readonly kind: "minted"; readonly minted: Minted } | ReplicaRefusal {
  const { dot, given } = plan;
  const written = writtenSet(held.set, plan);
  const after = plan.isLww ? reduceLww(written) : written;
  const refusal = plan.intent.kind === "put" ? limitRefusalOf(held.set, after) : undefined;
  if (refusal !== undefined) return refusal;
  const object = encodeSet(after);
  const minted: Minted = {
    baseDigest: held.digest,
    digest: encodedDigestOf(object),
    object,
    dot,
    context: contextAfterWrite({ before: held.set, after, given, dot }),
    siblingCount: after.siblings.length,
  };
  return { kind: "minted", minted };
}

/** Both versions in one, by the bucket's rule. */
export function mergedOf(held: SiblingSet, incoming: SiblingSet, isLww: boolean): SiblingSet {
  const merged = merge(held, incoming);
  return isLww ? reduceLww(merged) : merged;
}

function writtenSet(held: SiblingSet, plan: WritePlan): SiblingSet {
  const { intent, given, dot } = plan;
  if (intent.kind === "delete") return remove(held, { context: given, dot });
  const { expiresAtMs, contentType, bytes } = intent;
  return put(held, { context: given, sibling: { dot, expiresAtMs, contentType, bytes } });
}

function limitRefusalOf(before: SiblingSet, after: SiblingSet): ReplicaRefusal | undefined {
  const siblings = after.siblings.length;
  if (siblings > MAX_SIBLINGS && siblings > before.siblings.length) {
    return {
      kind: "refused",
      reason: "too_many_siblings",
      detail: `the key has ${before.siblings.length} unresolved versions; read it and write with the context given`,
      facts: { limit: MAX_SIBLINGS, siblings },
    };
  }
  const sizeBytes = encodedSizeOf(after);
  if (sizeBytes > MAX_OBJECT_BYTES && sizeBytes > encodedSizeOf(before)) {
    return {
      kind: "refused",
      reason: "object_too_large",
      detail: `all versions of the key together would take ${sizeBytes} bytes, over the limit of ${MAX_OBJECT_BYTES}`,
      facts: { limitBytes: MAX_OBJECT_BYTES, sizeBytes },
    };
  }
  return undefined;
}
