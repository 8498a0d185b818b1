/**
 * Many SWIM cores in one heap of events, without sockets, codec or promises: how fast the dead are found, how often the living
 * are slandered, what it costs. Datagrams are delayed, lost and cut off; processes are paused (nothing runs), starved (timers run,
 * datagrams wait both ways: Lifeguard's anomaly), crashed and restarted. The same seed gives the same run.
 * Source: gossip-ring notes §A.7; Lifeguard (Dadgar et al. 2018) §V.
 */
import { messageBytes } from "../../gossip/core/message-size.ts";
import type { GossipEvent, Message, Sender } from "../../gossip/core/messages.ts";
import { PROFILES, type SwimParameters } from "../../gossip/core/parameters.ts";
import type { Output, TableEntry } from "../../gossip/core/swim-api.ts";
import { SwimCore } from "../../gossip/core/swim-core.ts";
import { SimRandom } from "./sim-random.ts";

/** UDP and IPv4 headers, and the envelope around the frames (names of 7 bytes). */
const DATAGRAM_OVERHEAD_BYTES = 28 + 51;
const DURABLE_AFTER_MS = 5;
/** A line of a digest, and of an entry, in an exchange of tables. */
const DIGEST_BYTES = 18;
const ENTRY_BYTES = 48;

/** What a run begins with. */
export interface SwimSimOptions {
  readonly n: number;
  readonly seed: string;
  readonly parameters?: Partial<SwimParameters>;
  /** of datagrams, 0 … 1 */
  readonly lossRate?: number;
  /** one way, ms; uniform between the two */
  readonly delayMs?: readonly [number, number];
  /** true: all know all at the start; false: they only know the first node's address */
  readonly isAcquainted?: boolean;
}

type EventKind = "timer" | "datagram" | "decision" | "tcp-ping" | "exchange" | "durable" | "seeds" | "resume" | "call";

/** One thing to come. */
class SimEvent {
  atMs = 0;
  order = 0;
  kind: EventKind = "timer";
  /** index of the node that it happens to */
  node = 0;
  /** the life of the process that it was meant for */
  run = 0;
  id = 0;
  sender: Sender | undefined = undefined;
  messages: readonly Message[] = [];
  call: (() => void) | undefined = undefined;
}

/** A heap of events, first by time, then by order of making. */
class EventHeap {
  readonly #heap: SimEvent[] = [];

  get first(): SimEvent | undefined {
    return this.#heap[0];
  }

  push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || isBefore(parent, event)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  }

  pop(): SimEvent | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) break;
      const [a, b] = [heap[left], heap[left + 1]];
      if (a === undefined) break;
      const [child, down] = b !== undefined && isBefore(b, a) ? [b, left + 1] : [a, left];
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
    return top;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** One simulated process. */
export class SimMember {
  readonly index: number;
  readonly nodeId: string;
  readonly address: string;
  core: SwimCore;
  generation: number;
  boot: number;
  /** counts starts: what was meant for an earlier process is dropped */
  run = 0;
  isUp = true;
  /** nothing runs before this time */
  pausedUntilMs = 0;
  /** datagrams wait, both ways, before this time */
  starvedUntilMs = 0;
  /** members of different groups do not hear each other */
  group = 0;
  sentBytes = 0;
  sentCount = 0;
  linkBytes = 0;
  readonly cancelled: Set<number> = new Set();
  readonly backlog: SimEvent[] = [];
  readonly outgoing: SimEvent[] = [];

  constructor(at: { readonly index: number; readonly nodeId: string; readonly address: string }, core: SwimCore) {
    this.index = at.index;
    this.nodeId = at.nodeId;
    this.address = at.address;
    this.core = core;
    this.generation = 1;
    this.boot = 1;
  }
}

/** The simulated cluster. */
export class SwimSim {
  readonly members: SimMember[] = [];
  readonly parameters: SwimParameters;
  readonly random: SimRandom;
  nowMs = 0;
  eventCount = 0;
  lossRate: number;
  /** extra rule: false cuts datagrams from one member to another (links go on) */
  canHear: (from: SimMember, to: SimMember) => boolean = () => true;
  /** extra rule for links alone */
  canLink: (from: SimMember, to: SimMember) => boolean = () => true;
  onEvent: (observer: SimMember, event: GossipEvent, nowMs: number) => void = () => undefined;
  onUser: (observer: SimMember, topic: number, bytes: Uint8Array) => void = () => undefined;
  onLeaveDone: (member: SimMember) => void = () => undefined;
  readonly #delayMs: readonly [number, number];
  readonly #heap = new EventHeap();
  readonly #byAddress = new Map<string, SimMember>();
  #order = 0;

  constructor(options: SwimSimOptions) {
    this.parameters = { ...PROFILES.fast, ...options.parameters };
    this.random = new SimRandom(options.seed);
    this.lossRate = options.lossRate ?? 0;
    this.#delayMs = options.delayMs ?? [0.3, 0.7];
    for (let index = 0; index < options.n; index += 1) this.add(`n-${String(index).padStart(4, "0")}`);
    const isAcquainted = options.isAcquainted ?? true;
    const table = isAcquainted ? this.members.map((member) => lineOf(member)) : [];
    for (const member of this.members) {
      member.core.assume(table, 0);
      this.#start(member);
      if (!isAcquainted) this.#greetSeeds(member);
    }
  }

  /** A further process, not started yet. A name that is already in use makes it a clone. */
  add(nodeId: string): SimMember {
    const index = this.members.length;
    const address = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}:7400`;
    const member = new SimMember({ index, nodeId, address }, this.#coreOf(nodeId, address, 1, index + 1));
    member.boot = index + 1;
    this.members.push(member);
    this.#byAddress.set(address, member);
    return member;
  }

  /** Starts a process that was added, with nobody known; it greets the first node. */
  startAlone(member: SimMember): void {
    this.#start(member);
    this.#greetSeeds(member);
  }

  /** The process ends at once. */
  crash(member: SimMember): void {
    member.isUp = false;
    member.run += 1;
    member.backlog.length = 0;
    member.outgoing.length = 0;
  }

  /** A new process on the same data; `generation` other than the next one is a disk that was rolled back. */
  restart(member: SimMember, generation: number = member.generation + 1): void {
    this.crash(member);
    member.isUp = true;
    member.pausedUntilMs = 0;
    member.starvedUntilMs = 0;
    member.generation = generation;
    member.boot = Math.floor(this.random.float() * 0xffff_ffff);
    member.core = this.#coreOf(member.nodeId, member.address, generation, member.boot);
    this.#start(member);
    this.#greetSeeds(member);
  }

  /** Nothing runs in the process for so long (SIGSTOP). */
  pause(member: SimMember, forMs: number): void {
    member.pausedUntilMs = this.nowMs + forMs;
    this.#push("resume", member, forMs);
  }

  /** Timers run, datagrams wait both ways. */
  starve(member: SimMember, forMs: number): void {
    member.starvedUntilMs = this.nowMs + forMs;
    this.#push("resume", member, forMs);
  }

  /** Splits the cluster: each member's group. */
  split(groupOf: (member: SimMember) => number): void {
    for (const member of this.members) member.group = groupOf(member);
  }

  heal(): void {
    this.split(() => 0);
  }

  /** Runs something at a time from now. */
  after(delayMs: number, call: () => void): void {
    const event = this.#event("call", delayMs);
    event.call = call;
    this.#heap.push(event);
  }

  /** Runs until the time has passed, or `isDone` (looked at every `everyMs`); true when it was done. */
  run(forMs: number, isDone?: () => boolean, everyMs = 10): boolean {
    const endMs = this.nowMs + forMs;
    let lookMs = this.nowMs;
    for (;;) {
      const next = this.#heap.first;
      if (isDone !== undefined && this.nowMs >= lookMs) {
        if (isDone()) return true;
        lookMs = this.nowMs + everyMs;
      }
      if (next === undefined || next.atMs > endMs) break;
      this.#heap.pop();
      this.nowMs = next.atMs;
      this.eventCount += 1;
      this.#happen(next);
    }
    this.nowMs = endMs;
    return isDone?.() ?? false;
  }

  /** Whether all running members take exactly the running members for alive. */
  isWhole(): boolean {
    const up = this.members.filter((member) => member.isUp);
    const hash = up[0]?.core.membersHash;
    return up.every((member) => member.core.membersHash === hash && member.core.liveCount === up.length);
  }

  /** Does with the member's core what is asked, and what follows from it. */
  act(member: SimMember, happen: (core: SwimCore, nowMs: number) => void): void {
    happen(member.core, this.nowMs);
    for (let outputs = member.core.drain(); outputs.length > 0; outputs = member.core.drain()) {
      for (const output of outputs) this.#do(member, output);
    }
  }

  #coreOf(nodeId: string, address: string, generation: number, boot: number): SwimCore {
    const random = this.random.fork(`${nodeId}/${address}`);
    return new SwimCore({
      facts: { nodeId, address, zone: "z" },
      generation,
      boot,
      parameters: this.parameters,
      random: () => random.u32() / 0x1_0000_0000,
      isKept: () => false,
    });
  }

  #start(member: SimMember): void {
    this.act(member, (core, nowMs) => core.start(nowMs));
  }

  #greetSeeds(member: SimMember): void {
    for (const seed of this.members.slice(0, 3)) this.act(member, (core, nowMs) => core.join(seed.address, nowMs));
  }

  #event(kind: EventKind, delayMs: number): SimEvent {
    const event = new SimEvent();
    event.kind = kind;
    event.atMs = this.nowMs + delayMs;
    this.#order += 1;
    event.order = this.#order;
    return event;
  }

  #push(kind: EventKind, member: SimMember, delayMs: number, id = 0): SimEvent {
    const event = this.#event(kind, delayMs);
    event.node = member.index;
    event.run = member.run;
    event.id = id;
    this.#heap.push(event);
    return event;
  }

  #do(member: SimMember, output: Output): void {
    switch (output.kind) {
      case "send":
        this.#send(member, output.to, output.messages);
        return;
      case "timer":
        this.#push("timer", member, output.delayMs, output.id);
        return;
      case "cancel-timer":
        member.cancelled.add(output.id);
        return;
      case "decide-soon":
        this.#push("decision", member, 0, output.id);
        return;
      case "event":
        this.onEvent(member, output.event, this.nowMs);
        return;
      case "user":
        this.onUser(member, output.topic, output.bytes);
        return;
      case "tcp-ping":
        this.#link(member, output.address, (_other) => {
          this.#push("tcp-ping", member, this.#delay(), output.seq);
        });
        return;
      case "sync-with":
        if (output.what === "members") this.#link(member, output.address, (other) => this.#exchange(member, other));
        return;
      case "persist-generation":
        this.#push("durable", member, DURABLE_AFTER_MS, output.generation);
        return;
      case "re-resolve-seeds":
        this.#push("seeds", member, 1);
        return;
      case "leave-done":
        this.onLeaveDone(member);
    }
  }

  #send(from: SimMember, to: string, messages: readonly Message[]): void {
    let bytes = DATAGRAM_OVERHEAD_BYTES;
    for (const message of messages) bytes += messageBytes(message);
    from.sentBytes += bytes;
    from.sentCount += 1;
    const target = this.#byAddress.get(to);
    if (target === undefined) return;
    const event = this.#event("datagram", 0);
    event.node = target.index;
    event.sender = { nodeId: from.nodeId, life: from.core.life, address: from.address, boot: from.boot };
    event.messages = messages;
    event.id = from.index;
    if (from.starvedUntilMs > this.nowMs) from.outgoing.push(event);
    else this.#launch(from, target, event);
  }

  #launch(from: SimMember, to: SimMember, event: SimEvent): void {
    const isLost = this.random.chance(this.lossRate);
    if (isLost || from.group !== to.group || !this.canHear(from, to)) return;
    event.atMs = this.nowMs + this.#delay();
    event.run = to.run;
    this.#heap.push(event);
  }

  /** A question over a link: `then` runs at the other side, if it hears. */
  #link(from: SimMember, address: string, then: (to: SimMember) => void): void {
    const to = this.#byAddress.get(address);
    if (to === undefined) return;
    this.after(this.#delay(), () => {
      const isHeard = to.isUp && from.isUp && to.group === from.group && this.canLink(from, to);
      const isAwake = to.pausedUntilMs <= this.nowMs && to.starvedUntilMs <= this.nowMs;
      if (isHeard && isAwake && from.starvedUntilMs <= this.nowMs) then(to);
    });
  }

  #exchange(a: SimMember, b: SimMember): void {
    const [ofA, ofB] = [a.core.table(this.nowMs), b.core.table(this.nowMs)];
    const entryCount = differences(ofA, ofB);
    const bytes = DIGEST_BYTES * ofA.length + ENTRY_BYTES * entryCount;
    a.linkBytes += bytes;
    b.linkBytes += bytes;
    if (entryCount === 0) return;
    this.act(b, (core, nowMs) => core.onTable(a.nodeId, ofA, nowMs));
    const run = a.run;
    this.after(this.#delay(), () => {
      if (a.isUp && a.run === run && a.pausedUntilMs <= this.nowMs)
        this.act(a, (core, nowMs) => core.onTable(b.nodeId, ofB, nowMs));
    });
  }

  #happen(event: SimEvent): void {
    if (event.kind === "call") {
      event.call?.();
      return;
    }
    const member = this.members[event.node];
    if (member === undefined || !member.isUp || event.run !== member.run) return;
    if (event.kind === "resume") this.#resume(member);
    else if (member.pausedUntilMs > this.nowMs) member.backlog.push(event);
    else if (event.kind === "datagram" && member.starvedUntilMs > this.nowMs) member.backlog.push(event);
    else this.#run(member, event);
  }

  #resume(member: SimMember): void {
    if (member.pausedUntilMs > this.nowMs || member.starvedUntilMs > this.nowMs) return;
    // Expired timers run before what arrived meanwhile, decisions after it: as the loop of Node does it.
    const waiting = member.backlog.splice(0);
    for (const event of waiting) if (event.kind !== "datagram" && event.kind !== "decision") this.#run(member, event);
    for (const event of waiting) if (event.kind === "datagram") this.#run(member, event);
    for (const event of waiting) if (event.kind === "decision") this.#run(member, event);
    for (const event of member.outgoing.splice(0)) {
      const to = this.members[event.node];
      if (to !== undefined) this.#launch(member, to, event);
    }
  }

  #run(member: SimMember, event: SimEvent): void {
    switch (event.kind) {
      case "timer":
        if (!member.cancelled.delete(event.id)) this.act(member, (core, nowMs) => core.onTimer(event.id, nowMs));
        return;
      case "datagram": {
        const { sender, messages } = event;
        if (sender !== undefined) this.act(member, (core, nowMs) => core.onMessages(sender, messages, nowMs));
        return;
      }
      case "decision":
        this.act(member, (core, nowMs) => core.onDecision(event.id, nowMs));
        return;
      case "tcp-ping":
        this.act(member, (core, nowMs) => core.onTcpPing(event.id, true, nowMs));
        return;
      case "durable":
        member.generation = event.id;
        this.act(member, (core, nowMs) => core.onGenerationDurable(event.id, nowMs));
        return;
      case "seeds":
        this.#greetSeeds(member);
        return;
      case "exchange":
      case "resume":
      case "call":
    }
  }

  #delay(): number {
    const [least, most] = this.#delayMs;
    return least + (most - least) * this.random.float();
  }
}

function lineOf(member: SimMember): TableEntry {
  const { nodeId, address } = member;
  return {
    facts: { nodeId, address, zone: "z" },
    life: { generation: member.generation, incarnation: 1 },
    state: "alive",
    ageMs: 0,
  };
}

function differences(a: readonly TableEntry[], b: readonly TableEntry[]): number {
  const told = new Map(b.map((entry) => [entry.facts.nodeId, entry]));
  let count = 0;
  for (const entry of a) {
    const other = told.get(entry.facts.nodeId);
    told.delete(entry.facts.nodeId);
    const isSame =
      other?.state === entry.state &&
      other.life.generation === entry.life.generation &&
      other.life.incarnation === entry.life.incarnation;
    if (!isSame) count += 1;
  }
  return count + told.size;
}
