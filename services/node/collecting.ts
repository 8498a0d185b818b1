/**
 * Collecting tombstones joined to this node's store, slots, hints, links and records. Must never decide what may be collected:
 * `services/repair/collect-core.ts` does.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { xxh64 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { BucketDirectory } from "../cluster/bucket-directory.ts";
import type { MembershipView } from "../cluster/handover-view.ts";
import type { Membership } from "../cluster/membership.ts";
import type { Handoff } from "../handoff/handoff.ts";
import type { PeerRequests } from "../peers/peer-handler.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { Collecting, collectTimesOf } from "../repair/collect.ts";
import type { CollectFloors } from "../repair/collect-floors-core.ts";
import type { CollectTimes } from "../repair/collect-leader.ts";
import type { SlotRules } from "../repair/exchange-view.ts";
import type { KeyLocation, ReplicaWriteResult } from "../replica/contract.ts";
import type { Replica } from "../replica/replica.ts";
import { encodedSiblingCountOf } from "../versioning/object-header.ts";
import { BulkAsks } from "./bulk-asks.ts";
import type { Moving } from "./moving.ts";
import type { RingState } from "./ring-state.ts";
import { slotRulesOf } from "./slot-rules.ts";

/** What collecting is joined to. */
export interface CollectingParts {
  readonly self: NodeId;
  readonly engine: StorageEngine;
  readonly replica: Replica;
  readonly floors: CollectFloors;
  readonly handoff: Handoff;
  readonly links: PeerLinks;
  readonly ring: RingState;
  readonly buckets: BucketDirectory;
  readonly membership: Membership;
  readonly view: MembershipView;
  readonly moving: Moving;
  readonly isAlive: (node: NodeId) => boolean;
  readonly backgroundShare: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly tombstoneAgeMs: number;
  /** undefined: those of a real cluster with that age */
  readonly times?: CollectTimes | undefined;
}

/** Tombstone collection of one node. */
export class CollectingJoint {
  readonly collecting: Collecting;
  readonly #parts: CollectingParts;
  readonly #asks: BulkAsks;

  constructor(parts: CollectingParts) {
    this.#parts = parts;
    const { engine, replica, handoff, ring, membership, moving, links, clock, random } = parts;
    this.#asks = new BulkAsks(links, clock);
    this.collecting = new Collecting({
      ...parts,
      store: engine,
      rules: markRulesOf(parts),
      times: parts.times ?? collectTimesOf(parts.tombstoneAgeMs),
      table: () => ring.table,
      membersHash: () =>
        membership.table === undefined || membership.isRemoved ? undefined : parts.view.membersHash(),
      isMoving: (partition) => moving.isMoving(partition),
      hasHintsOf: (partition) => handoff.hasHintsOf(partition),
      mintAbove: async (counter) => {
        await Promise.all([replica.mintAbove(counter), handoff.mintAbove(counter)]);
      },
      isRemoved: (node) => ring.removedNodes.has(node),
      share: parts.backgroundShare,
      ask: this.#asks.ask.bind(this.#asks),
      random: random.fork("collect"),
    });
    ring.onHold = (partition) => this.collecting.slotChanged(partition);
  }

  /** Answers the others' questions from the first moment on: those that come before this node is a member have no answer. */
  register(requests: PeerRequests): void {
    for (const [topic, handler] of this.collecting.topics()) requests.registerTopic(topic, handler);
  }

  /** Once, when this node is a member and its slots are known. */
  begin(): void {
    this.collecting.begin().catch((error: unknown) => {
      // Not swallowed: without its marks this node collects nothing, and says so.
      this.#parts.log.error({ event: "collect.not-begun", error });
    });
  }

  /**
   * Takes what a peer has that took part in the last collection of the partition, however old it is; undefined: nothing was
   * collected there, or this peer is one like any other.
   */
  adopt(peer: NodeId, location: KeyLocation, object: Uint8Array): Promise<ReplicaWriteResult> | undefined {
    const { floors, replica } = this.#parts;
    if (floors.lineOf(location.partition) === 0) return undefined;
    // A tombstone that was collected here is not taken back from one who has not swept yet; a newer one comes the usual way.
    if (encodedSiblingCountOf(object) === 0) return undefined;
    return this.collecting.isTrusted(peer, location.partition) ? replica.adopt(location, object) : undefined;
  }

  stop(): void {
    this.collecting.stop();
    this.#asks.stop();
  }
}

/**
 * The rules by which slots leave keys out, with a fingerprint over the buckets that have fewer replicas than slots only: others
 * come and go without changing what two slots have in common.
 */
function markRulesOf({ buckets, clock, ring }: CollectingParts): SlotRules {
  const rules = slotRulesOf(buckets, clock);
  return {
    ...rules,
    fingerprint: () => {
      const slots = ring.table?.replicaCount ?? Number.POSITIVE_INFINITY;
      const few = buckets.list().filter(({ settings }) => settings.n < slots);
      const named = few.map(({ name, settings }) => [name, settings.n] as const);
      const standard = Math.min(slots, buckets.defaults().n);
      // A bucket of as many replicas as slots is an exception only where the others have fewer.
      const full = buckets.list().filter(({ settings }) => standard < slots && settings.n >= slots);
      return xxh64(Buffer.from(JSON.stringify([standard, named, full.map(({ name }) => name)])));
    },
  };
}
