/**
 * Holders of the same partitions, each a replica on a memory engine with anti-entropy, on virtual time: between them the
 * binary JSON of links. Counts every message. Node i holds slot i of everything.
 */

import { xxh64 } from "../../services/base/hash.ts";
import type { NodeId } from "../../services/base/ids.ts";
import { encodeBody } from "../../services/peers/binary-json.ts";
import type { CallResult, PeerRequest } from "../../services/peers/messages.ts";
import type { TopicHandler } from "../../services/peers/peer-handler.ts";
import type { HolderTable } from "../../services/placement/holder-table.ts";
import { AntiEntropy, type AntiEntropyParts } from "../../services/repair/anti-entropy.ts";
import type { RepairFlags } from "../../services/repair/anti-entropy-reasons.ts";
import type { OldVersions } from "../../services/repair/exchange-objects.ts";
import type { SlotRules } from "../../services/repair/exchange-view.ts";
import type { KeyLocation } from "../../services/replica/contract.ts";
import { Replica } from "../../services/replica/replica.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { CorruptRecordError } from "../../storage/errors.ts";
import { openMemoryEngine } from "../../storage/memory-engine.ts";
import { newMemoryImage } from "../../storage/memory-image.ts";
import { MerkleTree } from "../../storage/merkle-tree.ts";
import { Scheduler } from "../sim/scheduler.ts";
import { SimClock } from "../sim/sim-clock.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { EventLog, putOf } from "./replica-fixture.ts";
import { seededDraws } from "./seeded.ts";
import { nodeIdOf } from "./sim-peers.ts";
import { carried } from "./transfer-fixture.ts";
import { pass, passUntil } from "./virtual-time.ts";

/** Q of a rig. */
export const RIG_PARTITIONS = 64;

/** What was sent. */
export interface SentMessage {
  readonly from: NodeId;
  readonly to: NodeId;
  /** a topic, or `store` */
  readonly what: string;
  readonly sizeBytes: number;
  /** keys of objects within, for messages that carry any */
  readonly kind: string | undefined;
}

/** One holder. */
export interface RigNode {
  readonly id: NodeId;
  readonly slot: number;
  readonly engine: StorageEngine;
  readonly replica: Replica;
  readonly healing: AntiEntropy;
  readonly log: EventLog;
  /** whose slot has gone: it holds none of these */
  readonly moved: Set<number>;
  /** hashes of records whose values cannot be read, and those of them that the store has found out about */
  readonly rot: { readonly unread: Set<bigint>; readonly disowned: Set<bigint> };
  /** acknowledged records of the partition may be missing here from now on */
  suspect(partition: number): void;
  /** loses records without a trace, as a disk that forgets */
  forget(partition: number): Promise<void>;
  isAlive: boolean;
}

/** What a rig may be besides three holders of everything. */
export interface RigShape {
  readonly seed?: number;
  readonly nodeCount?: number;
  readonly hashOf?: (key: Uint8Array) => bigint;
  readonly rules?: SlotRules;
  readonly flags?: RepairFlags;
  /** a message is on its way for so long; default 1 ms */
  readonly delayMs?: () => number;
  /** of its full pace that background work has; default 1 */
  readonly share?: number;
  /** of each node; default: it says nothing, and believes nobody */
  readonly oldVersions?: (node: NodeId) => OldVersions;
  /** called with each message as it leaves; false: it is lost */
  readonly onMessage?: (message: SentMessage) => boolean;
}

const NOTHING_EXEMPT: SlotRules = { isAnyExempt: () => false, isExempt: () => false, fingerprint: () => 0n };

/** Some holders. */
export class HealingRig {
  readonly scheduler: Scheduler;
  readonly nodes: readonly RigNode[];
  readonly #table: HolderTable;
  readonly sent: SentMessage[] = [];
  /** what must never be asked of anybody */
  readonly wrongs: string[] = [];
  /** every version that any node ever held, by node and key */
  readonly #held = new Set<string>();
  readonly #shape: RigShape;
  readonly #handlers = new Map<NodeId, Map<string, TopicHandler>>();
  readonly #hashOf: (key: Uint8Array) => bigint;
  /** partitions of which a slot is on its way */
  readonly unclaimed: Set<number> = new Set();

  constructor(shape: RigShape = {}) {
    this.#shape = shape;
    this.#hashOf = shape.hashOf ?? xxh64;
    this.scheduler = new Scheduler(String(shape.seed ?? 1));
    const { nodeCount = 3 } = shape;
    this.#table = this.#tableOf(Math.min(3, nodeCount));
    this.nodes = Array.from({ length: nodeCount }, (_, slot) => this.#node(slot));
  }

  /** Where a key of a bucket lives. */
  locate(bucket: string, key: string): KeyLocation {
    const bytes = Buffer.from(`${bucket}\0${key}`);
    const hash = this.#hashOf(bytes);
    return { partition: Number(hash >> 58n), hash, key: bytes };
  }

  /** The n-th key of a bucket that lies in the partition. */
  nth(partition: number, n: number, bucket = "carts"): KeyLocation {
    for (let at = 0, found = 0; ; at += 1) {
      const location = this.locate(bucket, `key-${at}`);
      if (location.partition !== partition) continue;
      if (found === n) return location;
      found += 1;
    }
  }

  /** Writes at one node, and takes what came of it to some others. */
  async write(node: RigNode, location: KeyLocation, text: string, others: readonly RigNode[] = []): Promise<void> {
    let made: { readonly baseDigest: bigint; readonly digest: bigint; readonly object: Uint8Array } | undefined;
    const result = await node.replica.write(location, putOf(text), (minted) => {
      made = minted;
    });
    if (result.kind !== "stored" || made === undefined) throw new Error(`not written: ${JSON.stringify(result.kind)}`);
    for (const other of others) await other.replica.store(location, made);
  }

  start(): void {
    for (const node of this.nodes) node.healing.start();
  }

  /** Lets virtual time pass. */
  pass(ms: number): Promise<void> {
    return pass(this.scheduler, ms);
  }

  /** Lets time pass until it is so; false when it is not within that time. */
  until(isSo: () => boolean, withinMs: number): Promise<boolean> {
    return passUntil(this.scheduler, isSo, withinMs);
  }

  /** Compares everything now; false when that is not done within that time. */
  async repairAll(withinMs = 600_000): Promise<boolean> {
    const name = `order-${this.scheduler.nowMs}`;
    for (const node of this.nodes) node.healing.order(name, undefined);
    return this.until(() => this.nodes.every((node) => node.healing.progress(name)?.leftCount === 0), withinMs);
  }

  /** Partitions whose roots are not the same everywhere. */
  unequal(): readonly number[] {
    return Array.from({ length: RIG_PARTITIONS }, (_, partition) => partition).filter(
      (partition) => new Set(this.nodes.map(({ engine }) => engine.merkleRoot(partition))).size > 1,
    );
  }

  /** Objects that were moved so far, by all. */
  movedCount(): number {
    return this.nodes.reduce((sum, { healing }) => sum + healing.status().pulledKeys + healing.status().pushedKeys, 0);
  }

  #node(slot: number): RigNode {
    const id = nodeIdOf(`n${slot + 1}`);
    const seed = (this.#shape.seed ?? 1) * 100 + slot;
    const process = this.scheduler.newProcess(id);
    const clock = new SimClock(this.scheduler, process);
    const log = new EventLog();
    const moved = new Set<number>();
    const rot = { unread: new Set<bigint>(), disowned: new Set<bigint>() };
    const image = newMemoryImage();
    const memory = openMemoryEngine({ partitionCount: RIG_PARTITIONS, random: seededDraws(seed), image });
    const suspect = (partition: number): void => {
      image.suspects.add(partition);
    };
    const noteHeld = ({ key }: KeyLocation, digest: bigint): void => {
      this.#held.add(heldName(id, key, digest));
    };
    const engine = withRot(memory, rot, { suspect, noteHeld });
    const forget = async (partition: number): Promise<void> => {
      await memory.dropPartition(partition);
      suspect(partition);
    };
    const slotOf = (partition: number): number => (moved.has(partition) ? -1 : slot);
    const replica = new Replica({
      store: engine,
      clock,
      log,
      slots: { slotOf },
      conflicts: { isLastWriteWins: ({ key }) => Buffer.from(key).toString("latin1").startsWith("lww\0") },
      isDurable: true,
    });
    const parts: AntiEntropyParts = {
      self: id,
      store: engine,
      replica,
      clock,
      random: new SimRandom(String(seed)),
      log,
      table: () => this.#table,
      isAlive: (peer) => this.#named(peer)?.isAlive === true,
      isRemoved: () => false,
      rules: this.#shape.rules ?? NOTHING_EXEMPT,
      ...(this.#shape.flags === undefined ? {} : { flags: this.#shape.flags }),
      ...(this.#shape.hashOf === undefined ? {} : { hashOf: this.#shape.hashOf }),
      share: () => this.#shape.share ?? 1,
      oldVersions: this.#shape.oldVersions?.(id) ?? { wordOf: () => undefined, adopt: () => undefined },
      onLost: () => replica.renewActor(),
      ask: (to, topic, body) => this.#ask({ from: id, to, topic }, body),
      call: (to, request, _, onResult) => this.#call({ from: id, to }, request, onResult),
    };
    const healing = new AntiEntropy(parts);
    this.#handlers.set(id, new Map(healing.topics()));
    return { id, slot, engine, replica, healing, log, moved, rot, suspect, forget, isAlive: true };
  }

  #tableOf(replicaCount: number): HolderTable {
    const table: Pick<HolderTable, "partitionCount" | "replicaCount" | "claimsOf" | "moves"> = {
      partitionCount: RIG_PARTITIONS,
      replicaCount,
      claimsOf: (partition) =>
        this.nodes
          .filter(({ moved, slot }) => !moved.has(partition) && !(slot === 2 && this.unclaimed.has(partition)))
          .map(({ id, slot }) => ({ key: id, node: id, slot })),
      moves: [],
    };
    // a part of a table: what anti-entropy reads of it
    return table as unknown as HolderTable;
  }

  #named(id: NodeId): RigNode | undefined {
    return this.nodes.find((node) => node.id === id);
  }

  async #ask(
    way: { readonly from: NodeId; readonly to: NodeId; readonly topic: string },
    body: unknown,
  ): Promise<unknown> {
    const { from, to, topic } = way;
    if (this.#named(from)?.isAlive !== true) return undefined;
    if (!(await this.#carry({ from, to, what: topic, sizeBytes: encodeBody(body).length, kind: kindOf(body) })))
      return undefined;
    const handler = this.#handlers.get(to)?.get(topic);
    if (handler === undefined || this.#named(to)?.isAlive !== true) return undefined;
    const answer = await handler(from, carried(body), 1_000);
    const message = { from: to, to: from, what: topic, sizeBytes: encodeBody(answer).length, kind: kindOf(answer) };
    return (await this.#carry(message)) ? carried(answer) : undefined;
  }

  #call(
    { from, to }: { readonly from: NodeId; readonly to: NodeId },
    request: PeerRequest,
    onResult: (result: CallResult) => void,
  ): void {
    const node = this.#named(to);
    if (request.kind !== "store" || node === undefined) throw new Error("only stores are called");
    const { baseDigest } = request;
    if (baseDigest !== 0n && !this.#held.has(heldName(to, request.key.key, baseDigest))) {
      this.wrongs.push(`a base digest that ${to} never held under this key`);
    }
    const message = { from, to, what: "store", sizeBytes: request.object.length, kind: undefined };
    void this.#carry(message).then(async (hasArrived) => {
      if (!hasArrived || !node.isAlive) return onResult({ kind: "lost", reason: "timeout" });
      const result = await node.replica.store(request.key, request);
      if (result.kind === "stored") onResult({ ...result, slot: node.slot });
      else if (result.kind === "failed") onResult(result);
      else onResult({ kind: "refused", reason: "corrupt_record", detail: result.detail, ...reasonOf(result.reason) });
    });
  }

  async #carry(message: SentMessage): Promise<boolean> {
    this.sent.push(message);
    const hasArrived = this.#shape.onMessage?.(message) ?? true;
    await new Promise<void>((resolve) => this.scheduler.after(this.#shape.delayMs?.() ?? 1, resolve));
    return hasArrived;
  }
}

function heldName(node: NodeId, key: Uint8Array, digest: bigint): string {
  return `${node} ${Buffer.from(key).toString("latin1")} ${digest}`;
}

function kindOf(body: unknown): string | undefined {
  return typeof body === "object" && body !== null && "kind" in body ? String(body.kind) : undefined;
}

function reasonOf(reason: string): { readonly reason: "not_owner" } | Record<string, never> {
  return reason === "not_owner" || reason === "moved" ? { reason: "not_owner" } : {};
}

/** The engine, with records that cannot be read, as the log engine has them: found out when read, then no tree claims them. */
function withRot(
  engine: StorageEngine,
  rot: RigNode["rot"],
  {
    suspect,
    noteHeld,
  }: { readonly suspect: (partition: number) => void; readonly noteHeld: (key: KeyLocation, digest: bigint) => void },
): StorageEngine {
  const isOwned = ({ hash }: { readonly hash: bigint }): boolean => !rot.disowned.has(hash);
  const treeOf = (partition: number): MerkleTree => {
    const tree = new MerkleTree(Math.log2(engine.partitionCount));
    for (let leaf = 0; leaf < 256; leaf += 1) {
      for (const { hash, digest } of engine.merkleLeaf(partition, leaf).filter(isOwned)) tree.toggle(hash, digest);
    }
    return tree;
  };
  const changed: Partial<StorageEngine> = {
    get: (address) => {
      if (!rot.unread.has(address.hash)) return engine.get(address);
      if (!rot.disowned.has(address.hash)) suspect(address.partition);
      rot.disowned.add(address.hash);
      throw new CorruptRecordError({ segment: 1, offset: 0 });
    },
    digestOf: (address) => (isOwned(address) ? engine.digestOf(address) : 0n),
    put: async (request) => {
      await engine.put(request);
      noteHeld(request.address, request.digest);
      rot.unread.delete(request.address.hash);
      rot.disowned.delete(request.address.hash);
    },
    scan: async (...args) => {
      const page = await engine.scan(...args);
      return { ...page, entries: page.entries.map((entry) => (isOwned(entry) ? entry : { ...entry, digest: 0n })) };
    },
    merkleLeaf: (...args) => engine.merkleLeaf(...args).filter(isOwned),
    unreadableIn: (partition) => [...rot.disowned].filter((hash) => Number(hash >> 58n) === partition),
    merkleRoot: (partition) => (rot.disowned.size === 0 ? engine.merkleRoot(partition) : treeOf(partition).root()),
    merkleChildren: (partition, path) =>
      rot.disowned.size === 0 ? engine.merkleChildren(partition, path) : treeOf(partition).children(path),
  };
  return new Proxy(engine, {
    get(target, name) {
      const value: unknown = Reflect.get(name in changed ? changed : target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
