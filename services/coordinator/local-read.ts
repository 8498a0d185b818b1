/**
 * What this node's own replica has to say to a read, in the words that peers have. Must never speak for a slot that it
 * does not hold, nor hold no more by the time it has read: the key may have gone with it.
 */
import type { ReadTerm, ReplicaReadResult } from "../replica/contract.ts";
import type { SiblingSet } from "../versioning/types.ts";
import { type StrayWord, strayRefusalOf } from "./holder-search.ts";
import type { ReadQuestion, ReadVoter } from "./read-voter-core.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";

/** The replica's word. */
export type LocalWord =
  | {
      readonly kind: "digest";
      readonly slot: number;
      readonly isSuspect: boolean;
      readonly digest: bigint;
      readonly isStandIn?: true;
    }
  | {
      readonly kind: "set";
      readonly slot: number;
      readonly isSuspect: boolean;
      /** undefined: nothing is here */
      readonly set: SiblingSet | undefined;
      readonly isStandIn?: true;
    }
  | { readonly kind: "stray"; readonly word: StrayWord }
  | { readonly kind: "failed"; readonly reason: string };

/** What is asked of this node itself. */
export interface LocalQuestion {
  readonly question: ReadQuestion | "nothing";
  /** nothing is read any more when it is over */
  readonly term: ReadTerm;
}

/** Reads here what a voter of this node is asked for: as an owner, or what it keeps as a stand-in. Never rejects. */
export function readAs(
  room: CoordinatorRoom,
  scope: RequestScope,
  { voter, term }: { readonly voter: ReadVoter | undefined; readonly term: ReadTerm },
): LocalWord | Promise<LocalWord> {
  const asked = { question: voter?.question ?? "nothing", term } as const;
  return voter?.seat.role === "fallback"
    ? readHintsHere(room, scope, { ...asked, slot: voter.seat.slot })
    : readHere(room, scope, asked);
}

/** Reads here; at once when the bytes are cached. Never rejects: a replica that throws is logged, and has failed. */
function readHere(
  room: CoordinatorRoom,
  scope: RequestScope,
  { question, term }: LocalQuestion,
): LocalWord | Promise<LocalWord> {
  const { local } = room;
  const { location } = scope;
  const slot = local.slotOf(location.partition);
  if (slot < 0) return strayHere(room, scope);
  // before the disk is asked for what would be thrown away
  if (isHidden(room, scope)) return hiddenAt(slot, question);
  if (question === "digest") {
    return { kind: "digest", slot, isSuspect: local.isSuspect(location.partition), digest: local.digestOf(location) };
  }
  try {
    const result = local.read(location, term);
    if (!(result instanceof Promise)) return stillAt(slot, wordOf(room, scope, result)) ?? strayHere(room, scope);
    return result.then(
      (later) => stillAt(slot, laterWordOf(room, scope, later)) ?? strayHere(room, scope),
      (error: unknown) => defect(room, error),
    );
  } catch (error) {
    return defect(room, error);
  }
}

/** The same of what this node keeps as a stand-in, for the slot that the voter stands in for. */
function readHintsHere(
  room: CoordinatorRoom,
  scope: RequestScope,
  asked: LocalQuestion & { readonly slot: number },
): LocalWord | Promise<LocalWord> {
  const { location, settings } = scope;
  const ownSlot = room.local.slotOf(location.partition);
  if (ownSlot >= 0 && ownSlot < settings.n) return readHere(room, scope, asked);
  const { question, slot } = asked;
  const { fallback } = room;
  if (fallback === undefined) return { kind: "failed", reason: "not_ready" };
  if (question === "digest") {
    return { kind: "digest", slot, isSuspect: false, digest: fallback.digestOf(location), isStandIn: true };
  }
  const wordOfHints = (result: ReplicaReadResult): LocalWord =>
    result.kind === "refused"
      ? { kind: "failed", reason: result.reason }
      : { kind: "set", slot, isSuspect: false, set: result.set, isStandIn: true };
  try {
    const result = fallback.read(location, asked.term);
    return result instanceof Promise
      ? result.then(wordOfHints, (error: unknown) => defect(room, error))
      : wordOfHints(result);
  } catch (error) {
    return defect(room, error);
  }
}

function wordOf(room: CoordinatorRoom, scope: RequestScope, result: ReplicaReadResult): LocalWord {
  if (result.kind === "refused") {
    const word = strayRefusalOf(result);
    return word === undefined ? { kind: "failed", reason: result.reason } : { kind: "stray", word };
  }
  const { partition } = scope.location;
  return {
    kind: "set",
    slot: room.local.slotOf(partition),
    isSuspect: room.local.isSuspect(partition),
    set: result.set,
  };
}

/** The same once time has passed: it may have been hidden meanwhile. */
function laterWordOf(room: CoordinatorRoom, scope: RequestScope, result: ReplicaReadResult): LocalWord {
  const word = wordOf(room, scope, result);
  return word.kind === "set" && isHidden(room, scope) ? hiddenAt(word.slot) : word;
}

/** What is held may be older than what was collected elsewhere: then it has no word, like a suspect copy without the key. */
function isHidden({ local }: CoordinatorRoom, { location }: RequestScope): boolean {
  return local.isHidden?.(location.partition, location.key) === true;
}

function hiddenAt(slot: number, question?: LocalQuestion["question"]): LocalWord {
  return question === "digest"
    ? { kind: "digest", slot, isSuspect: true, digest: 0n }
    : { kind: "set", slot, isSuspect: true, set: undefined };
}

/** The word, unless another slot or none is held by now than when the read began. */
function stillAt(slot: number, word: LocalWord): LocalWord | undefined {
  return word.kind === "set" && word.slot !== slot ? undefined : word;
}

function strayHere(room: CoordinatorRoom, scope: RequestScope): LocalWord {
  const refusal = room.local.refusalOf?.(scope.location.partition);
  const word = refusal === undefined ? undefined : strayRefusalOf(refusal);
  return { kind: "stray", word: word ?? { reason: "not_owner", detail: "this node holds no slot of the key" } };
}

/** A bug, or a broken store. Others may still answer the read. */
function defect(room: CoordinatorRoom, error: unknown): LocalWord {
  room.log.error({ event: "coordinator.defect", operation: "read", error });
  return { kind: "failed", reason: "failed" };
}
