/** What nodes of the hand-over's world believe: records that spread by exchanges, tables a little later, and the facts of the cores. */
import type { HandoverFacts } from "../../services/cluster/handover-steps.ts";
import { isIntroduced, membersHashOf } from "../../services/cluster/introduction-core.ts";
import type { LedgerChange } from "../../services/cluster/slot-ledger.ts";
import type { MemberKey, MemberRecord } from "../../services/placement/member-record.ts";
import { hashOf } from "./handover-draws.ts";
import { indexOf, isAtRest, keyOf, type Life, N, type Role, type Row } from "./handover-life.ts";
import { Timeline } from "./handover-timeline.ts";

/** Some rounds of messages: a record may be out and answered before the node's own table knows of it. */
const MOST_TABLE_STEPS = 60;

export abstract class Beliefs extends Timeline {
  #news: { rows: (Row | undefined)[]; removed: Set<number> }[] = [];

  abstract commit(life: Life, changes: readonly LedgerChange[], then: () => void): void;

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
  changed(life: Life, isUrgent: boolean): void {
    if (isUrgent) this.rebuild(life);
    if (isUrgent || life.isTableDue) return;
    life.isTableDue = true;
    this.atNode(life, 1 + this.below(MOST_TABLE_STEPS), () => this.rebuild(life));
  }

  rebuild(life: Life): void {
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
    if (life.status === "joining" && life.durable.status === "joining" && isWhole()) {
      if (this.facts(life, 0, "answer").view.isIntroduced()) this.setStatus(life, "normal");
    }
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

  /** All that a node knows of, in the order of their keys. */
  records(life: Life): (Pick<MemberRecord, "key"> & { readonly status: MemberRecord["status"] })[] {
    return life.rows.flatMap((row, index) => {
      const status = index === life.index ? life.status : (row?.status ?? "none");
      return row === undefined || status === "none" ? [] : [{ key: keyOf(index), status }];
    });
  }

  isIntroduced(life: Life): boolean {
    const members = this.records(life).filter(
      ({ key, status }) => status !== "left" && !life.removed.has(indexOf(key)),
    );
    return isIntroduced({ ownKey: life.key, members, hasMet: (key) => life.met.has(indexOf(key)) });
  }

  facts(life: Life, partition: number, role: Role | "answer"): HandoverFacts {
    const view: HandoverFacts["view"] = {
      ownKey: life.key,
      isTarget: (at, key) => !life.removed.has(indexOf(key)) && this.target(life, at).includes(indexOf(key)),
      isRemoved: (key) => life.removed.has(indexOf(key)),
      hasLeft: (key) => life.rows[indexOf(key)]?.status === "left",
      isStaying: () => life.status === "joining" || life.status === "normal",
      nodeOf: (key) =>
        life.rows[indexOf(key)] === undefined || life.removed.has(indexOf(key))
          ? undefined
          : this.lives[indexOf(key)]?.nodeId,
      holdersOf: (at) => this.holders(life, at),
      isAlive: (key) => (this.float() < 0.95 ? this.#seemsAlive(life, this.life(indexOf(key))) : this.float() < 0.5),
      others: () => this.others(life).map(keyOf),
      membersHash: () => membersHashOf(this.records(life), [...life.removed].toSorted((a, c) => a - c).map(keyOf)),
      isIntroduced: () => this.isIntroduced(life),
      news: () => this.newsOf(life),
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
    return this.settings.seams.facts?.(facts, { world: this.planted, at: life, partition, role }) ?? facts;
  }

  newsOf(life: Life): Uint8Array {
    this.#news.push({ rows: [...life.rows], removed: new Set(life.removed) });
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, this.#news.length - 1);
    return bytes;
  }

  learnNews(life: Life, bytes: Uint8Array): void {
    const news = this.#news[new DataView(bytes.buffer).getUint32(0)];
    if (news !== undefined) this.learn(life, news.rows, news.removed);
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
    this.changed(life, isUrgent);
    if (life.removed.has(life.index)) life.held.fill(-1);
    this.settings.seams.onLearn?.(this.planted, life);
  }

  #seemsAlive(life: Life, other: Life): boolean {
    return other.isUp && !this.isCut(life, other) && !this.isCut(other, life);
  }

  /** Both ways; where the answer does not come, what was pushed may have arrived. */
  exchange(one: Life, other: Life): void {
    if (this.isCut(one, other)) return;
    const rows = [...one.rows];
    const removed = new Set(one.removed);
    if (!this.isCut(other, one)) {
      this.learn(one, other.rows, other.removed);
      if (other.status !== "none") one.met.add(other.index);
      if (one.status !== "none") other.met.add(one.index);
    }
    this.learn(other, rows, removed);
  }
}
