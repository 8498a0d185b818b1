/**
 * All other nodes that we know of, and how links to them come and go: seeds are dialled until they answer, known nodes
 * for ever, whoever dials us is dialled back. Must never keep two links for our requests to one node.
 */

import type { ClusterSecrets } from "../base/cluster-secrets.ts";
import type { NodeId } from "../base/ids.ts";
import { MAX_ALL_PEERS_QUEUE_BYTES, MAX_MEMBERS, RECONNECT_MAX_MS } from "../base/limits.ts";
import type { Clock, Log, LogFacts, Network, Random } from "../base/ports.ts";
import { CallLink } from "./call-link.ts";
import { type AttemptResult, DialLoop } from "./dial-loop.ts";
import type { LinkContext } from "./framed-link.ts";
import { Greeter, type ProvenLink } from "./greeter.ts";
import type { HandshakeRefusal, LinkPurpose, PeerIdentity } from "./identity.ts";
import type { MeetingResult } from "./meeting.ts";
import type { PeerHandler } from "./messages.ts";
import { PeerRecord } from "./peer-record.ts";
import { QueueAccount } from "./queue-account.ts";
import { RepeatGate } from "./repeat-gate.ts";
import { ServeLink } from "./serve-link.ts";

/** When all addresses of a seed are linked, its name is looked at again after about this long. */
const SEED_RECHECK_MS = 10_000;
/** Addresses that were dialled and who answered there; beyond this all are forgotten and learned anew. */
const MAX_ANSWERS = 4 * MAX_MEMBERS;

/** The windows that the links look out of. */
export interface PeerLinksPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly log: Log;
}

/** What the roster works with beside its windows. */
export interface RosterParts {
  readonly context: LinkContext;
  readonly secrets: ClusterSecrets;
  readonly seeds: readonly string[];
  readonly handler: PeerHandler;
  /** the hash that requests name, owned by whoever changes it */
  readonly ringHash: { readonly high: number; readonly low: number };
  /** ourselves as of now */
  readonly self: () => PeerIdentity;
  readonly onPeerUp: (peer: PeerIdentity) => void;
  readonly onPeerDown: (node: NodeId, reason: string) => void;
}

/** The other nodes. */
export class PeerRoster {
  readonly greeter: Greeter;
  /** bytes queued for all of them */
  readonly account: QueueAccount = new QueueAccount(MAX_ALL_PEERS_QUEUE_BYTES);
  readonly #parts: RosterParts;
  readonly #ports: PeerLinksPorts;
  readonly #records = new Map<NodeId, PeerRecord>();
  readonly #answeredAt = new Map<string, NodeId>();
  readonly #dialling = new Set<string>();
  readonly #seedLoops: readonly DialLoop[];
  readonly #repeats = new RepeatGate();
  #isStarted = false;
  #isStopping = false;

  constructor(parts: RosterParts, ports: PeerLinksPorts) {
    this.#parts = parts;
    this.#ports = ports;
    this.greeter = new Greeter({
      network: ports.network,
      random: ports.random,
      context: parts.context,
      secrets: parts.secrets,
      self: parts.self,
      judge: (peer) => this.#judge(peer),
      onDialled: (proven) => this.#onDialled(proven),
      onAccepted: (proven) => this.#onAccepted(proven),
      onRefused: (refused, remote) => this.#onRefused(refused, remote),
    });
    this.#seedLoops = parts.seeds.map((seed) => this.#loop(() => this.#dialSeed(seed)));
  }

  get records(): ReadonlyMap<NodeId, PeerRecord> {
    return this.#records;
  }

  /** Begins to dial. */
  start(): void {
    this.#isStarted = true;
    for (const loop of this.#seedLoops) loop.kick();
    for (const record of this.#records.values()) record.loops.data?.kick();
  }

  /** Stops dialling and closes every link. */
  stop(): void {
    this.#isStopping = true;
    for (const loop of this.#seedLoops) loop.stop();
    this.greeter.stop();
    for (const record of this.#records.values()) record.stop("shutting_down");
  }

  /** Takes a node in, or its new address, and dials it from now on. */
  add(nodeId: NodeId, address: string): void {
    const record = this.#recordOf(nodeId, address);
    if (record === undefined || record.address === address) return;
    record.address = address;
    if (this.#isStarted && !record.isReachable) record.loops.data?.kick();
  }

  /** Forgets a node; it comes back only if it dials us. */
  remove(nodeId: NodeId): void {
    this.#records.get(nodeId)?.stop("removed");
    this.#records.delete(nodeId);
  }

  /** Opens the bulk link to a node that has a data link, and keeps it open from now on. */
  openBulk(record: PeerRecord): void {
    if (!record.isReachable || record.loops.bulk !== undefined || this.#isStopping) return;
    record.loops.bulk = this.#loop(() => this.#dialRecord(record, "bulk"));
    record.loops.bulk.kick();
  }

  /**
   * Tells every linked node who we are by now, by a handshake beside the link that stands; the link that it makes ends
   * at once as a duplicate.
   */
  greetAnew(): void {
    for (const record of this.#records.values()) if (record.isReachable) void this.#dial(record.address, "data");
  }

  #judge(peer: PeerIdentity): HandshakeRefusal | undefined {
    if (this.#isStopping) return "shutting_down";
    const record = this.#records.get(peer.nodeId);
    // When the newer process has ended, the older one is the node again: a copy that was started by mistake must not outlive itself.
    return record?.isLinked === true && record.isRetired(peer.bootNonce) ? "retired_process" : undefined;
  }

  /** The record of a node, made when it is new; undefined when there are too many. */
  #recordOf(nodeId: NodeId, address: string): PeerRecord | undefined {
    const known = this.#records.get(nodeId);
    if (known !== undefined) return known;
    if (this.#records.size >= MAX_MEMBERS || this.#isStopping) {
      this.#warn(nodeId, { event: "peers.too-many", peer: nodeId, address });
      return undefined;
    }
    const record = new PeerRecord(nodeId, address, this.account);
    this.#records.set(nodeId, record);
    record.loops.data = this.#loop(() => this.#dialRecord(record, "data"));
    if (this.#isStarted) record.loops.data.kick();
    return record;
  }

  async #dialSeed(seed: string): Promise<AttemptResult> {
    let addresses: readonly string[];
    try {
      addresses = await this.#ports.network.resolve(seed);
    } catch (error) {
      this.#warn(seed, { event: "peers.seed-unresolved", seed, error });
      return "failed";
    }
    const results = await Promise.all(
      addresses.map(async (address) => this.#isSettled(address) || (await this.#dial(address, "data", seed))),
    );
    return results.every((isUp) => isUp) ? { againAfterMs: SEED_RECHECK_MS } : "failed";
  }

  /** True when whoever answers at the address is linked already, or is ourselves. */
  #isSettled(address: string): boolean {
    const node = this.#answeredAt.get(address);
    return node !== undefined && (node === this.#parts.self().nodeId || this.#records.get(node)?.isReachable === true);
  }

  async #dialRecord(record: PeerRecord, purpose: LinkPurpose): Promise<AttemptResult> {
    if (record.calls[purpose] !== undefined) return "rest";
    // A bulk link lives only beside a data link: that one's loop is the one that insists.
    if (purpose === "bulk" && !record.isReachable) return "failed";
    await this.#dial(record.address, purpose);
    return record.calls[purpose] === undefined ? "failed" : "rest";
  }

  /** True when the address now has, or needs, no further dialling. */
  async #dial(address: string, purpose: LinkPurpose, name?: string): Promise<boolean> {
    const attempt = `${purpose} ${address}`;
    if (this.#dialling.has(attempt) || this.#isStopping) return false;
    this.#dialling.add(attempt);
    const { clusterId } = this.#parts.self();
    const result = await this.greeter.dial(address, purpose, name);
    this.#dialling.delete(attempt);
    if (this.#answeredAt.size >= MAX_ANSWERS) this.#answeredAt.clear();
    if (result.kind === "unreachable") {
      const held = this.#repeats.pass(`dial ${attempt} ${result.reason}`, this.#ports.clock.monotonicMs());
      if (held === undefined) return false;
      const facts = { event: "peers.dial-failed", address, purpose, reason: result.reason, heldBackCount: held };
      if (result.isMistrust === true) this.#ports.log.warn(facts);
      else this.#ports.log.info(facts);
      return false;
    }
    // What we said may be out of date by now.
    if (result.kind === "up" && this.#parts.self().clusterId !== clusterId) void this.#dial(address, purpose, name);
    if (result.kind === "refused" && result.reason === "other_cluster_id") this.#endLinksTo(address);
    const isSelf = result.kind === "refused" && result.reason === "self";
    const answeredBy = result.kind === "up" ? result.peer.nodeId : isSelf ? this.#parts.self().nodeId : undefined;
    if (answeredBy === undefined) return false;
    this.#answeredAt.set(address, answeredBy);
    return true;
  }

  /** Whoever is there became a member of another cluster while links to it stood. */
  #endLinksTo(address: string): void {
    for (const record of this.#records.values()) if (record.address === address) record.closeAll("other_cluster_id");
  }

  #onDialled({ peer, purpose, provenBy, takesTraces, link }: ProvenLink): void {
    const record = this.#learn(peer);
    if (record === undefined) return link.close("too_many_peers");
    if (record.calls[purpose] !== undefined) return link.close("duplicate");
    const call = new CallLink(link, this.#parts.context, {
      ringHash: this.#parts.ringHash,
      takesTraces,
      onLatency: (kind, latencyMs) => {
        if (kind !== "ask") record.latencies.record(latencyMs);
      },
      onClose: (reason) => this.#onCallClosed(record, { purpose, call, reason }),
    });
    link.handOver(call, record.account);
    record.calls[purpose] = call;
    this.#linkUp({ peer: peer.nodeId, purpose, direction: "out", address: link.remote, provenBy });
    if (purpose === "data") this.#parts.onPeerUp(peer);
  }

  #onCallClosed(
    record: PeerRecord,
    { purpose, call, reason }: { readonly purpose: LinkPurpose; readonly call: CallLink; readonly reason: string },
  ): void {
    if (record.calls[purpose] !== call) return;
    record.calls[purpose] = undefined;
    this.#linkDown({ peer: record.nodeId, purpose, direction: "out", reason });
    if (purpose === "data") this.#parts.onPeerDown(record.nodeId, reason);
    // A link that stood for a while is redialled at once; one that ended soon would be lost again and again.
    if (call.ageMs >= RECONNECT_MAX_MS) record.loops[purpose]?.kick();
    else record.loops[purpose]?.retry();
  }

  #onAccepted({ peer, purpose, provenBy, link }: ProvenLink): void {
    const record = this.#learn(peer);
    if (record === undefined) return link.close("too_many_peers");
    const serve = new ServeLink(link, this.#parts.context, {
      from: peer.nodeId,
      handler: this.#parts.handler,
      served: record.served,
      onRingHash: (high, low) => {
        record.ringHash = (BigInt(high) << 32n) | BigInt(low);
      },
      onClose: (reason) => {
        record.removeServed(serve);
        this.#linkDown({ peer: peer.nodeId, purpose, direction: "in", reason });
      },
    });
    link.handOver(serve, record.account);
    record.addServed(purpose, serve);
    this.#linkUp({ peer: peer.nodeId, purpose, direction: "in", address: link.remote, provenBy });
    if (!record.isReachable) record.loops.data?.kick();
  }

  #learn(peer: PeerIdentity): PeerRecord | undefined {
    const record = this.#recordOf(peer.nodeId, peer.address);
    record?.learn(peer);
    return record;
  }

  #onRefused(refused: Extract<MeetingResult, { readonly kind: "refused" }>, remote: string): void {
    this.#parts.context.stats.handshakesRefused += 1;
    const { reason, by, peer } = refused;
    if (reason === "self" || reason === "shutting_down") return;
    // The port of whoever dials us is another each time: repeats are told apart without it.
    const about = `${remote.replace(/:\d+$/, "")} ${reason} ${peer?.nodeId ?? ""}`;
    this.#warn(about, { event: "peers.refused", reason, by, address: remote, peer: peer?.nodeId ?? "unknown" });
  }

  #linkUp(facts: Readonly<Record<string, unknown>>): void {
    this.#parts.context.stats.linksOpened += 1;
    this.#ports.log.info({ event: "peers.link-up", ...facts });
  }

  #linkDown(facts: Readonly<Record<string, unknown>>): void {
    this.#parts.context.stats.linksClosed += 1;
    this.#ports.log.info({ event: "peers.link-down", ...facts });
  }

  /** A warning that is not repeated for the same `about` more than once a minute. */
  #warn(about: string, facts: LogFacts): void {
    const heldBackCount = this.#repeats.pass(`${facts.event} ${about}`, this.#ports.clock.monotonicMs());
    if (heldBackCount !== undefined) this.#ports.log.warn({ ...facts, heldBackCount });
  }

  #loop(attempt: () => Promise<AttemptResult>): DialLoop {
    return new DialLoop({ clock: this.#ports.clock, random: this.#ports.random }, attempt);
  }
}
