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

/** A slot that no member claims and a removed one did. */
export interface Vacancy {
  readonly slot: number;
  /** the removed members whose records claim it, by key, each with who was named to take its slots */
  readonly left: readonly { readonly removed: MemberKey; readonly heir: MemberKey | undefined }[];
}

/** One partition whose holders are not those that should be. */
export interface Move {
  readonly partition: number;
  /** hold a slot and should not, in slot order */
  readonly departing: readonly Claim[];
  /** should hold a slot and do not, in the order of the target table */
  readonly pending: readonly MemberKey[];
  /** slots that no member claims: on their way, or vacant */
  readonly unclaimed: readonly number[];
  /** those of them whose holder was removed, by slot */
  readonly vacant: readonly Vacancy[];
  /** slots that several members claim */
  readonly contested: readonly number[];
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
  const claims = claimsByPartition(all, table);
  const removed = removedOf(set);
  const keyOf = new Map([...target.members.values()].map((record) => [record.nodeId, record.key]));
  const owners: (readonly SlotHolder[])[] = [];
  const fallbacks: (readonly NodeId[] | undefined)[] = [];
  const moves: Move[] = [];
  for (let partition = 0; partition < table.partitionCount; partition += 1) {
    const settled = settledOwners(table, claims[partition] ?? [], partition);
    if (settled !== undefined) {
      owners.push(settled);
      continue;
    }
    const question = { target, keyOf, removed, claims: claims[partition] ?? [], partition };
    const move = moveOf(question);
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
    // Once a partition, when it is first asked for: requests read it.
    fallbacksOf: (partition) => (fallbacks[partition] ??= standIns(table, owners[partition] ?? [], partition)),
    slotOf: (partition, node) => recordOf.get(node)?.slots[partition] ?? -1,
    zoneOf: (node) => recordOf.get(node)?.zone ?? "",
    claimsOf: (partition) => claims[partition] ?? [],
  };
}

/** A removed member's record, and who takes its slots: through every heir that was removed in turn. */
interface RemovedMember {
  readonly record: MemberRecord;
  readonly heir: MemberKey | undefined;
}

function removedOf(set: RecordSet): readonly RemovedMember[] {
  return set.removals().flatMap(({ key, replacedBy }) => {
    const record = set.recordOf(key);
    let heir = replacedBy;
    // Bounded: heirs in a circle are a fault, and inherit nothing.
    const passed = new Set([key]);
    while (heir !== undefined && set.isRemoved(heir)) {
      passed.add(heir);
      const next = set.removalOf(heir)?.replacedBy;
      heir = next === undefined || passed.has(next) ? undefined : next;
    }
    return record === undefined ? [] : [{ record, heir }];
  });
}

/** The walk of those that should hold the partition, and then of all others, without the believed holders. */
function standIns(table: PlacementTable, holders: readonly SlotHolder[], partition: number): readonly NodeId[] {
  const walk = [...table.ownersOf(partition).map((owner) => owner.node), ...table.fallbacksOf(partition)];
  return walk.filter((node) => !holders.some((holder) => holder.node === node));
}

/** Everyone's claims, by partition and in slot order. */
function claimsByPartition(
  all: readonly MemberRecord[],
  { partitionCount, replicaCount }: PlacementTable,
): readonly (readonly Claim[])[] {
  const claims: Claim[][] = Array.from({ length: partitionCount }, () => []);
  for (const { key, nodeId, slots } of all) {
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const slot = slots[partition] ?? -1;
      if (slot >= 0 && slot < replicaCount) claims[partition]?.push({ key, node: nodeId, slot });
    }
  }
  // Members come sorted by key, and sorting is stable.
  for (const some of claims) some.sort((left, right) => left.slot - right.slot);
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

interface MoveQuestion {
  readonly target: TargetTable;
  readonly keyOf: ReadonlyMap<NodeId, MemberKey>;
  readonly removed: readonly RemovedMember[];
  readonly claims: readonly Claim[];
  readonly partition: number;
}

function moveOf({ target, keyOf, removed, claims, partition }: MoveQuestion): Move {
  const { table, members } = target;
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
  const vacant = unclaimed.flatMap((slot) => {
    const left = removed.filter(({ record }) => record.slots[partition] === slot);
    return left.length === 0 ? [] : [{ slot, left: left.map(({ record, heir }) => ({ removed: record.key, heir })) }];
  });
  const contested = claims.flatMap(({ slot }, index) =>
    claims[index + 1]?.slot === slot && claims[index - 1]?.slot !== slot ? [slot] : [],
  );
  return { partition, departing, pending, unclaimed, vacant, contested };
}

/**
 * One holder for every slot, all distinct, as long as there are members: who claims it, of several one that should hold
 * the partition; else the next pending member; else (two claim one slot and nobody another) the next of the walk.
 */
function believedOwners(
  { table, members }: TargetTable,
  claims: readonly Claim[],
  { partition, pending }: Move,
): readonly SlotHolder[] {
  const bySlot: (NodeId | undefined)[] = [];
  for (let slot = 0; slot < table.replicaCount; slot += 1) {
    const some = claims.filter((claim) => claim.slot === slot);
    const best = some.find((claim) => table.slotOf(partition, claim.node) >= 0) ?? some[0];
    bySlot.push(best?.node);
  }
  const guesses = [
    ...pending.flatMap((key) => members.get(key)?.nodeId ?? []),
    ...table.ownersOf(partition).map((owner) => owner.node),
    ...table.fallbacksOf(partition),
  ];
  const owners: SlotHolder[] = [];
  for (let slot = 0; slot < table.replicaCount; slot += 1) {
    const node = bySlot[slot] ?? guesses.find((guess) => !bySlot.includes(guess));
    if (node === undefined) continue;
    bySlot[slot] = node;
    owners.push({ node, slot });
  }
  return owners;
}
