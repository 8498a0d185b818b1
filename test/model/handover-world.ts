/**
 * A small world for the real cores of the hand-over: nodes that crash and forget what was not durable, a network that loses,
 * doubles and delays, records that spread by gossip, and a few registers of data per partition. Everything comes from one seed.
 */
import type { NodeId } from "../../services/base/ids.ts";
import { DonorCore } from "../../services/cluster/handover-donor-core.ts";
import type { HandoverReply, HandoverRequest } from "../../services/cluster/handover-messages.ts";
import { answerMint } from "../../services/cluster/handover-mint-answer-core.ts";
import { MintCore } from "../../services/cluster/handover-mint-core.ts";
import { OldCopyCore } from "../../services/cluster/handover-old-copy-core.ts";
import { ReceiverCore } from "../../services/cluster/handover-receiver-core.ts";
import type {
  HandoverEffect,
  HandoverEvent,
  HandoverFacts,
  HandoverTimes,
  MergeEffect,
} from "../../services/cluster/handover-steps.ts";
import { applyChange, emptyLedger, type LedgerChange, type SlotLedger } from "../../services/cluster/slot-ledger.ts";
import { ledgerOf, plainLedger } from "../../services/cluster/slot-ledger-codec.ts";
import type { MemberKey } from "../../services/placement/member-record.ts";
import { drawsOf, hashOf, rootOf } from "./handover-draws.ts";

export const N = 3;
export const QUORUM = 2;
export const KEYS = 8;
const PAGE_KEYS = 3;
const SMALL_DELTA = 2;

export type Status = "none" | "joining" | "normal" | "leaving" | "left";

/** What a node knows of a member. */
export interface Row {
  readonly version: number;
  readonly status: Status;
  readonly slots: Int8Array;
  /** whose place on the walk it has */
  readonly position: number;
}

type Role = "donor" | "oldCopy" | "receiver" | "mint";
interface Core {
  take(event: HandoverEvent, facts: HandoverFacts): readonly HandoverEffect[];
}
interface Cores {
  readonly donor: DonorCore;
  readonly oldCopy: OldCopyCore;
  readonly receiver: ReceiverCore;
  readonly mint: MintCore;
}
interface Attempt {
  readonly partition: number;
  readonly dirty: Map<number, number>;
  seq: number;
}
interface Commit {
  readonly changes: readonly LedgerChange[];
  readonly status: Status;
  readonly position: number;
}

/** What the tables of a node were made from, a little while ago. */
interface Seen {
  readonly rows: readonly (Row | undefined)[];
  readonly removed: ReadonlySet<number>;
}

/** One life of one disk. */
export interface Life {
  readonly index: number;
  readonly key: MemberKey;
  readonly nodeId: NodeId;
  isUp: boolean;
  epoch: number;
  /** these three as issued */
  position: number;
  status: Status;
  ledger: SlotLedger;
  durable: { version: number; status: Status; position: number; ledger: SlotLedger };
  commits: Commit[];
  lastDue: number;
  drawnTx: number;
  rows: (Row | undefined)[];
  removed: Set<number>;
  table: Seen;
  isTableDue: boolean;
  met: Set<number>;
  readonly data: Int32Array[];
  /** partitions of which this disk may lack something; it does not, and nothing here finds that out */
  readonly suspect: Set<number>;
  held: Int8Array;
  isGateClosed: boolean[];
  writing: number[];
  gateWaiters: (() => void)[][];
  writeWaiters: (() => void)[][];
  attempts: Map<number, Attempt>;
  cores: Cores[];
}

/** Where a test plants a bug: nothing in the cores changes. */
export interface Seams {
  readonly onRequest?: (world: World, at: Life, request: HandoverRequest) => HandoverRequest;
  readonly onReply?: (world: World, at: Life, request: HandoverRequest, reply: HandoverReply) => HandoverReply;
  /** false: the effect is not carried out, the seam has done something else */
  readonly onEffect?: (world: World, at: Life, partition: number, effect: HandoverEffect) => boolean;
  readonly onLearn?: (world: World, at: Life) => void;
  readonly facts?: (facts: HandoverFacts, role: Role | "answer") => HandoverFacts;
}

export interface WorldSettings {
  readonly seed: number;
  readonly partitions: number;
  readonly seams: Seams;
  readonly times: HandoverTimes;
  readonly sourceCount: number;
  /** coordinators leave removed members out when they decide; else minting is quiet for as long as an operation lasts */
  readonly isDiscounting: boolean;
  readonly lossRate: number;
  /** how often nodes come and go, 0 … 1 */
  readonly changeRate: number;
  /** the first members stay, and no others come */
  readonly isBackAndForth: boolean;
}

export interface Counts {
  transfers: number;
  mints: number;
  writes: number;
  reads: number;
  removals: number;
  crashes: number;
  joins: number;
  leaves: number;
  weighings: number;
  aborts: number;
  over: number;
}

const LIVES = 24;
const FIRST_MEMBERS = 4;
export const OP_STEPS = 400;
const SLOW_RATE = 0.15;
/** Instead of a page: what is held here may lack what it had. */
const SUSPECT = "suspect";
/** Some rounds of messages: a record may be out and answered before the node's own table knows of it. */
const MOST_TABLE_STEPS = 60;

const keyOf = (index: number): MemberKey => `${index}`.padStart(16, "0");
const indexOf = (key: MemberKey): number => Number(key);

export class World {
  readonly settings: WorldSettings;
  readonly float: () => number;
  readonly lives: Life[] = [];
  readonly violations: string[] = [];
  readonly counts: Counts = {
    transfers: 0,
    mints: 0,
    writes: 0,
    reads: 0,
    removals: 0,
    crashes: 0,
    joins: 0,
    leaves: 0,
    weighings: 0,
    aborts: 0,
    over: 0,
  };
  /** the operators' words, wherever they were said */
  readonly removedByAnyone: Set<number> = new Set();
  readonly acked: Int32Array[];
  readonly lost: boolean[][];
  /** left, known to have, and switched off for good, or begun anew under another key: nobody answers for them */
  readonly retired: Set<number> = new Set();
  now = 0;
  isCalm = false;
  #queue: ((() => void)[] | undefined)[] = [];
  #news: { rows: (Row | undefined)[]; removed: Set<number> }[] = [];
  #calls = new Map<number, (reply: HandoverReply) => void>();
  #lastCall = 0;
  #nextValue = 1;

  constructor(settings: WorldSettings) {
    this.settings = settings;
    this.float = drawsOf(settings.seed);
    const { partitions } = settings;
    this.acked = Array.from({ length: partitions }, () => new Int32Array(KEYS));
    this.lost = Array.from({ length: partitions }, () => Array.from({ length: N }, () => false));
    for (let index = 0; index < LIVES; index += 1) this.lives.push(this.#newLife(index));
    for (const life of this.lives.slice(0, FIRST_MEMBERS)) {
      life.isUp = true;
      life.status = "normal";
      life.durable.status = "normal";
      life.durable.version = 1;
    }
    for (let partition = 0; partition < partitions; partition += 1) {
      this.walk(partition, (index) => index < FIRST_MEMBERS)
        .slice(0, N)
        .forEach((index, slot) => {
          const life = this.life(index);
          life.ledger.slots[partition] = slot;
          life.durable.ledger.slots[partition] = slot;
          life.held[partition] = slot;
        });
    }
    for (const life of this.lives.slice(0, FIRST_MEMBERS)) {
      for (const other of this.lives.slice(0, FIRST_MEMBERS)) life.rows[other.index] = rowOf(other);
      this.#rebuild(life);
    }
  }

  // --- chance, time, network -------------------------------------------------------------------------------------------

  below(bound: number): number {
    return Math.floor(this.float() * bound);
  }

  life(index: number): Life {
    const found = this.lives[index];
    if (found === undefined) throw new Error(`no life ${index}`);
    return found;
  }

  at(delay: number, run: () => void): void {
    const due = this.now + Math.max(1, Math.ceil(delay));
    (this.#queue[due] ??= []).push(run);
  }

  /** As `at`, but only while the node has not crashed since. */
  atNode(life: Life, delay: number, run: () => void): void {
    const { epoch } = life;
    this.at(delay, () => {
      if (life.isUp && life.epoch === epoch) run();
    });
  }

  /** One step of time: what is due happens in random order. */
  tick(): void {
    this.now += 1;
    const due = this.#queue[this.now];
    this.#queue[this.now] = undefined;
    if (due === undefined) return;
    for (let last = due.length - 1; last > 0; last -= 1) {
      const other = this.below(last + 1);
      [due[last], due[other]] = [due[other] as () => void, due[last] as () => void];
    }
    for (const run of due) run();
  }

  /** A message: 5 % lost, 5 % doubled with four times the delay; of clients' ones, some that dawdle. */
  send(to: Life, deliver: () => void, slowRate = 0): void {
    const { lossRate } = this.settings;
    const arrive = (): void => {
      if (to.isUp) deliver();
    };
    const mostSteps = slowRate > 0 && this.float() < slowRate ? OP_STEPS / 2 : 12;
    if (this.float() >= lossRate) this.at(1 + this.below(mostSteps), arrive);
    if (this.float() < lossRate) this.at(1 + this.below(48), arrive);
  }

  /** A question with an answer or `undefined` after a while; late and doubled answers are handed on when asked for. */
  ask(from: Life, to: Life, request: HandoverRequest, onReply: (reply: HandoverReply | undefined) => void): void {
    const { epoch } = from;
    let isDone = false;
    const isPage = "body" in request;
    const take = (reply: HandoverReply | undefined): void => {
      if (!from.isUp || from.epoch !== epoch) return;
      if (isDone && (isPage || reply === undefined)) return;
      isDone = true;
      onReply(reply);
    };
    this.send(to, () => {
      this.serve(to, this.settings.seams.onRequest?.(this, to, request) ?? request, (reply) =>
        this.send(from, () => take(this.settings.seams.onReply?.(this, from, request, reply) ?? reply)),
      );
    });
    this.at(60, () => take(undefined));
  }

  // --- what nodes believe ----------------------------------------------------------------------------------------------

  walk(partition: number, isIn: (index: number) => boolean, positionOf = (index: number): number => index): number[] {
    const place = (index: number): number => hashOf(this.settings.seed, partition, positionOf(index));
    return this.lives
      .map((life) => life.index)
      .filter(isIn)
      .toSorted((a, b) => place(a) - place(b) || a - b);
  }

  target({ table: { rows, removed } }: Pick<Life, "table">, partition: number): number[] {
    const isIn = (index: number): boolean => {
      const row = rows[index];
      return row !== undefined && !removed.has(index) && (row.status === "joining" || row.status === "normal");
    };
    return this.walk(partition, isIn, (index) => rows[index]?.position ?? index).slice(0, N);
  }

  holders({ table: { rows, removed } }: Life, partition: number): { key: MemberKey; slot: number }[] {
    return rows.flatMap((row, index) => {
      const slot = row?.slots[partition] ?? -1;
      return slot === -1 || removed.has(index) ? [] : [{ key: keyOf(index), slot }];
    });
  }

  /** Tables follow the records a little later, as in a node; at once when what is new is urgent. */
  #changed(life: Life, isUrgent: boolean): void {
    if (isUrgent) this.#rebuild(life);
    if (isUrgent || life.isTableDue) return;
    life.isTableDue = true;
    this.atNode(life, 1 + this.below(MOST_TABLE_STEPS), () => this.#rebuild(life));
  }

  #rebuild(life: Life): void {
    life.isTableDue = false;
    life.table = { rows: [...life.rows], removed: new Set(life.removed) };
    this.reviewStatus(life);
  }

  /** What a node's own state lets it say of itself: all is here, or nothing is left. After each write and with each table. */
  reviewStatus(life: Life): void {
    if (!life.isUp || life.removed.has(life.index)) return;
    const { slots } = life.ledger;
    const isWhole = (): boolean =>
      [...slots.keys()].every((p) => !this.target(life, p).includes(life.index) || slots[p] !== -1);
    if (life.status === "joining" && life.durable.status === "joining" && isWhole()) this.setStatus(life, "normal");
    if (life.status === "leaving" && isAtRest(life)) this.setStatus(life, "left");
  }

  setStatus(life: Life, status: Life["status"]): void {
    life.status = status;
    this.commit(life, [], () => undefined);
  }

  others(life: Life): number[] {
    return life.rows.flatMap((row, index) =>
      row === undefined || index === life.index || life.removed.has(index) || row.status === "left" ? [] : [index],
    );
  }

  /** The slot that this node, by its own view, may mint. */
  entitled(life: Life, partition: number): number | undefined {
    if (life.table.removed.size === 0) return undefined;
    const holders = this.holders(life, partition);
    const taken = new Set(holders.map((holder) => holder.slot));
    const pending = this.target(life, partition).filter(
      (index) => !holders.some((holder) => indexOf(holder.key) === index),
    );
    const vacant = Array.from({ length: N }, (_, slot) => slot).filter((slot) => !taken.has(slot));
    return vacant[pending.indexOf(life.index)];
  }

  isIntroduced(life: Life): boolean {
    return life.met.size * 2 > this.others(life).length;
  }

  facts(life: Life, role: Role | "answer"): HandoverFacts {
    const view: HandoverFacts["view"] = {
      ownKey: life.key,
      isTarget: (partition, key) =>
        !life.removed.has(indexOf(key)) && this.target(life, partition).includes(indexOf(key)),
      isRemoved: (key) => life.removed.has(indexOf(key)),
      hasLeft: (key) => life.rows[indexOf(key)]?.status === "left",
      isStaying: () => life.status === "joining" || life.status === "normal",
      nodeOf: (key) =>
        life.rows[indexOf(key)] === undefined || life.removed.has(indexOf(key))
          ? undefined
          : this.lives[indexOf(key)]?.nodeId,
      holdersOf: (partition) => this.holders(life, partition),
      isAlive: (key) => (this.float() < 0.95 ? this.life(indexOf(key)).isUp : this.float() < 0.5),
      others: () => this.others(life).map(keyOf),
      membersHash: () =>
        `${life.rows.map((row) => (row === undefined ? "." : "x")).join("")}/${[...life.removed].toSorted((a, b) => a - b).join()}`,
      isIntroduced: () => this.isIntroduced(life),
      news: () => this.#newsOf(life),
    };
    const facts: HandoverFacts = {
      ledger: life.ledger,
      view,
      nowMs: this.now,
      wallMs: this.now,
      nextTx: () => {
        life.drawnTx = Math.max(life.drawnTx, life.ledger.txCounter) + 1;
        return life.drawnTx;
      },
    };
    return this.settings.seams.facts?.(facts, role) ?? facts;
  }

  #newsOf(life: Life): Uint8Array {
    this.#news.push({ rows: [...life.rows], removed: new Set(life.removed) });
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, this.#news.length - 1);
    return bytes;
  }

  learn(life: Life, rows: readonly (Row | undefined)[], removed: ReadonlySet<number>): void {
    let isUrgent = removed.size > life.removed.size || [...removed].some((index) => !life.removed.has(index));
    for (const [index, row] of rows.entries()) {
      const known = life.rows[index];
      if (row !== undefined && index !== life.index && (known === undefined || row.version > known.version)) {
        life.rows[index] = row;
        isUrgent ||= known?.status !== row.status;
      }
    }
    for (const index of removed) life.removed.add(index);
    this.#changed(life, isUrgent);
    if (life.removed.has(life.index)) life.held.fill(-1);
    this.settings.seams.onLearn?.(this, life);
  }

  exchange(one: Life, other: Life): void {
    const rows = [...one.rows];
    const removed = new Set(one.removed);
    this.learn(one, other.rows, other.removed);
    this.learn(other, rows, removed);
    if (other.status !== "none") one.met.add(other.index);
    if (one.status !== "none") other.met.add(one.index);
  }

  // --- durable state ---------------------------------------------------------------------------------------------------

  /** Changes the ledger now; durable a little later, in the order of issue. */
  commit(life: Life, changes: readonly LedgerChange[], then: () => void): void {
    for (const change of changes) applyChange(life.ledger, change);
    const made: Commit = { changes, status: life.status, position: life.position };
    life.commits.push(made);
    const due = Math.max(life.lastDue, this.now + 1 + this.below(6));
    life.lastDue = due;
    this.atNode(life, due - this.now, () => {
      // Those before it are durable too: a later one that is run first makes them so.
      while (life.commits.includes(made)) this.#makeDurable(life);
      this.reviewStatus(life);
      then();
    });
  }

  #makeDurable(life: Life): void {
    const commit = life.commits.shift();
    if (commit === undefined) return;
    for (const change of commit.changes) applyChange(life.durable.ledger, change);
    life.durable.status = commit.status;
    life.durable.position = commit.position;
    life.durable.version += 1;
    life.rows[life.index] = rowOf(life);
    this.#changed(life, false);
    this.checkTokens();
  }

  /** At most one living holder of each slot; exactly one, unless it is in transit or lost with a removed member. */
  checkTokens(): void {
    for (let partition = 0; partition < this.settings.partitions; partition += 1) {
      for (let slot = 0; slot < N; slot += 1) {
        const count = this.#custodians(partition, slot);
        if (count > 1)
          this.violations.push(`step ${this.now}: slot ${slot} of partition ${partition} is held ${count} times`);
        const lost = this.lost[partition];
        if (lost === undefined) continue;
        if (count === 1) lost[slot] = false;
        else if (count === 0 && lost[slot] === false) {
          // A slot that was given to a member of whose removal the giver had not heard is lost with that member.
          if (!this.#wasGivenToRemoved(partition, slot)) {
            this.violations.push(`step ${this.now}: slot ${slot} of partition ${partition} is gone`);
          }
          lost[slot] = true;
        }
      }
    }
  }

  #custodians(partition: number, slot: number): number {
    let count = 0;
    for (const life of this.lives) {
      if (life.status === "none" || this.removedByAnyone.has(life.index)) continue;
      const { ledger } = life.durable;
      if (ledger.slots[partition] === slot || life.held[partition] === slot) {
        count += 1;
        continue;
      }
      const released = ledger.released.get(partition);
      if (released?.slot !== slot || released.isSettled) continue;
      const to = this.life(indexOf(released.to));
      const staged = to.durable.ledger.staged.get(partition);
      const isWaited = staged?.from === life.key && staged.tx === released.tx;
      if (isWaited && !this.removedByAnyone.has(to.index)) count += 1;
    }
    return count;
  }

  #wasGivenToRemoved(partition: number, slot: number): boolean {
    return this.lives.some(({ durable }) => {
      const released = durable.ledger.released.get(partition);
      return released?.slot === slot && this.removedByAnyone.has(indexOf(released.to));
    });
  }

  /** After an operator's word: what is held by nobody now is lost, not mislaid. */
  noteLosses(): void {
    for (let partition = 0; partition < this.settings.partitions; partition += 1) {
      const lost = this.lost[partition];
      for (let slot = 0; slot < N; slot += 1) {
        if (lost !== undefined && this.#custodians(partition, slot) === 0) lost[slot] = true;
      }
    }
  }

  hasLoss(): boolean {
    return this.lost.some((slots) => slots.includes(true));
  }

  crash(life: Life): void {
    this.counts.crashes += 1;
    life.isUp = false;
    life.epoch += 1;
    // What was on its way to the disk: a first part of it has arrived.
    const kept = this.below(life.commits.length + 1);
    for (let each = 0; each < kept; each += 1) this.#makeDurable(life);
    life.commits = [];
    life.isTableDue = false;
    life.held.fill(-1);
    for (const [partition, registers] of life.data.entries()) {
      const isKept = life.durable.ledger.slots[partition] !== -1 || life.durable.ledger.staged.has(partition);
      if (isKept || life.durable.ledger.retained.has(partition)) continue;
      for (let key = 0; key < KEYS; key += 1) if (this.float() < 0.3) registers[key] = 0;
    }
  }

  restart(life: Life): void {
    const { partitions } = this.settings;
    const kept = ledgerOf(JSON.parse(JSON.stringify(plainLedger(life.durable.ledger))), partitions);
    if (kept === undefined) throw new Error("a ledger that was written cannot be read");
    life.isUp = true;
    life.ledger = kept;
    life.drawnTx = kept.txCounter;
    life.status = life.durable.status;
    life.position = life.durable.position;
    life.lastDue = this.now;
    life.met = new Set();
    if (!life.removed.has(life.index)) life.held = kept.slots.slice();
    this.#resetVolatile(life);
    this.#rebuild(life);
    this.review(life);
  }

  #newLife(index: number): Life {
    const { partitions } = this.settings;
    const none = (): Int8Array => new Int8Array(partitions).fill(-1);
    const life: Life = {
      index,
      key: keyOf(index),
      nodeId: `n${index}` as NodeId,
      isUp: false,
      epoch: 0,
      position: index,
      status: "none",
      ledger: emptyLedger(none()),
      durable: { version: 0, status: "none", position: index, ledger: emptyLedger(none()) },
      commits: [],
      lastDue: 0,
      drawnTx: 0,
      rows: Array.from({ length: LIVES }, () => undefined),
      removed: new Set(),
      table: { rows: [], removed: new Set() },
      isTableDue: false,
      met: new Set(),
      suspect: new Set(),
      data: Array.from({ length: partitions }, () => new Int32Array(KEYS)),
      held: none(),
      isGateClosed: [],
      writing: [],
      gateWaiters: [],
      writeWaiters: [],
      attempts: new Map(),
      cores: [],
    };
    this.#resetVolatile(life);
    return life;
  }

  #resetVolatile(life: Life): void {
    const { partitions, times, sourceCount } = this.settings;
    const each = <T>(make: (partition: number) => T): T[] =>
      Array.from({ length: partitions }, (_, partition) => make(partition));
    life.isGateClosed = each(() => false);
    life.writing = each(() => 0);
    life.gateWaiters = each(() => []);
    life.writeWaiters = each(() => []);
    life.attempts = new Map();
    life.cores = each((partition) => ({
      donor: new DonorCore(partition, times),
      oldCopy: new OldCopyCore(partition, times),
      receiver: new ReceiverCore(partition, times),
      mint: new MintCore(partition, { times, sourceCount, otherSlotCount: N - 1 }),
    }));
  }

  // --- the shell of the cores ------------------------------------------------------------------------------------------

  coresOf(life: Life, partition: number): Cores {
    const cores = life.cores[partition];
    if (cores === undefined) throw new Error(`no partition ${partition}`);
    return cores;
  }

  feed(life: Life, partition: number, role: Role, event: HandoverEvent): void {
    const core: Core = this.coresOf(life, partition)[role];
    this.run(life, partition, role, core.take(event, this.facts(life, role)));
  }

  /** What a node does by itself, now and then. */
  review(life: Life): void {
    const wantsMember = life.status !== "none" && life.status !== "left";
    for (let partition = 0; partition < this.settings.partitions; partition += 1) {
      for (const role of ["donor", "oldCopy", "receiver", "mint"] as const) {
        this.feed(life, partition, role, { kind: "review" });
      }
      if (wantsMember && !life.removed.has(life.index)) this.#startSomething(life, partition);
    }
  }

  #startSomething(life: Life, partition: number): void {
    const { receiver, mint } = this.coresOf(life, partition);
    const slot = this.entitled(life, partition);
    if (mint.stage !== "idle") {
      const isOther = life.ledger.minting.get(partition)?.slot !== slot;
      if (isOther && this.float() < 0.2) this.run(life, partition, "mint", mint.stop(this.facts(life, "mint")));
      return;
    }
    if (receiver.stage !== "idle" || life.ledger.slots[partition] !== -1) return;
    const target = this.target(life, partition);
    if (!target.includes(life.index)) return;
    const donors = this.holders(life, partition).filter((holder) => !target.includes(indexOf(holder.key)));
    const donor = donors[this.below(donors.length)];
    if (donor !== undefined && (slot === undefined || this.float() < 0.5)) {
      this.run(life, partition, "receiver", receiver.start(donor.key, this.facts(life, "receiver")));
    } else if (slot !== undefined) {
      this.run(life, partition, "mint", mint.start(slot, this.facts(life, "mint")));
    }
  }

  run(life: Life, partition: number, role: Role, effects: readonly HandoverEffect[]): void {
    for (const effect of effects) {
      if (this.settings.seams.onEffect?.(this, life, partition, effect) !== false) {
        this.#do(life, partition, role, effect);
      }
    }
  }

  #do(life: Life, partition: number, role: Role, effect: HandoverEffect): void {
    const feed = (event: HandoverEvent): void => this.feed(life, partition, role, event);
    const later = (run: () => void): void => this.atNode(life, 1 + this.below(4), run);
    const registers = this.registers(life, partition);
    switch (effect.kind) {
      case "reply": {
        const reply = this.#calls.get(effect.call);
        this.#calls.delete(effect.call);
        reply?.(effect.reply);
        break;
      }
      case "serve": {
        const body = this.#page(life, partition, effect.request);
        const reply = this.#calls.get(effect.call);
        this.#calls.delete(effect.call);
        if (body !== undefined) reply?.({ kind: "page", body, slot: effect.slot });
        break;
      }
      case "persist":
        this.commit(life, effect.changes, () => feed({ kind: "persisted", token: effect.token }));
        break;
      case "ask": {
        const { request } = effect;
        this.ask(life, this.life(indexOf(effect.to)), request, (reply) =>
          feed({ kind: "answered", from: effect.to, request, reply }),
        );
        break;
      }
      case "timer":
        this.atNode(life, effect.delayMs, () => feed({ kind: "timer", token: effect.token }));
        break;
      case "open-attempt":
        life.attempts.set(effect.tx, { partition, dirty: new Map(), seq: 0 });
        break;
      case "close-attempt":
        life.attempts.delete(effect.tx);
        break;
      case "seal":
        this.#closeGate(life, partition, () =>
          later(() => {
            const attempt = life.attempts.get(effect.tx);
            if (attempt === undefined || life.isGateClosed[partition] !== true) return;
            const body = this.#changes(life, attempt, 0);
            const last = { body, count: registers.filter((value) => value > 0).length, root: rootOf(registers) };
            feed({ kind: "sealed", tx: effect.tx, last });
          }),
        );
        break;
      case "unseal": {
        life.isGateClosed[partition] = false;
        life.gateWaiters[partition] = [];
        const waiters = life.writeWaiters[partition] ?? [];
        life.writeWaiters[partition] = [];
        for (const run of waiters) run();
        break;
      }
      case "hold":
        life.held[partition] = life.removed.has(life.index) ? -1 : effect.slot;
        this.checkTokens();
        break;
      case "clear":
        later(() => {
          registers.fill(0);
          life.suspect.delete(partition);
          feed({ kind: "cleared" });
        });
        break;
      case "receive":
        this.#receive(life, partition, effect, (result) =>
          feed({
            kind: "received",
            tx: effect.tx,
            result: result ? { kind: "copied" } : { kind: "failed", reason: "?" },
          }),
        );
        break;
      case "finish": {
        for (const [key, value] of (effect.last.body as ChangesBody).pairs) registers[key] = value;
        const isEqual = rootOf(registers) === effect.last.root;
        later(() =>
          feed({
            kind: "finished",
            tx: effect.tx,
            result: isEqual ? { kind: "equal" } : { kind: "differs", reason: "root" },
          }),
        );
        break;
      }
      case "merge":
        this.#merge(life, partition, effect, (slot, isSuspect) =>
          feed({ kind: "merged", from: effect.from, tx: effect.tx, slot, isSuspect }),
        );
        break;
      case "prove":
        this.#prove(life, partition, effect.to, (isCovered) => feed({ kind: "proved", isCovered }));
        break;
      case "drop":
        later(() => {
          registers.fill(0);
          life.suspect.delete(partition);
          feed({ kind: "dropped" });
        });
        break;
      case "ended":
        if (effect.outcome.kind === "taken") this.counts[role === "mint" ? "mints" : "transfers"] += 1;
        else this.counts.over += 1;
        break;
    }
  }

  /** What a node does with a question of another. */
  serve(at: Life, request: HandoverRequest, reply: (reply: HandoverReply) => void): void {
    if (at.status === "none") return;
    if (request.kind === "req" || request.kind === "mint-query") {
      const news = this.#news[new DataView(request.news.buffer).getUint32(0)];
      if (news !== undefined) this.learn(at, news.rows, news.removed);
      // Durable before it goes on.
      this.atNode(at, 1 + this.below(3), () => this.#answer(at, request, reply));
    } else {
      this.#answer(at, request, reply);
    }
  }

  #answer(at: Life, request: HandoverRequest, reply: (reply: HandoverReply) => void): void {
    const { partition } = request;
    const answer = answerMint(request, this.facts(at, "answer"));
    if (answer !== undefined) {
      this.run(at, partition, "receiver", answer.checks);
      if (answer.changes.length === 0) reply(answer.reply);
      else this.commit(at, answer.changes, () => reply(answer.reply));
      return;
    }
    this.#lastCall += 1;
    this.#calls.set(this.#lastCall, reply);
    const role = request.kind === "settle" ? "receiver" : "donor";
    this.feed(at, partition, role, { kind: "request", call: this.#lastCall, request });
  }

  // --- data ------------------------------------------------------------------------------------------------------------

  registers(life: Life, partition: number): Int32Array {
    const found = life.data[partition];
    if (found === undefined) throw new Error(`no partition ${partition}`);
    return found;
  }

  #closeGate(life: Life, partition: number, then: () => void): void {
    life.isGateClosed[partition] = true;
    if (life.writing[partition] === 0) then();
    else life.gateWaiters[partition]?.push(then);
  }

  #page(life: Life, partition: number, request: HandoverRequest): unknown {
    if (request.kind === "changes") {
      const attempt = life.attempts.get(request.tx);
      return attempt === undefined ? undefined : this.#changes(life, attempt, request.body as number);
    }
    if (request.kind === "mint-pull" && life.suspect.has(partition) && !request.takesSuspect) return SUSPECT;
    const first = "body" in request ? (request.body as number) : 0;
    return [...this.registers(life, partition).subarray(first, first + PAGE_KEYS)];
  }

  #changes(life: Life, attempt: Attempt, since: number): ChangesBody {
    const registers = this.registers(life, attempt.partition);
    const pairs = [...attempt.dirty]
      .filter(([, seq]) => seq > since)
      .map(([key]) => [key, registers[key] ?? 0] as const);
    return { pairs, seq: attempt.seq };
  }

  #receive(
    life: Life,
    partition: number,
    attempt: { from: MemberKey; tx: number },
    then: (isDone: boolean) => void,
  ): void {
    const donor = this.life(indexOf(attempt.from));
    const registers = this.registers(life, partition);
    const named = { partition, from: life.key, tx: attempt.tx };
    const changes = (since: number, rounds: number): void =>
      this.ask(life, donor, { kind: "changes", ...named, body: since }, (reply) => {
        if (reply?.kind !== "page") return then(false);
        const { pairs, seq } = reply.body as ChangesBody;
        for (const [key, value] of pairs) registers[key] = value;
        if (pairs.length <= SMALL_DELTA || rounds > 6) then(true);
        else changes(seq, rounds + 1);
      });
    const pull = (first: number): void => {
      if (first >= KEYS) return changes(0, 0);
      this.ask(life, donor, { kind: "pull", ...named, body: first }, (reply) => {
        if (reply?.kind !== "page") return then(false);
        for (const [offset, value] of (reply.body as number[]).entries()) registers[first + offset] = value;
        pull(first + PAGE_KEYS);
      });
    };
    pull(0);
  }

  #merge(
    life: Life,
    partition: number,
    { from, tx, takesSuspect }: MergeEffect,
    then: (slot: number | undefined, isSuspect: boolean) => void,
  ): void {
    const source = this.life(indexOf(from));
    const registers = this.registers(life, partition);
    let named: number | undefined;
    const pull = (first: number): void => {
      if (first >= KEYS) return then(named, takesSuspect);
      const request = { kind: "mint-pull", partition, from: life.key, tx, body: first, takesSuspect } as const;
      this.ask(life, source, request, (reply) => {
        if (reply?.kind !== "page" || (named !== undefined && named !== reply.slot)) return then(undefined, false);
        if (reply.body === SUSPECT) return then(undefined, true);
        named = reply.slot;
        for (const [offset, value] of (reply.body as number[]).entries()) {
          registers[first + offset] = Math.max(registers[first + offset] ?? 0, value);
        }
        pull(first + PAGE_KEYS);
      });
    };
    pull(0);
  }

  /** Asks for what `to` has, and gives it what it lacks: covered once it has said so of every register. */
  #prove(life: Life, partition: number, to: MemberKey, then: (isCovered: boolean) => void): void {
    const holder = this.life(indexOf(to));
    const registers = this.registers(life, partition);
    const give = (key: number, after: () => void): void => {
      let isDone = false;
      const settle = (isTaken: boolean): void => {
        if (isDone) return;
        isDone = true;
        if (isTaken) after();
        else then(false);
      };
      const op = { kind: "write", at: life, partition, key, value: registers[key] ?? 0, deadline: 0 } as const;
      this.send(holder, () => this.#atReplica(holder, op, () => settle(true)));
      this.atNode(life, 100, () => settle(false));
    };
    const pull = (first: number): void => {
      if (first >= KEYS) return then(true);
      const request = {
        kind: "mint-pull",
        partition,
        from: life.key,
        tx: 0,
        body: first,
        takesSuspect: false,
      } as const;
      this.ask(life, holder, request, (reply) => {
        if (reply?.kind !== "page" || reply.body === SUSPECT) return then(false);
        const theirs = reply.body as number[];
        const lacking = theirs.flatMap((value, at) => ((registers[first + at] ?? 0) > value ? [first + at] : []));
        const giveNext = (): void => {
          const key = lacking.shift();
          if (key === undefined) pull(first + PAGE_KEYS);
          else give(key, giveNext);
        };
        giveNext();
      });
    };
    pull(0);
  }

  // --- clients ---------------------------------------------------------------------------------------------------------

  /** A read or a write through any node that thinks itself a member, sent to whomever it happens to think of. */
  operate(kind: "read" | "write"): void {
    const able = this.lives.filter((one) => one.isUp && one.status !== "none" && one.status !== "left");
    const at = able[this.below(able.length)];
    if (at === undefined || at.removed.has(at.index)) return;
    const partition = this.below(this.settings.partitions);
    const key = this.below(KEYS);
    const value = kind === "write" ? this.#nextValue : 0;
    this.#nextValue += 1;
    const needed = this.acked[partition]?.[key] ?? 0;
    const { epoch } = at;
    const deadline = this.now + OP_STEPS;
    const knownRemoved = new Set(at.removed);
    const acks: { slot: number; from: number; value: number }[] = [];
    let isDone = false;
    const take = (from: number, slot: number, theirs: number): void => {
      if (isDone || !at.isUp || at.epoch !== epoch || this.now > deadline) return;
      acks.push({ slot, from, value: theirs });
      const gone = this.settings.isDiscounting ? at.removed : knownRemoved;
      const counted = acks.filter((ack) => !gone.has(ack.from));
      if (new Set(counted.map((ack) => ack.slot)).size < QUORUM) return;
      isDone = true;
      this.#finish(kind, { partition, key, value, needed, best: Math.max(...counted.map((ack) => ack.value)) });
    };
    const known = at.rows.flatMap((row, index) => (row === undefined || at.removed.has(index) ? [] : [index]));
    for (const index of known) {
      if (this.float() < 0.15) continue;
      const replica = this.life(index);
      this.send(
        replica,
        () => this.#atReplica(replica, { kind, at, partition, key, value, deadline }, take),
        SLOW_RATE,
      );
    }
  }

  #atReplica(
    replica: Life,
    op: { kind: "read" | "write"; at: Life; partition: number; key: number; value: number; deadline: number },
    take: (from: number, slot: number, value: number) => void,
  ): void {
    const { partition, key, at } = op;
    const isRefused = (): boolean =>
      replica.held[partition] === -1 || replica.removed.has(at.index) || replica.removed.has(replica.index);
    if (isRefused()) return;
    const registers = this.registers(replica, partition);
    const answer = (): void => {
      const slot = replica.held[partition] ?? -1;
      const value = registers[key] ?? 0;
      if (slot !== -1) this.send(at, () => take(replica.index, slot, value), SLOW_RATE);
    };
    if (op.kind === "read") return answer();
    const { epoch } = replica;
    const write = (): void => {
      if (isRefused() || !replica.isUp || replica.epoch !== epoch) return;
      if (replica.isGateClosed[partition] === true) {
        replica.writeWaiters[partition]?.push(write);
        return;
      }
      replica.writing[partition] = (replica.writing[partition] ?? 0) + 1;
      this.atNode(replica, 1 + this.below(4), () => {
        registers[key] = Math.max(registers[key] ?? 0, op.value);
        for (const attempt of replica.attempts.values()) {
          if (attempt.partition !== partition) continue;
          attempt.seq += 1;
          attempt.dirty.set(key, attempt.seq);
        }
        if (!replica.removed.has(replica.index)) answer();
        const left = (replica.writing[partition] ?? 1) - 1;
        replica.writing[partition] = left;
        if (left > 0) return;
        const waiters = replica.gateWaiters[partition] ?? [];
        replica.gateWaiters[partition] = [];
        for (const run of waiters) run();
      });
    };
    write();
  }

  #finish(
    kind: "read" | "write",
    op: { partition: number; key: number; value: number; needed: number; best: number },
  ): void {
    const acked = this.acked[op.partition];
    if (acked === undefined) return;
    if (kind === "write") {
      this.counts.writes += 1;
      acked[op.key] = Math.max(acked[op.key] ?? 0, op.value);
    } else {
      this.counts.reads += 1;
      if (op.best < op.needed) {
        this.violations.push(`step ${this.now}: a read of ${op.partition}/${op.key} saw ${op.best}, not ${op.needed}`);
      }
    }
  }
}

interface ChangesBody {
  readonly pairs: readonly (readonly [number, number])[];
  readonly seq: number;
}

/** What a node says of itself: what is durable. */
export function rowOf(life: Life): Row {
  const { version, status, position, ledger } = life.durable;
  return { version, status, slots: ledger.slots.slice(), position };
}

function isAtRest(life: Life): boolean {
  const { slots, staged, minting, released } = life.ledger;
  if (slots.some((slot) => slot !== -1) || staged.size > 0 || minting.size > 0) return false;
  return [...released.values()].every((one) => one.isSettled || life.removed.has(indexOf(one.to)));
}
