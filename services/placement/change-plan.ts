/**
 * ChangePlan: what changes of membership would do, before anyone does them: moves, bytes, balance, zones, and what stands
 * against them. A function of the records, the changes and the facts handed in; nodes with equal records and equal beliefs
 * of who is alive make equal plans, and a plan is named by its hash, so that what is committed is what was looked at.
 */
import { xxh64 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import { buildHolderTable, type HolderTable } from "./holder-table.ts";
import { type PlanFacts, type PlannedChange, plannedRecords } from "./planned-records.ts";
import type { RecordSet } from "./record-set.ts";
import { heldBalance, type RingBalance, targetBalance } from "./ring-balance.ts";
import type { TargetTables } from "./target-table.ts";

/** What one member gains and loses by a plan. */
export interface PlannedMoves {
  readonly node: NodeId;
  /** copies */
  readonly incoming: number;
  readonly outgoing: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** What changes would do; nothing has been done. */
export interface ChangePlan {
  /** 16 hex digits over the records, the changes and what comes of them */
  readonly planHash: string;
  readonly changes: readonly PlannedChange[];
  /** by node; those of whom nothing moves are left out */
  readonly moves: readonly PlannedMoves[];
  readonly bytes: number;
  /** copies to be made until the ring is as it should be: of these changes, and of earlier ones still under way */
  readonly movedCopies: number;
  /** the fewest that any placement with the same number of slots for each member would make */
  readonly minimumCopies: number;
  /** as the slots are held now */
  readonly before: RingBalance;
  /** as they will be */
  readonly after: RingBalance;
  /** in words; a plan with one of them must not be committed */
  readonly refusals: readonly string[];
  readonly warnings: readonly string[];
}

/** What a plan is made for. */
export interface PlanQuestion {
  readonly set: RecordSet;
  readonly targets: TargetTables;
  readonly changes: readonly PlannedChange[];
  readonly facts: PlanFacts;
}

/** The plan. Costs a target table and two holder tables: tens of milliseconds, not for every request. */
export function planChange({ set, targets, changes, facts }: PlanQuestion): ChangePlan {
  const planned = plannedRecords(set, changes, facts);
  const now = buildHolderTable(set, targets.of(set));
  const next = buildHolderTable(planned.set, targets.of(planned.set));
  const moves = movesOf(next, facts);
  const before = heldBalance(now);
  const after = targetBalance(next.target.table);
  return {
    planHash: planHashOf(set, changes, next),
    changes,
    moves,
    bytes: moves.reduce((sum, move) => sum + move.bytesIn, 0),
    movedCopies: moves.reduce((sum, move) => sum + move.incoming, 0),
    minimumCopies: minimumOf(next, after),
    before,
    after,
    refusals: [...planned.refusals, ...sizeRefusals(now, next), ...sourceRefusals({ now, next, changes, facts })],
    warnings: warningsOf(now, next, after),
  };
}

function planHashOf(set: RecordSet, changes: readonly PlannedChange[], next: HolderTable): string {
  const plain = changes.map((change) => Object.entries(change).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const text = JSON.stringify([set.hash.toString(16), plain, next.target.table.ringHash.toString(16)]);
  return xxh64(Buffer.from(text, "utf8")).toString(16).padStart(16, "0");
}

function movesOf(next: HolderTable, facts: PlanFacts): readonly PlannedMoves[] {
  const nodeOf = new Map(next.all.map((record) => [record.key, record.nodeId]));
  const byNode = new Map<NodeId, { incoming: number; outgoing: number; bytesIn: number; bytesOut: number }>();
  for (const { partition, pending, departing } of next.moves) {
    const sizeBytes = facts.bytesOf(partition);
    const none = { incoming: 0, outgoing: 0, bytesIn: 0, bytesOut: 0 };
    for (const node of pending.flatMap((key) => nodeOf.get(key) ?? [])) {
      const { incoming, bytesIn, ...rest } = byNode.get(node) ?? none;
      byNode.set(node, { ...rest, incoming: incoming + 1, bytesIn: bytesIn + sizeBytes });
    }
    for (const { node } of departing) {
      const { outgoing, bytesOut, ...rest } = byNode.get(node) ?? none;
      byNode.set(node, { ...rest, outgoing: outgoing + 1, bytesOut: bytesOut + sizeBytes });
    }
  }
  return [...byNode]
    .map(([node, counts]) => ({ node, ...counts }))
    .sort((left, right) => (left.node < right.node ? -1 : 1));
}

/** Every member must at least be given what it will hold beyond what it holds now. */
function minimumOf(next: HolderTable, after: RingBalance): number {
  let least = 0;
  for (const { nodeId, slots } of next.all) {
    const held = slots.reduce((count, slot) => (slot >= 0 ? count + 1 : count), 0);
    least += Math.max(0, (after.slots[nodeId] ?? 0) - held);
  }
  return least;
}

function sizeRefusals(now: HolderTable, next: HolderTable): readonly string[] {
  const { replicaCount } = next;
  const [before, after] = [now.target.members.size, next.target.members.size];
  if (after >= replicaCount || after >= before) return [];
  return [`${after} members would be left, fewer than the ${replicaCount} replicas of every key`];
}

/**
 * A slot that is lost is made anew from the others: from N − W + 1 of them, W a majority, every acknowledged write is in
 * one. With fewer alive, some may be lost for good; that is for a person to decide.
 */
function sourceRefusals({
  now,
  next,
  changes,
  facts,
}: Omit<PlanQuestion, "set" | "targets"> & {
  readonly now: HolderTable;
  readonly next: HolderTable;
}): readonly string[] {
  const lost = new Set(changes.flatMap((change) => ("force" in change && !change.force ? [change.node] : [])));
  if (lost.size === 0) return [];
  const needed = Math.ceil(now.replicaCount / 2);
  let poorCount = 0;
  for (let partition = 0; partition < now.partitionCount; partition += 1) {
    if (!now.claimsOf(partition).some((claim) => lost.has(claim.node))) continue;
    const sources = next.claimsOf(partition).filter((claim) => facts.isAlive(claim.node));
    if (sources.length < needed) poorCount += 1;
  }
  if (poorCount === 0) return [];
  const what = `${poorCount} partitions would have fewer than ${needed} live sources left`;
  return [`${what}: acknowledged writes may be lost for good. Bring other members back first, or use force`];
}

function warningsOf(now: HolderTable, next: HolderTable, after: RingBalance): readonly string[] {
  const warnings: string[] = [];
  const [zonesBefore, zonesAfter] = [now, next].map(
    (table) => new Set(table.target.table.members.map((member) => member.zone)).size,
  );
  const { replicaCount } = next;
  if (zonesBefore !== undefined && zonesAfter !== undefined && zonesAfter < Math.min(zonesBefore, replicaCount)) {
    warnings.push(`replicas will share zones: ${zonesAfter} zones for ${replicaCount} replicas, ${zonesBefore} now`);
  }
  if (after.zoneViolations > 0) {
    warnings.push(`${after.zoneViolations} partitions will lie in fewer zones than they could`);
  }
  const underWay = now.moves.reduce((sum, move) => sum + move.pending.length, 0);
  if (underWay > 0) warnings.push(`${underWay} copies of earlier changes are still on their way`);
  return warnings;
}
