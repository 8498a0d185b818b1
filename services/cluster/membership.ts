/**
 * Membership: who belongs to the ring, as this node knows it, and what this node itself says of its place. Keeps its own
 * record and slot ledger (`MemberStore`), everyone's records (`RecordSet`), spreads them (`RecordExchange`), and gives the
 * believed holders that requests are routed by. Must never let liveness change a record: dead is not removed.
 */
import assert from "node:assert/strict";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { Peers } from "../peers/messages.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { MemberKey, MemberRecord, Removal } from "../placement/member-record.ts";
import { allOf, decodeNews, encodeNews, plainNews, type RecordNews } from "../placement/record-codec.ts";
import { RecordSet } from "../placement/record-set.ts";
import type { ClusterConfig, ClusterMember } from "./cluster-config.ts";
import { firstRecordOf, openMember } from "./first-records.ts";
import { isIntroduced } from "./introduction-core.ts";
import { MEMBER_DOCUMENT } from "./member-document.ts";
import { MemberStore, type RecordChange } from "./member-store.ts";
import { MembersFile, OTHER_CLUSTER } from "./members-file.ts";
import { NewsIntake } from "./news-intake.ts";
import { overruledLabels } from "./own-labels.ts";
import type { Documents, Proposal } from "./own-record.ts";
import { recordBookOf } from "./record-book.ts";
import { RecordExchange } from "./record-exchange.ts";
import type { RefusedRecord } from "./refused-records.ts";
import { isLedgerAtRest } from "./slot-ledger.ts";
import { TableKeeper } from "./table-keeper.ts";

/** What membership works with. */
export interface MembershipParts {
  /** as configured; the address is what others dial */
  readonly self: ClusterMember;
  readonly documents: Documents;
  readonly peers: Pick<Peers, "call">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The table is new: called with every rebuilt one, first within `begin`. */
  readonly onTable: (table: HolderTable) => void;
  /** An operator removed this node: it serves nothing any more. Called once. */
  readonly onRemoved: (removal: Removal) => void;
  /** What is durable is unknown: this node must end. */
  readonly onFailure: (error: Error) => void;
  /** Nothing but its slots keeps this node: asked before it says that it has left. Whoever says no calls `reviewStatus` later. */
  readonly mayLeave?: () => boolean;
}

/** What stands once this node is a member. */
interface Begun {
  readonly config: ClusterConfig;
  readonly store: MemberStore;
  readonly set: RecordSet;
  readonly file: MembersFile;
  readonly tables: TableKeeper;
  readonly intake: NewsIntake;
}

/** One node's membership. `begin` it when the bootstrap says so; its exchange wants the links' and gossip's events. */
export class Membership {
  readonly exchange: RecordExchange;
  readonly #parts: MembershipParts;
  /** by key: whoever has another life must be met again */
  readonly #met = new Set<MemberKey>();
  #begun: Begun | undefined;
  #isConfirmed = false;
  #isRemoved = false;
  #isStopped = false;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.exchange = new RecordExchange({
      book: recordBookOf({
        now: () => this.#begun,
        merge: (news) => this.merge(news),
        settled: () => this.#begun?.intake.settled() ?? Promise.resolve(),
      }),
      peers: parts.peers,
      clock: parts.clock,
      random: parts.random,
      log: parts.log,
      onExchanged: (node) => this.#onExchanged(node),
    });
  }

  /** Takes up what is durable, or what follows from the agreement for a member of the first hour; then builds the table. */
  begin(proposal: Proposal, firstSlots: Int8Array): void {
    const { config } = proposal;
    const { documents, self, clock, log } = this.#parts;
    // A write that was under way when the node stopped meets a closed store: nobody waits for it any more.
    const onFailure = (error: Error): void => {
      if (!this.#isStopped) this.#parts.onFailure(error);
    };
    const start = openMember(documents, { config, self, firstSlots });
    const onDurable = (record: MemberRecord): void => this.#onOwn(record);
    const onLedgerDurable = (): void => this.reviewStatus();
    const store = new MemberStore({ documents, onDurable, onLedgerDurable, onFailure }, start);
    const set = new RecordSet(config.partitionCount, config.replicaCount);
    for (const member of config.members) set.mergeRecord(firstRecordOf(config, member));
    const file = new MembersFile({ ...this.#parts, clusterId: config.clusterId, onFailure }, set);
    const news = file.read();
    for (const record of news?.records ?? []) if (record.key !== store.record.key) set.mergeRecord(record);
    for (const removal of news?.removals ?? []) set.mergeRemoval(removal);
    set.mergeRecord(store.record);
    const onTable = (table: HolderTable): void => {
      this.#parts.onTable(table);
      this.#reviewConfirmation();
      this.reviewStatus();
    };
    const tables = new TableKeeper({ set, replicaCount: config.replicaCount, clock, onTable });
    const onRemoval = (): void => this.#reviewRemoval();
    const removeEarlier = (key: MemberKey): Promise<void> => this.remove(key, store.record.key);
    const intake = new NewsIntake({ set, store, file, tables, clock, log, onRemoval, onFailure, removeEarlier });
    this.#begun = { config, store, set, file, tables, intake };
    this.exchange.start();
    this.#reviewRemoval();
    this.#parts.onTable(tables.table);
    if (start.isStale)
      log.warn({ event: "membership.document-ignored", document: MEMBER_DOCUMENT, why: OTHER_CLUSTER });
    for (const facts of overruledLabels(store.record, self)) log.warn(facts);
    this.#reviewConfirmation();
  }

  /** Does nothing more; a write under way ends by itself. */
  stop(): void {
    this.#isStopped = true;
    this.exchange.stop();
    this.#begun?.tables.stop();
    this.#begun?.file.stop();
  }

  /** Undefined before `begin`. */
  get table(): HolderTable | undefined {
    return this.#begun?.tables.table;
  }

  get set(): RecordSet | undefined {
    return this.#begun?.set;
  }

  /** This node's record and ledger; asserts that it is a member. */
  get store(): MemberStore {
    assert.ok(this.#begun !== undefined, "only a member has a record");
    return this.#begun.store;
  }

  get isMember(): boolean {
    return this.#begun !== undefined;
  }

  get isRemoved(): boolean {
    return this.#isRemoved;
  }

  /** Records of others that are offered again and again, and not taken. */
  refused(): readonly RefusedRecord[] {
    return this.#begun?.intake.refused.shown(this.#parts.clock.monotonicMs()) ?? [];
  }

  /** unsigned 64-bit; 0 before this node is a member */
  get recordsHash(): bigint {
    return this.#begun?.set.hash ?? 0n;
  }

  /** More than half of those who are members for a while know this one, durably. See `introduction-core.ts`. */
  isIntroduced(): boolean {
    if (this.#begun === undefined) return false;
    const { set, store } = this.#begun;
    return isIntroduced({
      ownKey: store.record.key,
      members: set.members(),
      hasMet: (key) => this.#met.has(key),
    });
  }

  /**
   * Another member was asked what it knows of this node since this process began, or there is none. Until then its disk may be an old
   * copy: it says nothing new of itself, and no slot comes or goes.
   */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** Everything that is known, for a node that joins. */
  everything(): unknown {
    return this.#begun === undefined ? undefined : plainNews(allOf(this.#begun.set));
  }

  /** Changes this node's own record; resolves when that is durable. */
  change(change: RecordChange): Promise<void> {
    return this.store.change(change);
  }

  /** After it has left: begins another life under another key, in the place of `record.replaces`, durably. */
  async rejoin(record: MemberRecord): Promise<void> {
    const { key, replaces } = record;
    if (replaces !== undefined)
      await this.merge({ records: [], removals: [{ key: replaces, by: key, replacedBy: key }] });
    // A restart must find the former life over, or it would take it for one that still counts.
    await this.#must().file.writeNow();
    await this.store.restart(record);
    // Nobody knows this life yet.
    this.#met.clear();
    this.exchange.beginAnew();
  }

  /** Removes a member for ever; resolves when that is durable here. Everyone is told. */
  async remove(key: MemberKey, replacedBy: MemberKey | undefined): Promise<void> {
    await this.merge({ records: [], removals: [{ key, by: this.store.record.key, replacedBy }] });
    this.exchange.changed();
  }

  /** Takes news of others; resolves when removals and new members are durable. Never takes another's word on this node. */
  async merge(news: RecordNews): Promise<void> {
    await this.#begun?.intake.merge(news);
  }

  /** News in bytes, as `handover` sends them; malformed ones change nothing. */
  async learn(bytes: Uint8Array): Promise<void> {
    const news = this.#begun && decodeNews(bytes, this.#begun.config.partitionCount);
    if (news !== undefined) await this.merge(news);
  }

  /** This node's record and all removals. */
  news(): Uint8Array {
    const { set, store } = this.#must();
    return encodeNews({ records: [store.record], removals: set.removals() });
  }

  /** Joining ends when nothing more is to come, leaving when nothing is left to give. Called when either may be. */
  reviewStatus(): void {
    if (this.#begun === undefined || this.#isStopped || this.#isRemoved || !this.#isConfirmed) return;
    const { set, store, tables } = this.#begun;
    // A decision that is on its way to the disk is not made again.
    const { status, key } = store.newest;
    const isPending = tables.table.moves.some((move) => move.pending.includes(key));
    if (status === "joining" && !isPending && this.isIntroduced()) {
      void this.change({ status: "normal" });
      this.#parts.log.info({ event: "membership.joined", node: store.record.nodeId });
    }
    const isAtRest = status === "leaving" && isLedgerAtRest(store.ledger, (other) => set.isRemoved(other));
    if (isAtRest && this.#parts.mayLeave?.() !== false) {
      void this.change({ status: "left" });
      this.#parts.log.info({ event: "membership.left", node: store.record.nodeId });
    }
  }

  #must(): Begun {
    assert.ok(this.#begun !== undefined, "only a member has records");
    return this.#begun;
  }

  #onExchanged(node: NodeId): void {
    const met = this.#begun?.set.memberNamed(node)?.key;
    if (met === undefined) return;
    this.#met.add(met);
    this.#reviewConfirmation();
    this.reviewStatus();
  }

  #reviewConfirmation(): void {
    const { set, store } = this.#must();
    const isAlone = set.members().every(({ key }) => key === store.record.key);
    if (this.#isConfirmed || this.#isStopped || !(isAlone || this.#met.size > 0)) return;
    this.#isConfirmed = true;
    // Where it is reached is what the process says now; where it stands in the ring is what its record says.
    void this.change({ address: this.#parts.self.address });
  }

  #onOwn(record: MemberRecord): void {
    const { set, tables } = this.#must();
    set.mergeRecord(record);
    tables.changed(false);
    this.exchange.changed();
  }

  #reviewRemoval(): void {
    const { set, store } = this.#must();
    const removal = set.removalOf(store.record.key);
    if (removal === undefined || this.#isRemoved) return;
    this.#isRemoved = true;
    this.#parts.log.error({ event: "membership.removed", by: removal.by, replacedBy: removal.replacedBy });
    this.#parts.onRemoved(removal);
  }
}
