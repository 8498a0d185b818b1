/**
 * What the hand-over of slots may know of records and liveness: `HandoverView` over membership. Computed anew for each
 * table, asked for often. Must never let liveness decide who should hold what: it only says when sealing would cost.
 */
import type { NodeId } from "../base/ids.ts";
import { donorsFor, lostSlots, type VacantSlot, vacantSlots } from "../placement/hand-over-pairs.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { MemberKey } from "../placement/member-record.ts";
import type { RecordSet } from "../placement/record-set.ts";
import type { EntitledMint, HandoverView, WantedPartition } from "./handover-ports.ts";
import { membersHashOf } from "./introduction-core.ts";
import type { Membership } from "./membership.ts";

/** What the view looks at. */
export interface HandoverSight {
  readonly membership: Membership;
  readonly self: NodeId;
  /** as gossip and the links say */
  isAlive(node: NodeId): boolean;
}

/** The view of one node. */
export class MembershipView implements HandoverView {
  readonly #sight: HandoverSight;
  #table: HolderTable | undefined;
  #wanted: readonly WantedPartition[] = [];
  #vacant: readonly VacantSlot[] = [];
  #lost: readonly VacantSlot[] = [];
  #members: { readonly of: RecordSet; readonly changeCount: number; readonly hash: string } | undefined;

  constructor(sight: HandoverSight) {
    this.#sight = sight;
  }

  get ownKey(): MemberKey {
    return this.#sight.membership.store.record.key;
  }

  isTarget(partition: number, key: MemberKey): boolean {
    const { set, table } = this.#now();
    const record = set.recordOf(key);
    if (record === undefined || set.isRemoved(key) || table.target.table.slotOf(partition, record.nodeId) < 0)
      return false;
    return set.memberNamed(record.nodeId)?.key === key;
  }

  isRemoved(key: MemberKey): boolean {
    return this.#now().set.isRemoved(key);
  }

  hasLeft(key: MemberKey): boolean {
    return this.#now().set.recordOf(key)?.status === "left";
  }

  isStaying(): boolean {
    const { status } = this.#sight.membership.store.newest;
    return status === "joining" || status === "normal";
  }

  nodeOf(key: MemberKey): NodeId | undefined {
    const { set } = this.#now();
    return set.isRemoved(key) ? undefined : set.recordOf(key)?.nodeId;
  }

  holdersOf(partition: number): readonly { readonly key: MemberKey; readonly slot: number }[] {
    return this.#now().table.claimsOf(partition);
  }

  isAlive(key: MemberKey): boolean {
    const node = this.nodeOf(key);
    return node !== undefined && (node === this.#sight.self || this.#sight.isAlive(node));
  }

  others(): readonly MemberKey[] {
    const { set } = this.#now();
    const { ownKey } = this;
    return set
      .records()
      .filter((record) => record.key !== ownKey && record.status !== "left" && !set.isRemoved(record.key))
      .map((record) => record.key);
  }

  membersHash(): string {
    const { set } = this.#now();
    // Asked with every question of every minting, and each time it names all lives there are.
    if (this.#members?.of === set && this.#members.changeCount === set.changeCount) return this.#members.hash;
    const removed = set.removals().map((removal) => removal.key);
    const hash = membersHashOf(set.records(), removed);
    this.#members = { of: set, changeCount: set.changeCount, hash };
    return hash;
  }

  isIntroduced(): boolean {
    return this.#sight.membership.isIntroduced();
  }

  isConfirmed(): boolean {
    return this.#sight.membership.isConfirmed;
  }

  wanted(): readonly WantedPartition[] {
    this.#review();
    return this.#wanted;
  }

  mints(): readonly EntitledMint[] {
    this.#review();
    const { ownKey } = this;
    return [...this.#vacant, ...this.#lost].filter((slot) => slot.entitled === ownKey);
  }

  /** Slots whose holder was removed and that nobody has made anew yet. */
  vacant(): readonly VacantSlot[] {
    this.#review();
    return this.#vacant;
  }

  news(): Uint8Array {
    return this.#sight.membership.news();
  }

  learn(news: Uint8Array): Promise<void> {
    return this.#sight.membership.learn(news);
  }

  #now(): { readonly set: RecordSet; readonly table: HolderTable } {
    const { set, table } = this.#sight.membership;
    if (set === undefined || table === undefined) throw new Error("only a member hands slots over");
    return { set, table };
  }

  /** Once for each table. */
  #review(): void {
    const { set, table } = this.#now();
    if (table === this.#table) return;
    this.#table = table;
    this.#vacant = vacantSlots(set, table);
    this.#lost = lostSlots(set, table);
    const { ownKey } = this;
    const wanted: WantedPartition[] = [];
    for (const move of table.moves) {
      if (!move.pending.includes(ownKey)) continue;
      const donors = donorsFor(table, move, ownKey);
      if (donors.length === 0) continue;
      const liveHolderCount = table.claimsOf(move.partition).filter((claim) => this.isAlive(claim.key)).length;
      const isUrgent = donors.some((key) => set.recordOf(key)?.status === "leaving");
      wanted.push({ partition: move.partition, donors, liveHolderCount, isUrgent });
    }
    this.#wanted = wanted;
  }
}
