/**
 * The way to the other nodes and theirs to us, as one object: listens, dials, calls, tells whom it can reach. Must never
 * decide who belongs to the cluster or who is alive.
 */
import assert from "node:assert/strict";
import type { ClusterSecrets } from "../base/cluster-secrets.ts";
import type { NodeId } from "../base/ids.ts";
import type { Listener } from "../base/ports.ts";
import type { LinkContext } from "./framed-link.ts";
import type { PeerIdentity } from "./identity.ts";
import { countResult, type LinkStats, newLinkStats } from "./link-stats.ts";
import type { CallResult, PeerHandler, PeerRequest, Peers } from "./messages.ts";
import { type PeerLinksPorts, PeerRoster } from "./peer-roster.ts";
import { TurnGatherer } from "./turn-gatherer.ts";

/** How often links that drain are looked at. */
const DRAIN_CHECK_MS = 5;

/** What a node says of itself and where it listens. */
export interface PeerLinksOptions {
  readonly nodeId: NodeId;
  /** 32 hex digits, fresh at each start of the process */
  readonly bootNonce: string;
  readonly clusterName: string;
  /** undefined before the bootstrap; see `setClusterId` */
  readonly clusterId: string | undefined;
  readonly zone: string;
  readonly host: string;
  readonly weight: number;
  /** proofs are made with the primary, and believed by any */
  readonly secrets: ClusterSecrets;
  /** `host:port` to bind; port 0 = any free one */
  readonly listenAddress: string;
  /** what others shall dial; undefined = the address bound */
  readonly advertisedAddress: string | undefined;
  /** `host:port`, hosts may be DNS names; our own address among them does no harm */
  readonly seeds: readonly string[];
  readonly handler: PeerHandler;
}

/** A peer as others may see it. */
export interface KnownPeer {
  readonly nodeId: NodeId;
  readonly address: string;
  /** as the latest handshake proved it; undefined while only an address is known */
  readonly identity: PeerIdentity | undefined;
  readonly isReachable: boolean;
  /** the ring hash that it named last, unsigned 64-bit */
  readonly ringHash: bigint | undefined;
}

/** All counters since the start, and levels as of now. */
export interface PeerLinksStats extends Readonly<LinkStats> {
  readonly queuedBytes: number;
  readonly knownPeerCount: number;
  readonly reachablePeerCount: number;
}

/** The links of one node. */
export class PeerLinks implements Peers {
  readonly #options: PeerLinksOptions;
  readonly #ports: PeerLinksPorts;
  readonly #stats = newLinkStats();
  readonly #roster: PeerRoster;
  readonly #upListeners: ((peer: PeerIdentity) => void)[] = [];
  readonly #downListeners: ((node: NodeId, reason: string) => void)[] = [];
  readonly #ringHash = { high: 0, low: 0 };
  #clusterId: string | undefined;
  #address: string;
  #listener: Listener | undefined;

  constructor(options: PeerLinksOptions, ports: PeerLinksPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#clusterId = options.clusterId;
    this.#address = options.advertisedAddress ?? options.listenAddress;
    const gatherer = new TurnGatherer(ports.clock);
    const context: LinkContext = { clock: ports.clock, gatherer, stats: this.#stats };
    this.#roster = new PeerRoster(
      {
        context,
        secrets: options.secrets,
        seeds: options.seeds,
        handler: options.handler,
        ringHash: this.#ringHash,
        self: () => this.#self(),
        onPeerUp: (peer) => {
          for (const listener of this.#upListeners) listener(peer);
        },
        onPeerDown: (node, reason) => {
          for (const listener of this.#downListeners) listener(node, reason);
        },
      },
      { ...ports, random: ports.random.fork("peers") },
    );
  }

  /** Where this node listens: another port than the one that others are told where a port is mapped. Before `start` none. */
  get boundAddress(): string | undefined {
    return this.#listener?.address;
  }

  /** Listens, then begins to dial. Answers the address that others are told. Rejects when the address cannot be bound. */
  async start(): Promise<string> {
    const { network } = this.#ports;
    this.#listener = await network.listen(this.#options.listenAddress, (link) => this.#roster.greeter.accept(link));
    this.#address = this.#options.advertisedAddress ?? this.#listener.address;
    this.#roster.start();
    return this.#address;
  }

  /**
   * Resolves when all that the links were given has left this process, after `withinMs` at the latest: so the last replies
   * of a node that stops are not lost with its links.
   */
  async drain(withinMs: number): Promise<void> {
    const { clock } = this.#ports;
    const untilMs = clock.monotonicMs() + withinMs;
    await new Promise<void>((resume) => clock.defer(resume));
    while (this.#hasQueued() && clock.monotonicMs() < untilMs) {
      await new Promise<void>((resume) => {
        clock.setTimer(DRAIN_CHECK_MS, resume);
      });
    }
  }

  /** Stops dialling and listening, closes every link; calls under way get their results first. */
  async stop(): Promise<void> {
    this.#roster.stop();
    await this.#listener?.close();
  }

  /** The address that others are told. */
  get address(): string {
    return this.#address;
  }

  /** Sends a request to another node over its data link; see `Peers`. */
  call(to: NodeId, request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void): void {
    assert.ok(to !== this.#options.nodeId, "a node never calls itself through a link");
    const link = this.#roster.records.get(to)?.calls.data;
    if (link === undefined) this.#answerUnsent(onResult);
    else link.call(request, budgetMs, onResult);
  }

  /**
   * The same over the peer's bulk link, so that background work never stands before the requests of clients. The link
   * is opened by the first call, which like every call before it stands is answered `unsent`.
   */
  callBulk(to: NodeId, request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void): void {
    assert.ok(to !== this.#options.nodeId, "a node never calls itself through a link");
    const record = this.#roster.records.get(to);
    const link = record?.calls.bulk;
    if (link !== undefined) return link.call(request, budgetMs, onResult);
    if (record !== undefined) this.#roster.openBulk(record);
    this.#answerUnsent(onResult);
  }

  /** A data link stands and answers. */
  isReachable(node: NodeId): boolean {
    return this.#roster.records.get(node)?.isReachable === true;
  }

  /** A link stands, in either direction. */
  isLinked(node: NodeId): boolean {
    return this.#roster.records.get(node)?.isLinked === true;
  }

  /** Milliseconds that this peer's replies take on average; undefined before the first. */
  latencyMsOf(node: NodeId): number | undefined {
    return this.#roster.records.get(node)?.latencies.averageMs;
  }

  /** Milliseconds within which about 95 % of this peer's replies come; undefined before the first. */
  p95MsOf(node: NodeId): number | undefined {
    return this.#roster.records.get(node)?.latencies.p95Ms;
  }

  /** `listener` is told of each peer that a data link now leads to. */
  onPeerUp(listener: (peer: PeerIdentity) => void): void {
    this.#upListeners.push(listener);
  }

  /** `listener` is told of each peer that no data link leads to any more, and why. */
  onPeerDown(listener: (node: NodeId, reason: string) => void): void {
    this.#downListeners.push(listener);
  }

  /** All peers that were ever met or named, but for those removed; sorted by id. */
  knownPeers(): readonly KnownPeer[] {
    return [...this.#roster.records.values()]
      .map(({ nodeId, address, identity, isReachable, ringHash }) => ({
        nodeId,
        address,
        identity,
        isReachable,
        ringHash,
      }))
      .sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  }

  /** Takes a node that others told of; it is dialled from now on. Another address replaces the one known. */
  addPeer(nodeId: NodeId, address: string): void {
    if (nodeId !== this.#options.nodeId) this.#roster.add(nodeId, address);
  }

  /** Forgets a node that has left the cluster: its links end and it is not dialled again, unless it dials us. */
  removePeer(nodeId: NodeId): void {
    this.#roster.remove(nodeId);
  }

  /** Names the cluster's id in handshakes from now on, tells it to those linked, and ends the links to nodes of another. */
  setClusterId(clusterId: string): void {
    if (clusterId === this.#clusterId) return;
    this.#clusterId = clusterId;
    for (const record of this.#roster.records.values()) {
      const theirs = record.identity?.clusterId;
      if (theirs !== undefined && theirs !== clusterId) record.closeAll("other_cluster_id");
    }
    this.#roster.greetAnew();
  }

  /** Names this ring hash (unsigned 64-bit) in requests from now on. */
  setRingHash(ringHash: bigint): void {
    this.#ringHash.high = Number(ringHash >> 32n);
    this.#ringHash.low = Number(ringHash & 0xffff_ffffn);
  }

  /** A copy of all counters. */
  stats(): PeerLinksStats {
    const records = [...this.#roster.records.values()];
    return {
      ...this.#stats,
      callsByResult: { ...this.#stats.callsByResult },
      queuedBytes: this.#roster.account.queuedBytes,
      knownPeerCount: records.length,
      reachablePeerCount: records.filter((record) => record.isReachable).length,
    };
  }

  #hasQueued(): boolean {
    for (const record of this.#roster.records.values()) if (record.queuedBytes > 0) return true;
    return false;
  }

  #self(): PeerIdentity {
    const { nodeId, bootNonce, clusterName, zone, host, weight } = this.#options;
    return { nodeId, bootNonce, clusterName, clusterId: this.#clusterId, address: this.#address, zone, host, weight };
  }

  #answerUnsent(onResult: (result: CallResult) => void): void {
    const result: CallResult = { kind: "unsent", reason: "no_link" };
    countResult(this.#stats, result);
    onResult(result);
  }
}
