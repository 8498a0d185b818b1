/**
 * Who asks whom for a slot, and who may make a lost one anew: functions of the records, so that nodes with equal records
 * never disagree. Views are never equal for long; the hand-over itself is safe without this agreement.
 */
import type { HolderTable, Move } from "./holder-table.ts";
import type { MemberKey } from "./member-record.ts";
import type { RecordSet } from "./record-set.ts";

/** A slot whose holder was removed, and the one member that may make it anew. */
export interface VacantSlot {
  readonly partition: number;
  readonly slot: number;
  /** the removed member whose record claims it */
  readonly removed: MemberKey;
  readonly entitled: MemberKey;
}

/**
 * The departing holders that a pending member should ask, its own first: the i-th pending has the i-th departing, in the
 * same zone where there is one; the others follow, for the case that its own is given away or silent.
 */
export function donorsFor(table: HolderTable, move: Move, key: MemberKey): readonly MemberKey[] {
  const free = [...move.departing];
  for (const pending of move.pending) {
    if (free.length === 0) return [];
    const zone = table.target.members.get(pending)?.zone;
    const sameZone = free.findIndex((claim) => table.zoneOf(claim.node) === zone);
    const [own] = free.splice(Math.max(0, sameZone), 1);
    if (pending !== key || own === undefined) continue;
    return [own.key, ...move.departing.filter((claim) => claim.key !== own.key).map((claim) => claim.key)];
  }
  return [];
}

/**
 * The slots that nobody holds because their holder was removed, each with who is entitled: the replacement that the
 * removal names, if it should hold the partition and holds no slot of it, else the first pending member that no departing
 * one will give a slot to. A slot that a removed member's record claims and another member claims too has moved on.
 */
export function vacantSlots(set: RecordSet, table: HolderTable): readonly VacantSlot[] {
  const removals = set.removals();
  if (removals.length === 0) return [];
  const vacant: VacantSlot[] = [];
  for (const move of table.moves) {
    const takers = [...move.pending];
    // Those at the front get what the departing give; the rest may mint.
    const reserved = takers.splice(0, Math.min(takers.length, Math.max(0, move.departing.length)));
    for (const { key, replacedBy } of removals) {
      const slot = set.recordOf(key)?.slots[move.partition] ?? -1;
      if (slot < 0 || !move.unclaimed.includes(slot)) continue;
      if (vacant.some((one) => one.partition === move.partition && one.slot === slot)) continue;
      const named = replacedBy !== undefined && move.pending.includes(replacedBy) ? replacedBy : undefined;
      const entitled = named ?? takers.shift() ?? reserved.pop();
      if (entitled === undefined) continue;
      const at = takers.indexOf(entitled);
      if (at >= 0) takers.splice(at, 1);
      vacant.push({ partition: move.partition, slot, removed: key, entitled });
    }
  }
  return vacant;
}
