/**
 * Whether a StatefulSet of nodes may be scaled, and who hands over its data first. Pure. Must never let a pod go whose node holds
 * anything, nor anybody begin while the cluster is not whole: what is away could not be asked.
 */
import { type ClusterSummary, isBelonging, type MemberLine, memberNamed } from "../cluster-summary.ts";

/** What is known before anything is done. */
export interface ScaleFacts {
  /** of the StatefulSet, and so of its pods: `gyre` for gyre-0, gyre-1, … */
  readonly name: string;
  readonly seen: ClusterSummary;
  readonly verdict: string;
  readonly reasons: readonly string[];
  /** as Kubernetes says; undefined: nobody asked it */
  readonly workload: Workload | undefined;
}

/** A StatefulSet as Kubernetes has it. */
export interface Workload {
  readonly replicas: number;
  readonly readyReplicas: number;
  /** all pods have the newest template */
  readonly isRolledOut: boolean;
}

/** What is to be done. */
export type ScalePlan =
  | { readonly kind: "refused"; readonly reasons: readonly string[] }
  | { readonly kind: "nothing"; readonly current: number }
  /** `leaving`: are to hand over, highest first; `underWay`: do so already */
  | {
      readonly kind: "down";
      readonly current: number;
      readonly leaving: readonly string[];
      readonly underWay: readonly string[];
    }
  /** `returning`: left once, and come back with their old disks */
  | {
      readonly kind: "up";
      readonly current: number;
      readonly arriving: readonly string[];
      readonly returning: readonly string[];
    };

/** What scaling to `to` pods takes. */
export function scalePlanOf(facts: ScaleFacts, to: number): ScalePlan {
  const { name, seen, workload } = facts;
  const current = workload?.replicas ?? podCountOf(name, seen);
  const going = podNames(name, Math.min(to, current), current).toReversed();
  const reasons = [...wholenessFaults(facts), ...countFaults(facts, to), ...movementFaults(seen, going)];
  if (reasons.length > 0) return { kind: "refused", reasons };
  if (to > current) {
    const arriving = podNames(name, current, to);
    return { kind: "up", current, arriving, returning: arriving.filter((pod) => statusOf(seen, pod) === "left") };
  }
  const leaving = going.filter((pod) => statusOf(seen, pod) === "normal");
  const underWay = going.filter((pod) => statusOf(seen, pod) === "leaving");
  return to === current ? { kind: "nothing", current } : { kind: "down", current, leaving, underWay };
}

/** Those of the pods whose nodes still have a place in the ring, or hold something: they may not be taken away. */
export function stillHolding(seen: ClusterSummary, pods: readonly string[]): readonly string[] {
  return seen.members
    .filter((member) => pods.includes(member.node))
    .filter((member) => isBelonging(member) || (member.status !== "removed" && member.slotsHeld > 0))
    .map(({ node }) => node);
}

/** The names of the pods with these ordinals. */
export function podNames(name: string, from: number, end: number): readonly string[] {
  return Array.from({ length: Math.max(0, end - from) }, (_, index) => `${name}-${from + index}`);
}

/** As far as the members tell: one more than the highest ordinal of those who belong. */
function podCountOf(name: string, { members }: ClusterSummary): number {
  return Math.max(0, ...members.filter(isBelonging).map((member) => (ordinalOf(name, member) ?? -1) + 1));
}

function ordinalOf(name: string, { node }: MemberLine): number | undefined {
  const ordinal = node.startsWith(`${name}-`) ? node.slice(name.length + 1) : "";
  return /^(?:0|[1-9]\d{0,8})$/.test(ordinal) ? Number(ordinal) : undefined;
}

function statusOf(seen: ClusterSummary, pod: string): string {
  return memberNamed(seen, pod)?.status ?? "";
}

function wholenessFaults({ verdict, reasons, seen, workload }: ScaleFacts): readonly string[] {
  const faults: string[] = [];
  if (verdict !== "healthy") faults.push(`the cluster is ${verdict}: ${reasons.join("; ")}`);
  if (seen.differing.length > 0) faults.push(`${seen.differing.join(", ")}: know other members; wait until all agree`);
  if (workload !== undefined && !workload.isRolledOut)
    faults.push("a rollout is under way: wait for kubectl rollout status");
  else if (workload !== undefined && workload.readyReplicas < workload.replicas) {
    faults.push(`${workload.readyReplicas} of ${workload.replicas} pods are ready: wait for the others`);
  }
  return faults;
}

function countFaults({ name, seen }: ScaleFacts, to: number): readonly string[] {
  const faults: string[] = [];
  if (to < seen.replicas) {
    faults.push(`${to} nodes cannot hold ${seen.replicas} replicas of every key: at least ${seen.replicas}`);
  }
  const strangers = seen.members.filter((member) => isBelonging(member) && ordinalOf(name, member) === undefined);
  if (strangers.length > 0) {
    const names = strangers.map(({ node }) => node).join(", ");
    faults.push(`${names}: no pods of the StatefulSet ${name}; if it has another name, give it with --name`);
  }
  return faults;
}

/** One change at a time: what moves already is waited for. */
function movementFaults(seen: ClusterSummary, going: readonly string[]): readonly string[] {
  return seen.members.flatMap(({ node, status }) => {
    if (status === "joining") return [`${node} is joining: wait, or take it back with gyre abort ${node}`];
    if (status === "leaving" && !going.includes(node)) {
      return [`${node} is leaving, but its pod would stay: wait, or take it back with gyre abort ${node}`];
    }
    return [];
  });
}
