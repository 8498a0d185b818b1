/** One SWIM core with its timers run by hand, and what it put out sorted for tests. Peers are words in the mouth of the test. */
import type { GossipEvent, Life, Member, Message, Rumor, Sender } from "../../gossip/core/messages.ts";
import { PROFILES, type SwimParameters } from "../../gossip/core/parameters.ts";
import type { Output, TableEntry } from "../../gossip/core/swim-api.ts";
import { SwimCore } from "../../gossip/core/swim-core.ts";
import { SimRandom } from "../sim/sim-random.ts";

type Of<K extends Output["kind"]> = Extract<Output, { kind: K }>;

/** A life in one word. */
export function life(generation: number, incarnation: number): Life {
  return { generation, incarnation };
}

/** Where a peer of that name lives. */
export function addressOf(nodeId: string): string {
  return `10.0.0.${nodeId.charCodeAt(0)}:7400`;
}

export function aliveOf(nodeId: string, of: Life, address: string = addressOf(nodeId)): Rumor {
  return { kind: "alive", life: of, facts: { nodeId, address, zone: "z" } };
}

/** What `from` says: the life is suspected. */
export function suspect(nodeId: string, of: Life = life(1, 1), from = "b"): Message {
  return { kind: "suspect", nodeId, life: of, from };
}

/** What `from` says: the life has ended. */
export function dead(nodeId: string, of: Life = life(1, 1), from = "b"): Message {
  return { kind: "dead", nodeId, life: of, from };
}

/** What a node says of itself when it leaves. */
export function left(nodeId: string, of: Life = life(1, 1)): Message {
  return { kind: "left", nodeId, life: of };
}

export function entryOf(nodeId: string, state: TableEntry["state"], of: Life, ageMs = 0): TableEntry {
  return { facts: { nodeId, address: addressOf(nodeId), zone: "z" }, life: of, state, ageMs };
}

/** The core under test: node `me`, generation 5. */
export class SwimRig {
  readonly core: SwimCore;
  readonly parameters: SwimParameters;
  nowMs = 0;
  /** timers that run: id → due */
  readonly timers: Map<number, number> = new Map();
  outputs: Output[] = [];
  readonly kept: Set<string> = new Set();
  readonly #decisions: number[] = [];

  constructor(peers = "abc", parameters: Partial<SwimParameters> = {}, seed = "rig") {
    this.parameters = { ...PROFILES.fast, ...parameters };
    const random = new SimRandom(seed);
    this.core = new SwimCore({
      facts: { nodeId: "me", address: "10.0.0.1:7400", zone: "z" },
      generation: 5,
      boot: 77,
      parameters: this.parameters,
      random: () => random.float(),
      isKept: (nodeId) => this.kept.has(nodeId),
    });
    this.core.assume(
      Array.from(peers, (nodeId) => entryOf(nodeId, "alive", life(1, 1))),
      0,
    );
  }

  /** Starts the core, and lets the news of its own start go out of the queue's way. */
  started(): this {
    this.core.start(this.nowMs);
    this.#take();
    return this;
  }

  /** Hands in messages of a peer, whose header tells this life. */
  hear(from: string, messages: readonly Message[], of: Life = life(1, 1), boot = 9): void {
    const sender: Sender = { nodeId: from, life: of, address: addressOf(from), boot };
    this.core.onMessages(sender, messages, this.nowMs);
    this.#take();
  }

  /** Does something to the core. */
  act(happen: (core: SwimCore, nowMs: number) => void): void {
    happen(this.core, this.nowMs);
    this.#take();
  }

  /** Lets time pass; timers run when they are due, decisions right after them. Probes are answered by those in `answering`. */
  pass(ms: number, answering = ""): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = [...this.timers].filter(([, due]) => due <= endMs).toSorted((a, b) => a[1] - b[1])[0];
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next[1]);
      const before = this.outputs.length;
      this.fire(next[0]);
      this.decide();
      this.#answer(this.outputs.slice(before), answering);
    }
    this.nowMs = endMs;
  }

  /** Time passes without the process running: every due timer runs at the end, late; decisions wait for `decide`. */
  stall(ms: number): void {
    this.nowMs += ms;
    const due = [...this.timers].filter(([, dueMs]) => dueMs <= this.nowMs);
    for (const [id] of due.toSorted((a, b) => a[1] - b[1])) this.fire(id);
  }

  fire(id: number): void {
    this.timers.delete(id);
    this.core.onTimer(id, this.nowMs);
    this.#take();
  }

  /** Runs the decisions that were put off. */
  decide(): void {
    for (const id of this.#decisions.splice(0)) {
      this.core.onDecision(id, this.nowMs);
      this.#take();
    }
  }

  of<K extends Output["kind"]>(kind: K): readonly Of<K>[] {
    return this.outputs.filter((output): output is Of<K> => output.kind === kind);
  }

  /** Kinds of events about a member so far. */
  events(nodeId?: string): readonly string[] {
    return this.of("event").flatMap(({ event }) =>
      nodeId === undefined || subjectOf(event) === nodeId ? [event.kind] : [],
    );
  }

  /** Messages sent to a member's address, in order. */
  sentTo(nodeId: string): readonly Message[] {
    return this.of("send").flatMap((output) => (output.to === addressOf(nodeId) ? output.messages : []));
  }

  /** Messages sent to anyone. */
  get sent(): readonly Message[] {
    return this.of("send").flatMap(({ messages }) => messages);
  }

  forget(): void {
    this.outputs = [];
  }

  state(nodeId: string): Member["state"] | undefined {
    return this.core.member(nodeId)?.state;
  }

  lifeOf(nodeId: string): Life | undefined {
    return this.core.member(nodeId)?.life;
  }

  #answer(outputs: readonly Output[], answering: string): void {
    for (const output of outputs) {
      if (output.kind !== "send" || output.nodeId === undefined || !answering.includes(output.nodeId)) continue;
      for (const message of output.messages) {
        if (message.kind !== "ping" || message.target !== output.nodeId) continue;
        const hashes = { members: this.core.membersHash, records: 0n };
        const fitness = { health: 0, loopLag: 0, isDiskWritable: true, isDegraded: false };
        this.hear(
          output.nodeId,
          [{ kind: "ack", seq: message.seq, hashes, fitness }],
          this.core.member(output.nodeId)?.life,
        );
      }
    }
  }

  #take(): void {
    for (let outputs = this.core.drain(); outputs.length > 0; outputs = this.core.drain()) {
      for (const output of outputs) {
        this.outputs.push(output);
        if (output.kind === "timer") this.timers.set(output.id, this.nowMs + output.delayMs);
        if (output.kind === "cancel-timer") this.timers.delete(output.id);
        if (output.kind === "decide-soon") this.#decisions.push(output.id);
      }
    }
  }
}

function subjectOf(event: GossipEvent): string | undefined {
  return event.kind === "duplicate-identity" ? undefined : event.member.facts.nodeId;
}
