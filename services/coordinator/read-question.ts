/** What another replica is asked in a read. Pure. Must never ask more than the core wants to know. */
import type { TraceId } from "../base/trace.ts";
import type { PeerRequest } from "../peers/messages.ts";
import type { KeyLocation } from "../replica/contract.ts";
import type { ReadVoter } from "./read-voter-core.ts";

/** What all questions of one read have in common. */
export interface ReadTopic {
  readonly location: KeyLocation;
  /** replicas of the bucket */
  readonly n: number;
  /** undefined for nearly all reads */
  readonly trace: TraceId | undefined;
}

/** The request for a voter that is another node. */
export function readQuestion({ question, seat }: ReadVoter, { location: key, n, trace }: ReadTopic): PeerRequest {
  const kind = question === "digest" ? "digest" : "fetch";
  const { slot, role } = seat;
  if (trace !== undefined) {
    return role === "owner" ? { kind, key, trace } : { kind, key, standIn: { slot, n }, trace };
  }
  return role === "owner" ? { kind, key } : { kind, key, standIn: { slot, n } };
}
