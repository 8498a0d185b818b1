/**
 * Healing: anti-entropy joined to this node's store, links, records and liveness, and what of it is shown and can be asked for.
 * Must never decide what is compared: the schedule does.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import type { ReplicasCompared } from "../base/repair-reports.ts";
import type { BucketDirectory } from "../cluster/bucket-directory.ts";
import type { PeerRequests } from "../peers/peer-handler.ts";
import type { PeerLinks } from "../peers/peer-links.ts";
import { AntiEntropy, type AntiEntropyStatus } from "../repair/anti-entropy.ts";
import type { RepairFlags } from "../repair/anti-entropy-reasons.ts";
import type { OldVersions } from "../repair/exchange-objects.ts";
import { ORDER_REPAIR_TOPIC, RepairOrders } from "../repair/repair-orders.ts";
import type { Replica } from "../replica/replica.ts";
import { BulkAsks } from "./bulk-asks.ts";
import type { RingState } from "./ring-state.ts";
import { slotRulesOf } from "./slot-rules.ts";

/** What healing is joined to. */
export interface HealingParts {
  readonly self: NodeId;
  readonly engine: StorageEngine;
  readonly replica: Replica;
  readonly links: PeerLinks;
  readonly ring: RingState;
  readonly buckets: BucketDirectory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly isAlive: (node: NodeId) => boolean;
  /** asked only once all is joined */
  readonly oldVersions: () => OldVersions;
  /** dropped hints; undefined while nobody keeps any */
  readonly flags?: RepairFlags | undefined;
  /** notes, durably, that a partition was not whole, before it is taken for whole again */
  readonly beforeWhole?: (partition: number) => Promise<void>;
  readonly backgroundShare: () => number;
}

/** Anti-entropy of one node; it begins when the node is a member. */
export class Healing {
  readonly #antiEntropy: AntiEntropy;
  readonly #orders: RepairOrders;
  readonly #asks: BulkAsks;

  constructor(parts: HealingParts) {
    const { self, engine, replica, links, ring, buckets, clock, random, log, isAlive } = parts;
    const asks = new BulkAsks(links, clock);
    this.#asks = asks;
    const chance = random.fork("anti-entropy");
    const ask = asks.ask.bind(asks);
    this.#antiEntropy = new AntiEntropy({
      self,
      store: engine,
      replica,
      clock,
      random: chance,
      log,
      table: () => ring.table,
      isAlive,
      isRemoved: (node) => ring.removedNodes.has(node),
      rules: slotRulesOf(buckets, clock),
      oldVersions: {
        wordOf: (partition) => parts.oldVersions().wordOf(partition),
        adopt: (word, location, object) => parts.oldVersions().adopt(word, location, object),
      },
      flags: parts.flags,
      beforeWhole: parts.beforeWhole,
      // what is lost may have held dots of ours that come back one day: from now on another actor mints
      onLost: () => replica.renewActor(),
      share: parts.backgroundShare,
      ask,
      call: (to, request, budgetMs, onResult) => links.callBulk(to, request, budgetMs, onResult),
    });
    this.#orders = new RepairOrders({
      self,
      antiEntropy: this.#antiEntropy,
      clock,
      nonce: () => Buffer.from(chance.bytes(8)).toString("hex"),
      members: () => ring.table?.all.map((member) => member.nodeId) ?? [],
      isAlive,
      ask,
      pause: (ms) => new Promise((resolve) => clock.setTimer(ms, resolve)),
    });
  }

  /** Answers the others' questions from the first moment on. */
  register(requests: PeerRequests): void {
    for (const [topic, handler] of this.#antiEntropy.topics()) requests.registerTopic(topic, handler);
    requests.registerTopic(ORDER_REPAIR_TOPIC, this.#orders.handler);
  }

  /** Once, when this node is a member. */
  begin(): void {
    this.#antiEntropy.start();
  }

  stop(): void {
    this.#antiEntropy.stop();
    this.#asks.stop();
  }

  /** From memory. O(pairs). */
  status(): AntiEntropyStatus {
    return this.#antiEntropy.status();
  }

  /** Records that cannot be read here and that nobody else has. */
  get lostKeys(): number {
    return this.#antiEntropy.lostKeys;
  }

  /** When a partition was last compared to the end with that holder, monotonic ms; −1 = never in this life. */
  verifiedMs(node: NodeId, partition: number): number {
    return this.#antiEntropy.verifiedMs(node, partition);
  }

  /** Compares one partition, or all (undefined), at every member now; resolves when done or when the time is up. */
  repair(partition: number | undefined, timeoutMs: number): Promise<ReplicasCompared> {
    return this.#orders.run(partition, timeoutMs);
  }
}
