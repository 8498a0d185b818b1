/**
 * Who asks whom for a slot, and who may make a lost one anew: functions of the records, so that nodes with equal records
 * never disagree. No member is meant for two slots of a partition, no slot for two members; what is done does not change
 * who is meant for the rest. Views are never equal for long; the hand-over itself is safe without this agreement.
 */
import type { HolderTable, Move } from "./holder-table.ts";
import type { MemberKey } from "./member-record.ts";
import type { RecordSet } from "./record-set.ts";

/** A slot whose holder was removed, and the one member that may make it anew. */
export interface VacantSlot {
  readonly partition: number;
  readonly slot: number;
  /** the removed member whose record claims it; undefined: nobody's does, see `lostSlots` */
  readonly removed: MemberKey | undefined;
  readonly entitled: MemberKey;
}

/**
 * The departing holders that a pending member should ask, its own first; the others follow, for the case that its own is
 * given away or silent. None for a member that has no departing one of its own: it may mint, or others come first.
 */
export function donorsFor(table: HolderTable, move: Move, key: MemberKey): readonly MemberKey[] {
  const donor = pairsOf(table, move, minters(move).pending).get(key);
  if (donor === undefined) return [];
  return [donor, ...move.departing.map((claim) => claim.key).filter((other) => other !== donor)];
}

/**
 * The slots that nobody holds because their holder was removed, each with who is entitled: the replacement that the
 * removal names, if it should hold the partition and holds no slot of it, else the first of such members in T. A slot that
 * a removed member's record claims and another member claims too has moved on.
 */
export function vacantSlots(set: RecordSet, table: HolderTable): readonly VacantSlot[] {
  if (set.removals().length === 0) return [];
  return table.moves.flatMap((move) => minters(move).slots);
}

/**
 * The slots that neither a member's record claims nor a removed one's, each with who may ask whether they are lost. They
 * are on their way, as a rule; but a slot that was given to a member that was removed before anybody heard that it had it
 * is nowhere. Records cannot tell one from the other: the members that are asked before a minting can.
 */
export function lostSlots(set: RecordSet, table: HolderTable): readonly VacantSlot[] {
  if (set.removals().length === 0) return [];
  return table.moves.flatMap((move) => {
    const { partition, vacant, unclaimed } = move;
    const lost = unclaimed.filter((slot) => !vacant.some((one) => one.slot === slot));
    if (lost.length === 0) return [];
    const { pending } = minters(move);
    const paired = pairsOf(table, move, pending);
    const free = pending.filter((key) => !paired.has(key));
    return free.slice(0, lost.length).flatMap((entitled, at) => {
      const slot = lost[at];
      return slot === undefined ? [] : [{ partition, slot, removed: undefined, entitled }];
    });
  });
}

/** The vacant slots of a partition given out: first to those that were named, then in the order of T; and who is left. */
function minters(move: Move): { readonly slots: readonly VacantSlot[]; readonly pending: readonly MemberKey[] } {
  const { partition, vacant } = move;
  if (vacant.length === 0) return { slots: [], pending: move.pending };
  const pending = [...move.pending];
  const given = new Map<number, VacantSlot>();
  for (const { slot, left } of vacant) {
    const named = left.find(({ heir }) => heir !== undefined && pending.includes(heir));
    if (named?.heir === undefined) continue;
    pending.splice(pending.indexOf(named.heir), 1);
    given.set(slot, { partition, slot, removed: named.removed, entitled: named.heir });
  }
  for (const { slot, left } of vacant) {
    const [first] = left;
    if (given.has(slot) || first === undefined) continue;
    const entitled = pending.shift();
    if (entitled !== undefined) given.set(slot, { partition, slot, removed: first.removed, entitled });
  }
  return { slots: [...given.values()].sort((left, right) => left.slot - right.slot), pending };
}

/** Departing holders by who is meant for each: in slot order, the first pending member of its zone, else the first left. */
function pairsOf(
  table: HolderTable,
  { departing }: Move,
  pending: readonly MemberKey[],
): ReadonlyMap<MemberKey, MemberKey> {
  const free = [...pending];
  const own = new Map<MemberKey, MemberKey>();
  const unmatched = departing.filter((claim) => {
    const zone = table.zoneOf(claim.node);
    const at = free.findIndex((key) => table.target.members.get(key)?.zone === zone);
    const [receiver] = at < 0 ? [] : free.splice(at, 1);
    if (receiver !== undefined) own.set(receiver, claim.key);
    return receiver === undefined;
  });
  for (const claim of unmatched) {
    const receiver = free.shift();
    if (receiver !== undefined) own.set(receiver, claim.key);
  }
  return own;
}
