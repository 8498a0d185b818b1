/**
 * Where to look for the holder of a slot that was not where the table had it: the node that `moved` names, or, after a
 * while, whom the table names by then. Pure: what was asked and what is believed in, seats to ask out. Must never name a
 * node twice in one round: two release logs may point at each other.
 */
import type { NodeId } from "../base/ids.ts";
import { MAX_HOLDER_LOOKS, MAX_MOVED_HOPS } from "../base/limits.ts";
import type { Seat } from "./needs.ts";
import { slotBit, slotCount } from "./quorum-core.ts";

/** One node that an operation has asked or may ask, as its core keeps it. */
export interface SearchedSeat {
  readonly seat: Seat;
  readonly state: string;
  /** the slot it named, its seat's until it answers */
  readonly slot: number;
  readonly reason: string;
}

/** The slots that somebody has answered for, is asked for or will be, as a mask. */
export function coveredSlots(asked: readonly SearchedSeat[], n: number): number {
  let slots = 0;
  for (const one of asked) if (isCovering(one)) slots |= slotBit(one.slot, n);
  return slots;
}

/** True while the node stands for a slot: it has answered, is asked, or will be. A stand-in ends no search for the owner. */
export function isCovering({ seat, state }: SearchedSeat): boolean {
  if (seat.role === "fallback") return false;
  return state === "idle" || state === "asked" || state === "answered" || state === "stored";
}

/** True when the node certainly did nothing and may do it now: it held no slot, or could not be reached. */
export function canAskAgain({ state, reason }: SearchedSeat): boolean {
  return state === "astray" || state === "gone" || reason === "unreachable";
}

/** True when somebody stands for every slot: nothing is left to look for. */
export function isAllCovered(asked: readonly SearchedSeat[], n: number): boolean {
  return slotCount(coveredSlots(asked, n)) === n;
}

/** Those that are astray although others stand for their slots by now. */
export function replacedSeats<One extends SearchedSeat>(asked: readonly One[], n: number): readonly One[] {
  const covered = coveredSlots(asked, n);
  return asked.filter((one) => one.state === "astray" && (covered & slotBit(one.seat.slot, n)) !== 0);
}

/** How many slots are looked for: of those astray, and those that the table gave to nodes which named others. */
export function soughtCount(asked: readonly SearchedSeat[], n: number): number {
  let count = 0;
  for (const one of asked) {
    if (one.state === "astray") count += 1;
    if (one.slot !== one.seat.slot && isMislaid(asked, one, n)) count += 1;
  }
  return count;
}

function isMislaid(asked: readonly SearchedSeat[], one: SearchedSeat, n: number): boolean {
  if (one.state !== "stored" && one.state !== "answered") return false;
  const bit = slotBit(one.seat.slot, n);
  return bit !== 0 && (coveredSlots(asked, n) & bit) === 0;
}

/** The search of one operation; begun when the first node says that it holds no slot. */
export class HolderSearchCore {
  /** those of the operation's core, by index; it adds to them */
  readonly #asked: readonly SearchedSeat[];
  readonly #n: number;
  /** by index: the round in which it was asked last, 0 when not given; and how many hops led there */
  readonly #rounds: number[] = [];
  readonly #hops: number[] = [];
  #round = 0;

  constructor(asked: readonly SearchedSeat[], n: number) {
    this.#asked = asked;
    this.#n = n;
  }

  /** The seat to ask in place of the one at `index`, whose node says that its slot went `to`; undefined: wait. */
  follow(index: number, to: NodeId | undefined): Seat | undefined {
    const from = this.#asked[index];
    if (from === undefined || to === undefined) return undefined;
    const hops = (this.#hops[index] ?? 0) + 1;
    const there = this.#asked.findIndex((one) => one.seat.node === to);
    const isFree = there < 0 || this.#isFree(there);
    if (hops > MAX_MOVED_HOPS || !isFree) return undefined;
    const next = there < 0 ? this.#asked.length : there;
    this.#hops[next] = hops;
    this.#rounds[next] = this.#round;
    return { node: to, slot: from.seat.slot, role: from.seat.role };
  }

  /** True when the seat at `index` is one that the search brought in. */
  isFound(index: number): boolean {
    return this.#rounds[index] !== undefined;
  }

  /** Begins to look again; false when it was done often enough. */
  startRound(): boolean {
    this.#round += 1;
    this.#hops.length = 0;
    return this.#round <= MAX_HOLDER_LOOKS;
  }

  /**
   * Whom to ask in this round: those at the ends of the chains again, for a slot in transit arrives there; and whom the
   * table names for slots that nobody stands for. `believed`: the table's seats, undefined when it has not changed.
   */
  seatsToAsk(believed: readonly Seat[] | undefined): readonly Seat[] {
    const wanted: Seat[] = [];
    for (const [index, one] of this.#asked.entries()) {
      if (one.state === "astray" && this.#isFree(index)) this.#want(wanted, index, one.seat);
    }
    const covered = coveredSlots(this.#asked, this.#n);
    let end = this.#asked.length;
    for (const seat of believed ?? []) {
      const bit = slotBit(seat.slot, this.#n);
      if (bit === 0 || (covered & bit) !== 0 || wanted.some((one) => one.node === seat.node)) continue;
      const there = this.#asked.findIndex((one) => one.seat.node === seat.node);
      if (there >= 0 && !this.#isFree(there)) continue;
      this.#want(wanted, there < 0 ? end : there, seat);
      if (there < 0) end += 1;
    }
    return wanted;
  }

  #want(wanted: Seat[], index: number, seat: Seat): void {
    this.#rounds[index] = this.#round;
    wanted.push(seat);
  }

  #isFree(index: number): boolean {
    const one = this.#asked[index];
    return one !== undefined && canAskAgain(one) && (this.#rounds[index] ?? 0) < this.#round;
  }
}
