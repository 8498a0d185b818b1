/**
 * HandingOff: the hints of a node joined to its slots, links and records, and what of them is shown. Must never decide what
 * is kept: the coordinator does that, and asks whoever stands in.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { Disk } from "../../storage/ports.ts";
import type { Config } from "../base/config.ts";
import { DEFAULT_HINTS_MAX_BYTES, HINTS_DISK_SHARE } from "../base/hint-limits.ts";
import type { NodeId } from "../base/ids.ts";
import type { BucketDirectory } from "../cluster/bucket-directory.ts";
import type { Membership } from "../cluster/membership.ts";
import { Handoff } from "../handoff/handoff.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { conflictRulesOf } from "../replica/conflict-rules.ts";
import type { MintGate } from "../replica/mint-gate.ts";
import type { Replica } from "../replica/replica.ts";
import { BulkAsks } from "./bulk-asks.ts";
import type { Liveness } from "./liveness.ts";
import type { RingState } from "./ring-state.ts";
import type { NodeWindows } from "./windows.ts";

/** The store of the hints and how much of it may be used. */
export interface HintStorage {
  readonly engine: StorageEngine;
  readonly maxBytes: number;
}

/** What handoff is made of before the links are. */
export interface HandingOffParts {
  readonly config: Config;
  readonly windows: NodeWindows;
  readonly hints: HintStorage;
  /** Q of the main store */
  readonly partitionCount: number;
  /** nothing is minted before it is open */
  readonly gate: MintGate;
  readonly replica: Replica;
  readonly buckets: BucketDirectory;
  readonly ring: RingState;
  readonly backgroundShare: () => number;
}

/** What it is joined to once they are made. */
export interface HandoffJoints {
  readonly links: PeerLinks;
  readonly liveness: Liveness;
  readonly membership: Membership;
}

/** The handoff of one node. */
export class HandingOff {
  readonly handoff: Handoff;
  readonly #parts: HandingOffParts;
  #joints: HandoffJoints | undefined;
  #asks: BulkAsks | undefined;

  constructor(parts: HandingOffParts) {
    this.#parts = parts;
    const { config, windows, hints, partitionCount, replica, buckets, ring, backgroundShare } = parts;
    const { clock, random, log } = windows;
    this.handoff = new Handoff({
      self: config.nodeId,
      engine: hints.engine,
      partitionCount,
      isDurable: config.durability === "fsync",
      maxBytes: hints.maxBytes,
      windowMs: config.hintsWindowMs,
      main: replica,
      gate: parts.gate,
      conflicts: conflictRulesOf(buckets),
      replicas: { replicasOf: ({ key }) => buckets.settingsOfKey(key).n },
      holders: { table: () => ring.table },
      peers: {
        ask: async (node, topic, body, timeoutMs) => this.#asks?.ask(node, topic, body, timeoutMs),
      },
      isAlive: (node) => this.#joints?.liveness.isAlive(node) === true,
      isRemoved: (node) => ring.removedNodes.has(node),
      isLeaving: () => this.#isLeaving(),
      onDrained: () => this.#joints?.membership.reviewStatus(),
      members: () => this.#members(),
      backgroundShare,
      clock,
      random,
      log,
    });
  }

  /** Once the links and who belongs are there; before `start`. */
  join(joints: HandoffJoints): void {
    this.#joints = joints;
    this.#asks = new BulkAsks(joints.links, this.#parts.windows.clock);
    joints.links.onPeerUp(({ nodeId }) => this.handoff.peerUp(nodeId));
  }

  /** Delivers nothing more; see `Handoff.stop`. */
  stop(): void {
    this.handoff.stop();
    this.#asks?.stop();
  }

  #isLeaving(): boolean {
    const membership = this.#joints?.membership;
    if (membership?.table === undefined) return false;
    const { status } = membership.store.record;
    return status === "leaving" || status === "left";
  }

  #members(): readonly NodeId[] {
    const { ring, config } = this.#parts;
    return ring.table?.all.map((member) => member.nodeId) ?? [config.nodeId];
  }
}

/** What hints may take of this disk. */
export async function hintBudgetOf(config: Config, disk: Disk): Promise<number> {
  if (config.hintsMaxBytes !== undefined) return config.hintsMaxBytes;
  const { totalBytes } = await disk.freeBytes();
  return Math.min(DEFAULT_HINTS_MAX_BYTES, totalBytes * HINTS_DISK_SHARE);
}
