/**
 * HolderTable: who is BELIEVED to hold each slot, by everyone's own records: what requests are routed by, and what still has
 * to move. Wrong guesses are harmless: replies name their slot, refusals say where it went. A function of the records.
 *
 * A slot that two claim (views are never of one moment) goes to the one that should hold the partition; one that nobody
 * claims (on its way, or its holder was removed) is guessed to be with a member that should hold one and does not.
 */
import assert from "node:assert/strict";
import type { NodeId } from "../base/ids.ts";
import type { MemberKey, MemberRecord } from "./member-record.ts";
import type { RecordSet } from "./record-set.ts";
import type { TargetTable } from "./target-table.ts";
import type { PlacementTable, SlotHolder } from "./types.ts";

/** A member that holds a slot by its own record. */
export interface Claim {
  readonly key: MemberKey;
  readonly node: NodeId;
  readonly slot: number;
}

/** One partition whose holders are not those that should be. */
export interface Move {
  readonly partition: number;
  /** hold a slot and should not, in slot order */
  readonly departing: readonly Claim[];
  /** should hold a slot and do not, in the order of the target table */
  readonly pending: readonly MemberKey[];
  /** slots that no member claims */
  readonly unclaimed: readonly number[];
}

/** Believed holders, and how they differ from the target. `ringHash` is the target's. */
export interface HolderTable extends PlacementTable {
  readonly target: TargetTable;
  /** partitions on the move, ascending; empty when all is as it should be */
  readonly moves: readonly Move[];
  /** members that hold the partition's slots by their own records, removed ones left out, in slot order */
  claimsOf(partition: number): readonly Claim[];
  /** every member that belongs, also one that is leaving */
  readonly all: readonly MemberRecord[];
}

/** The table of these records. About 1 ms for 16 members at Q = 1024. */
export function buildHolderTable(set: RecordSet, target: TargetTable): HolderTable {
  const all = set.members();
  const { table } = target;
  const claims = claimsByPartition(all, table.partitionCount);
  const owners: (readonly SlotHolder[])[] = [];
  const moves: Move[] = [];
  for (let partition = 0; partition < table.partitionCount; partition += 1) {
    const settled = settledOwners(table, claims[partition] ?? [], partition);
    if (settled !== undefined) {
      owners.push(settled);
      continue;
    }
    const move = moveOf(target, claims[partition] ?? [], partition);
    moves.push(move);
    owners.push(believedOwners(target, claims[partition] ?? [], move));
  }
  const recordOf = new Map(all.map((record) => [record.nodeId, record]));
  return {
    partitionCount: table.partitionCount,
    replicaCount: table.replicaCount,
    ringHash: table.ringHash,
    members: table.members,
    target,
    moves,
    all,
    ownersOf: (partition) => owners[partition] ?? [],
    fallbacksOf: (partition) => {
      const holders = owners[partition] ?? [];
      const targets = [...table.ownersOf(partition).map((owner) => owner.node), ...table.fallbacksOf(partition)];
      return targets.filter((node) => !holders.some((holder) => holder.node === node));
    },
    slotOf: (partition, node) => recordOf.get(node)?.slots[partition] ?? -1,
    zoneOf: (node) => recordOf.get(node)?.zone ?? "",
    claimsOf: (partition) => claims[partition] ?? [],
  };
}

/** Everyone's claims, by partition and in slot order. */
function claimsByPartition(all: readonly MemberRecord[], partitionCount: number): readonly (readonly Claim[])[] {
  const claims: Claim[][] = Array.from({ length: partitionCount }, () => []);
  for (const { key, nodeId, slots } of all) {
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const slot = slots[partition] ?? -1;
      if (slot >= 0) claims[partition]?.push({ key, node: nodeId, slot });
    }
  }
  for (const some of claims) some.sort((left, right) => left.slot - right.slot || (left.key < right.key ? -1 : 1));
  return claims;
}

/** The claims themselves, when every slot has one holder and each of them should hold one; undefined otherwise. */
function settledOwners(
  table: PlacementTable,
  claims: readonly Claim[],
  partition: number,
): readonly SlotHolder[] | undefined {
  const targets = table.ownersOf(partition);
  if (claims.length !== targets.length) return undefined;
  for (const [index, claim] of claims.entries()) {
    if (claim.slot !== index || table.slotOf(partition, claim.node) < 0) return undefined;
  }
  return claims;
}

function moveOf({ table, members }: TargetTable, claims: readonly Claim[], partition: number): Move {
  const keyOf = new Map([...members.values()].map((record) => [record.nodeId, record.key]));
  const holding = new Set(claims.map((claim) => claim.key));
  const pending: MemberKey[] = [];
  for (const { node } of table.ownersOf(partition)) {
    const key = keyOf.get(node);
    assert.ok(key !== undefined, "the target table names members");
    if (!holding.has(key)) pending.push(key);
  }
  const departing = claims.filter((claim) => !members.has(claim.key) || table.slotOf(partition, claim.node) < 0);
  const claimed = new Set(claims.map((claim) => claim.slot));
  const unclaimed: number[] = [];
  for (let slot = 0; slot < table.replicaCount; slot += 1) if (!claimed.has(slot)) unclaimed.push(slot);
  return { partition, departing, pending, unclaimed };
}

function believedOwners(
  { table, members }: TargetTable,
  claims: readonly Claim[],
  { partition, pending, unclaimed }: Move,
): readonly SlotHolder[] {
  const guesses = [...pending];
  const owners: SlotHolder[] = [];
  for (let slot = 0; slot < table.replicaCount; slot += 1) {
    const some = claims.filter((claim) => claim.slot === slot);
    const best = some.find((claim) => table.slotOf(partition, claim.node) >= 0) ?? some[0];
    if (best !== undefined) {
      owners.push({ node: best.node, slot });
      continue;
    }
    const guess = unclaimed.includes(slot) ? members.get(guesses.shift() ?? "") : undefined;
    if (guess !== undefined) owners.push({ node: guess.nodeId, slot });
  }
  return owners;
}
