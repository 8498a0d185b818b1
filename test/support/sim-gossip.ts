/** Members that gossip and do nothing else, in virtual time: for tests of the shell and of the protocol as a whole. */
import {
  Gossip,
  type GossipEvent,
  type GossipOptions,
  type GossipPorts,
  type LinkTarget,
  type MemberCalls,
} from "../../gossip/index.ts";
import type { LogFacts } from "../../services/base/ports.ts";
import { Scheduler, type SimProcess } from "../sim/scheduler.ts";
import { SimClock } from "../sim/sim-clock.ts";
import { SimDatagrams } from "../sim/sim-datagrams.ts";
import { SimNetwork } from "../sim/sim-network.ts";
import { SimRandom } from "../sim/sim-random.ts";

const PORT = 7_000;

/** One simulated member. */
export interface SimMember {
  readonly name: string;
  readonly process: SimProcess;
  readonly gossip: Gossip;
  /** as `kind name`, in order */
  readonly events: string[];
  readonly logged: LogFacts[];
  /** whose records were said to differ */
  readonly differing: string[];
  readonly fatal: Error[];
}

/** What a test may change of a member. */
export interface SimMemberOptions extends Partial<GossipOptions> {
  readonly loopDelayMs?: () => number;
  /** the disk on which the generation is kept; by default one per name that outlives the process */
  readonly generations?: GossipPorts["generations"];
}

/** A world of members. */
export class SimGossip {
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly datagrams: SimDatagrams;
  /** false: links are refused, and only datagrams pass */
  hasLinks = true;
  readonly #random: SimRandom;
  readonly #members = new Map<string, SimMember>();
  readonly #generations = new Map<string, number>();

  constructor(seed: string) {
    this.scheduler = new Scheduler(seed);
    this.#random = new SimRandom(seed);
    this.network = new SimNetwork(this.scheduler, this.#random);
    this.datagrams = new SimDatagrams(this.scheduler, this.#random, this.network);
  }

  /** Starts a member on `<name>:7000` with the others' names as seeds; a second start of a name is a new process. */
  start(name: string, seeds: readonly string[], options: SimMemberOptions = {}): SimMember {
    const process = this.scheduler.newProcess(name);
    const events: string[] = [];
    const logged: LogFacts[] = [];
    const differing: string[] = [];
    const fatal: Error[] = [];
    const log = (facts: LogFacts): void => {
      logged.push(facts);
    };
    const { loopDelayMs = () => 0, generations = this.#disk(name), ...rest } = options;
    const gossip = new Gossip(
      {
        nodeId: name,
        zone: "z1",
        bindAddress: `${name}:${PORT}`,
        advertisedAddress: undefined,
        clusterName: "test",
        secrets: { primary: new TextEncoder().encode("a secret of simulations"), others: [] },
        profile: "fast",
        isKept: () => true,
        seeds: async () => seeds.map((seed) => `${seed}:${PORT}`),
        ...rest,
      },
      {
        clock: new SimClock(this.scheduler, process),
        random: this.#random.fork(`gossip-${name}`),
        log: { info: log, warn: log, error: log },
        datagrams: this.datagrams.windowOf(name, process),
        calls: this.#callsOf(name, process),
        generations,
        loopDelayMs,
        onFatal: (error) => fatal.push(error),
      },
    );
    gossip.onEvent((event) => events.push(describe(event)));
    gossip.onRecordsDiffer((nodeId) => differing.push(nodeId));
    const member = { name, process, gossip, events, logged, differing, fatal };
    this.#members.set(name, member);
    this.scheduler.after(0, () => void gossip.start().catch((error: Error) => fatal.push(error)), process);
    return member;
  }

  /** Kills a member's process. */
  kill(member: SimMember): void {
    this.network.crash(member.process);
  }

  /** Does something in a member's process, as an event of its own. */
  in(member: SimMember, run: () => void): void {
    this.scheduler.after(0, run, member.process);
  }

  /** Chance for a test's own use. */
  randomOf(label: string): SimRandom {
    return this.#random.fork(label);
  }

  /** Lets virtual time pass. */
  async pass(ms: number): Promise<void> {
    await this.scheduler.run({ untilMs: this.scheduler.nowMs + ms });
  }

  /** Lets virtual time pass until the condition holds; answers how many ms that took. */
  async until(condition: () => boolean, withinMs = 60_000): Promise<number> {
    const startMs = this.scheduler.nowMs;
    const end = await this.scheduler.run({ until: condition, untilMs: startMs + withinMs });
    if (end !== "condition") throw new Error(`did not happen within ${withinMs} ms: ${condition.toString()}`);
    return this.scheduler.nowMs - startMs;
  }

  /** Whether each of these believes that each of these is alive. */
  areAllAlive(members: readonly SimMember[]): boolean {
    return members.every((one) => members.every((other) => one.gossip.stateOf(other.name) === "alive"));
  }

  #disk(name: string): GossipPorts["generations"] {
    return {
      load: async () => this.#generations.get(name) ?? 0,
      save: async (generation) => {
        this.#generations.set(name, generation);
      },
    };
  }

  /** Questions over links: they take the network's time, and none passes where links do not. */
  #callsOf(name: string, process: SimProcess): MemberCalls {
    const random = this.#random.fork(`calls-${name}`);
    const ask = (target: LinkTarget, ...rest: [question: "ping" | "sync", body: unknown, timeoutMs: number]) =>
      new Promise<unknown>((fulfil, reject) => {
        const [question, body, timeoutMs] = rest;
        const host = target.address.slice(0, target.address.lastIndexOf(":"));
        const other = this.#members.get(host);
        this.scheduler.after(timeoutMs, () => reject(new Error("timeout")), process);
        if (other === undefined || !this.hasLinks) return;
        const isOpen = (from: string, to: string): boolean =>
          this.network.pathBetween(from, to).isOpenAt(this.scheduler.nowMs);
        const reply = (): void => {
          if (!isOpen(name, host)) return;
          const answer = other.gossip.answer(name, question, body);
          this.scheduler.after(random.exponential(1), () => isOpen(host, name) && fulfil(answer), process);
        };
        this.scheduler.after(random.exponential(1), reply, other.process);
      });
    return { ask };
  }
}

function describe(event: GossipEvent): string {
  return event.kind === "duplicate-identity" ? event.kind : `${event.kind} ${event.member.facts.nodeId}`;
}
