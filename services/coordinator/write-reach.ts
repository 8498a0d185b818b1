/** Whether the owners that can be reached now suffice for a write. By distinct slots, as everywhere. */
import { slotBit, slotCount } from "./quorum-core.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";
import type { WriteNeed } from "./write-core.ts";

/** `short`: too few can be reached; `spare`: some have not answered lately, and there are enough without them. */
export type Reach = "short" | "enough" | "spare";

/** The reach of a write that this node coordinates, an owner itself. */
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
  for (let index = 0; index < scope.seats.length; index += 1) {
    const seat = scope.seats[index];
    if (seat === undefined) continue;
    const isSelf = index === scope.localIndex;
    if (!isSelf && !health.isReachable(seat.node)) continue;
    const bit = slotBit(seat.slot, need.n);
    reachable |= bit;
    if (seat.role === "owner") owners |= bit;
    if (!isSelf && health.isSilent(seat.node, nowMs)) isAnySilent = true;
    else answering |= bit;
  }
  if (slotCount(reachable) < need.total || slotCount(owners) < need.owners) return "short";
  // With owners asked for by number none is spared: the count is not worth a second mask.
  return isAnySilent && need.owners === 0 && slotCount(answering) >= need.total ? "spare" : "enough";
}
