/** How copies of partitions travel in the hand-over's world, and how they are emptied. */
import type { HandoverRequest } from "../../services/cluster/handover-messages.ts";
import type { MergeEffect } from "../../services/cluster/handover-steps.ts";
import type { MemberKey } from "../../services/placement/member-record.ts";
import { Clients } from "./handover-clients.ts";
import { type Attempt, indexOf, KEYS, type Life } from "./handover-life.ts";

const PAGE_KEYS = 3;
const SMALL_DELTA = 2;
/** Instead of a page: what is held here may lack what it had. */
const SUSPECT = "suspect";
const FAIL_RATE = 0.1;
const AGAIN_STEPS = 300;
const GIVE_STEPS = 100;

/** A page of what was written since. */
export interface ChangesBody {
  readonly pairs: readonly (readonly [number, number])[];
  readonly seq: number;
}

/** Why a copy is emptied, and who still wants it. */
export interface Emptying {
  readonly isWanted: () => boolean;
  readonly onDone: () => void;
}

export abstract class Copies extends Clients {
  /** The removal of a copy fails now and then, and is tried again while it is wanted. */
  empty(life: Life, partition: number, order: Emptying): void {
    const again = (): void => {
      if (!order.isWanted() && this.settings.seams.isEmptiedRegardless !== true) return;
      if (this.float() < FAIL_RATE) return this.atNode(life, AGAIN_STEPS, again);
      this.judgeLoss(life, partition);
      this.registers(life, partition).fill(0);
      this.proofs.delete(`${life.index}/${partition}`);
      life.suspect.delete(partition);
      order.onDone();
    };
    this.atNode(life, 1 + this.below(4), again);
  }

  closeGate(life: Life, partition: number, then: () => void): void {
    life.isGateClosed[partition] = true;
    if (life.writing[partition] === 0) then();
    else life.gateWaiters[partition]?.push(then);
  }

  page(life: Life, partition: number, request: HandoverRequest): unknown {
    if (request.kind === "changes") {
      const attempt = life.attempts.get(request.tx);
      return attempt === undefined ? undefined : this.changes(life, attempt, request.body as number);
    }
    if (request.kind === "mint-pull" && life.suspect.has(partition) && !request.takesSuspect) return SUSPECT;
    const first = "body" in request ? (request.body as number) : 0;
    return [...this.registers(life, partition).subarray(first, first + PAGE_KEYS)];
  }

  changes(life: Life, attempt: Attempt, since: number): ChangesBody {
    const registers = this.registers(life, attempt.partition);
    const pairs = [...attempt.dirty]
      .filter(([, seq]) => seq > since)
      .map(([key]) => [key, registers[key] ?? 0] as const);
    return { pairs, seq: attempt.seq };
  }

  receive(
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

  merge(
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
  prove(
    life: Life,
    partition: number,
    { to, highestSlot }: { readonly to: MemberKey; readonly highestSlot: number },
    then: (isCovered: boolean) => void,
  ): void {
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
      const op = { kind: "write", at: life, partition, key, value: registers[key] ?? 0 } as const;
      this.send([life, holder], () => this.atReplica(holder, op, () => settle(true)));
      this.atNode(life, GIVE_STEPS, () => settle(false));
    };
    const atStep = this.now;
    const pull = (first: number): void => {
      if (life.removed.has(holder.index)) return then(false);
      if (first >= KEYS) {
        this.proofs.set(`${life.index}/${partition}`, { by: holder.index, atStep });
        return then(true);
      }
      const request = {
        kind: "mint-pull",
        partition,
        from: life.key,
        tx: 0,
        body: first,
        takesSuspect: false,
      } as const;
      this.ask(life, holder, request, (reply) => {
        if (reply?.kind !== "page" || reply.slot > highestSlot || reply.body === SUSPECT) return then(false);
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
}
