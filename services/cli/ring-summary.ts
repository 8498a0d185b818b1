/** The cluster in a few lines for people: ring, members, moves. Pure. */
import { type ClusterSummary, type MemberLine, stalledLines } from "./cluster-summary.ts";
import { bytesText, columns } from "./columns.ts";
import { durationText } from "./load/ticker.ts";

/** The ring, its members, and what is on its way, if anything is. */
export function ringSummary(cluster: ClusterSummary): string {
  const total = cluster.partitions * cluster.replicas;
  const head = `ring ${cluster.ringHash}: ${cluster.partitions} partitions, ${cluster.replicas} replicas of each`;
  const rows = cluster.members.map((member) => [
    member.node,
    member.liveness,
    member.status === "normal" ? "" : member.status,
    `zone ${member.zone}`,
    `host ${member.host}`,
    `${member.slotsHeld} slots`,
    total === 0 ? "" : `${((100 * member.slotsHeld) / total).toFixed(1)} %`,
    movingText(member),
  ]);
  return [head, columns(rows, "  "), ...notesOf(cluster)].join("\n");
}

/** What is left to move, how fast it goes, and why it does not; empty when nothing moves. */
export function movesText(cluster: ClusterSummary): string {
  const { copiesLeft, partitionsLeft, bytesPerSecond, etaSeconds } = cluster;
  if (copiesLeft === 0) return "";
  const pace = bytesPerSecond > 0 ? `, ${bytesText(bytesPerSecond)}/s` : "";
  const eta = etaSeconds === undefined ? "" : `, about ${durationText(etaSeconds)}`;
  const stalled = stalledLines(cluster.active).map((line) => `; ${line}`);
  return `${copiesLeft} copies of ${partitionsLeft} partitions are to be moved${pace}${eta}${stalled.join("")}`;
}

function movingText({ incoming, outgoing }: MemberLine): string {
  const parts = [...(incoming > 0 ? [`${incoming} to come`] : []), ...(outgoing > 0 ? [`${outgoing} to go`] : [])];
  return parts.join(", ");
}

function notesOf(cluster: ClusterSummary): readonly string[] {
  const moves = movesText(cluster);
  const waiting = cluster.members.filter(({ status }) => status === "waiting");
  return [
    ...(moves === "" ? [] : [moves]),
    ...(cluster.differing.length === 0 ? [] : [`not told of the last change yet: ${cluster.differing.join(", ")}`]),
    ...waiting.map(({ node }) => `${node} is no member yet: gyre join ${node}`),
  ];
}
