/**
 * How a request fails, in the words and codes of API §3. `retryable` says whether the cause may pass; the outcome says
 * whether trying again can double a write. Must never soften an `unknown`.
 */
import type { ErrorCode, Outcome } from "../base/errors.ts";
import type { Explain, Failure, ReplicaReport } from "./contract.ts";
import type { QuorumNeed } from "./quorum-core.ts";
import type { ReadVerdict } from "./read-verdict.ts";
import type { WriteCore, WriteNeed } from "./write-core.ts";

/** A request refused before anything was sent. */
export function refused(
  code: ErrorCode,
  detail: string,
  more?: { readonly retryable?: boolean; readonly facts?: Readonly<Record<string, unknown>> },
): Failure {
  const failure: Failure = {
    kind: "failed",
    code,
    outcome: "not_applied",
    retryable: more?.retryable ?? false,
    detail,
  };
  return more?.facts === undefined ? failure : { ...failure, facts: more.facts };
}

/** This node knows of no ring yet. */
export function notReady(): Failure {
  return refused("not_ready", "This node has not joined a cluster yet; try again or ask another node.", {
    retryable: true,
  });
}

/** The replica that would coordinate the write has more to do than it can hold. */
export function overloaded(): Failure {
  return refused("overloaded", "The owner that takes the write is overloaded; nothing was written. Try again later.", {
    retryable: true,
  });
}

/** A quorum parameter that n replicas cannot meet, or that is no count at all. */
export function badQuorum(need: Exclude<QuorumNeed, { kind: "need" }>, n: number): Failure {
  const facts = { parameter: need.parameter, value: need.value, n };
  return need.kind === "exceeds"
    ? refused("quorum_exceeds_n", `${need.parameter}=${need.value} asks for more than the bucket's n=${n} replicas.`, {
        facts,
      })
    : refused("invalid_request", `${need.parameter} must be a whole number from 1 to ${n}, or one, quorum or all.`, {
        facts,
      });
}

/** What comes before a write took all of its time: nothing was begun, for what is begun late may show up after all. */
export function outOfTime(): Failure {
  return refused("quorum_not_met", "The request's time was over before the write was begun; nothing was written.", {
    retryable: true,
  });
}

/** Facts that every failed quorum carries. */
export interface UnmetFacts {
  readonly required: number;
  readonly received: number;
  readonly replicas: readonly ReplicaReport[];
  readonly explain: Explain | undefined;
}

function unmet(
  code: ErrorCode,
  words: { readonly outcome: Outcome; readonly detail: string },
  facts: UnmetFacts,
): Failure {
  const { required, received, replicas, explain } = facts;
  const failure: Failure = { kind: "failed", code, ...words, retryable: true, required, received, replicas };
  return explain === undefined ? failure : { ...failure, explain };
}

/** A read without its quorum, or whose replicas are all older than the reader demands. */
export function readFailure(verdict: Extract<ReadVerdict, { kind: "stale" | "unmet" }>, facts: UnmetFacts): Failure {
  const { required } = facts;
  return verdict.kind === "stale"
    ? unmet(
        "stale",
        { outcome: "not_applied", detail: "No replica within reach has the version that Gyre-Context demands yet." },
        facts,
      )
    : unmet(
        "quorum_not_met",
        { outcome: "not_applied", detail: unmetDetail(verdict, required) + doubtWords(facts) },
        facts,
      );
}

function doubtWords({ replicas }: UnmetFacts): string {
  const count = replicas.filter(({ answer }) => answer === "in_doubt").length;
  return count === 0 ? "" : ` What ${count} more hold is not to be believed yet: they start, or may lack records.`;
}

function unmetDetail({ received, isGone }: Extract<ReadVerdict, { kind: "unmet" }>, required: number): string {
  return isGone === true
    ? `${received} of the ${required} owners that must say so answered the read; others keep a deletion, which is no proof.`
    : `${received} of the ${required} required replicas answered the read.`;
}

/** A write that did not reach its quorum. */
export function writeFailure(core: WriteCore, need: WriteNeed, facts: UnmetFacts): Failure {
  const { required, received } = facts;
  if (core.verdict !== "not_applied") {
    const detail = `${received} of the ${required} required replicas confirmed the write; it may show up, now or later.`;
    return unmet("quorum_not_met", { outcome: "unknown", detail }, facts);
  }
  const outcome = "not_applied";
  if (isCause(core, need, "disk_full")) {
    return unmet("disk_full", { outcome, detail: "The disks of the key's replicas are full; reads go on." }, facts);
  }
  if (isCause(core, need, "overloaded")) {
    return unmet("overloaded", { outcome, detail: "The key's replicas are overloaded; nothing was written." }, facts);
  }
  if (isCause(core, need, "shutting_down")) {
    return unmet(
      "shutting_down",
      { outcome, detail: "The key's replicas are shutting down; nothing was written." },
      facts,
    );
  }
  const detail = `Fewer than the ${required} required replicas can be reached; nothing was written anywhere.`;
  return unmet("quorum_not_met", { outcome, detail }, facts);
}

function isCause(core: WriteCore, need: WriteNeed, reason: string): boolean {
  const others = core.counts().received;
  const withThem = core.receivedBut(reason);
  return withThem > others && withThem >= need.total;
}

/** A forwarded write whose owner fell silent: it may have been done. */
export function forwardLost(facts: UnmetFacts): Failure {
  const detail = "The write was handed to an owner of the key that did not answer; it may show up, now or later.";
  return unmet("quorum_not_met", { outcome: "unknown", detail }, facts);
}

/** No owner took the write, and each certainly did nothing. `code` names the cause when all gave the same one. */
export function forwardRefused(code: ErrorCode, facts: UnmetFacts): Failure {
  const detail = "No owner of the key could take the write; nothing was written anywhere.";
  return unmet(code, { outcome: "not_applied", detail }, facts);
}

/** No owner takes the write and this node cannot stand in for one: nothing was written anywhere. */
export function standInRefused({ reason, detail }: { readonly reason: string; readonly detail: string }): Failure {
  const code = reason === "disk_full" || reason === "shutting_down" ? reason : "quorum_not_met";
  const words = `No owner of the key can take the write, and this node cannot stand in for one: ${detail}.`;
  return refused(code, words, { retryable: true });
}
