/**
 * A small world for the real cores of the hand-over: nodes that crash, pause and forget what was not durable, a network that
 * loses, doubles, delays and splits, records that spread by gossip, and a few registers of data per partition. Everything
 * comes from one seed. Here: the shell of the cores.
 */
import type { HandoverReply, HandoverRequest } from "../../services/cluster/handover-messages.ts";
import { answerMint } from "../../services/cluster/handover-mint-answer-core.ts";
import type { HandoverEffect, HandoverEvent } from "../../services/cluster/handover-steps.ts";
import { type ChangesBody, Copies } from "./handover-copies.ts";
import { rootOf } from "./handover-draws.ts";
import {
  type Core,
  type Cores,
  indexOf,
  LIVES,
  type Life,
  N,
  newLife,
  type PlantedWorld,
  type Role,
  rowOf,
  type WorldSettings,
} from "./handover-life.ts";

const FIRST_MEMBERS = 4;

export class World extends Copies implements PlantedWorld {
  /** left, known to have, and switched off for good, or begun anew under another key: nobody answers for them */
  readonly retired: Set<number> = new Set();
  /** newcomers that are seldom heard of */
  readonly shy: Set<number> = new Set();
  #calls = new Map<number, (reply: HandoverReply) => void>();
  #lastCall = 0;

  get planted(): PlantedWorld {
    return this;
  }

  constructor(settings: WorldSettings) {
    super(settings);
    const { partitions } = settings;
    for (let index = 0; index < LIVES; index += 1) {
      const life = newLife(index, partitions);
      this.resetVolatile(life);
      this.lives.push(life);
    }
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
      this.rebuild(life);
    }
  }

  coresOf(life: Life, partition: number): Cores {
    const cores = life.cores[partition];
    if (cores === undefined) throw new Error(`no partition ${partition}`);
    return cores;
  }

  feed(life: Life, partition: number, role: Role, event: HandoverEvent): void {
    const core: Core = this.coresOf(life, partition)[role];
    this.run(life, partition, role, core.take(event, this.facts(life, partition, role)));
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
      if (isOther && this.float() < 0.2)
        this.run(life, partition, "mint", mint.stop(this.facts(life, partition, "mint")));
      return;
    }
    if (receiver.stage !== "idle" || life.ledger.slots[partition] !== -1) return;
    const target = this.target(life, partition);
    if (!target.includes(life.index)) return;
    const donors = this.holders(life, partition).filter((holder) => !target.includes(indexOf(holder.key)));
    const donor = donors[this.below(donors.length)];
    if (donor !== undefined && (slot === undefined || this.float() < 0.5)) {
      this.run(life, partition, "receiver", receiver.start(donor.key, this.facts(life, partition, "receiver")));
    } else if (slot !== undefined) {
      this.run(life, partition, "mint", mint.start(slot, this.facts(life, partition, "mint")));
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
        const body = this.page(life, partition, effect.request);
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
        this.closeGate(life, partition, () =>
          later(() => {
            const attempt = life.attempts.get(effect.tx);
            if (attempt === undefined || life.isGateClosed[partition] !== true) return;
            const body = this.changes(life, attempt, 0);
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
      case "clear": {
        const core = role === "mint" ? this.coresOf(life, partition).mint : this.coresOf(life, partition).receiver;
        const isWanted = (): boolean => core.stage === "clearing";
        this.empty(life, partition, { isWanted, onDone: () => feed({ kind: "cleared" }) });
        break;
      }
      case "receive":
        this.receive(life, partition, effect, (result) =>
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
        this.merge(life, partition, effect, (slot, isSuspect) =>
          feed({ kind: "merged", from: effect.from, tx: effect.tx, slot, isSuspect }),
        );
        break;
      case "prove":
        this.prove(life, partition, effect, (isCovered) => feed({ kind: "proved", isCovered }));
        break;
      case "drop": {
        const { oldCopy } = this.coresOf(life, partition);
        this.empty(life, partition, { isWanted: () => oldCopy.isDropping, onDone: () => feed({ kind: "dropped" }) });
        break;
      }
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
      this.learnNews(at, request.news);
      // Durable before it goes on.
      this.atNode(at, 1 + this.below(3), () => this.#answer(at, request, reply));
    } else {
      this.#answer(at, request, reply);
    }
  }

  #answer(at: Life, request: HandoverRequest, reply: (reply: HandoverReply) => void): void {
    const { partition } = request;
    const answer = answerMint(request, this.facts(at, partition, "answer"));
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
}
