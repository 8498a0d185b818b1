/**
 * Where a node stands in the ring: zone, host and weight. One rule: the configuration gives them to a member's first record,
 * from then on the record has them and an operator changes them; a configuration that says otherwise is told of, never
 * followed. (A restart that moved a node to the zone of an old setting would undo an operator's order, and move data.)
 */
import type { LogFacts } from "../base/ports.ts";
import type { MemberRecord } from "../placement/member-record.ts";
import type { ClusterMember } from "./cluster-config.ts";

const LABELS = ["zone", "host", "weight"] as const;

/** What the configuration says in vain of a member, for the log, with what to do to have it so. */
export function overruledLabels(record: MemberRecord, self: ClusterMember): readonly LogFacts[] {
  return LABELS.filter((kind) => record[kind] !== self[kind]).map((kind) => {
    return {
      event: "membership.label-overruled",
      setting: kind,
      recorded: record[kind],
      configured: self[kind],
      remedy: `to change the record: gyre set ${self.id} --${kind} ${self[kind]}`,
    };
  });
}
