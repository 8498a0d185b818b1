/**
 * Moves the SWIM core: hands it what happens, does what it says, in its order. Must never decide anything, never call
 * the core from within the core, and never do anything after a stop.
 */
import type { GossipEvent, Message, OwnFitness, Sender } from "./core/messages.ts";
import type { SwimParameters } from "./core/parameters.ts";
import type { Output, Swim } from "./core/swim-api.ts";
import type { GossipPorts } from "./options.ts";
import { TableExchange } from "./table-exchange.ts";
import type { Wire } from "./wire.ts";

/** Errors of sending that say nothing of the receiver: our own queues are full. */
const OWN_TROUBLE: readonly string[] = ["ENOBUFS", "EAGAIN", "ENOMEM"];

/** A user message as a listener gets it. */
export interface UserMessage {
  /** who made it or passed it on */
  readonly from: string;
  readonly topic: number;
  readonly bytes: Uint8Array;
}

/** Who is told what. */
export interface DriverListener {
  readonly onEvent: (event: GossipEvent) => void;
  readonly onUserMessage: (message: UserMessage) => void;
  readonly onRecordsDiffer: (nodeId: string) => void;
  /** the farewell has been told to enough members */
  readonly onLeaveDone: () => void;
  readonly seeds: () => Promise<readonly string[]>;
  readonly ownFitness: () => OwnFitness;
}

/** What the driver drives. */
export interface Driven {
  readonly core: Swim;
  readonly wire: Wire;
  readonly parameters: SwimParameters;
  readonly ports: GossipPorts;
  readonly listener: DriverListener;
}

/** One core in motion. */
export class SwimDriver {
  readonly core: Swim;
  readonly wire: Wire;
  readonly exchange: TableExchange;
  readonly #driven: Driven;
  readonly #timers = new Map<number, { cancel(): void }>();
  #fitnessTimer: { cancel(): void } | undefined;
  #isDoing = false;
  #isResolving = false;
  #isStopped = false;

  constructor(driven: Driven) {
    const { core, wire, ports } = driven;
    this.#driven = driven;
    this.core = core;
    this.wire = wire;
    this.exchange = new TableExchange({
      clock: ports.clock,
      calls: ports.calls,
      table: () => core.table(ports.clock.monotonicMs()),
      onTable: (peer, entries) => this.act((swim, nowMs) => swim.onTable(peer, entries, nowMs)),
    });
    wire.listen((sender, messages) => this.#onMessages(sender, messages));
  }

  /** Begins. */
  start(): void {
    this.act((core, nowMs) => core.start(nowMs));
    this.#watchFitness();
    this.#resolveSeeds();
  }

  /** Ends at once; nothing is done afterwards. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#fitnessTimer?.cancel();
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    await this.wire.close();
  }

  /** Lets something happen to the core, and does what follows from it. */
  act(happen: (core: Swim, nowMs: number) => void): void {
    if (this.#isStopped) return;
    happen(this.core, this.#driven.ports.clock.monotonicMs());
    // What a listener or a refused datagram makes happen while we do: its outputs wait for those before them.
    if (this.#isDoing) return;
    this.#isDoing = true;
    try {
      for (let outputs = this.core.drain(); outputs.length > 0; outputs = this.core.drain()) this.#doAll(outputs);
    } finally {
      this.#isDoing = false;
    }
  }

  #onMessages(sender: Sender, messages: readonly Message[]): void {
    this.act((core, nowMs) => core.onMessages(sender, messages, nowMs));
  }

  #doAll(outputs: readonly Output[]): void {
    for (const output of outputs) if (!this.#isStopped) this.#do(output);
  }

  #do(output: Output): void {
    const { clock } = this.#driven.ports;
    const { listener } = this.#driven;
    switch (output.kind) {
      case "send":
        return this.#send(output);
      case "timer":
        return this.#setTimer(output.id, output.delayMs);
      case "cancel-timer":
        this.#timers.get(output.id)?.cancel();
        this.#timers.delete(output.id);
        return undefined;
      case "decide-soon":
        // After a stall the timers run before what arrived meanwhile is read: a verdict waits for one turn of the loop.
        return clock.defer(() => this.act((core, nowMs) => core.onDecision(output.id, nowMs)));
      case "event":
        this.#log(output.event);
        return listener.onEvent(output.event);
      case "user":
        return listener.onUserMessage({ from: output.from, topic: output.topic, bytes: output.bytes });
      case "tcp-ping":
        void this.#ping(output);
        return undefined;
      case "sync-with":
        if (output.what === "records") return listener.onRecordsDiffer(output.nodeId);
        void this.exchange.begin({ nodeId: output.nodeId, address: output.address });
        return undefined;
      case "persist-generation":
        void this.#persist(output.generation, output.why);
        return undefined;
      case "re-resolve-seeds":
        return this.#resolveSeeds();
      case "leave-done":
        return listener.onLeaveDone();
    }
  }

  #send({ to, nodeId, messages }: Extract<Output, { kind: "send" }>): void {
    const onRefused = (code: string): void => {
      if (nodeId === undefined || OWN_TROUBLE.includes(code)) return;
      this.act((core, nowMs) => core.onSendFailed(nodeId, nowMs));
    };
    this.wire.send({ to, messages, life: this.core.life, onRefused });
  }

  #setTimer(id: number, delayMs: number): void {
    const run = (): void => {
      this.#timers.delete(id);
      this.act((core, nowMs) => core.onTimer(id, nowMs));
    };
    this.#timers.set(id, this.#driven.ports.clock.setTimer(delayMs, run));
  }

  async #ping({ seq, nodeId, address }: Extract<Output, { kind: "tcp-ping" }>): Promise<void> {
    const { ports, parameters } = this.#driven;
    const answer = await ports.calls
      .ask({ nodeId, address }, "ping", undefined, parameters.probeIntervalMs)
      .catch(() => undefined);
    this.act((core, nowMs) => core.onTcpPing(seq, answer === nodeId, nowMs));
  }

  async #persist(generation: number, why: string): Promise<void> {
    const { generations, log, onFatal } = this.#driven.ports;
    log.warn({ event: "gossip.generation-raised", generation, why });
    try {
      await generations.save(generation);
    } catch (error) {
      // What the disk holds is unknown now: under this generation nothing may ever be sent again.
      await this.stop();
      onFatal(new Error("the generation could not be made durable", { cause: error }));
      return;
    }
    this.act((core, nowMs) => core.onGenerationDurable(generation, nowMs));
  }

  #resolveSeeds(): void {
    if (this.#isResolving) return;
    this.#isResolving = true;
    const { listener, ports } = this.#driven;
    const join = (addresses: readonly string[]): void => {
      for (const address of addresses) this.act((core, nowMs) => core.join(address, nowMs));
    };
    const fail = (error: unknown): void => ports.log.warn({ event: "gossip.seeds-unresolved", error });
    void listener
      .seeds()
      .then(join, fail)
      .finally(() => {
        this.#isResolving = false;
      });
  }

  #watchFitness(): void {
    const { ports, parameters, listener } = this.#driven;
    const look = (): void => {
      this.act((core) => core.setFitness(ports.loopDelayMs(), listener.ownFitness()));
      if (!this.#isStopped) this.#fitnessTimer = ports.clock.setTimer(parameters.probeIntervalMs, look);
    };
    look();
  }

  #log(event: GossipEvent): void {
    const { log } = this.#driven.ports;
    if (event.kind === "duplicate-identity") {
      log.error({ event: "gossip.duplicate-identity", detail: event.detail });
      return;
    }
    const { facts, life } = event.member;
    const what = { event: `gossip.member-${event.kind}`, node: facts.nodeId, address: facts.address, ...life };
    if (event.kind === "suspect" || event.kind === "dead") log.warn(what);
    else log.info(what);
  }
}
