/**
 * The composition root: starts the rooms of one node over the windows, and stops them in the opposite order. Production
 * and the simulator start nodes here and nowhere else. Must never decide anything.
 *
 * Start: store and hint store (recover) → links (listen, dial) → gossip (same port) → bootstrap (a member serves at once) → the way into a
 * running cluster. Stop: the others are told, peers are refused, what was accepted is finished, the last replies leave,
 * links close, the hint store and then the store write their clean markers.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { ContextCodec as ContextDoor } from "../api/ports.ts";
import type { RepairDoor } from "../api/repair-door.ts";
import type { Config } from "../base/config.ts";
import { LINK_DRAIN_MS } from "../base/limits.ts";
import { MetricsRegistry } from "../base/metrics.ts";
import type { Calm } from "../calm/calm.ts";
import type { BucketDirectory } from "../cluster/bucket-directory.ts";
import type { Membership } from "../cluster/membership.ts";
import type { Operator } from "../cluster/operator.ts";
import type { Coordinator } from "../coordinator/contract.ts";
import type { HintsView } from "../handoff/hints-view.ts";
import type { Collecting } from "../repair/collect.ts";
import { EMPTY_CONTEXT } from "../versioning/causal-context.ts";
import { registerCalm } from "./calm-metrics.ts";
import { NodeClusterDoor } from "./cluster-door.ts";
import { ClusterFacts } from "./cluster-facts.ts";
import { registerCollecting, tombstonesDocument } from "./collect-metrics.ts";
import { hintBudgetOf } from "./handing-off.ts";
import type { Healing } from "./healing.ts";
import { hintsDocument, registerHints } from "./hint-metrics.ts";
import { registerNodeMetrics } from "./node-metrics.ts";
import { NodeStatusView } from "./node-status.ts";
import { antiEntropyDocument, registerAntiEntropy } from "./repair-metrics.ts";
import type { NodeOptions } from "./room-makers.ts";
import { joinRooms, type Rooms } from "./rooms.ts";
import { Scrubbing } from "./scrubbing.ts";

/** A node that runs. */
export class GyreNode {
  readonly config: Config;
  readonly metrics: MetricsRegistry = new MetricsRegistry();
  readonly status: NodeStatusView;
  readonly contexts: ContextDoor;
  /** membership as clients and operators see it */
  readonly door: NodeClusterDoor;
  readonly #rooms: Rooms;
  readonly #scrubbing: Scrubbing;
  #isStopping = false;

  private constructor(config: Config, rooms: Rooms) {
    this.config = config;
    this.#rooms = rooms;
    this.#scrubbing = new Scrubbing({ config, ...rooms });
    this.contexts = contextDoorOf(rooms.secrets);
    const { engine, liveness } = rooms;
    const isStopping = (): boolean => this.#isStopping;
    this.status = new NodeStatusView({ ...rooms, config, door: rooms.collectDoor, isStopping });
    registerNodeMetrics(this.metrics, rooms);
    registerCalm(this.metrics, rooms);
    const { handoff } = rooms.handingOff;
    registerHints(this.metrics, () => handoff.view());
    registerAntiEntropy(this.metrics, () => rooms.healing.status());
    const { collecting } = rooms.collecting;
    registerCollecting(this.metrics, () => collecting.status());
    const wallMs = (): number => Math.floor(rooms.clock.wallMicros() / 1_000);
    const facts = new ClusterFacts({
      config,
      ...rooms,
      moving: () => rooms.moving.progress(),
      lostKeys: () => rooms.healing.lostKeys,
      sections: () => ({
        hints: hintsDocument(handoff.view()),
        antiEntropy: antiEntropyDocument(rooms.healing.status(), wallMs()),
        tombstones: tombstonesDocument(collecting.status()),
      }),
      tombstonesWaitFor: (partition) => collecting.waitingFor(partition),
      monotonicMs: () => rooms.clock.monotonicMs(),
      wallMs,
    });
    this.door = new NodeClusterDoor({
      self: config.nodeId,
      facts,
      ...rooms,
      isAlive: (node) => liveness.isAlive(node),
      bytesOf: (partition) => copyBytesOf(engine, partition),
      monotonicMs: () => rooms.clock.monotonicMs(),
    });
  }

  /** Builds and starts a node; resolves when its peers can reach it. It serves once `status.readyz()` says so. */
  static async start(options: NodeOptions): Promise<GyreNode> {
    const engine = await options.openStore();
    let hints: StorageEngine | undefined;
    let node: GyreNode | undefined;
    try {
      engine.onFailure(options.onFatal);
      hints = await options.openHints(engine.partitionCount);
      hints.onFailure(options.onFatal);
      const maxBytes = await hintBudgetOf(options.config, options.windows.disk);
      const rooms = joinRooms(options, engine, { engine: hints, maxBytes });
      node = new GyreNode(options.config, rooms);
      await rooms.replica.prepare();
      // what looks like a clean stop may be the backup of one: see DECISIONS 28
      if (engine.recovery.mode === "clean") await rooms.replica.renewActor();
      await rooms.handingOff.handoff.start();
      const address = await rooms.links.start();
      await rooms.liveness.start(address, rooms.links.boundAddress ?? address);
      rooms.bootstrap.start();
      rooms.operator.start();
      rooms.calm.start(options.config.rehearsal === "on" && engine.recovery.mode !== "fresh");
      if (options.windows.load !== undefined) rooms.pulse.start();
      rooms.departed.start();
      return node;
    } catch (error) {
      if (node === undefined) {
        await hints?.close();
        await engine.close();
      } else await node.stop();
      throw error;
    }
  }

  /** Takes client requests from anyone who holds it. */
  get coordinator(): Coordinator {
    return this.#rooms.front;
  }

  get buckets(): BucketDirectory {
    return this.#rooms.buckets;
  }

  get engine(): StorageEngine {
    return this.#rooms.engine;
  }

  /** How busy this node is, and what follows from it. */
  get calm(): Calm {
    return this.#rooms.calm;
  }

  /** Who belongs to the ring, as this node knows it. */
  get membership(): Membership {
    return this.#rooms.membership;
  }

  /** What people ask of membership. */
  get operator(): Operator {
    return this.#rooms.operator;
  }

  /** Repairs that are asked for, as clients and operators see them. */
  get repair(): RepairDoor {
    const { handoff } = this.#rooms.handingOff;
    const { healing, engine } = this.#rooms;
    const scrubbing = this.#scrubbing;
    return {
      partitionCount: engine.partitionCount,
      waitForHints: (timeoutMs, ignoresUnreachable) => handoff.flush.wait(timeoutMs, ignoresUnreachable),
      compare: (partition, timeoutMs) => healing.repair(partition, timeoutMs),
      scrub: (timeoutMs) => scrubbing.scrub(timeoutMs),
    };
  }

  /** What this node does so that replicas hold the same. */
  get healing(): Healing {
    return this.#rooms.healing;
  }

  /** How the collection of tombstones stands, and its hand crank, for tests that look inside. */
  get collecting(): Collecting {
    return this.#rooms.collecting.collecting;
  }

  /** The slot of the partition that this node serves by its own record, −1 for none. For tests that look inside. */
  slotOf(partition: number): number {
    return this.#rooms.ring.slotOf(partition);
  }

  /** What this node keeps for slots of others, from memory. */
  hints(): HintsView {
    return this.#rooms.handingOff.handoff.view();
  }

  /** From now on `readyz` says no: load balancers look elsewhere while requests still finish. */
  announceStop(): void {
    this.#isStopping = true;
  }

  /** Stops in the opposite order of the start; what was accepted is finished and the store closed cleanly. */
  async stop(): Promise<void> {
    this.announceStop();
    const {
      operator,
      membership,
      bootstrap,
      exchange,
      requests,
      replica,
      links,
      liveness,
      moving,
      handingOff,
      healing,
      collecting,
      departed,
      calm,
      pulse,
      engine,
    } = this.#rooms;
    const { handoff } = handingOff;
    const farewell = liveness.leave();
    operator.stop();
    calm.stop();
    pulse.stop();
    departed.stop();
    moving.stop();
    handingOff.stop();
    healing.stop();
    collecting.stop();
    bootstrap.stop();
    exchange.stop();
    requests.stop();
    // While the actor is in doubt, only an unclean start may use the store: it draws another one.
    const [{ isActorTrusted }, hints] = await Promise.all([replica.close(), handoff.drain()]);
    try {
      await farewell;
      membership.stop();
      await links.drain(LINK_DRAIN_MS);
      await liveness.stop();
      await links.stop();
    } finally {
      // after the links: what they say of their last calls may have been missed. Before the store, whose lock covers the hints
      try {
        await handoff.close(hints.isActorTrusted);
      } finally {
        await engine.close({ isClean: isActorTrusted });
      }
    }
  }
}

/** Before membership every context passes: the coordinator then answers that the node is not ready. */
function contextDoorOf(secrets: Rooms["secrets"]): ContextDoor {
  return {
    encode: (name, context) => secrets.codec?.encode(name, context) ?? "",
    decode: (name, token) => secrets.codec?.decode(name, token) ?? { kind: "context", context: EMPTY_CONTEXT },
  };
}

/** A copy's size, from what this node holds of the partition and its records' average size. */
function copyBytesOf(engine: StorageEngine, partition: number): number {
  const { keyCount, tombstoneCount, liveBytes } = engine.stats();
  const averageBytes = keyCount + tombstoneCount === 0 ? 0 : liveBytes / (keyCount + tombstoneCount);
  return Math.round(engine.keyCountOf(partition) * averageBytes);
}
