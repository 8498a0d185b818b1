/** The disks of the hand-over's world, what crashes leave of them, and the judge of slots: none twice, none gone, none dropped last. */
import { DonorCore } from "../../services/cluster/handover-donor-core.ts";
import { MintCore } from "../../services/cluster/handover-mint-core.ts";
import { OldCopyCore } from "../../services/cluster/handover-old-copy-core.ts";
import { ReceiverCore } from "../../services/cluster/handover-receiver-core.ts";
import { applyChange, type LedgerChange } from "../../services/cluster/slot-ledger.ts";
import { ledgerOf, plainLedger } from "../../services/cluster/slot-ledger-codec.ts";
import { Beliefs } from "./handover-beliefs.ts";
import { indexOf, KEYS, type Life, N, rowOf, type WorldSettings } from "./handover-life.ts";

type Commit = Life["commits"][number];

export abstract class Disks extends Beliefs {
  /** the operators' words, wherever they were said, and when */
  readonly removedByAnyone: Map<number, number> = new Map();
  readonly lost: boolean[][];
  /** by partition and key: values that were acknowledged, ascending */
  readonly acked: number[][][];
  /** by life and partition: by whom it was proved that its old copy may go, and when that began; who was removed later had it too */
  readonly proofs: Map<string, { readonly by: number; readonly atStep: number }> = new Map();

  constructor(settings: WorldSettings) {
    super(settings);
    const { partitions } = settings;
    this.lost = Array.from({ length: partitions }, () => Array.from({ length: N }, () => false));
    this.acked = Array.from({ length: partitions }, () => Array.from({ length: KEYS }, () => []));
  }

  abstract review(life: Life): void;

  registers(life: Life, partition: number): Int32Array {
    const found = life.data[partition];
    if (found === undefined) throw new Error(`no partition ${partition}`);
    return found;
  }

  /** To be called before a copy is taken away: nothing acknowledged may be in it alone. */
  judgeLoss(life: Life, partition: number): void {
    if (!life.durable.ledger.retained.has(partition)) return;
    const proof = this.proofs.get(`${life.index}/${partition}`);
    const others = this.lives.filter((other) => {
      const { slots, retained, staged } = other.durable.ledger;
      const isCopy = slots[partition] !== -1 || retained.has(partition) || staged.has(partition);
      const removedAt = this.removedByAnyone.get(other.index);
      // Not everyone has heard of a removal at once.
      const hasIt = proof?.by === other.index || removedAt === undefined || removedAt >= (proof?.atStep ?? this.now);
      return other !== life && isCopy && hasIt;
    });
    for (const [key, value] of this.registers(life, partition).entries()) {
      const best = Math.max(0, ...others.map((other) => this.registers(other, partition)[key] ?? 0));
      const isLast = this.acked[partition]?.[key]?.some((acked) => acked > best && acked <= value);
      if (isLast !== true) continue;
      this.violations.push(
        `step ${this.now}: ${partition}/${key} is in no copy: ${value} was dropped, ${best} is left`,
      );
    }
  }

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
    this.changed(life, false);
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
    life.pausedUntil = 0;
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
    this.resetVolatile(life);
    this.rebuild(life);
    this.review(life);
  }

  resetVolatile(life: Life): void {
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
}
