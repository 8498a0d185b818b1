/** Why the replica did nothing: refusals, and the errors of the store that mean no more than one. Must never hide a bug. */
import {
  CorruptRecordError,
  DiskFullError,
  ReadExpiredError,
  StoreBusyError,
  StoreClosedError,
  StoreFailedError,
  WriteExpiredError,
} from "../../storage/errors.ts";
import { isOutOfHandles } from "../../storage/ports.ts";
import type { NodeId } from "../base/ids.ts";
import type { ReplicaRefusal } from "./contract.ts";

/** True for a refusal, of whatever else a value may be. */
export function isRefusal(value: unknown): value is ReplicaRefusal {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "refused";
}

/** A refusal for a reason, with the detail in words. */
export function refused(reason: ReplicaRefusal["reason"], detail: string): ReplicaRefusal {
  return { kind: "refused", reason, detail };
}

/** The refusal of work whose time is up: nothing was done, and nothing will be. */
export function expired(): ReplicaRefusal {
  return refused("expired", "the time was up before the key could be written");
}

/** The refusal of a partition of which no slot is held: with the node it went to, where that is known. */
export function notHeld(partition: number, movedTo: NodeId | undefined): ReplicaRefusal {
  if (movedTo === undefined) return refused("not_owner", `this node holds no slot of partition ${partition}`);
  const detail = `the slot that this node held of partition ${partition} went to ${movedTo}`;
  return { kind: "refused", reason: "moved", detail, facts: { to: movedTo } };
}

/** The refusal for an error after which the store has kept nothing of what was asked; any other error is thrown on. */
export function noTraceRefusalOf(error: unknown): ReplicaRefusal {
  if (error instanceof CorruptRecordError) return refused("corrupt_record", error.message);
  if (error instanceof DiskFullError) return refused("disk_full", error.message);
  if (error instanceof ReadExpiredError || error instanceof WriteExpiredError) return refused("expired", error.message);
  // without a file handle nothing can be looked at, and whoever writes looks first
  if (error instanceof StoreBusyError || isOutOfHandles(error)) return refused("overloaded", wordsOf(error));
  if (error instanceof StoreClosedError || error instanceof StoreFailedError) {
    return refused("shutting_down", error.message);
  }
  throw error;
}

function wordsOf(error: unknown): string {
  return error instanceof StoreBusyError ? error.message : "no file can be opened just now";
}
