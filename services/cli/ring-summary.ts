/** The cluster in a few lines for people: ring, members, moves. Pure. */
import { type ClusterSummary, type MemberLine, type MoveLine, stalledLines } from "./cluster-summary.ts";
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

/** Of the moves under way so many are shown; the rest is counted. */
const SHOWN_MOVES = 8;

/** One line for each move that somebody works at, as far as its facts are known. */
function moveLines({ active }: ClusterSummary): readonly string[] {
  const going = active.filter(({ phase, stalled }) => phase !== "" && stalled === "");
  const rest = going.length - SHOWN_MOVES;
  return [...going.slice(0, SHOWN_MOVES).map(moveText), ...(rest > 0 ? [`  and ${rest} more under way`] : [])];
}

function moveText({ partition, slot, from, to, phase, bytes, keys }: MoveLine): string {
  const which = slot === undefined ? "" : ` slot ${slot}`;
  const came = bytes === undefined ? "" : `, ${bytesText(bytes)}`;
  const held = keys === undefined ? "" : `, ${keys} keys`;
  return `  partition ${partition}${which}${from === "" ? "" : ` from ${from}`} to ${to}: ${phase}${came}${held}`;
}

function movingText({ incoming, outgoing }: MemberLine): string {
  const parts = [...(incoming > 0 ? [`${incoming} to come`] : []), ...(outgoing > 0 ? [`${outgoing} to go`] : [])];
  return parts.join(", ");
}

function notesOf(cluster: ClusterSummary): readonly string[] {
  const moves = movesText(cluster);
  const waiting = cluster.members.filter(({ status }) => status === "waiting");
  return [
    ...(moves === "" ? [] : [moves, ...moveLines(cluster)]),
    ...(cluster.differing.length === 0 ? [] : [`not told of the last change yet: ${cluster.differing.join(", ")}`]),
    ...waiting.map(({ node }) => `${node} is no member yet: gyre join ${node}`),
  ];
}
