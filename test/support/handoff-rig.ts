/**
 * Nodes that hold slots and keep hints for each other, on virtual time: a main replica and the handoff of each, on memory
 * engines or on log engines over simulated disks; the binary JSON of links between them. A slot's holder is what the test
 * says; each node's own word on it may lag behind what others believe.
 */

import { xxh64 } from "../../services/base/hash.ts";
import type { NodeId } from "../../services/base/ids.ts";
import type { Clock } from "../../services/base/ports.ts";
import { Handoff } from "../../services/handoff/handoff.ts";
import { hintEngineOptions, hintPartitionsOf } from "../../services/handoff/hint-engine.ts";
import type { TopicHandler } from "../../services/peers/peer-handler.ts";
import { TopicRefusal } from "../../services/peers/peer-handler.ts";
import type { KeyLocation, Minted } from "../../services/replica/contract.ts";
import type { CollectedLines } from "../../services/replica/needs.ts";
import { Replica } from "../../services/replica/replica.ts";
import { decodeSet, digestOf } from "../../services/versioning/object-codec.ts";
import { merge } from "../../services/versioning/sibling-set.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { openLogEngine } from "../../storage/index.ts";
import { openMemoryEngine } from "../../storage/memory-engine.ts";
import { type MemoryImage, newMemoryImage } from "../../storage/memory-image.ts";
import { Scheduler, type SimProcess } from "../sim/scheduler.ts";
import { SimClock } from "../sim/sim-clock.ts";
import { SimDisk } from "../sim/sim-disk.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { EventLog, putOf } from "./replica-fixture.ts";
import { nodeIdOf } from "./sim-peers.ts";
import { carried } from "./transfer-fixture.ts";
import { pass, passUntil } from "./virtual-time.ts";

/** Q of a rig, and N. */
export const RIG_PARTITIONS = 64;
export const RIG_REPLICAS = 3;

/** What a rig may be besides five nodes in memory. */
export interface RigShape {
  readonly seed?: number;
  readonly nodeCount?: number;
  /** real engines on simulated disks */
  readonly isOnDisk?: boolean;
  readonly maxBytes?: number;
  readonly windowMs?: number;
  readonly replicasOf?: (location: KeyLocation) => number;
  readonly backgroundShare?: () => number;
  /** whether a node is busy with something else for long while it counts the hints that it finds */
  readonly countsSlowly?: () => boolean;
  /** what a node's main replica knows of collected tombstones; default: nothing was collected */
  readonly collectedAt?: (node: NodeId) => CollectedLines;
  /** called with each question as it leaves; false: it, or its answer, is lost */
  readonly onAsk?: (ask: RigAsk) => "lost" | "answer lost" | undefined;
}

/** A question between two nodes. */
export interface RigAsk {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly topic: string;
  readonly sizeBytes: number;
}

/** What of a machine outlives its process. */
interface Disks {
  readonly main: MemoryImage;
  readonly hints: MemoryImage;
  sim: SimDisk;
}

/** A process that runs. */
export interface RigLife {
  readonly process: SimProcess;
  readonly engine: StorageEngine;
  readonly hints: StorageEngine;
  readonly replica: Replica;
  readonly handoff: Handoff;
  readonly clock: SimClock;
}

/** One machine. */
export interface RigNode {
  readonly id: NodeId;
  readonly index: number;
  readonly log: EventLog;
  readonly disks: Disks;
  /** undefined: it does not run */
  life: RigLife | undefined;
  /** whom the slots went to that it held, by partition */
  readonly given: Map<number, NodeId>;
  isRemoved: boolean;
  isLeaving: boolean;
  /** it was told, while leaving, that it has nothing of others any more */
  hasDrained: boolean;
}

/** Some nodes. */
export class HandoffRig {
  readonly scheduler: Scheduler;
  readonly nodes: readonly RigNode[];
  readonly asks: RigAsk[] = [];
  /** by partition and slot: who holds it */
  readonly holders: NodeId[][];
  /** by partition and slot: who is believed to */
  readonly believed: NodeId[][];
  readonly #shape: RigShape;
  #startCount = 0;

  constructor(shape: RigShape = {}) {
    this.#shape = shape;
    this.scheduler = new Scheduler(String(shape.seed ?? 1));
    const count = shape.nodeCount ?? 5;
    this.nodes = Array.from({ length: count }, (_, index) => ({
      id: nodeIdOf(`n${index + 1}`),
      index,
      log: new EventLog(),
      disks: { main: newMemoryImage(), hints: newMemoryImage(), sim: this.#emptyDisk(index) },
      life: undefined,
      given: new Map(),
      isRemoved: false,
      isLeaving: false,
      hasDrained: false,
    }));
    const ring = (): NodeId[][] =>
      Array.from({ length: RIG_PARTITIONS }, (_, partition) =>
        Array.from({ length: RIG_REPLICAS }, (__, slot) => nodeIdOf(`n${((partition + slot) % count) + 1}`)),
      );
    this.holders = ring();
    this.believed = ring();
  }

  /** All of them started, or those given. */
  static async started(shape: RigShape = {}): Promise<HandoffRig> {
    const rig = new HandoffRig(shape);
    for (const node of rig.nodes) await rig.start(node);
    return rig;
  }

  /** The n-th node, from 0. */
  node(index: number): RigNode {
    const node = this.nodes[index];
    if (node === undefined) throw new RangeError(`there is no node ${index}`);
    return node;
  }

  named(id: NodeId): RigNode {
    const node = this.nodes.find((one) => one.id === id);
    if (node === undefined) throw new RangeError(`there is no node ${id}`);
    return node;
  }

  /** The process of a node; throws when it does not run. */
  life(node: RigNode): RigLife {
    if (node.life === undefined) throw new Error(`${node.id} does not run`);
    return node.life;
  }

  /** Starts a node on what its disks hold. */
  async start(node: RigNode): Promise<void> {
    this.#startCount += 1;
    const random = new SimRandom(`${this.#shape.seed ?? 1}-${node.id}-${this.#startCount}`);
    const process = this.scheduler.newProcess(node.id);
    const clock = new SimClock(this.scheduler, process);
    const { engine, hints } = await this.#engines(node, { clock, random });
    const slotOf = (partition: number): number => (this.holders[partition] ?? []).indexOf(node.id);
    const conflicts = { isLastWriteWins: () => false };
    const replica = new Replica({
      store: engine,
      clock,
      log: node.log,
      slots: {
        slotOf,
        movedTo: (partition) =>
          node.given.get(partition) ??
          (this.holders[partition] ?? []).find((_, slot) => this.believed[partition]?.[slot] === node.id),
      },
      conflicts,
      isDurable: true,
      ...(this.#shape.collectedAt === undefined ? {} : { collected: this.#shape.collectedAt(node.id) }),
    });
    const handoff = new Handoff({
      self: node.id,
      engine: hints,
      partitionCount: RIG_PARTITIONS,
      isDurable: true,
      maxBytes: this.#shape.maxBytes ?? 64 * 1024 * 1024,
      windowMs: this.#shape.windowMs ?? 3 * 3_600_000,
      main: replica,
      conflicts,
      replicas: { replicasOf: this.#shape.replicasOf ?? (() => RIG_REPLICAS) },
      holders: {
        table: () => ({
          replicaCount: RIG_REPLICAS,
          // a hole in the list is a slot that nobody is believed to hold
          ownersOf: (partition) => (this.believed[partition] ?? []).flatMap((id, slot) => [{ node: id, slot }]),
        }),
      },
      peers: { ask: (to, topic, body) => this.#ask({ from: node, to: this.named(to), topic }, body) },
      isAlive: (id) => this.named(id).life !== undefined,
      isRemoved: (id) => this.named(id).isRemoved,
      isLeaving: () => node.isLeaving,
      onDrained: () => {
        node.hasDrained = true;
      },
      members: () => this.nodes.filter((one) => !one.isRemoved).map((one) => one.id),
      backgroundShare: this.#shape.backgroundShare ?? (() => 1),
      clock: this.#shape.countsSlowly?.() === true ? busyAtFirst(clock) : clock,
      random,
      log: node.log,
    });
    node.life = { process, engine, hints, replica, handoff, clock };
    await this.during(replica.prepare());
    await this.during(handoff.start());
    handoff.begin();
    for (const other of this.nodes) {
      if (other === node || other.life === undefined) continue;
      other.life.handoff.peerUp(node.id);
      handoff.peerUp(other.id);
    }
  }

  /** The process dies; on a simulated disk with its power, so that only what is durable is there again. */
  crash(node: RigNode): void {
    node.life?.process.kill();
    node.life = undefined;
    if (this.#shape.isOnDisk === true) {
      node.disks.sim = node.disks.sim.crash({ pages: "dropped", names: "dropped" });
    }
  }

  /** Stops it as a signal does. */
  async stop(node: RigNode): Promise<void> {
    const { handoff, replica, engine, process } = this.life(node);
    handoff.stop();
    const [, hints] = await Promise.all([replica.close(), handoff.drain()]);
    await handoff.close(hints.isActorTrusted);
    await engine.close();
    process.kill();
    node.life = undefined;
  }

  /** Where a key lives. */
  locate(key: string): KeyLocation {
    const bytes = Buffer.from(`carts\0${key}`);
    const hash = xxh64(bytes);
    return { partition: Number(hash >> 58n), hash, key: bytes };
  }

  /** The n-th key that lies in the partition. */
  nth(partition: number, n: number): KeyLocation {
    for (let at = 0, found = 0; ; at += 1) {
      const location = this.locate(`key-${at}`);
      if (location.partition !== partition) continue;
      if (found === n) return location;
      found += 1;
    }
  }

  /** The holder of a slot of the key's partition. */
  holderOf({ partition }: KeyLocation, slot: number): RigNode {
    const id = this.holders[partition]?.[slot];
    if (id === undefined) throw new RangeError(`there is no slot ${slot}`);
    return this.named(id);
  }

  /** Nodes without a slot of the key's partition, in order. */
  fallbacksOf({ partition }: KeyLocation): readonly RigNode[] {
    return this.nodes.filter(({ id }) => !(this.holders[partition] ?? []).includes(id));
  }

  /** A blind write at the holder of a slot; what others are handed. */
  async write(location: KeyLocation, slot: number, text: string): Promise<Minted> {
    let made: Minted | undefined;
    const { replica } = this.life(this.holderOf(location, slot));
    const result = await replica.write(location, putOf(text, undefined, "sibling"), (minted) => {
      made = minted;
    });
    if (result.kind !== "stored" || made === undefined) throw new Error(`not written: ${result.kind}`);
    return made;
  }

  /** Lets virtual time pass. */
  pass(ms: number): Promise<void> {
    return pass(this.scheduler, ms);
  }

  /** Lets time pass until it is so; false when it is not within that time. */
  until(isSo: () => boolean, withinMs: number): Promise<boolean> {
    return passUntil(this.scheduler, isSo, withinMs);
  }

  /** Runs something that takes virtual time. */
  async during<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    const watched = work.finally(() => {
      isOver = true;
    });
    watched.catch(() => {});
    for (let ms = 0; ms < 600_000; ms += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (isOver) break;
      await this.pass(1);
    }
    return watched;
  }

  /** Whether the holder of the slot has this version, or more. */
  async covers(location: KeyLocation, slot: number, object: Uint8Array): Promise<boolean> {
    const { life } = this.holderOf(location, slot);
    const read = await life?.engine.get(location);
    const [held, wanted] = [read && decodeSet(read.value), decodeSet(object)];
    if (held?.kind !== "set" || wanted.kind !== "set") return false;
    return digestOf(merge(held.set, wanted.set)) === digestOf(held.set);
  }

  /** Hints that all nodes keep. */
  keptCount(): number {
    return this.nodes.reduce((sum, { life }) => {
      const view = life?.handoff.view();
      return sum + (view?.count ?? 0) + (view?.markerCount ?? 0);
    }, 0);
  }

  async #engines(
    node: RigNode,
    { clock, random }: { readonly clock: SimClock; readonly random: SimRandom },
  ): Promise<{ readonly engine: StorageEngine; readonly hints: StorageEngine }> {
    const { main, hints, sim } = node.disks;
    if (this.#shape.isOnDisk !== true) {
      return {
        engine: openMemoryEngine({ partitionCount: RIG_PARTITIONS, random, image: main }),
        hints: openMemoryEngine({ partitionCount: hintPartitionsOf(RIG_PARTITIONS), random, image: hints }),
      };
    }
    const windows = { clock, random, log: node.log, durability: "fsync" } as const;
    const small = { segmentBytes: 16_384, garbageSegments: 0, reserveBytes: 0, manifestBytes: 4_096 };
    const [engine, second] = await this.during(
      Promise.all([
        openLogEngine({ ...windows, ...small, disk: sim, partitionCount: RIG_PARTITIONS }),
        openLogEngine({ ...windows, ...hintEngineOptions(sim, RIG_PARTITIONS), ...small }),
      ]),
    );
    return { engine, hints: second };
  }

  #emptyDisk(index: number): SimDisk {
    return new SimDisk({ random: new SimRandom(`${this.#shape.seed ?? 1}-disk-${index}`) });
  }

  async #ask(
    { from, to, topic }: { readonly from: RigNode; readonly to: RigNode; readonly topic: string },
    body: unknown,
  ): Promise<unknown> {
    const arrived = carried(body);
    const ask = { from: from.id, to: to.id, topic, sizeBytes: JSON.stringify(body).length };
    this.asks.push(ask);
    const fate = this.#shape.onAsk?.(ask);
    const { life } = to;
    await new Promise<void>((resolve) => this.scheduler.after(1, resolve));
    if (fate === "lost" || life === undefined || to.life !== life) return undefined;
    const handler = new Map<string, TopicHandler>(life.handoff.topics).get(topic);
    const answer = await handler?.(from.id, arrived, 1_000);
    await new Promise<void>((resolve) => this.scheduler.after(1, resolve));
    if (fate === "answer lost" || answer instanceof TopicRefusal || to.life !== life) return undefined;
    return carried(answer);
  }
}

/** A clock that has gone on by some ms at each of its first looks: whoever works in slices stops after each of them. */
function busyAtFirst(clock: Clock): Clock {
  let looks = 0;
  return {
    monotonicMs: () => {
      looks = Math.min(looks + 1, 2 * RIG_PARTITIONS);
      return clock.monotonicMs() + 20 * looks;
    },
    wallMicros: () => clock.wallMicros(),
    setTimer: (delayMs, run) => clock.setTimer(delayMs, run),
    defer: (run) => clock.defer(run),
  };
}
