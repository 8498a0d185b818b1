/**
 * How the rooms of a node are made out of its configuration and windows. Must never join them: `rooms.ts` does.
 */
import { hash } from "node:crypto";
import type { StorageEngine } from "../../storage/engine.ts";
import type { BucketSettings } from "../base/bucket-settings.ts";
import { clusterSecretsOf } from "../base/cluster-secrets.ts";
import type { Config } from "../base/config.ts";
import { Bootstrap } from "../cluster/bootstrap.ts";
import type { MemberView } from "../cluster/cluster-view.ts";
import { Membership } from "../cluster/membership.ts";
import { Operator } from "../cluster/operator.ts";
import type { Documents } from "../cluster/own-record.ts";
import { patientDocuments } from "../cluster/patient-writes.ts";
import { PeerRequests } from "../peers/peer-handler.ts";
import { PeerLinks } from "../peers/peer-links.ts";
import type { HolderTable } from "../placement/holder-table.ts";
import type { CollectTimes } from "../repair/collect-leader.ts";
import { ContextCodec } from "../versioning/context-codec.ts";
import { RingState } from "./ring-state.ts";
import type { NodeWindows } from "./windows.ts";

/** What a node is made of besides its configuration. */
export interface NodeOptions {
  readonly config: Config;
  readonly windows: NodeWindows;
  /** Opens the store; production and most simulations pass the log engine. */
  readonly openStore: () => Promise<StorageEngine>;
  /** Opens the store of the hints for a node with so many partitions; see `hintEngineOptions`. Called once the store is open. */
  readonly openHints: (partitionCount: number) => Promise<StorageEngine>;
  /** How old tombstones are before they are collected, and how long rounds wait; undefined: as in a real cluster. */
  readonly collectTimes?: CollectTimes;
  /** Something happened after which the process must end: what is on disk is unknown. */
  readonly onFatal: (error: Error) => void;
}

/** The documents of a store, as rooms keep them. */
export function documentsOf(engine: StorageEngine): Documents {
  return {
    read: (name) => engine.readDocument(name),
    write: (name, bytes) => engine.writeDocument(name, bytes),
  };
}

/** What holds for a bucket that nobody made. */
export function bucketDefaultsOf(config: Config): BucketSettings {
  return { n: config.n, r: config.r, w: config.w, conflicts: "siblings", blindWrites: "overwrite" };
}

/** The codec of contexts. Without a secret every listener is on loopback; the cluster's id still keeps others' contexts out. */
export function contextCodecOf(config: Config, clusterId: string): ContextCodec {
  const { primary, others } = clusterSecretsOf(config);
  const bound = (secret: Uint8Array): Uint8Array =>
    hash("sha256", Buffer.concat([secret, Buffer.from(`\0${clusterId}`)]), "buffer");
  return new ContextCodec(bound(primary), others.map(bound));
}

/** The links of this node. */
export function makeLinks({ config, windows }: NodeOptions, requests: PeerRequests): PeerLinks {
  return new PeerLinks(
    {
      nodeId: config.nodeId,
      bootNonce: Buffer.from(windows.random.fork("boot").bytes(16)).toString("hex"),
      clusterName: config.cluster,
      clusterId: undefined,
      zone: config.zone,
      host: config.host,
      weight: config.weight,
      secrets: clusterSecretsOf(config),
      listenAddress: config.peerAddress,
      advertisedAddress: config.advertiseAddress,
      seeds: config.seeds,
      handler: requests.handle,
    },
    windows,
  );
}

/** Its membership. */
export function makeMembership(
  { config, windows, onFatal }: NodeOptions,
  parts: {
    readonly documents: Documents;
    readonly links: PeerLinks;
    readonly ring: RingState;
    readonly onTable: (table: HolderTable) => void;
    readonly mayLeave: () => boolean;
  },
): Membership {
  const { nodeId: id, zone, host, weight } = config;
  return new Membership({
    self: { id, zone, host, weight, address: config.advertiseAddress ?? config.peerAddress },
    documents: patientDocuments(parts.documents, windows),
    peers: parts.links,
    clock: windows.clock,
    random: windows.random,
    log: windows.log,
    onTable: parts.onTable,
    onRemoved: () => parts.ring.dropAll(),
    mayLeave: parts.mayLeave,
    onFailure: onFatal,
  });
}

/** What people ask of it. */
export function makeOperator(
  { config, windows }: NodeOptions,
  parts: {
    readonly engine: StorageEngine;
    readonly documents: Documents;
    readonly links: PeerLinks;
    readonly membership: Membership;
    readonly bootstrap: Bootstrap;
  },
): Operator {
  const { links, membership, bootstrap, documents, engine } = parts;
  const { nodeId: id, zone, host, weight } = config;
  return new Operator({
    self: { id, zone, host, weight, address: config.advertiseAddress ?? config.peerAddress },
    joinsByItself: config.join === "auto",
    partitionCount: engine.partitionCount,
    documents: patientDocuments(documents, windows),
    membership,
    bootstrap,
    peers: links,
    linkedNodes: () =>
      links
        .knownPeers()
        .filter((peer) => peer.isReachable)
        .map((peer) => peer.nodeId),
    clock: windows.clock,
    random: windows.random,
    log: windows.log,
  });
}

/** Its way into a new cluster. */
export function makeBootstrap(
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
