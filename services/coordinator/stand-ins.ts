/**
 * Who stands in for owners that a request cannot have: the nodes after the owners in the walk, nearest first, those that
 * are well before those in doubt. Looked at only when an owner is missing. Must never name a node twice, nor one that
 * cannot be reached. Source: Dynamo §4.6.
 */
import type { NodeId } from "../base/ids.ts";
import { STAND_INS_PER_OWNER } from "../base/limits.ts";
import { fallbacksFor } from "../placement/preference-list.ts";
import type { Knobs } from "./contract.ts";
import type { Seat } from "./needs.ts";
import { freeSlotOf, slotBit, slotCount } from "./quorum-core.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";

/** How many nodes may stand in during one request; 0 where nobody may, or everybody is an owner. */
export function standInLimit(room: CoordinatorRoom, { table, settings }: RequestScope, { sloppy }: Knobs): number {
  if (!sloppy || room.fallback === undefined || table.members.length <= settings.n) return 0;
  return STAND_INS_PER_OWNER * settings.n;
}

/**
 * The place of a write that this node mints as a stand-in, because no owner can: its owners' seats and its own, for the
 * first slot whose owner is out of reach. Undefined: it is an owner, no member, or keeps no hints.
 */
export function standInScope(room: CoordinatorRoom, scope: RequestScope): RequestScope | undefined {
  const { table, localIndex } = scope;
  if (room.fallback === undefined || localIndex >= 0) return undefined;
  if (!table.members.some((member) => member.id === room.self)) return undefined;
  const owners = scope.seats.filter((seat) => seat.node !== room.self);
  const covered = owners.reduce((slots, seat) => slots | reachableBit(room, scope, seat), 0);
  const slot = Math.max(0, freeSlotOf(covered, scope.settings.n));
  const own: Seat = { node: room.self, slot, role: "fallback" };
  return { ...scope, seats: [...owners, own], localIndex: owners.length };
}

/** How many slots could be stored, with those that can be reached standing in for the owners that cannot. */
export function coverableCount(room: CoordinatorRoom, scope: RequestScope, reachableSlots: number): number {
  const { n } = scope.settings;
  let count = slotCount(reachableSlots);
  for (const node of fallbacksFor(scope.table, scope.location.partition, n)) {
    if (count >= n) break;
    if (node !== room.self && room.health.isReachable(node)) count += 1;
  }
  return Math.min(count, n);
}

function reachableBit(room: CoordinatorRoom, scope: RequestScope, seat: Seat): number {
  return room.health.isReachable(seat.node) ? slotBit(seat.slot, scope.settings.n) : 0;
}

/** The nodes that may stand in during one request, one after the other. */
export class StandIns {
  readonly #room: CoordinatorRoom;
  readonly #scope: RequestScope;
  readonly #walk: readonly NodeId[];
  #at = 0;
  /** first those that are well, then those in doubt */
  #wanted: "well" | "doubtful" = "well";

  constructor(room: CoordinatorRoom, scope: RequestScope) {
    this.#room = room;
    this.#scope = scope;
    this.#walk = fallbacksFor(scope.table, scope.location.partition, scope.settings.n);
  }

  /** The next one that is not among those asked already; undefined: nobody is left. */
  next(asked: readonly { readonly seat: Seat }[]): NodeId | undefined {
    const nowMs = this.#room.clock.monotonicMs();
    for (;;) {
      const node = this.#walk[this.#at];
      this.#at += 1;
      if (node === undefined) {
        if (this.#wanted === "doubtful") return undefined;
        this.#wanted = "doubtful";
        this.#at = 0;
      } else if (this.#mayStandIn(node, nowMs) && !asked.some((one) => one.seat.node === node)) return node;
    }
  }

  #mayStandIn(node: NodeId, nowMs: number): boolean {
    const { self, health } = this.#room;
    // This node needs no link to itself. An owner by its own record is never its own stand-in, whatever the table says.
    if (node === self) return this.#wanted === "well" && this.#scope.localIndex < 0;
    return health.standingOf(node, nowMs) === this.#wanted;
  }
}
