/** What is wrong here besides who is down and what moves, in words for `GET /v1/cluster`. Must never wait or ask anybody. */
import type { NodeId } from "../base/ids.ts";
import type { RefusedRecord } from "../cluster/refused-records.ts";
import type { RecordSet } from "../placement/record-set.ts";

/** From here on people are told that the room for records runs out: once newcomers are refused it is too late. */
const ROOM_CONCERN = 0.75;

const SHOWN_REFUSALS = 3;

/** What the concerns are read from. */
export interface ConcernFacts {
  readonly node: NodeId;
  readonly suspectPartitions: number;
  /** records that cannot be read and that no other holder has */
  readonly lostKeys?: number;
  /** undefined before this node is a member */
  readonly set: Pick<RecordSet, "fill"> | undefined;
  /** records of members that others have and this node does not take */
  readonly refused?: readonly RefusedRecord[];
}

/** One sentence each; empty when nothing is wrong. */
export function concernsOf({
  node,
  suspectPartitions,
  lostKeys = 0,
  set,
  refused = [],
}: ConcernFacts): readonly string[] {
  const concerns: string[] = [];
  if (suspectPartitions > 0) {
    concerns.push(`${suspectPartitions} partitions of node ${node} may lack acknowledged writes`);
  }
  if (lostKeys > 0) {
    concerns.push(
      `${lostKeys} records of node ${node} cannot be read and nobody else has them: its log names their hashes (anti-entropy.records-lost); writing or deleting such a key ends it`,
    );
  }
  for (const { node: other, key, reason } of refused.slice(0, SHOWN_REFUSALS)) {
    concerns.push(`node ${node} does not take the record of node ${other} (key ${key}) that others have: ${reason}`);
  }
  const rest = refused.length - SHOWN_REFUSALS;
  if (rest > 0) concerns.push(`node ${node} does not take ${rest} more records of members that others have`);
  const fill = set?.fill ?? 0;
  if (fill >= ROOM_CONCERN) {
    const percent = Math.floor(fill * 100);
    concerns.push(`records of former members take ${percent} % of their room: at 100 % nobody can join any more`);
  }
  return concerns;
}
