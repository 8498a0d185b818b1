/**
 * Read repair: after a read has been answered, the replicas that lacked the answer get it. Decided by the read, as
 * data; done here, in the background. Best effort by design: what is dropped is found again by the next read or by
 * anti-entropy, so the queue is bounded and forgets its oldest, and after each repair it rests by the share of background work.
 * Must never run within the read's own turn.
 * Source: Dynamo §5.
 */
import { type NodeId, parseNodeId } from "../base/ids.ts";
import {
  MAX_MOVED_HOPS,
  MAX_QUEUED_REPAIR_BYTES,
  MAX_QUEUED_REPAIRS,
  MAX_REMEMBERED_REPAIRS,
  MAX_RUNNING_REPAIRS,
  REPAIR_REPEAT_MS,
  REPAIR_TIMEOUT_MS,
} from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import type { CallResult, Peers } from "../peers/messages.ts";
import type { HandedVersion, KeyLocation, LocalReplica, ReplicaWriteResult } from "../replica/contract.ts";
import { digestOf, encodedSizeOf, encodeSet } from "../versioning/object-codec.ts";
import { merge, reduceLww } from "../versioning/sibling-set.ts";
import type { SiblingSet } from "../versioning/types.ts";

/** a version that is not given costs every read of its key a second question and a merge, which clients feel as well */
const LEAST_SHARE = 1 / 8;
const LONGEST_REST_MS = 1_000;

/** A replica that was behind, and the digest of what it held (0n = nothing). */
export interface ReadRepairTarget {
  readonly node: NodeId;
  readonly digest: bigint;
}

/** What a read found out; `set` covers what each target held. */
export interface ReadRepairTask {
  readonly location: KeyLocation;
  readonly set: SiblingSet;
  readonly digest: bigint;
  readonly targets: readonly ReadRepairTarget[];
  /** the bucket lets the last write win: what is joined is reduced as the replicas reduce it */
  readonly isLww: boolean;
}

/** Totals since start, but for those that say `now`. */
export interface ReadRepairCounts {
  readonly queuedNow: number;
  readonly queuedBytesNow: number;
  readonly runningNow: number;
  readonly takenCount: number;
  /** targets that store the repaired version now */
  readonly repairedCount: number;
  /** targets that refused, failed or could not be reached */
  readonly failedCount: number;
  /** tasks that were forgotten for newer ones */
  readonly droppedCount: number;
}

/** What it works with. */
export interface ReadRepairParts {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly peers: Peers;
  readonly local: Pick<LocalReplica, "store">;
  /** 0 … 1: the share of its full pace that background work has now */
  readonly share: () => number;
}

interface StoreOrder {
  readonly location: KeyLocation;
  readonly version: HandedVersion;
  readonly node: NodeId;
  readonly hopsLeft: number;
}

/** What became of a version at its target; `uncertain`: the target will not take it before it has caught up. */
type RepairEnd = "stored" | "uncertain" | "failed";

interface WaitingTask {
  readonly task: ReadRepairTask;
  /** encoded size of what would be sent, with its key */
  readonly bytes: number;
}

/** The queue of repairs of one node; satisfies the coordinator's `RepairSink`. */
export class ReadRepair {
  readonly #parts: ReadRepairParts;
  /** by key, oldest first: one task per key waits */
  readonly #waiting = new Map<string, WaitingTask>();
  /**
   * By node and key, oldest first: the version that it was given, and until when it is not given again. Who may lack deletions hides
   * what it holds, and says to each read that it has nothing.
   */
  readonly #given = new Map<string, { readonly digest: bigint; readonly untilMs: number }>();
  #waitingBytes = 0;
  #isWoken = false;
  #runningCount = 0;
  #restingCount = 0;
  #takenCount = 0;
  #repairedCount = 0;
  #failedCount = 0;
  #droppedCount = 0;

  constructor(parts: ReadRepairParts) {
    this.#parts = parts;
  }

  /** Takes a repair; joins it with one that waits for the same key. Returns at once and never throws. */
  repair(task: ReadRepairTask): void {
    if (task.targets.length === 0) return;
    this.#takenCount += 1;
    const name = nameOf(task.location);
    const waiting = this.#waiting.get(name);
    const next = waiting === undefined ? task : joined(waiting.task, task);
    const bytes = encodedSizeOf(next.set) + task.location.key.length;
    this.#waitingBytes += bytes - (waiting?.bytes ?? 0);
    this.#waiting.set(name, { task: next, bytes });
    while (this.#isOverfull()) this.#dropOldest();
    this.#wake();
  }

  /** How it stands. */
  counts(): ReadRepairCounts {
    return {
      queuedNow: this.#waiting.size,
      queuedBytesNow: this.#waitingBytes,
      runningNow: this.#runningCount,
      takenCount: this.#takenCount,
      repairedCount: this.#repairedCount,
      failedCount: this.#failedCount,
      droppedCount: this.#droppedCount,
    };
  }

  #wake(): void {
    if (this.#isWoken || this.#waiting.size === 0) return;
    if (this.#runningCount + this.#restingCount >= MAX_RUNNING_REPAIRS) return;
    this.#isWoken = true;
    this.#parts.clock.defer(() => {
      this.#isWoken = false;
      this.#startNext();
      this.#wake();
    });
  }

  #isOverfull(): boolean {
    const { size } = this.#waiting;
    return size > MAX_QUEUED_REPAIRS || (size > 1 && this.#waitingBytes > MAX_QUEUED_REPAIR_BYTES);
  }

  #dropOldest(): void {
    if (this.#takeOldest() !== undefined) this.#droppedCount += 1;
  }

  #startNext(): void {
    const task = this.#takeOldest();
    if (task !== undefined) this.#run(task);
  }

  #takeOldest(): ReadRepairTask | undefined {
    for (const [name, { task, bytes }] of this.#waiting) {
      this.#waiting.delete(name);
      this.#waitingBytes -= bytes;
      return task;
    }
    return undefined;
  }

  #run(task: ReadRepairTask): void {
    const name = nameOf(task.location);
    const targets = task.targets.filter((target) => !this.#isGiven(target, name, task.digest));
    if (targets.length === 0) return;
    this.#runningCount += 1;
    const beganMs = this.#parts.clock.monotonicMs();
    const object = encodeSet(task.set);
    let left = targets.length;
    const onEnd = (node: NodeId, end: RepairEnd): void => {
      if (end === "stored") this.#repairedCount += 1;
      else this.#failedCount += 1;
      if (end !== "failed") this.#remember(`${node} ${name}`, task.digest);
      left -= 1;
      if (left > 0) return;
      this.#runningCount -= 1;
      this.#restAfter(this.#parts.clock.monotonicMs() - beganMs);
      this.#wake();
    };
    for (const { node, digest } of targets) {
      const version = { baseDigest: digest, digest: task.digest, object };
      const order = { location: task.location, version, node, hopsLeft: MAX_MOVED_HOPS };
      this.#store(order, (end) => onEnd(node, end));
    }
  }

  /** Its place stays taken for a while: the smaller the share the longer. */
  #restAfter(tookMs: number): void {
    const restMs = tookMs * (1 / Math.max(LEAST_SHARE, this.#parts.share()) - 1);
    if (restMs < 1) return;
    this.#restingCount += 1;
    this.#parts.clock.setTimer(Math.min(LONGEST_REST_MS, restMs), () => {
      this.#restingCount -= 1;
      this.#wake();
    });
  }

  #isGiven({ node, digest }: ReadRepairTarget, name: string, version: bigint): boolean {
    if (digest !== 0n) return false;
    const given = this.#given.get(`${node} ${name}`);
    return given?.digest === version && this.#parts.clock.monotonicMs() < given.untilMs;
  }

  #remember(nodeAndKey: string, digest: bigint): void {
    this.#given.delete(nodeAndKey);
    this.#given.set(nodeAndKey, { digest, untilMs: this.#parts.clock.monotonicMs() + REPAIR_REPEAT_MS });
    for (const oldest of this.#given.keys()) {
      if (this.#given.size <= MAX_REMEMBERED_REPAIRS) return;
      this.#given.delete(oldest);
    }
  }

  /** Stores at a node, or at the one that its slot has gone to since the read met it. */
  #store(order: StoreOrder, onEnd: (end: RepairEnd) => void): void {
    const { location, version, node, hopsLeft } = order;
    const onResult = (result: CallResult | ReplicaWriteResult): void => {
      const to = hopsLeft > 0 ? movedTo(result) : undefined;
      if (to === undefined || to === node) onEnd(endOf(result));
      else this.#store({ ...order, node: to, hopsLeft: hopsLeft - 1 }, onEnd);
    };
    if (node === this.#parts.self) {
      const { local } = this.#parts;
      local.store(location, { ...version, budgetMs: REPAIR_TIMEOUT_MS }).then(onResult, () => onEnd("failed"));
    } else {
      this.#parts.peers.call(node, { kind: "store", key: location, ...version }, REPAIR_TIMEOUT_MS, onResult);
    }
  }
}

function endOf(result: CallResult | ReplicaWriteResult): RepairEnd {
  if (result.kind === "stored" || (result.kind === "refused" && result.reason === "collected")) return "stored";
  return result.kind === "refused" && result.reason === "uncertain" ? "uncertain" : "failed";
}

/** Whom the slot went to that the replica no longer holds; undefined for every other result. */
function movedTo(result: CallResult | ReplicaWriteResult): NodeId | undefined {
  if (result.kind !== "refused" || result.reason !== "moved") return undefined;
  if ("to" in result) return result.to;
  const to = "facts" in result ? result.facts?.["to"] : undefined;
  return typeof to === "string" ? parseNodeId(to) : undefined;
}

/** The key's bytes as text, one character each: a name for the map, never shown. */
function nameOf(location: KeyLocation): string {
  return Buffer.from(location.key.buffer, location.key.byteOffset, location.key.byteLength).toString("latin1");
}

/** Both findings as one: the merged version, and everyone who lacked either, with what was seen last. */
function joined(older: ReadRepairTask, newer: ReadRepairTask): ReadRepairTask {
  const merged = older.digest === newer.digest ? newer.set : merge(older.set, newer.set);
  const set = newer.isLww ? reduceLww(merged) : merged;
  const targets = new Map<NodeId, bigint>();
  for (const task of [older, newer]) for (const target of task.targets) targets.set(target.node, target.digest);
  return {
    location: newer.location,
    set,
    digest: digestOf(set),
    targets: [...targets].map(([node, digest]) => ({ node, digest })),
    isLww: newer.isLww,
  };
}
