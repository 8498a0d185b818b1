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
import { MEMBER_DOCUMENT } from "./member-document.ts";
import { MemberStore, type RecordChange } from "./member-store.ts";
import { MembersFile, OTHER_CLUSTER } from "./members-file.ts";
import { overruledLabels } from "./own-labels.ts";
import type { Documents, Proposal } from "./own-record.ts";
import { recordBookOf } from "./record-book.ts";
import { RecordExchange } from "./record-exchange.ts";
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
}

/** One node's membership. `begin` it when the bootstrap says so; its exchange wants the links' and gossip's events. */
export class Membership {
  readonly exchange: RecordExchange;
  readonly #parts: MembershipParts;
  readonly #introduced = new Set<NodeId>();
  #begun: Begun | undefined;
  #isRemoved = false;
  #isStopped = false;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.exchange = new RecordExchange({
      book: recordBookOf({ now: () => this.#begun, merge: (news) => this.merge(news) }),
      peers: parts.peers,
      clock: parts.clock,
      random: parts.random,
      log: parts.log,
      onExchanged: (node) => this.#introduced.add(node),
    });
  }

  /** Takes up what is durable, or what follows from the agreement for a member of the first hour; then builds the table. */
  begin(proposal: Proposal, firstSlots: Int8Array): void {
    const { config } = proposal;
    const { documents, self, log } = this.#parts;
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
      this.reviewStatus();
    };
    const tables = new TableKeeper({ set, replicaCount: config.replicaCount, clock: this.#parts.clock, onTable });
    this.#begun = { config, store, set, file, tables };
    this.exchange.start();
    this.#reviewRemoval();
    this.#parts.onTable(tables.table);
    if (start.isStale)
      log.warn({ event: "membership.document-ignored", document: MEMBER_DOCUMENT, why: OTHER_CLUSTER });
    for (const facts of overruledLabels(store.record, self)) log.warn(facts);
    // Where it is reached is what the process says now; where it stands in the ring is what its record says.
    void this.change({ address: self.address });
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

  /** unsigned 64-bit; 0 before this node is a member */
  get recordsHash(): bigint {
    return this.#begun?.set.hash ?? 0n;
  }

  /** Records were exchanged with a majority of the other members since this process began. */
  isIntroduced(): boolean {
    if (this.#begun === undefined) return false;
    const others = this.#begun.tables.table.all.filter((record) => record.key !== this.store.record.key);
    const met = others.filter((record) => this.#introduced.has(record.nodeId)).length;
    return met * 2 >= others.length;
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
    this.#introduced.clear();
    this.exchange.beginAnew();
  }

  /** Removes a member for ever; resolves when that is durable here. Everyone is told. */
  async remove(key: MemberKey, replacedBy: MemberKey | undefined): Promise<void> {
    await this.merge({ records: [], removals: [{ key, by: this.store.record.key, replacedBy }] });
    this.exchange.changed();
  }

  /** Takes news of others; resolves when removals and new members are durable. Never takes another's word on this node. */
  async merge(news: RecordNews): Promise<void> {
    if (this.#begun === undefined) return;
    const { set, store } = this.#begun;
    let isUrgent = false;
    let isChanged = false;
    for (const record of news.records) {
      if (record.key === store.record.key) {
        this.#reviewEcho(record);
        continue;
      }
      const known = set.recordOf(record.key);
      const merged = set.mergeRecord(record);
      if (merged.kind === "refused")
        this.#parts.log.warn({
          event: "membership.record-refused",
          key: record.key,
          node: record.nodeId,
          reason: merged.reason,
        });
      if (merged.kind !== "taken") continue;
      isChanged = true;
      isUrgent ||= known?.status !== record.status;
    }
    for (const removal of news.removals) {
      if (set.mergeRemoval(removal).kind !== "taken") continue;
      isChanged = true;
      isUrgent = true;
    }
    const { file, tables } = this.#begun;
    // Whoever asks relies on it, also when another has only just told the same.
    if (!isChanged) return file.settled();
    tables.changed(isUrgent);
    this.#reviewRemoval();
    if (isUrgent) await file.writeNow();
    else file.writeSoon();
    await this.#reviewNamesakes();
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
    if (this.#begun === undefined || this.#isStopped || this.#isRemoved) return;
    const { set, store, tables } = this.#begun;
    // A decision that is on its way to the disk is not made again.
    const { status, key } = store.newest;
    const isPending = tables.table.moves.some((move) => move.pending.includes(key));
    if (status === "joining" && !isPending) {
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

  /** A newer record of this node than its own can only come from another life of its disk: its word is not safe any more. */
  #reviewEcho(record: MemberRecord): void {
    const own = this.store.record;
    if (record.version <= own.version) return;
    const detail = `others know version ${record.version} of this node's record, its disk version ${own.version}: the data directory is an old copy`;
    this.#parts.onFailure(new Error(detail));
  }

  /**
   * Another life under this node's name still counts: this one joined through a member that had not heard of it. Its disk
   * is gone, or gossip would have ended one of the two processes: it is removed, and this life takes its slots.
   */
  async #reviewNamesakes(): Promise<void> {
    const { set, store } = this.#must();
    const { key, nodeId } = store.record;
    const others = set.conflicts().flatMap((conflict) => {
      if (conflict.nodeId !== nodeId || this.#isRemoved) return [];
      return [conflict.kept, conflict.ignored].filter((one) => one !== key);
    });
    for (const other of new Set(others)) {
      this.#parts.log.warn({ event: "membership.earlier-life-removed", node: nodeId, key: other });
      await this.remove(other, key);
    }
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
