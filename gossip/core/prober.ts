/**
 * The failure detector: one member is asked in each beat; silent, it is asked through helpers and over a link; silent
 * still at the end of the beat, it is suspected. Must never judge in a timer (what arrived while the loop stood still would be
 * read after it), never after a pause of this process, and never have two probes under way.
 * Source: SWIM §4.1, Lifeguard §IV-A, memberlist's probe (gossip-ring notes §A.1, §0.2, §0.10, §A.6).
 */
import { compareLives } from "./life.ts";
import type { MemberEntry } from "./member-table.ts";
import type { Life, Message, Sender } from "./messages.ts";
import type { Pending } from "./outbox.ts";
import type { ProbeOrder } from "./probe-order.ts";
import type { RumorMill } from "./rumor-mill.ts";
import type { SwimState } from "./swim-state.ts";

interface Probe {
  readonly seq: number;
  readonly entry: MemberEntry;
  /** the life that was asked: its silence says nothing of a later one */
  readonly life: Life;
  /** asked to help; empty before the timeout */
  readonly helpers: MemberEntry[];
  readonly nackedBy: Set<string>;
  isAnswered: boolean;
  hasAskedHelpers: boolean;
  /** this process was late: no verdict */
  isSpoilt: boolean;
}

/** The probes of one node. */
export class Prober {
  readonly #state: SwimState;
  readonly #mill: RumorMill;
  readonly #order: ProbeOrder;
  #probe: Probe | undefined;

  constructor(state: SwimState, parts: { readonly mill: RumorMill; readonly order: ProbeOrder }) {
    this.#state = state;
    this.#mill = parts.mill;
    this.#order = parts.order;
  }

  /** Begins: the first beat comes after a random part of an interval, so that nodes started together do not beat together. */
  start(nowMs: number): void {
    const { parameters, outbox, options } = this.#state;
    outbox.arm({ kind: "beat" }, parameters.probeIntervalMs * options.random(), nowMs);
  }

  /** The end of a beat: the verdict on its probe, and the next one. */
  onBeat(lateMs: number, nowMs: number): void {
    const { parameters, outbox, health } = this.#state;
    const isLate = this.#noteLateness(lateMs);
    if (!isLate) health.onPunctual();
    this.#conclude(isLate, nowMs);
    if (this.#state.loopDelayMs > parameters.loopDelayLimitMs) health.add(1);
    if (this.#state.phase === "alive" && !outbox.isMuted) this.#begin(nowMs);
    outbox.arm({ kind: "beat" }, this.#beatMs, nowMs);
  }

  /** The direct answer is overdue: helpers and the link are asked. */
  onTimeout(timer: Pending & { readonly lateMs: number }): void {
    const probe = this.#probe;
    if (probe === undefined || timer.purpose.kind !== "probe-timeout" || timer.purpose.seq !== probe.seq) return;
    if (timer.lateMs > this.#state.parameters.probeIntervalMs) probe.isSpoilt = true;
    this.#askHelpers(probe);
  }

  /** The system refused the datagram: no use to wait for the answer. */
  onSendFailed(nodeId: string): void {
    const probe = this.#probe;
    if (probe?.entry.nodeId === nodeId) this.#askHelpers(probe);
  }

  /** An answer to the probe under way; the member that was asked, when it is one. */
  onAck(seq: number, sender: Sender): MemberEntry | undefined {
    const probe = this.#probe;
    if (probe?.seq !== seq) return undefined;
    const isDirect = sender.nodeId === probe.entry.nodeId;
    if (!isDirect && !probe.helpers.some((helper) => helper.nodeId === sender.nodeId)) return undefined;
    if (!isDirect && !probe.isAnswered) this.#state.counters.indirectAcks += 1;
    this.#answered(probe);
    return probe.entry;
  }

  onNack(seq: number, sender: Sender): void {
    const probe = this.#probe;
    if (probe?.seq === seq && probe.helpers.some((helper) => helper.nodeId === sender.nodeId))
      probe.nackedBy.add(sender.nodeId);
  }

  onTcpPing(seq: number, ok: boolean): void {
    const probe = this.#probe;
    if (probe?.seq !== seq || !ok || probe.isAnswered) return;
    this.#state.counters.tcpOnlyAcks += 1;
    this.#answered(probe);
  }

  get #beatMs(): number {
    return this.#state.parameters.probeIntervalMs * (this.#state.health.score + 1);
  }

  #noteLateness(lateMs: number): boolean {
    if (lateMs <= this.#state.parameters.probeIntervalMs) return false;
    this.#state.health.add(1);
    return true;
  }

  #begin(nowMs: number): void {
    const { parameters, outbox, counters } = this.#state;
    const entry = this.#order.next();
    if (entry === undefined) return;
    const seq = this.#state.nextSeq();
    this.#probe = {
      seq,
      entry,
      life: entry.life,
      helpers: [],
      nackedBy: new Set(),
      isAnswered: false,
      hasAskedHelpers: false,
      isSpoilt: false,
    };
    counters.probes += 1;
    const messages: Message[] = [{ kind: "ping", seq, target: entry.nodeId, hashes: this.#state.hashes }];
    // Who is suspected must hear of it from whoever asks it: it can refute at once (Lifeguard's buddy system).
    if (entry.state === "suspect")
      messages.push({ kind: "suspect", nodeId: entry.nodeId, life: entry.life, from: this.#state.nodeId });
    this.#state.sendTo(entry, messages);
    outbox.arm({ kind: "probe-timeout", seq }, parameters.probeTimeoutMs, nowMs);
  }

  #askHelpers(probe: Probe): void {
    if (probe.isAnswered || probe.hasAskedHelpers) return;
    probe.hasAskedHelpers = true;
    const { table, parameters, options, outbox } = this.#state;
    const { seq, entry } = probe;
    table.pick(parameters.indirectCount, probe.helpers, {
      random: options.random,
      isWanted: (other) => other !== entry && other.state === "alive",
    });
    const request: Message = {
      kind: "ping-req",
      seq,
      target: entry.nodeId,
      targetAddress: entry.facts.address,
      timeoutMs: parameters.probeTimeoutMs,
    };
    for (const helper of probe.helpers) this.#state.sendTo(helper, [request]);
    if (!outbox.isMuted) outbox.push({ kind: "tcp-ping", seq, nodeId: entry.nodeId, address: entry.facts.address });
  }

  #answered(probe: Probe): void {
    if (probe.isAnswered) return;
    probe.isAnswered = true;
    this.#state.health.add(-1);
  }

  #conclude(isLate: boolean, nowMs: number): void {
    const probe = this.#probe;
    this.#probe = undefined;
    if (probe === undefined || probe.isAnswered) return;
    const { counters, health, outbox, phase } = this.#state;
    const mayJudge = phase === "alive" && !outbox.isMuted;
    const isSpoilt = (isLate || probe.isSpoilt) && health.mayAbstain(nowMs);
    if (!mayJudge || isSpoilt || compareLives(probe.entry.life, probe.life) > 0) {
      counters.discardedProbes += 1;
      return;
    }
    counters.failedProbes += 1;
    // Helpers that did not even say that they heard nothing show that this node is the one that is not heard.
    health.add(probe.helpers.length > 0 ? probe.helpers.length - probe.nackedBy.size : 1);
    if (probe.entry.isLive) this.#mill.accuse(probe.entry, nowMs);
  }
}
