/**
 * The search of one operation for the holders of slots, as far as it waits: a while on the wheel, then the table in force
 * is looked at again. Made only when a node says that it holds no slot. Must never outlive the operation's deadline.
 */
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { HOLDER_LOOK_MAX_MS, HOLDER_LOOK_MIN_MS } from "../base/limits.ts";
import type { CallResult } from "../peers/messages.ts";
import type { PlacementTable } from "../placement/types.ts";
import type { ReplicaRefusal } from "../replica/contract.ts";
import { HolderSearchCore, type SearchedSeat } from "./holder-search-core.ts";
import type { Seat } from "./needs.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";
import { WheelEntry } from "./timer-wheel.ts";

/** The operation that searches. */
export interface HolderSeeker {
  readonly seats: readonly SearchedSeat[];
  /** A round begins: who is astray is out of it where there is nothing left to look for. */
  dropReplaced(): void;
  /** Asks these nodes, known or new, in this order. */
  askHolders(seats: readonly Seat[]): void;
  /** There is no more looking: who is astray has no part in it any more. */
  onSearchOver(): void;
}

/** What a replica says that did nothing because it holds no slot. */
export interface StrayWord {
  readonly reason: string;
  readonly detail: string;
  /** who holds the slot instead, where that is known */
  readonly to?: NodeId | undefined;
}

/** The word of a peer that holds no slot; undefined: the result is another one. */
export function strayWordOf(result: CallResult): StrayWord | undefined {
  return result.kind === "refused" && isStrayReason(result.reason) ? result : undefined;
}

/** The same for a refusal of this node's own replica. */
export function strayRefusalOf(refusal: ReplicaRefusal): StrayWord | undefined {
  if (!isStrayReason(refusal.reason)) return undefined;
  const to = refusal.facts?.["to"];
  return { ...refusal, to: typeof to === "string" ? parseNodeId(to) : undefined };
}

function isStrayReason(reason: string): boolean {
  return reason === "moved" || reason === "not_owner";
}

/** Milliseconds to wait before the table is looked at again; `fraction` in [0, 1) spreads those who wait. */
export function lookAgainAfterMs(fraction: number): number {
  return HOLDER_LOOK_MIN_MS + fraction * (HOLDER_LOOK_MAX_MS - HOLDER_LOOK_MIN_MS);
}

/** A search under way. */
export class HolderSearch extends WheelEntry {
  readonly #room: CoordinatorRoom;
  readonly #scope: RequestScope;
  readonly #seeker: HolderSeeker;
  readonly #core: HolderSearchCore;
  readonly #deadlineMs: number;
  #table: PlacementTable;

  constructor(
    room: CoordinatorRoom,
    search: { readonly scope: RequestScope; readonly deadlineMs: number },
    seeker: HolderSeeker,
  ) {
    super();
    this.#room = room;
    this.#scope = search.scope;
    this.#seeker = seeker;
    this.#core = new HolderSearchCore(seeker.seats, search.scope.settings.n);
    this.#deadlineMs = search.deadlineMs;
    this.#table = search.scope.table;
  }

  /** Whom to ask in place of the seat at `index`; undefined: `lookLater`. */
  follow(index: number, to: NodeId | undefined): Seat | undefined {
    const seat = this.#core.follow(index, to);
    if (seat !== undefined) this.#room.counters.movedCount += 1;
    return seat;
  }

  /** True when the search brought the seat in. */
  isFound(index: number): boolean {
    return this.#core.isFound(index);
  }

  /** Looks at the table again after a while, unless that is arranged already. */
  lookLater(): void {
    if (this.dueTick >= 0) return;
    const dueMs = this.#room.clock.monotonicMs() + lookAgainAfterMs(this.#room.stagger.next());
    this.#room.wheel.arm(this, Math.min(dueMs, this.#deadlineMs));
  }

  /** The operation is over. */
  end(): void {
    this.#room.wheel.disarm(this);
  }

  onDue(nowMs: number): void {
    if (nowMs >= this.#deadlineMs || !this.#core.startRound()) {
      this.#seeker.onSearchOver();
      return;
    }
    this.#room.counters.holderLookCount += 1;
    this.#seeker.dropReplaced();
    const table = this.#room.placement.table() ?? this.#table;
    const { partition } = this.#scope.location;
    const believed =
      table === this.#table ? undefined : this.#room.seats.ownersOf(table, partition, this.#scope.settings.n);
    this.#table = table;
    this.#seeker.askHolders(this.#core.seatsToAsk(believed));
  }
}
