/** RingBalance: how evenly slots lie on members and zones, of those that hold them or of those that should. Pure counting. */
import type { NodeId } from "../base/ids.ts";
import { fairShares } from "./fair-shares.ts";
import type { HolderTable } from "./holder-table.ts";
import type { MemberKey } from "./member-record.ts";
import type { PlacementTable } from "./types.ts";

/** A ring in numbers. */
export interface RingBalance {
  /** slots of the fullest member over its fair share, 1 = even; 0 in a ring without slots */
  readonly maxOverFair: number;
  /** slots of the fullest member over the mean of all */
  readonly hottestOverMean: number;
  /** slots by node, those without slots too */
  readonly slots: Readonly<Record<string, number>>;
  /** slots by zone */
  readonly zones: Readonly<Record<string, number>>;
  /** partitions whose holders lie in fewer zones than they could */
  readonly zoneViolations: number;
  /** `zonesUsed[k]` partitions have holders in k zones */
  readonly zonesUsed: readonly number[];
}

/** What one member holds, should hold, and has still to get or give. In slots. */
export interface MemberMoves {
  readonly slotsHeld: number;
  readonly slotsTarget: number;
  readonly incoming: number;
  readonly outgoing: number;
}

/** How far a ring is from its target. */
export interface MovesLeft {
  readonly members: ReadonlyMap<MemberKey, MemberMoves>;
  readonly partitionsLeft: number;
  /** copies that members should hold and do not yet */
  readonly copiesLeft: number;
  /** partitions of which some slot is claimed by nobody */
  readonly underReplicated: number;
}

/** The ring as it should be. */
export function targetBalance(table: PlacementTable): RingBalance {
  return balanceOf(table, (partition) => table.ownersOf(partition).map((owner) => owner.node));
}

/** The ring as it is, by members' own records. */
export function heldBalance(table: HolderTable): RingBalance {
  return balanceOf(table.target.table, (partition) => table.claimsOf(partition).map((claim) => claim.node), table);
}

/** What is left to move. Counts all partitions: about 1 ms at Q = 1024, not for every request. */
export function movesLeft(table: HolderTable): MovesLeft {
  const { target, moves } = table;
  const members = new Map<MemberKey, { slotsHeld: number; slotsTarget: number; incoming: number; outgoing: number }>();
  for (const { key } of table.all) members.set(key, { slotsHeld: 0, slotsTarget: 0, incoming: 0, outgoing: 0 });
  const keyOf = new Map(table.all.map((record) => [record.nodeId, record.key]));
  const count = (key: MemberKey | undefined, what: keyof MemberMoves): void => {
    const counts = members.get(key ?? "");
    if (counts !== undefined) counts[what] += 1;
  };
  for (let partition = 0; partition < table.partitionCount; partition += 1) {
    for (const claim of table.claimsOf(partition)) count(claim.key, "slotsHeld");
    for (const { node } of target.table.ownersOf(partition)) count(keyOf.get(node), "slotsTarget");
  }
  for (const { pending, departing } of moves) {
    for (const key of pending) count(key, "incoming");
    for (const claim of departing) count(claim.key, "outgoing");
  }
  return {
    members,
    partitionsLeft: moves.filter((move) => move.pending.length + move.departing.length > 0).length,
    copiesLeft: moves.reduce((sum, move) => sum + move.pending.length, 0),
    underReplicated: moves.filter((move) => move.unclaimed.length > 0).length,
  };
}

function balanceOf(
  ring: PlacementTable,
  holdersOf: (partition: number) => readonly NodeId[],
  names: Pick<PlacementTable, "zoneOf"> = ring,
): RingBalance {
  const slots: Record<string, number> = Object.fromEntries(ring.members.map((member) => [member.id, 0]));
  const zones: Record<string, number> = Object.fromEntries(ring.members.map((member) => [member.zone, 0]));
  const zoneGoal = Math.min(ring.replicaCount, new Set(ring.members.map((member) => member.zone)).size);
  const zonesUsed: number[] = Array.from({ length: ring.replicaCount + 1 }, () => 0);
  let zoneViolations = 0;
  for (let partition = 0; partition < ring.partitionCount; partition += 1) {
    const used = new Set<string>();
    for (const node of holdersOf(partition)) {
      const zone = names.zoneOf(node);
      slots[node] = (slots[node] ?? 0) + 1;
      zones[zone] = (zones[zone] ?? 0) + 1;
      used.add(zone);
    }
    if (used.size < zoneGoal) zoneViolations += 1;
    zonesUsed[used.size] = (zonesUsed[used.size] ?? 0) + 1;
  }
  const shares = fairShares(ring.members, ring.partitionCount, ring.replicaCount);
  const loads = Object.values(slots);
  const mean = loads.reduce((sum, load) => sum + load, 0) / Math.max(1, loads.length);
  const overFair = ring.members.map((member, index) => (slots[member.id] ?? 0) / (shares[index] ?? 1));
  return {
    maxOverFair: Math.max(0, ...overFair),
    hottestOverMean: mean === 0 ? 0 : Math.max(...loads) / mean,
    slots,
    zones,
    zoneViolations,
    zonesUsed,
  };
}
