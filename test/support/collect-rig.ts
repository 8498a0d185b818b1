/**
 * Three holders of the same partitions that collect tombstones, each a replica on a memory engine, on virtual time: between
 * them the binary JSON of links. Node i holds slot i of everything. A disk may be copied and set back.
 */
import type { NodeId } from "../../services/base/ids.ts";
import { parseBucketName } from "../../services/base/ids.ts";
import type { TopicHandler } from "../../services/peers/peer-handler.ts";
import type { HolderTable } from "../../services/placement/holder-table.ts";
import { locate } from "../../services/placement/partitioner.ts";
import { Collecting } from "../../services/repair/collect.ts";
import { CollectDoor } from "../../services/repair/collect-door.ts";
import type { CollectFloors } from "../../services/repair/collect-floors-core.ts";
import type { CollectTimes } from "../../services/repair/collect-leader.ts";
import { type CollectRules, fingerprintOf, rulesOf } from "../../services/repair/collect-rules-core.ts";
import type { KeyLocation, Minted, WriteIntent } from "../../services/replica/contract.ts";
import { Replica } from "../../services/replica/replica.ts";
import { encodedDigestOf } from "../../services/versioning/object-codec.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { openMemoryEngine } from "../../storage/memory-engine.ts";
import { type MemoryImage, newMemoryImage } from "../../storage/memory-image.ts";
import { Scheduler } from "../sim/scheduler.ts";
import { SimClock } from "../sim/sim-clock.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { EventLog, putOf } from "./replica-fixture.ts";
import { seededDraws } from "./seeded.ts";
import { nodeIdOf } from "./sim-peers.ts";
import { carried } from "./transfer-fixture.ts";

/** Q of a rig. */
export const COLLECT_PARTITIONS = 64;
/** Rounds are led by hand in a rig. */
const TIMES: CollectTimes = { minAgeMs: 3_600_000, settleMs: 60_000, everyMs: 2 ** 30, hearMs: 60_000 };

/** Which keys slots leave out, and may be changed. */
export interface RigRules {
  /** replicas of the keys of a bucket, by its name; 3 when it is not named */
  readonly replicas: Map<string, number>;
}

/** One holder, in one of its lives. */
export interface CollectNode {
  readonly id: NodeId;
  readonly slot: number;
  readonly image: MemoryImage;
  readonly engine: StorageEngine;
  readonly replica: Replica;
  readonly floors: CollectFloors;
  readonly collecting: Collecting;
  readonly clock: SimClock;
  readonly log: EventLog;
}

/** Three of them. */
export class CollectRig {
  readonly scheduler: Scheduler = new Scheduler("collect");
  readonly nodes: CollectNode[] = [];
  readonly away: Set<number> = new Set();
  /** partitions of which each node keeps something for others */
  readonly hints: readonly Set<number>[] = [new Set(), new Set(), new Set()];
  readonly moving: Set<number> = new Set();
  readonly rules: RigRules = { replicas: new Map() };
  /** nodes that have not heard of `rules` yet go by these */
  readonly oldRules: Map<number, RigRules> = new Map();
  readonly asked: string[] = [];
  /** topics that nobody answers */
  readonly mute: Set<string> = new Set();
  #lifeCount = 0;

  async begin(): Promise<void> {
    for (let slot = 0; slot < 3; slot += 1) this.nodes.push(this.#newNode(slot, newMemoryImage()));
    for (const node of this.nodes) await node.collecting.begin();
    // before they have heard each other nothing is minted
    await this.pass(100);
  }

  node(slot: number): CollectNode {
    const node = this.nodes[slot];
    if (node === undefined) throw new Error(`no node ${slot}`);
    return node;
  }

  locate(key: string, bucket = "carts"): KeyLocation {
    const name = parseBucketName(bucket);
    if (name === undefined) throw new Error("a bucket's name");
    return locate({ bucket: name, key: Buffer.from(key) }, COLLECT_PARTITIONS);
  }

  /** Writes at a node, and has others take what came of it. */
  async write(
    at: number,
    location: KeyLocation,
    what: { readonly intent?: WriteIntent; readonly others?: readonly number[] } = {},
  ): Promise<Minted> {
    let made: Minted | undefined;
    await this.node(at).replica.write(location, what.intent ?? putOf("v"), (minted) => {
      made = minted;
    });
    if (made === undefined) throw new Error("not written");
    for (const other of what.others ?? [0, 1, 2].filter((one) => one !== at)) {
      await this.node(other).replica.store(location, made);
    }
    return made;
  }

  /** Deletes at a node, everywhere or at some. */
  async delete(at: number, location: KeyLocation, others?: readonly number[]): Promise<Minted> {
    const intent = { kind: "delete", context: undefined } as const;
    return this.write(at, location, others === undefined ? { intent } : { intent, others });
  }

  /** One round of the leader, with the time that it takes; then everyone sweeps. */
  async collect(): Promise<void> {
    await this.passing(this.node(0).collecting.collect());
    for (const node of this.nodes) await this.passing(node.collecting.sweep());
  }

  /** Time passes until the work is done. Rejects as it does. */
  async passing(work: Promise<void>): Promise<void> {
    let isDone = false;
    const ended = work.finally(() => {
      isDone = true;
    });
    ended.catch(() => undefined);
    while (!isDone) await this.pass(50);
    await ended;
  }

  async pass(ms: number): Promise<void> {
    await this.scheduler.run({ untilMs: this.scheduler.nowMs + ms });
  }

  /** A copy of a node's disk. */
  copyOf(slot: number): MemoryImage {
    return structuredClone(this.node(slot).image);
  }

  /** The node starts anew, on its disk or on another copy, and links to the others come up. */
  async restart(
    slot: number,
    image: MemoryImage = this.node(slot).image,
    { passMs = 5_000, skewMicros = 0 }: { readonly passMs?: number; readonly skewMicros?: number } = {},
  ): Promise<void> {
    this.node(slot).collecting.stop();
    const node = this.#newNode(slot, image);
    this.nodes[slot] = node;
    node.clock.jump(skewMicros);
    await node.collecting.begin();
    for (const other of this.nodes) {
      if (other === node) continue;
      other.collecting.peerUp(node.id);
      node.collecting.peerUp(other.id);
    }
    await this.pass(passMs);
  }

  /** A version as another replica hands it in. */
  handed(object: Uint8Array): { readonly baseDigest: bigint; readonly digest: bigint; readonly object: Uint8Array } {
    return { baseDigest: 0n, digest: encodedDigestOf(object), object };
  }

  /** What a node has of a key: how many values, or undefined for no record at all. */
  async valuesAt(slot: number, location: KeyLocation): Promise<number | undefined> {
    const read = await this.node(slot).replica.read(location);
    return read.kind === "object" ? read.set?.siblings.length : undefined;
  }

  /** Whether node `at` believes what `of` would give now of the key's partition. */
  believes(at: number, of: number, { partition }: KeyLocation): boolean {
    const word = this.node(of).collecting.words.wordOf(partition);
    return this.node(at).collecting.words.believes(word, partition);
  }

  /** Of each node, whether reads of the key have to do without it. */
  hidden({ partition, key }: KeyLocation): readonly boolean[] {
    return this.nodes.map(({ replica }) => replica.isHidden(partition, key));
  }

  #newNode(slot: number, image: MemoryImage): CollectNode {
    const id = nodeIdOf(`n${slot + 1}`);
    this.#lifeCount += 1;
    const process = this.scheduler.newProcess(`${id}-${this.#lifeCount}`);
    const clock = new SimClock(this.scheduler, process);
    const log = new EventLog();
    const engine = openMemoryEngine({
      partitionCount: COLLECT_PARTITIONS,
      random: seededDraws(100 * this.#lifeCount + slot),
      image,
    });
    const door = new CollectDoor(COLLECT_PARTITIONS);
    const { floors } = door;
    const replica = new Replica({
      store: engine,
      clock,
      log,
      slots: { slotOf: () => slot },
      conflicts: { isLastWriteWins: () => false },
      collected: door,
      gate: door.gate,
      isDurable: true,
    });
    const collecting = new Collecting({
      self: id,
      store: engine,
      replica,
      door,
      rules: this.#rules(slot),
      times: TIMES,
      table: () => this.#table,
      membersHash: () => "all three",
      isMoving: (partition) => this.moving.has(partition),
      hasHintsOf: (partition) => this.hints[slot]?.has(partition) === true,
      mintAbove: (counter) => replica.mintAbove(counter),
      isAlive: (peer) => this.#isThere(peer),
      isRemoved: () => false,
      share: () => 1,
      ask: (to, topic, body) => this.#ask({ from: id, to, topic }, body),
      clock,
      random: new SimRandom(`${id}-${this.#lifeCount}`),
      log,
    });
    return { id, slot, image, engine, replica, floors, collecting, clock, log };
  }

  /** Settings of buckets have changed, and these nodes know. */
  told(...slots: readonly number[]): void {
    for (const slot of slots) {
      this.oldRules.delete(slot);
      this.node(slot).collecting.rulesChanged();
    }
  }

  #rules(slot: number): CollectRules {
    const current = (): ReadonlyMap<string, number> => (this.oldRules.get(slot) ?? this.rules).replicas;
    const replicasOf = (key: Uint8Array): number => {
      const bucket = Buffer.from(key.subarray(0, key.indexOf(0))).toString("latin1");
      return current().get(bucket) ?? 3;
    };
    const known = () => rulesOf({ standard: 3, named: [...current()] }, 3);
    return {
      isAnyExempt: (other) => [...current().values()].some((n) => n <= other),
      isExempt: (key, other) => replicasOf(key) <= other,
      known,
      fingerprint: () => fingerprintOf(known()),
    };
  }

  readonly #table: HolderTable = {
    partitionCount: COLLECT_PARTITIONS,
    replicaCount: 3,
    claimsOf: () => this.nodes.map(({ id, slot }) => ({ key: id, node: id, slot })),
    moves: [],
    all: [1, 2, 3].map((at) => ({ nodeId: nodeIdOf(`n${at}`) })),
    // a part of a table: what collecting reads of it
  } as unknown as HolderTable;

  #isThere(id: NodeId): boolean {
    const node = this.nodes.find((one) => one.id === id);
    return node !== undefined && !this.away.has(node.slot);
  }

  async #ask(
    { from, to, topic }: { readonly from: NodeId; readonly to: NodeId; readonly topic: string },
    body: unknown,
  ): Promise<unknown> {
    await new Promise<void>((resolve) => this.scheduler.after(1, resolve));
    const node = this.nodes.find((one) => one.id === to);
    if (node === undefined || !this.#isThere(to) || !this.#isThere(from)) return undefined;
    const handler = new Map<string, TopicHandler>(node.collecting.topics()).get(topic);
    this.asked.push(topic);
    if (this.mute.has(topic)) return undefined;
    if (handler === undefined) return undefined;
    // As over a link: who fails to answer gives none.
    const answer: unknown = await Promise.resolve(handler(from, carried(body), 1_000)).catch(() => undefined);
    return answer === undefined ? undefined : carried(answer);
  }
}
