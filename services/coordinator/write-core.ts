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
 */
import type { Outcome } from "../base/errors.ts";
import { canAskAgain, isAllCovered, replacedSeats, soughtCount } from "./holder-search-core.ts";
import type { Seat } from "./needs.ts";
import { quorumState, type SlotsSoFar, slotBit, slotCount } from "./quorum-core.ts";

/** One replica's part in a write; only the core changes it. */
export interface WriteParty {
  seat: Seat;
  /**
   * `idle` not told (yet); `asked` told, no word yet; `astray` holds no slot, and its slot's holder is looked for; the
   * others are ends, `gone` that of a party in whose place another one is told
   */
  state: "idle" | "asked" | "astray" | "gone" | "stored" | "refused" | "unsent" | "lost" | "failed";
  /** the slot it named; its seat's slot until it answers */
  slot: number;
  isDurable: boolean;
  /** digest of what it holds now, once stored */
  digest: bigint | undefined;
  /** refusal reason, `unreachable`, `timeout`, `link_closed`, `failed`; empty otherwise */
  reason: string;
  /** in words, for the error document */
  detail: string;
}

/** What a replica did with a write. */
export type WriteWord =
  | { readonly kind: "stored"; readonly slot: number; readonly digest: bigint; readonly isDurable: boolean }
  | { readonly kind: "refused" | "unsent" | "lost" | "failed"; readonly reason: string; readonly detail: string };

/** What a write must reach. */
export interface WriteNeed {
  /** distinct slots */
  readonly total: number;
  /** of these, by owners */
  readonly owners: number;
  /** slots of the bucket; others never count */
  readonly n: number;
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

  constructor(seats: readonly Seat[], need: WriteNeed) {
    this.#parties = seats.map(newParty);
    this.#need = need;
  }

  /** The table's seats by their index, then those that were found. */
  get parties(): readonly WriteParty[] {
    return this.#parties;
  }

  get verdict(): WriteVerdict {
    return this.#verdict;
  }

  /** Whoever was passed over, because it has not answered lately and the others suffice, will not be told. */
  dropPassedOver(): void {
    if (this.#isSendingOver) return;
    for (const party of this.#parties) {
      if (party.state !== "idle") continue;
      party.state = "unsent";
      party.reason = "unreachable";
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
    for (const party of this.#parties) if (party.state === "astray") party.state = "refused";
    this.#decide();
  }

  /** Whoever is idle stays so: the write ended before it had a version to send. */
  onSendingOver(): void {
    this.#isSendingOver = true;
    this.#decide();
  }

  /** A replica's word; only its first one counts. Returns false for a repeated or uncalled-for one. */
  onWord(index: number, word: WriteWord): boolean {
    const party = this.#parties[index];
    if (party?.state !== "asked") return false;
    party.state = word.kind;
    if (word.kind === "stored") {
      if (word.slot !== party.seat.slot) this.#isUnsettled = true;
      party.slot = word.slot;
      party.isDurable = word.isDurable;
      party.digest = word.digest;
    } else {
      party.reason = word.reason;
      party.detail = word.detail;
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

/** True when the replica may lack a write that stands elsewhere: whom a hint is for. */
export function isMissing(party: WriteParty): boolean {
  return party.state === "refused" || party.state === "unsent" || party.state === "lost" || party.state === "failed";
}

function newParty(seat: Seat): WriteParty {
  return { seat, state: "idle", slot: seat.slot, isDurable: false, digest: undefined, reason: "", detail: "" };
}
