/** Nodes that have links and nothing else, on the simulated network: for tests of links. */
import { type NodeId, parseNodeId } from "../../services/base/ids.ts";
import type { LogFacts } from "../../services/base/ports.ts";
import type { CallResult, PeerHandler, PeerRequest } from "../../services/peers/messages.ts";
import { PeerLinks, type PeerLinksOptions } from "../../services/peers/peer-links.ts";
import { Scheduler, type SimProcess } from "../sim/scheduler.ts";
import { SimClock } from "../sim/sim-clock.ts";
import { SimNetwork } from "../sim/sim-network.ts";
import { SimRandom } from "../sim/sim-random.ts";

/** One simulated node. */
export interface SimPeer {
  readonly id: NodeId;
  readonly process: SimProcess;
  readonly links: PeerLinks;
  readonly logged: LogFacts[];
  /** peers that came up and went down, as `+name` and `-name reason` */
  readonly changes: string[];
}

/** Parses a node id that a test wrote. */
export function nodeIdOf(text: string): NodeId {
  const id = parseNodeId(text);
  if (id === undefined) throw new TypeError(`no node id: ${text}`);
  return id;
}

/** The nodes of most tests. */
export const A: NodeId = nodeIdOf("a");
export const B: NodeId = nodeIdOf("b");
export const C: NodeId = nodeIdOf("c");

/** Any key. */
export const KEY: Extract<PeerRequest, { kind: "digest" }>["key"] = {
  partition: 3,
  hash: 7n,
  key: new TextEncoder().encode("b\0k"),
};

/** The cheapest question about it. */
export const DIGEST: PeerRequest = { kind: "digest", key: KEY };

/** So many calls that all ended in this way. */
export function repeated(count: number, result: CallResult): readonly CallResult[] {
  return Array.from({ length: count }, () => result);
}

/** Answers nothing. */
export const NEVER: PeerHandler = () => {};

/** A reply to whatever is asked, at once. */
export const ANSWER_ALL: PeerHandler = (_from, request, _budgetMs, reply) => {
  switch (request.kind) {
    case "digest":
      return reply({ kind: "digest", slot: 1, digest: 42n, isSuspect: false });
    case "fetch":
      return reply({ kind: "object", slot: 1, object: undefined, isSuspect: false });
    case "store":
      return reply({ kind: "stored", slot: 1, digest: request.digest, isDurable: true });
    case "ping":
      return reply({ kind: "pong" });
    case "ask":
      return reply({ kind: "answer", body: request.body });
  }
};

/** A world of simulated nodes. */
export class SimPeers {
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly #random: SimRandom;

  constructor(seed: string) {
    this.scheduler = new Scheduler(seed);
    this.#random = new SimRandom(seed);
    this.network = new SimNetwork(this.scheduler, this.#random);
  }

  /** Starts a node that listens on `<name>:7000`; a second start of the name is a new process. */
  start(name: string, options: Partial<PeerLinksOptions> = {}): SimPeer {
    const id = options.nodeId ?? nodeIdOf(name);
    const process = this.scheduler.newProcess(name);
    const random = this.#random.fork(name);
    const logged: LogFacts[] = [];
    const log = (facts: LogFacts): void => {
      logged.push(facts);
    };
    const links = new PeerLinks(
      {
        nodeId: id,
        bootNonce: random.fork("boot").bytes(16).toHex(),
        clusterName: "test",
        clusterId: undefined,
        zone: "",
        host: "",
        weight: 1,
        secrets: { primary: new TextEncoder().encode("secret"), others: [] },
        listenAddress: `${name}:7000`,
        advertisedAddress: undefined,
        seeds: [],
        handler: ANSWER_ALL,
        ...options,
      },
      {
        clock: new SimClock(this.scheduler, process),
        random,
        network: this.network.windowOf(name, process),
        log: { debug: log, info: log, warn: log, error: log },
      },
    );
    const changes: string[] = [];
    links.onPeerUp((peer) => changes.push(`+${peer.nodeId}`));
    links.onPeerDown((node, reason) => changes.push(`-${node} ${reason}`));
    this.scheduler.after(0, () => void links.start(), process);
    return { id, process, links, logged, changes };
  }

  /** Chance for a test's own use. */
  randomOf(label: string): SimRandom {
    return this.#random.fork(label);
  }

  /** Lets virtual time pass. */
  async pass(ms: number): Promise<void> {
    await this.scheduler.run({ untilMs: this.scheduler.nowMs + ms });
  }

  /** Lets virtual time pass until the condition holds, a minute at most. */
  async until(condition: () => boolean): Promise<void> {
    const end = await this.scheduler.run({ until: condition, untilMs: this.scheduler.nowMs + 60_000 });
    if (end !== "condition") throw new Error(`the condition never held: ${condition.toString()}`);
  }

  /** Starts two nodes that have found each other. */
  async pair(options: Partial<PeerLinksOptions> = {}): Promise<{ readonly a: SimPeer; readonly b: SimPeer }> {
    const b = this.start("b", options);
    const a = this.start("a", { seeds: ["b:7000"] });
    await this.until(() => a.links.isReachable(b.id) && b.links.isReachable(a.id));
    return { a, b };
  }

  /** Calls within the caller's process, as an event of its own; the result when it is there. */
  call(from: SimPeer, to: NodeId, request: PeerRequest, budgetMs = 1_000): { result: CallResult | undefined } {
    const outcome: { result: CallResult | undefined } = { result: undefined };
    this.scheduler.after(
      0,
      () =>
        from.links.call(to, request, budgetMs, (result) => {
          if (outcome.result !== undefined) throw new Error("a call has one result");
          outcome.result = result;
        }),
      from.process,
    );
    return outcome;
  }
}

/** A store of this many bytes. */
export function storeOf(sizeBytes: number): PeerRequest {
  const key = { partition: 3, hash: 7n, key: new TextEncoder().encode("b\0k") };
  return { kind: "store", key, baseDigest: 0n, digest: 1n, object: new Uint8Array(sizeBytes) };
}
