/**
 * The documents of GET /v1/cluster, of plans and of changes, as clients see them (API §4). Pure. Whatever may be long is
 * counted, with its first entries. Must never leave a member of a document out because it is empty: scripts read these.
 */
import type { ClusterMember, ClusterStatus, MembershipPlan, MovesView, PlanChange } from "./cluster-door.ts";
import type { ClusterHealth } from "./ports.ts";
import { agreementOf, partitionsBelow, stalledReasons } from "./verdict.ts";

/** How many entries of a long list are shown. */
export const SHOWN_ENTRIES: number = 16;

/** The whole answer of GET /v1/cluster. O(Q + members). */
export function clusterDocument(status: ClusterStatus, health: ClusterHealth): Record<string, unknown> {
  const { isAgreed, differing } = agreementOf(status);
  const short = partitionsBelow(status, status.replicas);
  return {
    verdict: health.verdict,
    reasons: health.reasons,
    cluster: status.cluster,
    clusterId: status.clusterId ?? null,
    node: status.node,
    waitingFor: status.waitingFor ?? null,
    partitions: status.partitions,
    replicas: status.replicas,
    ringHash: status.ringHash,
    recordsHash: status.recordsHash,
    agreed: isAgreed,
    differing,
    members: status.members.map(memberDocument),
    moves: movesDocument(status.moves, stalledReasons(status)),
    underReplicated: { count: short.length, partitions: short.slice(0, SHOWN_ENTRIES) },
    vacantSlots: { count: status.vacant.length, slots: status.vacant.slice(0, SHOWN_ENTRIES) },
    pendingPlan: pendingDocument(status.pendingPlan),
    details: status.details,
  };
}

/** A plan as POST /v1/cluster/plan and commit answer it. */
export function planDocument(plan: MembershipPlan): Record<string, unknown> {
  const { planHash, changes, moves, bytes, movedCopies, minimumCopies, before, after, refusals, warnings } = plan;
  return {
    planHash,
    changes: changes.map(changeDocument),
    allowed: refusals.length === 0,
    refusals,
    warnings,
    movedCopies,
    minimumCopies,
    bytes,
    moves,
    before,
    after,
  };
}

/** A change as it was asked for, with its kind first. */
export function changeDocument(change: PlanChange): Record<string, unknown> {
  const { kind, node, ...rest } = change;
  return { kind, node, ...rest };
}

function memberDocument(member: ClusterMember): Record<string, unknown> {
  const { node, memberKey, status, liveness, sinceMs, fitness, recordsHash, ...rest } = member;
  const told = fitness === undefined ? null : fitnessDocument(fitness);
  const head = { node, memberKey, status, liveness, sinceMs: Math.round(sinceMs), fitness: told };
  return { ...head, ...rest, recordsHash: recordsHash ?? null };
}

function fitnessDocument(fitness: NonNullable<ClusterMember["fitness"]>): Record<string, unknown> {
  const { isDiskWritable, isDegraded, loopDelayMs, health } = fitness;
  return { diskWritable: isDiskWritable, degraded: isDegraded, loopDelayMs, health };
}

function movesDocument(moves: MovesView, stalled: readonly string[]): Record<string, unknown> {
  const { partitionsLeft, copiesLeft, bytesPerSecond, etaSeconds, active } = moves;
  return {
    partitionsLeft,
    copiesLeft,
    bytesPerSecond: Math.round(bytesPerSecond),
    etaSeconds: copiesLeft === 0 ? 0 : (etaSeconds ?? null),
    active: active.map(({ partition, slot, from, to, phase, bytes, keys, stalled: reason }) => ({
      ...{ partition, slot: slot ?? null, from: from ?? null, to, phase },
      ...{ bytes: bytes ?? null, keys: keys ?? null, stalled: reason ?? null },
    })),
    stalled,
  };
}

function pendingDocument(pending: ClusterStatus["pendingPlan"]): Record<string, unknown> | null {
  if (pending === undefined) return null;
  const { planHash, changes, ageMs } = pending;
  return { planHash, changes: changes.map(changeDocument), ageMs: Math.round(ageMs) };
}
