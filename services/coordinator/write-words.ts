/** What the words of replicas mean for a write. Pure. Must never take silence or a broken store for a refusal. */
import type { ErrorCode } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { CallResult } from "../peers/messages.ts";
import type { ReplicaRefusal, ReplicaWriteResult } from "../replica/contract.ts";
import type { Failure } from "./contract.ts";
import { overloaded, refused } from "./failures.ts";
import { strayRefusalOf } from "./holder-search.ts";
import type { Seat } from "./needs.ts";
import type { WriteWord } from "./write-party-core.ts";

/** This node cannot coordinate the write and has certainly done nothing: another owner may. */
export interface Elsewhere {
  readonly kind: "elsewhere";
  readonly reason: "not_owner" | "moved" | "disk_full" | "corrupt_record" | "shutting_down" | "behind";
  readonly detail: string;
  /** with `moved`: who holds the slot now */
  readonly to?: NodeId | undefined;
}

/** The answer when this node's replica threw before there was a dot: nothing was sent nor kept. */
export function defectBeforeDot(): Failure {
  return refused("internal_error", "The coordinating node met a defect; nothing was written anywhere.");
}

/** What this node's own replica did, in `slot`; or its hints, for it. */
export function localWordOf(result: ReplicaWriteResult, slot: number, role: Seat["role"]): WriteWord {
  if (result.kind === "stored") {
    const { digest, isDurable } = result;
    const stored = { kind: "stored", slot, digest, isDurable } as const;
    return role === "owner" ? stored : { ...stored, isStandIn: true };
  }
  const reason = result.kind === "refused" ? result.reason : "failed";
  return { kind: result.kind, reason, detail: result.detail };
}

/** How a write ends that this node's replica refused before it had a dot; undefined: as a write whose time is up. */
export function endOfRefusal(refusal: ReplicaRefusal): Elsewhere | Failure | undefined {
  const { reason, detail } = refusal;
  switch (reason) {
    case "not_owner":
    case "moved":
      return { kind: "elsewhere", reason, detail, to: strayRefusalOf(refusal)?.to };
    case "disk_full":
    case "corrupt_record":
    case "shutting_down":
      return { kind: "elsewhere", reason, detail };
    case "too_many_siblings":
      return limitFailure("too_many_siblings", refusal);
    case "object_too_large":
      return limitFailure("value_too_large", refusal);
    case "overloaded":
      return overloaded();
    case "expired":
    case "collected":
    case "uncertain":
      return undefined;
  }
}

/** The write's own dot is among what was left out. */
function isWithout(keptAbove: number | undefined, counter: number): boolean {
  return keptAbove !== undefined && counter <= keptAbove;
}

/** Not the write itself, but what it has seen stands there, and that it was: neither a copy nor a proof of none. */
const LEFT_OUT: WriteWord = {
  kind: "failed",
  reason: "collected",
  detail: "the write was left out as old, what came with it was kept",
};

function limitFailure(code: ErrorCode, refusal: ReplicaRefusal): Failure {
  return refused(code, refusal.detail, refusal.facts === undefined ? {} : { facts: refusal.facts });
}

/** What a peer did with a store; `counter`: of the write's own dot. */
export function wordOf(result: CallResult, counter: number): WriteWord {
  if (result.kind === "stored") return isWithout(result.keptAbove, counter) ? LEFT_OUT : result;
  if (result.kind === "refused") return result;
  if (result.kind === "unsent") return { kind: "unsent", reason: "unreachable", detail: result.reason };
  if (result.kind === "lost") return { kind: "lost", reason: result.reason, detail: "" };
  if (result.kind === "failed") return { kind: "failed", reason: "failed", detail: result.detail };
  // Another kind of reply says nothing about what was stored.
  return { kind: "failed", reason: "bad_reply", detail: result.kind };
}
