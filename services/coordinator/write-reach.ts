/** Whether the nodes that can be reached now suffice for a write. By distinct slots, as everywhere. */
import type { NodeId } from "../base/ids.ts";
import { slotBit, slotCount } from "./quorum-core.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";
import { coverableCount } from "./stand-ins.ts";
import type { WriteCore, WriteNeed } from "./write-core.ts";

/**
 * `short`: too few can be reached, stand-ins counted; `well`: all owners can, and have answered lately; `enough`: some
 * are out of reach or silent; `spare`: some are silent, and there are enough without them.
 */
export type Reach = "short" | "well" | "enough" | "spare";

/** A write, as far as its reach goes. */
interface ReachingWrite {
  readonly scope: RequestScope;
  readonly need: WriteNeed;
}

/** The reach of a write that this node coordinates. */
export function reachOf(room: CoordinatorRoom, write: ReachingWrite, nowMs: number): Reach {
  return areAllWell(room, write, nowMs) ? "well" : reachInDoubt(room, write, reachedBy(room, write, nowMs));
}

/** All owners of the bucket's slots can be reached, and have answered lately. */
function areAllWell({ health }: CoordinatorRoom, { scope, need }: ReachingWrite, nowMs: number): boolean {
  const { seats, localIndex } = scope;
  let slots = 0;
  for (let index = 0; index < seats.length; index += 1) {
    const seat = seats[index];
    if (seat === undefined || seat.role !== "owner") return false;
    if (index !== localIndex && !(health.isReachable(seat.node) && !health.isSilent(seat.node, nowMs))) return false;
    slots |= slotBit(seat.slot, need.n);
  }
  return slotCount(slots) === need.n;
}

/** Masks of slots. */
interface Reached {
  /** whose nodes can be reached */
  readonly all: number;
  readonly owners: number;
  /** and have answered lately */
  readonly answering: number;
}

function reachedBy({ health }: CoordinatorRoom, { scope, need }: ReachingWrite, nowMs: number): Reached {
  let [all, owners, answering] = [0, 0, 0];
  for (const [index, { node, slot, role }] of scope.seats.entries()) {
    const isSelf = index === scope.localIndex;
    if (!isSelf && !health.isReachable(node)) continue;
    const bit = slotBit(slot, need.n);
    all |= bit;
    if (role === "owner") owners |= bit;
    if (isSelf || !health.isSilent(node, nowMs)) answering |= bit;
  }
  return { all, owners, answering };
}

function reachInDoubt(
  room: CoordinatorRoom,
  { scope, need }: ReachingWrite,
  { all, owners, answering }: Reached,
): Reach {
  if (slotCount(owners) < need.owners) return "short";
  if (slotCount(all) < need.total) {
    const mayStandIn = (need.standIns ?? 0) > 0;
    return mayStandIn && coverableCount(room, scope, all) >= need.total ? "enough" : "short";
  }
  // With owners asked for by number none is spared: the count is not worth another mask.
  return answering !== all && need.owners === 0 && slotCount(answering) >= need.total ? "spare" : "enough";
}

/** Notes who is out of reach, for the words of a write that is not begun. */
export function noteUnreachable(room: CoordinatorRoom, { seats, localIndex }: RequestScope, core: WriteCore): void {
  seats.forEach((seat, index) => {
    if (index !== localIndex && !room.health.isReachable(seat.node)) core.onUnreachable(index);
  });
}

/** How an owner is met by a write that is not well: `passed_over` is silent and can be spared, for the time being. */
export function placeOf(
  { health }: CoordinatorRoom,
  { node, reach }: { readonly node: NodeId; readonly reach: Reach },
  nowMs: number,
): "well" | "away" | "silent" | "passed_over" {
  if (!health.isReachable(node)) return "away";
  if (!health.isSilent(node, nowMs)) return "well";
  if (reach !== "spare") return "silent";
  // Told now and then only, where the others suffice: it would hold the write in memory.
  return health.takeProbe(node, nowMs) ? "well" : "passed_over";
}
