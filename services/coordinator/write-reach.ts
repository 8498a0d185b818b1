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

/** The reach of a write that this node coordinates. */
export function reachOf(
  room: CoordinatorRoom,
  { scope, need }: { readonly scope: RequestScope; readonly need: WriteNeed },
  nowMs: number,
): Reach {
  const { health } = room;
  let reachable = 0;
  let owners = 0;
  let answering = 0;
  let isAnySilent = false;
  let isAnyAway = false;
  for (let index = 0; index < scope.seats.length; index += 1) {
    const seat = scope.seats[index];
    if (seat === undefined) continue;
    const isSelf = index === scope.localIndex;
    if (!isSelf && !health.isReachable(seat.node)) {
      isAnyAway = true;
      continue;
    }
    const bit = slotBit(seat.slot, need.n);
    reachable |= bit;
    if (seat.role === "owner") owners |= bit;
    if (!isSelf && health.isSilent(seat.node, nowMs)) isAnySilent = true;
    else answering |= bit;
  }
  if (slotCount(owners) < need.owners) return "short";
  if (slotCount(reachable) < need.total) {
    const mayStandIn = need.standIns !== undefined && need.standIns > 0;
    return mayStandIn && coverableCount(room, scope, reachable) >= need.total ? "enough" : "short";
  }
  if (!isAnySilent) return isAnyAway ? "enough" : "well";
  // With owners asked for by number none is spared: the count is not worth a second mask.
  return need.owners === 0 && slotCount(answering) >= need.total ? "spare" : "enough";
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
