/**
 * What goes out without being asked for: news to a few members each tick, words to the dead so that they can object, greetings
 * to seeds, and in the end the farewell. Must never give the dead up while a split may yet heal.
 * Source: memberlist's gossip and gossip to the dead, serf's reconnect (gossip-ring notes §A.1, §A.6).
 */
import type { MemberEntry } from "./member-table.ts";
import type { Message } from "./messages.ts";
import type { SwimState } from "./swim-state.ts";

/** How soon a node that hears nobody asks for seeds again, at first: its greetings may be lost, or it is the first to start. */
const FIRST_LONELY_MS = 1000;
/** Dead members greeted in one round of re-contact, at most. */
const RECONTACTS = 3;
/** A farewell that nobody takes is given up after so many lingers. */
const MOST_LINGERS = 5;
const SWEEP_INTERVAL_MS = 60_000;
/** Tombstones older than this part of their time count no more in hash and table: all forget them at about the same time. */
const FADING_SHARE = 0.5;
/** Greetings whose answer is awaited, at most. */
const MAX_GREETINGS = 1024;

/** The talker. */
export class Gossiper {
  readonly #state: SwimState;
  readonly #picked: MemberEntry[] = [];
  readonly #greetings = new Set<number>();
  #leftAtMs: number | undefined;
  /** when seeds were asked for last, and how long a node that is alone waits before it asks again */
  #seedsAtMs = 0;
  #lonelyMs = FIRST_LONELY_MS;

  constructor(state: SwimState) {
    this.#state = state;
  }

  start(nowMs: number): void {
    const { outbox, parameters, options } = this.#state;
    outbox.arm({ kind: "gossip" }, parameters.gossipIntervalMs * options.random(), nowMs);
    outbox.arm({ kind: "recontact" }, parameters.recontactIntervalMs * options.random(), nowMs);
    this.#seedsAtMs = nowMs;
    outbox.arm({ kind: "seeds" }, FIRST_LONELY_MS, nowMs);
    outbox.arm({ kind: "sweep" }, SWEEP_INTERVAL_MS, nowMs);
  }

  /** News to some of the living and of those who died lately. */
  onTick(nowMs: number): void {
    const { queue, parameters, outbox } = this.#state;
    if (queue.size > 0) {
      this.#choose(nowMs);
      for (const entry of this.#picked) this.#state.gossipTo(entry, accusationOf(entry, this.#state.nodeId));
      this.#picked.length = 0;
    }
    this.#endLeave(nowMs);
    outbox.arm({ kind: "gossip" }, parameters.gossipIntervalMs, nowMs);
  }

  /** Some of the dead are greeted: the more of them there are for each of the living, the likelier. */
  onRecontact(nowMs: number): void {
    const { table, options, outbox, parameters, liveCount, phase } = this.#state;
    const likelihood = table.dead.length / liveCount;
    for (let round = 0; round < Math.min(RECONTACTS, table.dead.length); round += 1) {
      if (phase !== "alive" || options.random() >= likelihood) continue;
      const entry = table.dead[Math.floor(options.random() * table.dead.length)];
      if (entry === undefined || entry.facts.address === "") continue;
      const greeting = this.#greetingTo(entry.nodeId);
      this.#state.sendTo(entry, [greeting, ...accusationOf(entry, this.#state.nodeId)]);
    }
    outbox.arm({ kind: "recontact" }, parameters.recontactIntervalMs, nowMs);
  }

  /** Seeds are asked for now and then, and again and again by a node that hears nobody. */
  onSeedsDue(nowMs: number): void {
    const { table, outbox, parameters } = this.#state;
    const isAlone = table.live.length === 0;
    const leftMs = this.#seedsAtMs + parameters.seedIntervalMs - nowMs;
    if (isAlone || leftMs <= 0) {
      outbox.push({ kind: "re-resolve-seeds" });
      this.#seedsAtMs = nowMs;
    }
    this.#lonelyMs = isAlone ? Math.min(2 * this.#lonelyMs, parameters.seedIntervalMs / 4) : FIRST_LONELY_MS;
    const nextMs = leftMs > 0 ? leftMs : parameters.seedIntervalMs;
    outbox.arm({ kind: "seeds" }, isAlone ? this.#lonelyMs : nextMs, nowMs);
  }

  /** Lets old tombstones fade, and then forgets them, but not those of nodes that belong. */
  onSweep(nowMs: number): void {
    const { table, parameters, options, outbox } = this.#state;
    for (const entry of table.all()) {
      if (entry.isLive) continue;
      const ageMs = nowMs - entry.sinceMs;
      if (ageMs >= parameters.forgetAfterMs * FADING_SHARE) table.tell(entry, false);
      if (ageMs >= parameters.forgetAfterMs && !options.isKept(entry.nodeId)) table.forget(entry);
    }
    outbox.arm({ kind: "sweep" }, SWEEP_INTERVAL_MS, nowMs);
  }

  /** Greets an address, unless a live member has it. */
  greet(address: string): void {
    const { table, options } = this.#state;
    if (address === options.facts.address) return;
    for (const entry of table.live) if (entry.facts.address === address) return;
    const messages: Message[] = [this.#greetingTo(""), this.#state.ownAlive];
    this.#state.sendToAddress(address, undefined, messages);
  }

  /** True once for the answer to a greeting. */
  takeGreeting(seq: number): boolean {
    return this.#greetings.delete(seq);
  }

  /** Says farewell. */
  leave(nowMs: number): void {
    if (this.#state.phase !== "alive") return;
    this.#leftAtMs = nowMs;
    this.#state.phase = "leaving";
    this.#state.spread({ kind: "left", nodeId: this.#state.nodeId, life: this.#state.life });
  }

  #endLeave(nowMs: number): void {
    if (this.#leftAtMs === undefined) return;
    const { queue, parameters, table, nodeId, outbox } = this.#state;
    const lingeredMs = nowMs - this.#leftAtMs;
    const isTold = !queue.has(0, nodeId) || table.live.length === 0;
    const isOver = lingeredMs >= parameters.leaveLingerMs * MOST_LINGERS;
    if (!isOver && !(isTold && lingeredMs >= parameters.leaveLingerMs)) return;
    this.#leftAtMs = undefined;
    outbox.push({ kind: "leave-done" });
  }

  #greetingTo(target: string): Message {
    const seq = this.#state.nextSeq();
    if (this.#greetings.size >= MAX_GREETINGS) this.#greetings.clear();
    this.#greetings.add(seq);
    return { kind: "ping", seq, target, hashes: this.#state.hashes };
  }

  #choose(nowMs: number): void {
    const { table, parameters, options } = this.#state;
    const recent = table.dead.filter(
      (entry) => entry.facts.address !== "" && nowMs - entry.sinceMs < parameters.gossipToDeadMs,
    );
    const total = recent.length + table.live.length;
    let liveWanted = 0;
    for (let at = 0; at < Math.min(parameters.gossipFanout, total); at += 1) {
      if (options.random() * total >= recent.length) liveWanted += 1;
      else takeRandom(recent, this.#picked, options.random);
    }
    table.pick(liveWanted, this.#picked, { random: options.random, isWanted: isAnyone });
  }
}

function isAnyone(): boolean {
  return true;
}

function takeRandom(from: MemberEntry[], into: MemberEntry[], random: () => number): void {
  const at = Math.floor(random() * from.length);
  const [entry] = from.splice(at, 1);
  if (entry !== undefined) into.push(entry);
}

/** What is said of a member to itself, when it is not taken for alive. */
function accusationOf(entry: MemberEntry, from: string): Message[] {
  const { nodeId, life, state } = entry;
  return state === "dead" || state === "suspect" ? [{ kind: state, nodeId, life, from }] : [];
}
