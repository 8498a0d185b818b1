/**
 * PUT and DELETE as a state machine: replies in, an honest outcome out. Pure.
 *
 * - `applied`: W distinct slots stored it.
 * - `not_applied`: no trace, ever. Only when every replica that was told has REFUSED, or was never told.
 * - `unknown`: everything else. A lost or failed call may have stored; it never counts, and never proves absence.
 * When the quorum is out of reach while no trace exists yet, the core waits for the rest: their refusals turn an
 * `unknown` into a `not_applied`. With a trace there is nothing to learn, and it ends at once.
 *
 * Slots move under writes. Who holds none has certainly done nothing and is `astray` while the holder of its slot is
 * looked for; another party is then told in its place. What counts are the slots that replies name, whatever the table said.
 *
 * In a sloppy quorum other nodes stand in for the slots of owners that are out of reach or slow (Dynamo §4.6). While one
 * may still be told its slot is open, and a slot stored by both counts once. Owners that are asked for by number are owners.
 */
import type { Outcome } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { canAskAgain, isAllCovered, replacedSeats, soughtCount } from "./holder-search-core.ts";
import type { Seat } from "./needs.ts";
import { quorumState, type SlotsSoFar, slotBit, slotCount } from "./quorum-core.ts";
import { isMissing, newParty, vacantPartyOf, type WriteParty, type WriteWord } from "./write-party-core.ts";

/** What a write must reach. */
export interface WriteNeed {
  /** distinct slots */
  readonly total: number;
  /** of these, by owners */
  readonly owners: number;
  /** slots of the bucket; others never count */
  readonly n: number;
  /** how many nodes may be told to stand in for owners; absent: none */
  readonly standIns?: number;
}

/** How a write stands: `pending`, or the outcome that its writer is told. */
export type WriteVerdict = "pending" | Outcome;

/** Stored copies by kind, in distinct slots. */
export interface WriteCounts {
  readonly received: number;
  readonly owners: number;
  readonly fallbacks: number;
  readonly durable: number;
}

/** One write. */
export class WriteCore {
  readonly #parties: WriteParty[];
  readonly #need: WriteNeed;
  #verdict: WriteVerdict = "pending";
  /** nobody idle will be told any more */
  #isSendingOver = false;
  /** some reply was not as the table had it: from then on slots may be looked for */
  #isUnsettled = false;
  #isSearchOver = false;
  #standInsLeft: number;
  /** some slot may be without anybody who stands for it */
  #mayBeVacant = false;

  constructor(seats: readonly Seat[], need: WriteNeed) {
    this.#parties = seats.map(newParty);
    this.#need = need;
    this.#standInsLeft = need.standIns ?? 0;
  }

  /** The table's seats by their index, then those that were found. */
  get parties(): readonly WriteParty[] {
    return this.#parties;
  }

  get verdict(): WriteVerdict {
    return this.#verdict;
  }

  /** Whoever is idle will not be told, for the reason given: it was passed over and the others suffice, or it is too late. */
  dropUntold(reason: string): void {
    if (this.#isSendingOver) return;
    for (const party of this.#parties) {
      if (party.state !== "idle") continue;
      party.state = "unsent";
      party.reason = reason;
    }
  }

  /** The replica is about to be told: from now on only its own word proves that it did nothing. */
  onAsked(index: number): void {
    const party = this.#parties[index];
    if (party?.state !== "idle") return;
    party.state = "asked";
    party.reason = "";
  }

  /** The replica is known to be out of reach before anything was sent; it may still be told if the rest suffices. */
  onUnreachable(index: number): void {
    const party = this.#parties[index];
    if (party?.state === "idle") party.reason = "unreachable";
  }

  /** The replica is out of reach, and not told where another one can stand in for its slot. */
  onAway(index: number): void {
    const party = this.#parties[index];
    if (party?.state !== "idle") return;
    party.state = "unsent";
    party.reason = "unreachable";
    this.#mayBeVacant = true;
  }

  /** The replica, told or not, takes too long or is known to: another one may stand in beside it. */
  onSlow(index: number): void {
    const party = this.#parties[index];
    if (party === undefined || isMissing(party) || party.state === "stored") return;
    party.isSlow = true;
    this.#mayBeVacant = true;
  }

  /** A party whose slot is to be stood in for, by its index; −1: none, or nobody may stand in any more. */
  nextVacant(): number {
    if (!this.#mayBeVacant || this.#verdict !== "pending" || this.#standInsLeft === 0) return -1;
    const index = vacantPartyOf(this.#parties, this.#need.n);
    if (index < 0) this.#mayBeVacant = false;
    return index;
  }

  /** The node is about to be told to stand in for the slot of the party at `vacant`: the node's own index. */
  standIn(vacant: number, node: NodeId): number {
    const slot = this.#parties[vacant]?.seat.slot ?? -1;
    this.#standInsLeft -= 1;
    const index = this.#parties.push({ ...newParty({ node, slot, role: "fallback" }), state: "asked" }) - 1;
    this.#decide();
    return index;
  }

  /** Nobody is left who could stand in. */
  onStandInsOver(): void {
    this.#standInsLeft = 0;
    this.#decide();
  }

  /** The replica holds no slot and has certainly done nothing. `instead`: told in its place, at the index returned. */
  onAstray(
    index: number,
    word: { readonly reason: string; readonly detail: string },
    instead: Seat | undefined,
  ): number {
    const party = this.#parties[index];
    if (party?.state !== "asked") return -1;
    this.#isUnsettled = true;
    party.state = instead === undefined ? "astray" : "gone";
    party.reason = word.reason;
    party.detail = word.detail;
    const next = instead === undefined ? -1 : this.tell(instead);
    this.#decide();
    return next;
  }

  /** One more is about to be told, or again one that held no slot: its index; −1 when it has had its say. */
  tell(seat: Seat): number {
    const index = this.#parties.findIndex((one) => one.seat.node === seat.node);
    const known = this.#parties[index];
    if (known === undefined) {
      this.#parties.push({ ...newParty(seat), state: "asked" });
      return this.#parties.length - 1;
    }
    if (!canAskAgain(known)) return -1;
    known.state = "asked";
    known.seat = seat;
    known.slot = seat.slot;
    known.isSlow = false;
    known.reason = "";
    return index;
  }

  /**
   * Who is astray is out of it where others stand for its slot; while W slots are not found, only when nothing is left to
   * look for: it may have come to hold another slot.
   */
  dropReplaced(): void {
    if (this.#verdict === "pending" && !isAllCovered(this.#parties, this.#need.n)) return;
    for (const party of replacedSeats(this.#parties, this.#need.n)) party.state = "gone";
  }

  /** True while slots of the bucket have no holder that is known, and looking at a newer table may help. */
  get isSearching(): boolean {
    return this.#soughtCount() > 0;
  }

  /** The holders that are not found by now will not be. */
  onSearchOver(): void {
    this.#isSearchOver = true;
    this.#mayBeVacant = true;
    for (const party of this.#parties) if (party.state === "astray") party.state = "refused";
    this.#decide();
  }

  /** Whoever is idle stays so: the write ended before it had a version to send. */
  onSendingOver(): void {
    this.#isSendingOver = true;
    this.#standInsLeft = 0;
    this.#decide();
  }

  /** A replica's word; only its first one counts. Returns false for a repeated or uncalled-for one. */
  onWord(index: number, word: WriteWord): boolean {
    const party = this.#parties[index];
    if (party?.state !== "asked") return false;
    party.state = word.kind;
    if (word.kind === "stored") {
      if (word.slot !== party.seat.slot) this.#onOtherSlot();
      // It holds a slot by its own record: it has taken the write as the owner that it has come to be.
      if (party.seat.role === "fallback" && word.isStandIn !== true) party.seat = { ...party.seat, role: "owner" };
      party.slot = word.slot;
      party.isSlow = false;
      party.isDurable = word.isDurable;
      party.digest = word.digest;
    } else {
      party.reason = word.reason;
      party.detail = word.detail;
      this.#mayBeVacant = true;
    }
    this.#decide();
    return true;
  }

  /** The time is up: whoever was told and is silent may have stored it. */
  onDeadline(): void {
    if (this.#verdict === "pending") this.#verdict = this.#hasTrace() || this.#isWaiting() ? "unknown" : "not_applied";
  }

  /** Stored copies so far; grows after the verdict as late words come in. */
  counts(): WriteCounts {
    let all = 0;
    let owners = 0;
    let durable = 0;
    for (const party of this.#parties) {
      if (party.state !== "stored") continue;
      const bit = slotBit(party.slot, this.#need.n);
      all |= bit;
      if (party.seat.role === "owner") owners |= bit;
      if (party.isDurable) durable |= bit;
    }
    const received = slotCount(all);
    const ownerCount = slotCount(owners);
    return { received, owners: ownerCount, fallbacks: received - ownerCount, durable: slotCount(durable) };
  }

  /** How many distinct slots would have stored it had the replicas that gave this reason not done so. */
  receivedBut(reason: string): number {
    let slots = 0;
    for (const party of this.#parties) {
      if (party.state === "stored" || party.reason === reason) slots |= slotBit(party.slot, this.#need.n);
    }
    return slotCount(slots);
  }

  #onOtherSlot(): void {
    this.#isUnsettled = true;
    this.#mayBeVacant = true;
  }

  #decide(): void {
    if (this.#verdict !== "pending") return;
    const all = this.#slots("all");
    const total = quorumState(all, this.#need.total);
    const owners = this.#need.owners === 0 ? "reached" : quorumState(this.#slots("owners"), this.#need.owners);
    if (total === "reached" && owners === "reached") {
      this.#verdict = "applied";
    } else if (total === "impossible" || owners === "impossible") {
      if (this.#hasTrace()) this.#verdict = "unknown";
      else if (!this.#isWaiting()) this.#verdict = "not_applied";
    }
  }

  #slots(whose: "all" | "owners"): SlotsSoFar {
    let have = 0;
    let open = 0;
    for (const party of this.#parties) {
      if (whose === "owners" && party.seat.role !== "owner") continue;
      const bit = slotBit(party.slot, this.#need.n);
      if (party.state === "stored") have |= bit;
      else if (party.state === "asked" || (party.state === "idle" && !this.#isSendingOver)) open |= bit;
      else if (whose === "all" && this.#standInsLeft > 0 && isMissing(party))
        open |= slotBit(party.seat.slot, this.#need.n);
    }
    return { have, open, soughtCount: this.#soughtCount() };
  }

  #soughtCount(): number {
    return this.#isUnsettled && !this.#isSearchOver ? soughtCount(this.#parties, this.#need.n) : 0;
  }

  #hasTrace(): boolean {
    return this.#parties.some(
      (party) => party.state === "stored" || party.state === "lost" || party.state === "failed",
    );
  }

  #isWaiting(): boolean {
    return this.#parties.some((party) => party.state === "asked");
  }
}
