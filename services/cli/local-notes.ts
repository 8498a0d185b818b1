/** What the one who starts a local cluster of another size than before should know, in words. Pure. */
import { type ClusterSummary, isBelonging, memberNamed } from "./cluster-summary.ts";
import { type LocalPlan, localReplicas } from "./local-layout.ts";

/** A line for each thing that is not as it might be expected. `told`: what the cluster says of itself. */
export function localNotes(plan: LocalPlan, told: ClusterSummary | undefined): readonly string[] {
  const started = namesUpTo(plan.nodeCount);
  const members = told?.members ?? [];
  const joining = members.filter(({ node, status }) => status === "joining" && started.includes(node));
  const down = members.filter((member) => isBelonging(member) && !started.includes(member.node));
  const places = started.flatMap((node) => (told === undefined ? [] : (memberNamed(told, node) ?? [])));
  const out = places.filter(({ status }) => status === "left" || status === "removed");
  const wanted = localReplicas(plan.nodeCount);
  const replicas = told?.replicas ?? wanted;
  return [
    ...(joining.length === 0 ? [] : [`${namesOf(joining)} joined just now: gyre status --watch shows the data move`]),
    ...(down.length === 0 ? [] : downLines(down)),
    ...(out.length === 0 ? [] : [`${namesOf(out)} left the ring earlier: running, but without data`]),
    ...(replicas >= wanted
      ? []
      : [`keys have ${replicas} replicas, as when the cluster was made: --fresh makes one with ${wanted}`]),
  ];
}

/** They are members that are down, which the cluster survives; only an operator says that they are gone for good. */
function downLines(down: ClusterSummary["members"]): readonly string[] {
  const count = Math.max(...down.map(({ node }) => Number(node.slice(1)) || 0));
  const restart = count > 0 ? `start with --nodes ${count}, then ` : "";
  return [
    `${namesOf(down)} of the ring ${down.length === 1 ? "is" : "are"} not running, and missed as if crashed;`,
    `  to take a node out for good, with its data moved to the others: ${restart}gyre leave ${down[0]?.node ?? ""}`,
  ];
}

function namesUpTo(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `n${index + 1}`);
}

function namesOf(members: ClusterSummary["members"]): string {
  return members.map(({ node }) => node).join(", ");
}
