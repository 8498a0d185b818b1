/**
 * Collecting tombstones joined to this node's store, slots, hints, links and records. Must never decide what may be collected:
 * `services/repair/collect-core.ts` does.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { BucketDirectory } from "../cluster/bucket-directory.ts";
import type { MembershipView } from "../cluster/handover-view.ts";
import type { Membership } from "../cluster/membership.ts";
import type { Handoff } from "../handoff/handoff.ts";
import type { PeerRequests } from "../peers/peer-handler.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { Collecting, collectTimesOf } from "../repair/collect.ts";
import type { CollectDoor } from "../repair/collect-door.ts";
import type { CollectTimes } from "../repair/collect-leader.ts";
import { type CollectRules, fingerprintOf, type KnownRules, rulesOf } from "../repair/collect-rules-core.ts";
import type { CollectWord } from "../repair/collect-word-core.ts";
import type { SlotRules } from "../repair/exchange-view.ts";
import type { KeyLocation, ReplicaWriteResult } from "../replica/contract.ts";
import type { Replica } from "../replica/replica.ts";
import { encodedLeastSiblingCounterOf } from "../versioning/object-header.ts";
import { BulkAsks } from "./bulk-asks.ts";
import type { Moving } from "./moving.ts";
import type { RingState } from "./ring-state.ts";
import { slotRulesOf } from "./slot-rules.ts";

/** What collecting is joined to. */
export interface CollectingParts {
  readonly self: NodeId;
  readonly engine: StorageEngine;
  readonly replica: Replica;
  readonly door: CollectDoor;
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
  readonly #rules: DirectoryRules;

  constructor(parts: CollectingParts) {
    this.#parts = parts;
    const { engine, replica, handoff, ring, membership, moving, links, clock, random } = parts;
    this.#asks = new BulkAsks(links, clock);
    this.#rules = new DirectoryRules(parts);
    this.collecting = new Collecting({
      ...parts,
      store: engine,
      rules: this.#rules,
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

  /** See `OldVersions`. */
  wordOf(partition: number): CollectWord | undefined {
    return this.collecting.words.wordOf(partition);
  }

  /** See `OldVersions`. */
  adopt(
    word: CollectWord | undefined,
    location: KeyLocation,
    object: Uint8Array,
  ): Promise<ReplicaWriteResult> | undefined {
    const { door, replica } = this.#parts;
    const line = door.lineOf(location.partition);
    if (line === 0 || word === undefined) return undefined;
    // A tombstone that was collected here is not taken back from one who has not swept yet; a newer one comes the usual way.
    const least = encodedLeastSiblingCounterOf(object);
    if (least === 0 || least > line || !this.collecting.words.believes(word, location.partition)) return undefined;
    return replica.adopt(location, object, word.floor);
  }

  /** Settings of buckets have changed. */
  rulesChanged(): void {
    this.#rules.changed();
    this.collecting.rulesChanged();
  }

  stop(): void {
    this.collecting.stop();
    this.#asks.stop();
  }
}

/** The rules by which slots leave keys out, read from the settings again only after they have changed. */
class DirectoryRules implements CollectRules {
  readonly #ring: RingState;
  readonly #buckets: BucketDirectory;
  readonly #slots: SlotRules;
  #known: { readonly slotCount: number; readonly rules: KnownRules; readonly fingerprint: bigint } | undefined;

  constructor({ buckets, clock, ring }: CollectingParts) {
    this.#ring = ring;
    this.#buckets = buckets;
    this.#slots = slotRulesOf(buckets, clock);
  }

  /** Whatever was read of the settings is old. */
  changed(): void {
    this.#known = undefined;
  }

  isAnyExempt(slot: number): boolean {
    return this.#slots.isAnyExempt(slot);
  }

  isExempt(key: Uint8Array, slot: number): boolean {
    return this.#slots.isExempt(key, slot);
  }

  known(): KnownRules {
    return this.#read().rules;
  }

  fingerprint(): bigint {
    return this.#read().fingerprint;
  }

  #read(): { readonly rules: KnownRules; readonly fingerprint: bigint } {
    const slotCount = this.#ring.table?.replicaCount ?? Number.MAX_SAFE_INTEGER;
    if (this.#known?.slotCount === slotCount) return this.#known;
    const named = this.#buckets.list().map(({ name, settings }) => [name, settings.n] as const);
    const rules = rulesOf({ standard: this.#buckets.defaults().n, named }, slotCount);
    this.#known = { slotCount, rules, fingerprint: fingerprintOf(rules) };
    return this.#known;
  }
}
