/**
 * Tells other nodes to stand in for owners of one write; made only when an owner is missing. Must never tell more than
 * the write's limit, nor wait for anyone.
 */
import type { PeerRequest } from "../peers/messages.ts";
import type { CoordinatorRoom } from "./request-scope.ts";
import { StandIns } from "./stand-ins.ts";
import type { WriteOrder, WriteStanding } from "./write-answer.ts";
import type { WriteCore } from "./write-core.ts";
import type { WriteParty } from "./write-party-core.ts";

/** What the other owners are sent. */
export type StoreRequest = Extract<PeerRequest, { readonly kind: "store" }>;

/** The stand-ins of one write. */
export class WriteStandIns {
  readonly #room: CoordinatorRoom;
  readonly #order: WriteOrder;
  readonly #standing: WriteStanding;
  readonly #nodes: StandIns;
  #isAwayTold = false;

  constructor(room: CoordinatorRoom, order: WriteOrder, standing: WriteStanding) {
    this.#room = room;
    this.#order = order;
    this.#standing = standing;
    this.#nodes = new StandIns(room, order.scope);
    room.counters.sloppyWriteCount += 1;
  }

  /** Another node is told for every slot that nobody stands for, until there is nobody left. */
  replaceVacant(request: StoreRequest): void {
    const { core, fanOut } = this.#standing;
    for (let vacant = core.nextVacant(); vacant >= 0; vacant = core.nextVacant()) {
      const node = this.#nodes.next(core.parties);
      if (node === undefined) {
        this.#tellAway(request);
        core.onStandInsOver();
        return;
      }
      this.#room.counters.standInCount += 1;
      const index = core.standIn(vacant, node);
      const slot = core.parties[index]?.slot ?? -1;
      fanOut.send(index, node, { ...request, standIn: { slot, n: this.#order.need.n } });
    }
  }

  /** Nobody can stand in: owners that seem out of reach are told after all, once, for a belief may be wrong. */
  #tellAway(request: StoreRequest): void {
    if (this.#isAwayTold) return;
    this.#isAwayTold = true;
    const { core, fanOut } = this.#standing;
    for (const { state, reason, seat } of core.parties.slice()) {
      if (state !== "unsent" || reason !== "unreachable" || seat.role !== "owner") continue;
      const index = core.tell(seat);
      if (index >= 0) fanOut.send(index, seat.node, request);
    }
  }
}

/**
 * Notes that all who are waited for are slow, so that others may stand in beside them; false: this write may not. Who
 * waits for nodes in doubt is not charged, as with reads: otherwise slow owners would double the load of all.
 */
export function noteSlow(room: CoordinatorRoom, core: WriteCore): boolean {
  if (!isAskedInDoubt(room, core.parties) && !room.writeHedges.take()) return false;
  core.parties.forEach(({ state }, index) => {
    if (state === "asked" || state === "astray") core.onSlow(index);
  });
  return true;
}

/** True when everyone who is waited for is in doubt: this node itself never is. */
function isAskedInDoubt({ clock, health, self }: CoordinatorRoom, parties: readonly WriteParty[]): boolean {
  const nowMs = clock.monotonicMs();
  return parties.every(
    ({ state, seat }) => state !== "asked" || (seat.node !== self && health.standingOf(seat.node, nowMs) !== "well"),
  );
}
