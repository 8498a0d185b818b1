/**
 * What a DELETE without a context removes: what R replicas have of the key, read before it is written. The owner that
 * takes it may have missed writes, and a tombstone with its own clock would leave them standing behind an `applied`. Must
 * never write, nor read for any other request: a context says what was seen, and where the last write wins order decides.
 * Source: Riak, whose delete without a vector clock reads first.
 */

import type { Failure, GetAnswer } from "./contract.ts";
import { badQuorum, outOfTime } from "./failures.ts";
import type { WriteRequest } from "./forward-request.ts";
import { readNeed, writeNeed } from "./quorum-core.ts";
import { ReadOperation } from "./read-operation.ts";
import { type CoordinatorRoom, scopeOf } from "./request-scope.ts";
import { standInLimit } from "./stand-ins.ts";

type BlindDelete = Extract<WriteRequest, { op: "delete" }>;

/** What follows the look. */
export interface SeenFirst {
  /** the write as it is to be done now: with the context that was seen, if there was anything, and the time that is left */
  readonly onSeen: (request: WriteRequest) => void;
  /** too few replicas answered, or too late: nothing was written anywhere */
  readonly onFailed: (failure: Failure) => void;
}

/** True for a removal of whatever is there: its client has seen nothing. */
export function isBlindDelete({ op, context }: WriteRequest): boolean {
  return op === "delete" && context === undefined;
}

/** Looks what is there, if the request removes whatever that is; goes on at once with all others. */
export function seenFirst(room: CoordinatorRoom, request: WriteRequest, then: SeenFirst): void {
  if (request.op === "delete" && request.context === undefined) look(room, request, then);
  else then.onSeen(request);
}

function look(room: CoordinatorRoom, request: BlindDelete, { onSeen, onFailed }: SeenFirst): void {
  const scope = scopeOf(room, request.name);
  // What the write itself will refuse is not read for.
  if (scope === undefined || scope.settings.conflicts === "lww") return onSeen(request);
  const { name, knobs } = request;
  const { settings } = scope;
  if (writeNeed(knobs, settings).kind !== "need") return onSeen(request);
  const need = readNeed(knobs, settings);
  if (need.kind !== "need") return onFailed(badQuorum(need, settings.n));
  const { total, owners } = need;
  const standIns = owners < total ? standInLimit(room, scope, knobs) : 0;
  const deadlineMs = room.clock.monotonicMs() + knobs.timeoutMs;
  const read = {
    scope,
    request: { name, knobs },
    need: { total, owners, n: settings.n, atLeast: undefined, isLww: false, standIns },
  };
  room.counters.readCount += 1;
  new ReadOperation(room, read, (answer) => {
    if (answer.kind === "failed") return onFailed(answer);
    const timeoutMs = deadlineMs - room.clock.monotonicMs();
    if (timeoutMs < 1) return onFailed(outOfTime());
    onSeen({ ...request, knobs: { ...knobs, timeoutMs }, context: contextOf(answer) });
  }).start();
}

function contextOf(answer: Exclude<GetAnswer, Failure>): BlindDelete["context"] {
  if (answer.kind === "found") return answer.set.clock;
  return answer.kind === "deleted" ? answer.context : undefined;
}
