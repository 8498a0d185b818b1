/** The clients of the hand-over's world, and its replicas: strict quorums of distinct slots, whoever coordinates them. */
import { Disks } from "./handover-disks.ts";
import { KEYS, type Life, QUORUM } from "./handover-life.ts";
import { OP_STEPS } from "./handover-timeline.ts";

const SLOW_RATE = 0.15;

/** What a replica is asked. */
export interface ReplicaOp {
  readonly kind: "read" | "write";
  readonly at: Life;
  readonly partition: number;
  readonly key: number;
  readonly value: number;
}

export abstract class Clients extends Disks {
  #nextValue = 1;

  /** A read or a write through any node that thinks itself a member, or was one, sent to whomever it happens to think of. */
  operate(kind: "read" | "write"): void {
    const able = this.lives.filter(
      (one) => one.isUp && one.status !== "none" && (one.status !== "left" || this.float() < 0.3),
    );
    const at = able[this.below(able.length)];
    if (at === undefined || at.removed.has(at.index)) return;
    const partition = this.below(this.settings.partitions);
    const key = this.below(KEYS);
    const value = kind === "write" ? this.#nextValue : 0;
    this.#nextValue += 1;
    const needed = this.acked[partition]?.[key]?.at(-1) ?? 0;
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
      this.send([at, replica], () => this.atReplica(replica, { kind, at, partition, key, value }, take), SLOW_RATE);
    }
  }

  atReplica(replica: Life, op: ReplicaOp, take: (from: number, slot: number, value: number) => void): void {
    const { partition, key, at } = op;
    const isRefused = (): boolean =>
      replica.held[partition] === -1 || replica.removed.has(at.index) || replica.removed.has(replica.index);
    if (isRefused()) return;
    const registers = this.registers(replica, partition);
    const answer = (): void => {
      const slot = replica.held[partition] ?? -1;
      const value = registers[key] ?? 0;
      if (slot !== -1) this.send([replica, at], () => take(replica.index, slot, value), SLOW_RATE);
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
    const acked = this.acked[op.partition]?.[op.key];
    if (acked === undefined) return;
    if (kind === "write") {
      this.counts.writes += 1;
      acked.push(op.value);
      acked.sort((a, b) => a - b);
    } else {
      this.counts.reads += 1;
      if (op.best < op.needed && !this.settings.isBeyondBearing) {
        this.violations.push(`step ${this.now}: a read of ${op.partition}/${op.key} saw ${op.best}, not ${op.needed}`);
      }
    }
  }
}
