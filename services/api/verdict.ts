/**
 * One verdict on the cluster with its reasons in words, made of the facts that membership gives. Pure. Must never call a
 * cluster healthy that could lose a write with one node less than it should have, nor unhealthy because slots move.
 */
import type { ClusterMember, ClusterStatus } from "./cluster-door.ts";
import type { ClusterHealth } from "./ports.ts";
import { LEVEL_RULE } from "./query-rules.ts";
import { wordOf } from "./value-rules.ts";

/** How many owners of a partition a request asks for. */
export type ConsistencyLevel = "one" | "quorum" | "all";

/** The level in `text`; undefined when it is none. */
export function consistencyLevelOf(text: string): ConsistencyLevel | undefined {
  return wordOf(LEVEL_RULE, text);
}

/** The verdict for reads and writes at this level. `unavailable` exactly when some partition cannot serve them. O(Q). */
export function verdictOf(status: ClusterStatus, level: ConsistencyLevel): ClusterHealth {
  if (status.waitingFor !== undefined) {
    return { verdict: "unavailable", reasons: [status.waitingFor], partitionsWithoutQuorum: 0 };
  }
  const { partitions } = status;
  const partitionsWithoutQuorum = partitionsBelow(status, ownersAskedFor(level, status.replicas)).length;
  const reasons = [
    ...status.members.flatMap(memberReasons),
    ...counted(partitionsWithoutQuorum, `of ${partitions} partitions have fewer owners up than "${level}" asks for`),
    ...counted(
      partitionsBelow(status, status.replicas).length,
      `of ${partitions} partitions have fewer than ${status.replicas} replicas that can be reached`,
    ),
    ...counted(status.vacant.length, "slots are held by nobody since their holder was removed"),
    ...stalledReasons(status),
    ...status.concerns,
  ];
  const verdict = partitionsWithoutQuorum > 0 ? "unavailable" : reasons.length > 0 ? "degraded" : "healthy";
  return { verdict, reasons, partitionsWithoutQuorum };
}

/** The partitions of which fewer than `count` slots can be reached, ascending. */
export function partitionsBelow(status: ClusterStatus, count: number): readonly number[] {
  return Array.from(status.reachableHolders)
    .map((reachable, partition) => (reachable < count ? partition : -1))
    .filter((partition) => partition >= 0);
}

/** Why hand-overs stand still, each reason once, with how many wait for it. */
export function stalledReasons(status: ClusterStatus): readonly string[] {
  const counts = new Map<string, number>();
  for (const { stalled } of status.moves.active) {
    if (stalled !== undefined) counts.set(stalled, (counts.get(stalled) ?? 0) + 1);
  }
  return [...counts].map(
    ([reason, count]) => `${count} ${count === 1 ? "move stands" : "moves stand"} still: ${reason}`,
  );
}

/** Whether all members that can be asked know the same records as this node, and who does not. */
export function agreementOf(status: ClusterStatus): {
  readonly isAgreed: boolean;
  readonly differing: readonly ClusterMember["node"][];
} {
  const differing = status.members
    .filter((member) => belongs(member) && member.liveness === "alive")
    .filter(({ recordsHash }) => recordsHash !== undefined && recordsHash !== status.recordsHash)
    .map(({ node }) => node);
  return { isAgreed: differing.length === 0, differing };
}

/** A span of time for people: `0.4 s`, `12 s`, `5 min`, `3 h`, `2 d`. */
export function spanText(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}

function belongs({ status }: ClusterMember): boolean {
  return status === "joining" || status === "normal" || status === "leaving";
}

function ownersAskedFor(level: ConsistencyLevel, replicas: number): number {
  if (level === "one") return 1;
  return level === "all" ? replicas : Math.floor(replicas / 2) + 1;
}

function memberReasons(member: ClusterMember): readonly string[] {
  if (!belongs(member)) return [];
  const { node, liveness, fitness } = member;
  const since = spanText(member.sinceMs);
  switch (liveness) {
    case "dead":
      return [`node ${node} is down, for ${since}`];
    case "suspect":
      return [`node ${node} has not answered probes for ${since}`];
    case "left":
      return [`node ${node} was stopped ${since} ago`];
    case "unknown":
      return [`nothing has been heard of node ${node} yet`];
    case "alive":
      if (fitness?.isDiskWritable === false) return [`the disk of node ${node} takes no writes`];
      return fitness?.isDegraded === true ? [`the disk of node ${node} is slow: others ask it last`] : [];
  }
}

function counted(count: number, words: string): readonly string[] {
  return count === 0 ? [] : [`${count} ${words}`];
}
