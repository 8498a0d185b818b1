/**
 * The composition root: builds the rooms of one node over the windows, joins them, starts them in order and stops them in
 * the opposite one. Production and the simulator start nodes here and nowhere else. Must never decide anything.
 *
 * Start: store (recovers) → links (listen, dial) → bootstrap (a member serves at once). Stop: peers are refused, what was
 * accepted is finished, the last replies leave, links close, the store writes its clean marker.
 */
import { hash } from "node:crypto";
import type { StorageEngine } from "../../storage/engine.ts";
import type { ContextCodec as ContextDoor } from "../api/ports.ts";
import type { BucketSettings } from "../base/bucket-settings.ts";
import type { Config } from "../base/config.ts";
import type { NodeId } from "../base/ids.ts";
import { LINK_DRAIN_MS } from "../base/limits.ts";
import { MetricsRegistry } from "../base/metrics.ts";
import { Bootstrap } from "../cluster/bootstrap.ts";
import { BucketDirectory } from "../cluster/bucket-directory.ts";
import { BUCKETS_EXCHANGE_TOPIC, BUCKETS_OFFER_TOPIC, BucketExchange } from "../cluster/bucket-exchange.ts";
import type { MemberView } from "../cluster/cluster-view.ts";
import type { Documents } from "../cluster/own-record.ts";
import { QuorumCoordinator } from "../coordinator/coordinator.ts";
import { CountingHandoff } from "../coordinator/needs.ts";
import { PeerRequests } from "../peers/peer-handler.ts";
import { PeerLinks } from "../peers/peer-links.ts";
import { ReadRepair } from "../repair/read-repair.ts";
import { conflictRulesOf } from "../replica/conflict-rules.ts";
import { Replica } from "../replica/replica.ts";
import { EMPTY_CONTEXT } from "../versioning/causal-context.ts";
import { ContextCodec } from "../versioning/context-codec.ts";
import { registerNodeMetrics } from "./node-metrics.ts";
import { NodeStatusView } from "./node-status.ts";
import type { NodeWindows } from "./windows.ts";

/** What a node is made of besides its configuration. */
export interface NodeOptions {
  readonly config: Config;
  readonly windows: NodeWindows;
  /** Opens the store; production and most simulations pass the log engine. */
  readonly openStore: () => Promise<StorageEngine>;
  /** Something happened after which the process must end: what is on disk is unknown. */
  readonly onFatal: (error: Error) => void;
}

/** The rooms of a node, joined and not yet started. */
interface Rooms {
  readonly engine: StorageEngine;
  readonly replica: Replica;
  readonly requests: PeerRequests;
  readonly links: PeerLinks;
  readonly buckets: BucketDirectory;
  readonly exchange: BucketExchange;
  readonly repairs: ReadRepair;
  readonly coordinator: QuorumCoordinator;
  readonly bootstrap: Bootstrap;
}

/** What membership opens: set once, by the bootstrap. */
interface Membership {
  view: MemberView | undefined;
  codec: ContextCodec | undefined;
}

/** A node that runs. */
export class GyreNode {
  readonly config: Config;
  readonly metrics: MetricsRegistry = new MetricsRegistry();
  readonly status: NodeStatusView;
  readonly contexts: ContextDoor;
  readonly #rooms: Rooms;
  #isStopping = false;

  private constructor(config: Config, rooms: Rooms, membership: Membership) {
    this.config = config;
    this.#rooms = rooms;
    this.contexts = contextDoorOf(membership);
    const { engine, links, bootstrap } = rooms;
    const isStopping = (): boolean => this.#isStopping;
    this.status = new NodeStatusView({ config, engine, links, view: () => bootstrap.view(), isStopping });
    registerNodeMetrics(this.metrics, rooms);
  }

  /** Builds and starts a node; resolves when its peers can reach it. It serves once `status.readyz()` says so. */
  static async start(options: NodeOptions): Promise<GyreNode> {
    const engine = await options.openStore();
    let node: GyreNode | undefined;
    try {
      engine.onFailure(options.onFatal);
      const membership: Membership = { view: undefined, codec: undefined };
      const rooms = joinRooms(options, engine, membership);
      node = new GyreNode(options.config, rooms, membership);
      // what looks like a clean stop may be the backup of one: see DECISIONS 28
      if (engine.recovery.mode === "clean") await rooms.replica.renewActor();
      await rooms.replica.prepare();
      await rooms.links.start();
      rooms.bootstrap.start();
      return node;
    } catch (error) {
      await (node === undefined ? engine.close() : node.stop());
      throw error;
    }
  }

  /** Takes client requests from anyone who holds it. */
  get coordinator(): QuorumCoordinator {
    return this.#rooms.coordinator;
  }

  get buckets(): BucketDirectory {
    return this.#rooms.buckets;
  }

  get engine(): StorageEngine {
    return this.#rooms.engine;
  }

  /** From now on `readyz` says no: load balancers look elsewhere while requests still finish. */
  announceStop(): void {
    this.#isStopping = true;
  }

  /** Stops in the opposite order of the start; what was accepted is finished and the store closed cleanly. */
  async stop(): Promise<void> {
    this.announceStop();
    const { bootstrap, exchange, requests, replica, links, engine } = this.#rooms;
    bootstrap.stop();
    exchange.stop();
    requests.stop();
    // While the actor is in doubt, only an unclean start may use the store: it draws another one.
    const { isActorTrusted } = await replica.close();
    try {
      await links.drain(LINK_DRAIN_MS);
      await links.stop();
    } finally {
      await engine.close({ isClean: isActorTrusted });
    }
  }
}

function joinRooms(options: NodeOptions, engine: StorageEngine, membership: Membership): Rooms {
  const { config, windows } = options;
  const { clock, log } = windows;
  const documents = {
    read: (name: string) => engine.readDocument(name),
    write: (name: string, bytes: Uint8Array) => engine.writeDocument(name, bytes),
  };
  const buckets = new BucketDirectory({ documents, clock, log, defaults: bucketDefaultsOf(config) });
  const replica = new Replica({
    store: engine,
    slots: { slotOf: (partition) => membership.view?.slotOf(partition) ?? -1 },
    conflicts: conflictRulesOf(buckets),
    clock,
    log,
    isDurable: config.durability === "fsync",
  });
  const requests = new PeerRequests({ replica, log });
  const links = makeLinks(options, requests);
  const exchange = new BucketExchange({ directory: buckets, peers: links, clock, log });
  const repairs = new ReadRepair({ self: config.nodeId, clock, peers: links, local: replica });
  const coordinator = new QuorumCoordinator({
    self: config.nodeId,
    clock,
    placement: { table: () => membership.view?.table },
    buckets,
    local: replica,
    peers: links,
    scan: engine,
    repairs,
    handoff: new CountingHandoff(),
    log,
  });
  const onMember = (view: MemberView): void => {
    becomeMember(view, { membership, links, buckets, secret: config.secret, self: config.nodeId });
    log.info({ event: "node.serving", clusterId: view.clusterId, memberCount: view.members.length });
  };
  const bootstrap = makeBootstrap(options, { engine, documents, links, onMember });
  if (bootstrap.clusterId !== undefined) links.setClusterId(bootstrap.clusterId);

  buckets.shareWith(exchange.share);
  requests.registerTopic(bootstrap.topic, bootstrap.topicHandler);
  requests.registerTopic(BUCKETS_OFFER_TOPIC, exchange.offerHandler);
  requests.registerTopic(BUCKETS_EXCHANGE_TOPIC, exchange.exchangeHandler);
  for (const [topic, handler] of coordinator.topics) requests.registerTopic(topic, handler);
  links.onPeerUp((peer) => {
    bootstrap.peerUp(peer);
    exchange.peerUp(peer.nodeId);
  });
  links.onPeerDown((node) => {
    bootstrap.peerDown(node);
    exchange.peerDown(node);
  });
  return { engine, replica, requests, links, buckets, exchange, repairs, coordinator, bootstrap };
}

function bucketDefaultsOf(config: Config): BucketSettings {
  return { n: config.n, r: config.r, w: config.w, conflicts: "siblings", blindWrites: "overwrite" };
}

function makeLinks({ config, windows }: NodeOptions, requests: PeerRequests): PeerLinks {
  return new PeerLinks(
    {
      nodeId: config.nodeId,
      bootNonce: Buffer.from(windows.random.fork("boot").bytes(16)).toString("hex"),
      clusterName: config.cluster,
      clusterId: undefined,
      zone: config.zone,
      host: config.host,
      weight: config.weight,
      secret: Buffer.from(config.secret ?? "", "utf8"),
      listenAddress: config.peerAddress,
      advertisedAddress: config.advertiseAddress,
      seeds: config.seeds,
      handler: requests.handle,
    },
    windows,
  );
}

function makeBootstrap(
  { config, windows, onFatal }: NodeOptions,
  parts: {
    readonly engine: StorageEngine;
    readonly documents: Documents;
    readonly links: PeerLinks;
    readonly onMember: (view: MemberView) => void;
  },
): Bootstrap {
  const { nodeId: id, zone, host, weight, advertiseAddress: address } = config;
  return new Bootstrap({
    settings: {
      node: { id, zone, host, weight, address },
      clusterName: config.cluster,
      expect: config.bootstrapExpect,
      partitionCount: parts.engine.partitionCount,
      configuredPartitionCount: config.partitionCount,
      replicaCount: config.n,
      bucketDefaults: bucketDefaultsOf(config),
    },
    clock: windows.clock,
    random: windows.random,
    log: windows.log,
    documents: parts.documents,
    peers: parts.links,
    onMember: parts.onMember,
    onFailure: onFatal,
  });
}

function becomeMember(
  view: MemberView,
  parts: {
    readonly membership: Membership;
    readonly links: PeerLinks;
    readonly buckets: BucketDirectory;
    readonly secret: string | undefined;
    readonly self: NodeId;
  },
): void {
  const { membership, links, buckets, secret, self } = parts;
  links.setClusterId(view.clusterId);
  links.setRingHash(view.table.ringHash);
  buckets.configure({ replicaCount: view.table.replicaCount, defaults: view.bucketDefaults });
  for (const member of view.members) if (member.id !== self) links.addPeer(member.id, member.address);
  // Without a secret every listener is on loopback; the cluster's id then still keeps contexts of other clusters out.
  membership.codec = new ContextCodec(hash("sha256", `${secret ?? ""}\0${view.clusterId}`, "buffer"));
  membership.view = view;
}

/** Before membership every context passes: the coordinator then answers that the node is not ready. */
function contextDoorOf(membership: Membership): ContextDoor {
  return {
    encode: (name, context) => membership.codec?.encode(name, context) ?? "",
    decode: (name, token) => membership.codec?.decode(name, token) ?? { kind: "context", context: EMPTY_CONTEXT },
  };
}
