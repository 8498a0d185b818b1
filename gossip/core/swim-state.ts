/**
 * What the parts of the core share: options, members, news, outputs, and the small acts that all of them need.
 * Must never decide about a member; that is the mill's. Source: gossip-ring notes part C item 1.
 */
import { Dissemination } from "./dissemination.ts";
import { LocalHealth } from "./health.ts";
import { hashOfEntry, hashOfName, type MemberEntry, MemberTable, memberOf } from "./member-table.ts";
import { messageBytes } from "./message-size.ts";
import type { Fitness, GossipEvent, Life, MemberState, Message, Rumor, StateHashes } from "./messages.ts";
import { Outbox } from "./outbox.ts";
import { retransmitLimit, type SwimParameters } from "./parameters.ts";
import type { SwimCounters, SwimOptions } from "./swim-api.ts";

const MAX_LOOP_LAG = 255;

/** State shared by the parts of one core. */
export class SwimState {
  readonly options: SwimOptions;
  readonly parameters: SwimParameters;
  readonly table: MemberTable = new MemberTable();
  readonly queue: Dissemination;
  readonly outbox: Outbox = new Outbox();
  readonly health: LocalHealth;
  readonly counters: SwimCounters = {
    probes: 0,
    failedProbes: 0,
    discardedProbes: 0,
    indirectAcks: 0,
    tcpOnlyAcks: 0,
    refutations: 0,
    syncs: 0,
    droppedRumors: 0,
  };
  readonly #nameHash: number;
  #life: Life;
  /** of this node: it is alive, or has said farewell */
  phase: "alive" | "leaving" | "halted" = "alive";
  recordsHash = 0n;
  loopDelayMs = 0;
  isDiskWritable = true;
  isDegraded = false;
  #lastSeq: number;

  constructor(options: SwimOptions) {
    this.options = options;
    this.parameters = options.parameters;
    this.queue = new Dissemination(options.parameters.queueCap);
    this.health = new LocalHealth({
      ceiling: options.parameters.healthCeiling,
      abstainLimitMs: options.parameters.abstainLimitMs,
    });
    this.#life = { generation: options.generation, incarnation: 1 };
    this.#nameHash = hashOfName(options.facts.nodeId);
    this.#lastSeq = Math.floor(options.random() * 0x1_0000_0000);
  }

  get nodeId(): string {
    return this.options.facts.nodeId;
  }

  get life(): Life {
    return this.#life;
  }

  set life(life: Life) {
    this.#life = life;
  }

  /** How this node stands in the table that it tells. */
  get selfState(): MemberState {
    return this.phase === "leaving" ? "left" : "alive";
  }

  get hashes(): StateHashes {
    return { members: this.membersHash, records: this.recordsHash };
  }

  get membersHash(): number {
    return (this.table.hash + hashOfEntry(this.#nameHash, this.#life, this.selfState)) >>> 0;
  }

  get fitness(): Fitness {
    const loopLag = Math.min(MAX_LOOP_LAG, Math.max(0, Math.round(Math.log2(Math.max(1, this.loopDelayMs)))));
    const { isDiskWritable, isDegraded } = this;
    return { health: this.health.score, loopLag, isDiskWritable, isDegraded };
  }

  /** Members that may be alive, this one included. */
  get liveCount(): number {
    return this.table.live.length + 1;
  }

  get ownAlive(): Rumor {
    return { kind: "alive", life: this.#life, facts: this.options.facts };
  }

  nextSeq(): number {
    this.#lastSeq = (this.#lastSeq + 1) >>> 0;
    return this.#lastSeq;
  }

  /** Queues news of a member; the own goes first. */
  spread(rumor: Rumor): void {
    const subject = subjectOf(rumor);
    this.queue.put(rumor, { newsClass: 0, subject, isFirst: subject === this.nodeId });
    this.counters.droppedRumors = this.queue.droppedCount;
  }

  tellListeners(kind: Exclude<GossipEvent["kind"], "duplicate-identity">, entry: MemberEntry): void {
    this.outbox.event({ kind, member: memberOf(entry) });
  }

  /** Sends a datagram: these messages, and news in the room that is left. */
  sendTo(entry: MemberEntry, messages: Message[]): void {
    this.#send(entry.facts.address, entry, messages);
  }

  /** Sends to where a datagram came from, or to an address only named to us. */
  sendToAddress(address: string, entry: MemberEntry | undefined, messages: Message[]): void {
    this.#send(address, entry, messages);
  }

  /** Queues a datagram of news alone; nothing when there are none. */
  gossipTo(entry: MemberEntry, messages: Message[]): void {
    const before = messages.length;
    this.#fill(entry, messages);
    if (messages.length > before) this.outbox.send(entry.facts.address, entry.nodeId, messages);
  }

  /** At most one such act a second for a member: true when it may be done now. */
  mayTell(entry: MemberEntry, nowMs: number): boolean {
    if (nowMs - entry.toldAtMs < 1000) return false;
    entry.toldAtMs = nowMs;
    return true;
  }

  #send(address: string, entry: MemberEntry | undefined, messages: Message[]): void {
    this.#fill(entry, messages);
    this.outbox.send(address, entry?.nodeId, messages);
  }

  #fill(entry: MemberEntry | undefined, messages: Message[]): void {
    if (this.queue.size === 0 || this.outbox.isMuted) return;
    let room = this.parameters.datagramBytes;
    for (const message of messages) room -= messageBytes(message);
    const limit = retransmitLimit(this.parameters, this.liveCount);
    this.queue.addTo(messages, room, { limit, isCounted: entry?.state === "alive" });
  }
}

/** Whom a rumor is about. */
export function subjectOf(rumor: Rumor): string {
  return rumor.kind === "alive" ? rumor.facts.nodeId : rumor.nodeId;
}
