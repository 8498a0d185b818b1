/**
 * The rooms of a node, built over the windows and joined to each other; nothing is started here. Must never decide anything.
 */
import assert from "node:assert/strict";
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock } from "../base/ports.ts";
import type { Calm } from "../calm/calm.ts";
import type { DiskPulse } from "../calm/disk-pulse.ts";
import { SharedReads } from "../calm/shared-reads.ts";
import { Bootstrap } from "../cluster/bootstrap.ts";
import { BucketDirectory } from "../cluster/bucket-directory.ts";
import { BUCKETS_EXCHANGE_TOPIC, BUCKETS_OFFER_TOPIC, BucketExchange } from "../cluster/bucket-exchange.ts";
import type { MemberView } from "../cluster/cluster-view.ts";
import { MembershipView } from "../cluster/handover-view.ts";
import { Membership } from "../cluster/membership.ts";
import { AGREEMENT_TOPIC, ORDER_TOPIC } from "../cluster/membership-messages.ts";
import { Operator } from "../cluster/operator.ts";
import type { Documents } from "../cluster/own-record.ts";
import { RECORDS_EXCHANGE_TOPIC, RECORDS_OFFER_TOPIC } from "../cluster/record-exchange.ts";
import { QuorumCoordinator } from "../coordinator/coordinator.ts";
import { PeerRequests } from "../peers/peer-handler.ts";
import { PeerLinks } from "../peers/peer-links.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import { CollectDoor } from "../repair/collect-door.ts";
import { ReadRepair } from "../repair/read-repair.ts";
import { conflictRulesOf } from "../replica/conflict-rules.ts";
import { Replica } from "../replica/replica.ts";
import { ContextCodec } from "../versioning/context-codec.ts";
import { type CalmRooms, makeCalm } from "./calm-makers.ts";
import { CollectingJoint } from "./collecting.ts";
import { DepartedPeers } from "./departed-peers.ts";
import { HandingOff, type HintStorage } from "./handing-off.ts";
import { Healing } from "./healing.ts";
import { Liveness } from "./liveness.ts";
import { Moving } from "./moving.ts";
import { RingState, removedNodesOf } from "./ring-state.ts";
import {
  bucketDefaultsOf,
  contextCodecOf,
  documentsOf,
  makeBootstrap,
  makeLinks,
  makeMembership,
  makeOperator,
  type NodeOptions,
} from "./room-makers.ts";

/** The rooms of a node, joined. */
export interface Rooms {
  readonly clock: Clock;
  readonly engine: StorageEngine;
  readonly ring: RingState;
  readonly replica: Replica;
  readonly requests: PeerRequests;
  readonly links: PeerLinks;
  readonly liveness: Liveness;
  readonly buckets: BucketDirectory;
  readonly exchange: BucketExchange;
  readonly repairs: ReadRepair;
  readonly coordinator: QuorumCoordinator;
  /** the coordinator as clients have it */
  readonly front: SharedReads;
  readonly bootstrap: Bootstrap;
  readonly membership: Membership;
  readonly view: MembershipView;
  readonly operator: Operator;
  readonly moving: Moving;
  readonly handingOff: HandingOff;
  readonly healing: Healing;
  readonly collecting: CollectingJoint;
  /** whether this node still hears what was collected while it was away */
  readonly collectDoor: Pick<CollectDoor, "isHearing">;
  readonly calm: Calm;
  readonly pulse: DiskPulse;
  readonly departed: DepartedPeers;
  /** set once this node is a member */
  readonly secrets: { codec: ContextCodec | undefined };
}

/** Builds and joins everything. Throws when the data directory is another node's or unreadable. */
export function joinRooms(options: NodeOptions, engine: StorageEngine, hints: HintStorage): Rooms {
  const { clock, log } = options.windows;
  const calmRooms = makeCalm(options.windows, engine, {
    hasOthers: () => (all.membership.table?.all.length ?? 1) > 1,
    onDiskState: (state) => all.liveness.setFitness({ isDegraded: state === "degraded" }),
  });
  const { calm } = calmRooms;
  for (const one of [engine, hints.engine]) one.paceBackgroundBy(calm.backgroundShare);
  const store = storeRooms(options, { engine, hints, ...calmRooms });
  const ring = ringRooms(options, store, calm);
  const requests = requestRooms(options, store, { ...ring, calm });
  const { links } = store;
  const secrets: Rooms["secrets"] = { codec: undefined };
  const bootstrap = makeBootstrap(options, { ...store, onMember: (made) => becomeMember(all, options, made) });
  if (bootstrap.clusterId !== undefined) links.setClusterId(bootstrap.clusterId);
  const operator = makeOperator(options, { ...store, membership: ring.membership, bootstrap });
  const isMember = (node: NodeId): boolean | undefined =>
    store.ring.table?.all.some((member) => member.nodeId === node);
  const departed = new DepartedPeers({ links, isMember, clock, log });
  const own = { clock, departed, collectDoor: store.door, bootstrap, operator, secrets };
  const all: Rooms = { ...own, ...calmRooms, ...store, ...ring, ...requests };
  registerTopics(all);
  followLinks(all);
  return all;
}

type StoreRooms = Pick<Rooms, "engine" | "buckets" | "replica" | "handingOff" | "requests" | "links"> & {
  readonly documents: Documents;
  readonly door: CollectDoor;
  readonly ring: RingState;
};
type RingRooms = Pick<Rooms, "membership" | "liveness" | "view" | "moving" | "healing" | "collecting">;

/** What this node keeps, and the links to the others. */
function storeRooms(
  options: NodeOptions,
  { engine, hints, calm, pulse }: CalmRooms & { readonly engine: StorageEngine; readonly hints: HintStorage },
): StoreRooms {
  const { config, windows } = options;
  const { clock, log } = windows;
  const documents = documentsOf(engine);
  const ring = new RingState();
  const buckets = new BucketDirectory({ documents, clock, log, defaults: bucketDefaultsOf(config) });
  const door = new CollectDoor(engine.partitionCount);
  const replica = new Replica({
    store: engine,
    slots: ring,
    conflicts: conflictRulesOf(buckets),
    collected: door,
    gate: door.gate,
    clock,
    log,
    isDurable: config.durability === "fsync",
    pulse,
  });
  const own = { config, windows, hints, replica, gate: door.gate, buckets, ring };
  const { backgroundShare } = calm;
  const handingOff = new HandingOff({ ...own, partitionCount: engine.partitionCount, backgroundShare });
  const requests = new PeerRequests({
    replica,
    log,
    clock,
    standIns: handingOff.handoff.fallback,
    isRemoved: (node) => ring.removedNodes.has(node),
  });
  const links = makeLinks(options, requests);
  return { engine, documents, door, ring, buckets, replica, handingOff, requests, links };
}

/** Who belongs, who is alive, and what moves because of the former. */
function ringRooms(
  options: NodeOptions,
  { engine, documents, door, ring, replica, handingOff, links, buckets }: StoreRooms,
  { backgroundShare }: Calm,
): RingRooms {
  const { config, windows, onFatal } = options;
  const { clock, random, log } = windows;
  const onTable = (table: HolderTable): void => {
    ring.table = table;
    ring.removedNodes = removedNodesOf(membership.set);
    links.setRingHash(table.ringHash);
    for (const member of table.all) if (member.nodeId !== config.nodeId) links.addPeer(member.nodeId, member.address);
    liveness.setRecordsHash(membership.recordsHash);
    moving.review();
  };
  const membership = makeMembership(options, {
    documents,
    links,
    ring,
    onTable,
    mayLeave: () => handingOff.handoff.isDrained,
  });
  const liveness = new Liveness({
    config,
    windows,
    links,
    documents,
    isKept: (node) => ring.table?.all.some((member) => member.nodeId === node) === true,
    onRecordsDiffer: (node) => {
      const peer = links.knownPeers().find(({ nodeId }) => nodeId === node);
      if (peer !== undefined) membership.exchange.differs(peer.nodeId);
    },
    onFatal,
  });
  const view = new MembershipView({ membership, self: config.nodeId, isAlive: (node) => liveness.isAlive(node) });
  const shared = { config, engine, replica, links, membership, view, ring, clock, random, log };
  const moving = new Moving({ ...shared, backgroundShare });
  const isAlive = (node: NodeId): boolean => liveness.isAlive(node);
  const healing = new Healing({
    ...shared,
    self: config.nodeId,
    buckets,
    isAlive,
    backgroundShare,
    flags: handingOff.handoff.flags,
    oldVersions: () => collecting,
    beforeWhole: (partition) => collecting.collecting.lostRecords(partition),
  });
  handingOff.join({ links, liveness, membership });
  const { handoff } = handingOff;
  const own = { self: config.nodeId, buckets, isAlive, backgroundShare, door, handoff, moving };
  const ages = { tombstoneAgeMs: config.tombstoneAgeMs, times: options.collectTimes };
  const collecting = new CollectingJoint({ ...shared, ...own, ...ages });
  return { membership, liveness, view, moving, healing, collecting };
}

/** What takes the requests of clients, and what follows from them. */
function requestRooms(
  { config, windows }: NodeOptions,
  { engine, ring, buckets, replica, handingOff, links }: StoreRooms,
  { liveness, collecting, calm }: Pick<Rooms, "liveness" | "collecting" | "calm">,
): Pick<Rooms, "exchange" | "repairs" | "coordinator" | "front"> {
  const { clock, log } = windows;
  const exchange = new BucketExchange({ directory: buckets, peers: links, clock, log });
  const { backgroundShare: share } = calm;
  const repairs = new ReadRepair({ self: config.nodeId, clock, peers: links, local: replica, share });
  const coordinator = new QuorumCoordinator({
    self: config.nodeId,
    clock,
    placement: { table: () => ring.table },
    buckets,
    local: replica,
    peers: links,
    collected: collecting.collecting,
    liveness,
    scan: engine,
    repairs,
    handoff: handingOff.handoff.missedWrites,
    fallback: handingOff.handoff.fallback,
    isShedding: calm.isShedding,
    log,
  });
  return { exchange, repairs, coordinator, front: new SharedReads(coordinator, clock) };
}

/** The node is a member, by its own durable record: it serves what that record says. */
function becomeMember(rooms: Rooms, { config, windows }: NodeOptions, made: MemberView): void {
  const { links, buckets, secrets, bootstrap, membership, ring, handingOff, moving, healing, collecting } = rooms;
  links.setClusterId(made.clusterId);
  buckets.configure({ replicaCount: made.table.replicaCount, defaults: made.bucketDefaults });
  secrets.codec = contextCodecOf(config, made.clusterId);
  const firstSlots = Int8Array.from({ length: made.table.partitionCount }, (_, partition) => made.slotOf(partition));
  const agreement = bootstrap.agreement();
  assert.ok(agreement !== undefined, "a member has an agreement");
  membership.begin(agreement, firstSlots);
  ring.begin(membership.store.ledger);
  if (membership.isRemoved) ring.dropAll();
  moving.begin();
  handingOff.handoff.begin();
  healing.begin();
  collecting.begin();
  windows.log.info({ event: "node.serving", clusterId: made.clusterId, memberCount: membership.table?.all.length });
}

function registerTopics({
  requests,
  bootstrap,
  exchange,
  coordinator,
  membership,
  operator,
  liveness,
  moving,
  handingOff,
  healing,
  collecting,
}: Rooms): void {
  requests.registerTopic(bootstrap.topic, bootstrap.topicHandler);
  requests.registerTopic(BUCKETS_OFFER_TOPIC, exchange.offerHandler);
  requests.registerTopic(BUCKETS_EXCHANGE_TOPIC, exchange.exchangeHandler);
  requests.registerTopic(RECORDS_OFFER_TOPIC, membership.exchange.offerHandler);
  requests.registerTopic(RECORDS_EXCHANGE_TOPIC, membership.exchange.exchangeHandler);
  requests.registerTopic(AGREEMENT_TOPIC, operator.agreementHandler);
  requests.registerTopic(ORDER_TOPIC, operator.orderHandler);
  for (const [topic, handler] of coordinator.topics) requests.registerTopic(topic, handler);
  for (const [topic, handler] of liveness.topics()) requests.registerTopic(topic, handler);
  for (const [topic, handler] of handingOff.handoff.topics) requests.registerTopic(topic, handler);
  moving.register(requests);
  healing.register(requests);
  collecting.register(requests);
}

function followLinks({ buckets, links, bootstrap, exchange, membership, liveness, collecting }: Rooms): void {
  buckets.shareWith(exchange.share);
  buckets.onChange = () => collecting.rulesChanged();
  links.onPeerUp((peer) => {
    bootstrap.peerUp(peer);
    exchange.peerUp(peer.nodeId);
    membership.exchange.peerUp(peer.nodeId);
    liveness.peerUp(peer);
    collecting.collecting.peerUp(peer.nodeId);
  });
  links.onPeerDown((node) => {
    bootstrap.peerDown(node);
    exchange.peerDown(node);
    membership.exchange.peerDown(node);
  });
}
