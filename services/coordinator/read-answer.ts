/** What the reader is told of what a read found. Must never say that nothing is there but on the word of owners. */
import { digestOf } from "../versioning/object-codec.ts";
import { livingAt, reduceLww } from "../versioning/sibling-set.ts";
import type { SiblingSet } from "../versioning/types.ts";
import type { Explain, Failure, GetAnswer } from "./contract.ts";
import type { ReadVerdict } from "./read-verdict.ts";
import type { ReadVoter } from "./read-voter-core.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";

const MICROS_PER_MS = 1_000;

type ReadAnswer = Exclude<GetAnswer, Failure>;

/** What of a version is alive now; the siblings that ended are left out. */
export function livingNow(room: Pick<CoordinatorRoom, "clock">, set: SiblingSet, isLww: boolean): SiblingSet {
  const shown = isLww ? reduceLww(set) : set;
  // mostly nothing ends: then nobody need look at the clock
  return shown.siblings.some(mayEnd) ? livingAt(shown, room.clock.wallMicros() / MICROS_PER_MS) : shown;
}

function mayEnd({ expiresAtMs }: SiblingSet["siblings"][number]): boolean {
  return expiresAtMs !== 0;
}

/** The answer to a read that met its quorum. */
export function readAnswer(
  room: CoordinatorRoom,
  { settings }: RequestScope,
  { set, digest }: Extract<ReadVerdict, { kind: "known" }>,
): ReadAnswer {
  if (set === undefined) return { kind: "not_found" };
  const isLww = settings.conflicts === "lww";
  const living = livingNow(room, set, isLww);
  if (living.siblings.length === 0) {
    const ended = isLww ? reduceLww(set) : set;
    const expiredAtMs = Math.max(0, ...ended.siblings.map((sibling) => sibling.expiresAtMs));
    return { kind: "deleted", context: living.clock, ...(expiredAtMs === 0 ? {} : { expiredAtMs }) };
  }
  return { kind: "found", set: living, digest: living === set ? digest : digestOf(living) };
}

/** The same with who stood in for owners, and with what was to be explained. */
export function withPeers(answer: ReadAnswer, voters: readonly ReadVoter[], explain: Explain | undefined): ReadAnswer {
  const explained = explain === undefined ? answer : { ...answer, explain };
  // Who has named a version took part by it, also while it is asked again for the object.
  const heard = voters.filter(({ seat, state, digest }) => {
    return seat.role === "fallback" && digest !== undefined && state !== "failed";
  });
  if (heard.length === 0 || explained.kind === "not_found") return explained;
  return { ...explained, fallbacks: heard.map(({ seat }) => seat.node) };
}
