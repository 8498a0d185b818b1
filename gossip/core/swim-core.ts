/**
 * SWIM with Lifeguard as one state machine: messages, timers and commands in, things to do out. Joins the parts and routes to
 * them. Must never wait, draw or send by itself, and never throw on anything that a member may say.
 * Source: SWIM (Das et al. 2002), Lifeguard (Dadgar et al. 2018); gossip-ring notes part A.
 */
import assert from "node:assert/strict";
import { Exchange } from "./exchange.ts";
import { Gossiper } from "./gossiper.ts";
import { Helper } from "./helper.ts";
import { type MemberEntry, memberOf } from "./member-table.ts";
import type { Life, Member, Message, OwnFitness, Rumor, Sender } from "./messages.ts";
import type { Pending } from "./outbox.ts";
import { faultOf } from "./parameters.ts";
import { ProbeOrder } from "./probe-order.ts";
import { Prober } from "./prober.ts";
import { RumorMill } from "./rumor-mill.ts";
import { isRumor } from "./rumor-rules.ts";
import { SelfKeeper } from "./self-keeper.ts";
import type { Output, Publication, Swim, SwimCounters, SwimOptions, TableEntry } from "./swim-api.ts";
import { SwimState } from "./swim-state.ts";

/** One node's view of who is alive. */
export class SwimCore implements Swim {
  readonly #state: SwimState;
  readonly #order: ProbeOrder;
  readonly #self: SelfKeeper;
  readonly #mill: RumorMill;
  readonly #prober: Prober;
  readonly #helper: Helper;
  readonly #exchange: Exchange;
  readonly #gossiper: Gossiper;
  #startedMs = 0;

  constructor(options: SwimOptions) {
    assert.equal(faultOf(options.parameters), undefined);
    this.#state = new SwimState(options);
    this.#order = new ProbeOrder(options.random);
    this.#self = new SelfKeeper(this.#state);
    this.#exchange = new Exchange(this.#state);
    this.#mill = new RumorMill(this.#state, {
      self: this.#self,
      order: this.#order,
      onUnknown: (sender, nowMs) => this.#exchange.onUnknown(sender, nowMs),
    });
    this.#prober = new Prober(this.#state, { mill: this.#mill, order: this.#order });
    this.#helper = new Helper(this.#state);
    this.#gossiper = new Gossiper(this.#state);
  }

  get life(): Life {
    return this.#state.life;
  }

  get membersHash(): number {
    return this.#state.membersHash;
  }

  /** Members that may be alive, this one included. */
  get liveCount(): number {
    return this.#state.liveCount;
  }

  get health(): number {
    return this.#state.health.score;
  }

  get counters(): Readonly<SwimCounters> {
    return this.#state.counters;
  }

  start(nowMs: number): void {
    this.#startedMs = nowMs;
    this.#self.announce();
    this.#prober.start(nowMs);
    this.#gossiper.start(nowMs);
    this.#exchange.start(nowMs);
  }

  /** Takes members as known from elsewhere, before the start: no news, no events. */
  assume(table: readonly TableEntry[], nowMs: number): void {
    for (const told of table) this.#mill.assume(told, nowMs);
  }

  drain(): readonly Output[] {
    return this.#state.outbox.drain();
  }

  onMessages(sender: Sender, messages: readonly Message[], nowMs: number): void {
    if (this.#state.phase === "halted") return;
    if (sender.nodeId === this.#state.nodeId) {
      this.#self.onOwnName(sender, nowMs);
      return;
    }
    // What the sender says of itself comes first: its header may speak of a life that this datagram explains.
    for (const message of messages) {
      if (message.kind === "alive" && message.facts.nodeId === sender.nodeId)
        this.#mill.onRumor(message, sender, nowMs);
    }
    const entry = this.#state.table.get(sender.nodeId);
    const wasDead = entry?.state === "dead";
    if (entry === undefined) this.#exchange.onUnknown(sender, nowMs);
    else this.#mill.onHeader(entry, sender, nowMs);
    if (wasDead && entry.isLive) this.#exchange.begin(entry, "members", nowMs);
    // Rumors before pings: the answer of one who was accused carries its refutation.
    for (const message of messages) if (isRumor(message)) this.#onOthersRumor(sender, message, nowMs);
    for (const message of messages) if (!isRumor(message)) this.#onMessage(sender, message, nowMs);
  }

  onTimer(id: number, nowMs: number): void {
    const timer = this.#state.outbox.takeTimer(id);
    if (timer === undefined) return;
    const { purpose } = timer;
    switch (purpose.kind) {
      case "beat":
      case "probe-timeout":
      case "suspicion":
        this.#state.outbox.decideSoon(timer, nowMs);
        return;
      case "gossip":
        this.#gossiper.onTick(nowMs);
        return;
      case "recontact":
        this.#gossiper.onRecontact(nowMs);
        return;
      case "seeds":
        this.#gossiper.onSeedsDue(nowMs);
        return;
      case "sweep":
        this.#gossiper.onSweep(nowMs);
        return;
      case "sync":
        this.#exchange.onForced(nowMs);
        return;
      case "relay-nack":
        this.#helper.onNackDue(purpose.seq, nowMs);
        return;
      case "relay-end":
        this.#helper.onEnd(purpose.seq);
    }
  }

  onDecision(id: number, nowMs: number): void {
    const decision = this.#state.outbox.takeDecision(id);
    if (decision === undefined) return;
    const { kind } = decision.purpose;
    if (kind === "beat") this.#prober.onBeat(decision.lateMs, nowMs);
    else if (kind === "probe-timeout") this.#prober.onTimeout(decision);
    else if (kind === "suspicion") this.#onSuspicionOver(decision, nowMs);
  }

  onTcpPing(seq: number, ok: boolean, _nowMs: number): void {
    this.#prober.onTcpPing(seq, ok);
  }

  onSendFailed(nodeId: string, _nowMs: number): void {
    this.#prober.onSendFailed(nodeId);
  }

  onTable(peer: string, table: readonly TableEntry[], nowMs: number): void {
    if (this.#state.phase === "halted") return;
    for (const told of table) this.#mill.onTableEntry(told, peer, nowMs);
  }

  onGenerationDurable(generation: number, _nowMs: number): void {
    this.#self.onDurable(generation);
  }

  join(address: string, _nowMs: number): void {
    if (this.#state.phase === "alive") this.#gossiper.greet(address);
  }

  leave(nowMs: number): void {
    this.#gossiper.leave(nowMs);
  }

  setRecordsHash(hash: bigint): void {
    this.#state.recordsHash = hash;
  }

  setFitness(loopDelayMs: number, { isDiskWritable, isDegraded }: OwnFitness): void {
    this.#state.loopDelayMs = loopDelayMs;
    this.#state.isDiskWritable = isDiskWritable;
    this.#state.isDegraded = isDegraded;
  }

  publish(publication: Publication): void {
    const { topic, subject, bytes, priority } = publication;
    this.#state.queue.put(
      { kind: "user", topic, bytes },
      { newsClass: priority === "ring" ? 1 : 2, subject: `${topic}/${subject}` },
    );
  }

  members(): readonly Member[] {
    return [this.#ownMember(), ...Array.from(this.#state.table.all(), memberOf)];
  }

  member(nodeId: string): Member | undefined {
    if (nodeId === this.#state.nodeId) return this.#ownMember();
    const entry = this.#state.table.get(nodeId);
    return entry && memberOf(entry);
  }

  table(nowMs: number): readonly TableEntry[] {
    const own: TableEntry = {
      facts: this.#state.options.facts,
      life: this.#state.life,
      state: this.#state.selfState,
      ageMs: nowMs - this.#startedMs,
    };
    const entries = [own];
    for (const { isTold, facts, life, state, sinceMs } of this.#state.table.all()) {
      if (isTold) entries.push({ facts, life, state, ageMs: nowMs - sinceMs });
    }
    return entries;
  }

  #ownMember(): Member {
    const { options, life, selfState, fitness, recordsHash } = this.#state;
    return { facts: options.facts, life, state: selfState, sinceMs: this.#startedMs, fitness, recordsHash };
  }

  #onOthersRumor(sender: Sender, rumor: Rumor, nowMs: number): void {
    if (rumor.kind !== "alive" || rumor.facts.nodeId !== sender.nodeId) this.#mill.onRumor(rumor, sender, nowMs);
  }

  #onMessage(sender: Sender, message: Exclude<Message, Rumor>, nowMs: number): void {
    switch (message.kind) {
      case "ping":
        this.#onPing(sender, message, nowMs);
        return;
      case "ack":
        this.#onAck(sender, message, nowMs);
        return;
      case "ping-req":
        this.#helper.onRequest(sender, message, nowMs);
        return;
      case "nack":
        this.#prober.onNack(message.seq, sender);
        return;
      case "pull":
        this.#onPull(sender, message.what, nowMs);
        return;
      case "user":
        this.#state.outbox.push({ kind: "user", from: sender.nodeId, topic: message.topic, bytes: message.bytes });
    }
  }

  #onPing(sender: Sender, ping: Extract<Message, { kind: "ping" }>, nowMs: number): void {
    const { nodeId, hashes, fitness, table, ownAlive } = this.#state;
    if (ping.target !== nodeId && ping.target !== "") return;
    const entry = table.get(sender.nodeId);
    if (entry?.isLive === true) this.#exchange.compare(entry, ping.hashes, { nowMs, isGreeting: false });
    const answer: Message[] = [{ kind: "ack", seq: ping.seq, hashes, fitness }];
    // Who greets does not know who lives here.
    if (ping.target === "") answer.unshift(ownAlive);
    this.#state.sendToAddress(sender.address, entry, answer);
  }

  #onAck(sender: Sender, ack: Extract<Message, { kind: "ack" }>, nowMs: number): void {
    const isGreeting = this.#gossiper.takeGreeting(ack.seq);
    const probed = isGreeting ? this.#state.table.get(sender.nodeId) : this.#prober.onAck(ack.seq, sender);
    if (probed !== undefined) this.#learn(probed, { ack, isGreeting }, nowMs);
    else this.#helper.onAck(ack, sender);
  }

  #learn(
    entry: MemberEntry,
    said: { readonly ack: Extract<Message, { kind: "ack" }>; readonly isGreeting: boolean },
    nowMs: number,
  ): void {
    entry.fitness = said.ack.fitness;
    this.#exchange.compare(entry, said.ack.hashes, { nowMs, isGreeting: said.isGreeting });
  }

  #onPull(sender: Sender, what: "members" | "records", nowMs: number): void {
    const entry = this.#state.table.get(sender.nodeId);
    if (entry !== undefined) this.#exchange.begin(entry, what, nowMs);
  }

  #onSuspicionOver(decision: Pending & { readonly lateMs: number }, nowMs: number): void {
    const { purpose, lateMs } = decision;
    if (purpose.kind !== "suspicion" || purpose.entry.suspicion !== purpose.suspicion) return;
    const { entry, suspicion } = purpose;
    const { probeIntervalMs, abstainLimitMs } = this.#state.parameters;
    if (suspicion.dueMs > nowMs) {
      if (this.#state.phase === "alive") this.#mill.askOnceMore(entry, suspicion);
      this.#mill.arm(entry, suspicion, nowMs);
      return;
    }
    // While this process stood still nobody could object to it; the time did not count, once.
    if (lateMs > probeIntervalMs && !suspicion.hasGrace) {
      suspicion.grant(nowMs - suspicion.dueMs + Math.min(lateMs, abstainLimitMs));
      this.#mill.arm(entry, suspicion, nowMs);
      return;
    }
    this.#mill.onExpired(entry, nowMs);
  }
}
