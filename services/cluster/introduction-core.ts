/** Who is known to whom: when a member may begin to take slots. Pure; the model check runs on the very same rules. */
import { xxh64 } from "../base/hash.ts";
import type { MemberKey, MemberRecord } from "../placement/member-record.ts";

/** What a member knows of itself and the others. */
export interface Introduction {
  readonly ownKey: MemberKey;
  /** all that belong by the records known here: neither removed nor `left`, this member too */
  readonly members: readonly Pick<MemberRecord, "key" | "status">[];
  /** records were exchanged with it, both ways and durably, since this member began */
  readonly hasMet: (key: MemberKey) => boolean;
}

/**
 * True when more than half of those who have been members for a while, this one included if it has, know this member. Those
 * who are joining count for nothing: they may know nobody but each other. So whoever asks all members that he knows asks one
 * that knows this one, as long as half of them are not removed at a stroke.
 */
export function isIntroduced({ ownKey, members, hasMet }: Introduction): boolean {
  const settled = members.filter(({ status }) => status === "normal" || status === "leaving");
  const knowing = settled.filter(({ key }) => key === ownKey || hasMet(key));
  return settled.length === 0 || knowing.length * 2 > settled.length;
}

/** Equal on two nodes iff they know the same members and the same removals, whatever the versions. Both lists by key. */
export function membersHashOf(
  records: readonly Pick<MemberRecord, "key" | "status">[],
  removed: readonly MemberKey[],
): string {
  const out = new Set(removed);
  const living = records.filter(({ key, status }) => status !== "left" && !out.has(key)).map(({ key }) => key);
  return xxh64(Buffer.from(JSON.stringify([living, removed]), "utf8")).toString(16);
}
