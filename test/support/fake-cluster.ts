/**
 * Whole coordinators over fake replicas and a fake network: real cores, real hand-overs, real peer handler, virtual
 * time. Every node owns its slot of every partition, or none. Messages take what the test says, or are lost.
 */
import type { BucketSettings } from "../../services/base/bucket-settings.ts";
import { type BucketName, type NodeId, parseBucketName, parseNodeId } from "../../services/base/ids.ts";
import type { Log } from "../../services/base/ports.ts";
import type { GetAnswer, KeyName, Knobs, WriteAnswer } from "../../services/coordinator/contract.ts";
import { QuorumCoordinator } from "../../services/coordinator/coordinator.ts";
import type { Liveness, MissedWrite, RepairTask, ScannedKey } from "../../services/coordinator/needs.ts";
import type { CallResult, PeerRequest, Peers } from "../../services/peers/messages.ts";
import { PeerRequests } from "../../services/peers/peer-handler.ts";
import { locate } from "../../services/placement/partitioner.ts";
import type { PlacementTable, SlotHolder } from "../../services/placement/types.ts";
import { ReadRepair } from "../../services/repair/read-repair.ts";
import { encodeSet } from "../../services/versioning/object-codec.ts";
import { encodedExpiryOf } from "../../services/versioning/object-header.ts";
import type { SiblingSet } from "../../services/versioning/types.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeHints } from "./fake-hints.ts";
import { FakeReplica, keyText } from "./fake-replica.ts";
import { EventLog } from "./replica-fixture.ts";

/** How a message between two nodes fares. */
export interface Fate {
  /** −1: the request never arrives */
  readonly thereMs: number;
  /** −1: the reply never arrives */
  readonly backMs: number;
  /** the link breaks after so many milliseconds, instead */
  readonly breaksMs?: number;
}

/** One node of the fake cluster. */
export interface FakeNode {
  readonly id: NodeId;
  readonly replica: FakeReplica;
  /** what it keeps as a stand-in; unused unless the cluster `keepsHints` */
  readonly hints: FakeHints;
  readonly coordinator: QuorumCoordinator;
  readonly repair: ReadRepair;
  readonly requests: PeerRequests;
  readonly repairs: RepairTask[];
  readonly missed: MissedWrite[];
  /** others know that it is away: calls to it are never sent */
  isAway: boolean;
  /** its store cannot be scanned */
  scanFails: boolean;
  /** what happens while it is scanned, before keys are read */
  onScan: (() => void) | undefined;
}

/** What a test may set. */
export interface FakeClusterOptions {
  /** nodes with slots 0 … n − 1 come first; the others hold none */
  readonly nodeCount?: number;
  readonly n?: number;
  readonly settings?: Partial<BucketSettings>;
  readonly fateOf?: (from: NodeId, to: NodeId, request: PeerRequest) => Fate;
  /** every node keeps hints, and its requests may be sloppy */
  readonly keepsHints?: boolean;
  /** what every node believes of the others; undefined: all are alive */
  readonly stateOf?: Liveness["stateOf"];
}

const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const PARTITION_COUNT = 64;
const HINT_ACTORS = 100;
const DEFAULTS: Knobs = { sloppy: true, timeoutMs: 2_000, explain: false };

/** The knobs of a test request. */
export function knobs(changed: Partial<Knobs> = {}): Knobs {
  return { ...DEFAULTS, ...changed };
}

/** A cluster in one process. */
export class FakeCluster {
  readonly clock: FakeClock = new FakeClock();
  /** what the coordinators logged */
  readonly log: EventLog = new EventLog();
  readonly nodes: FakeNode[] = [];
  readonly table: PlacementTable;
  readonly settings: BucketSettings;
  /** every call that was sent, in order */
  readonly sent: { readonly from: NodeId; readonly to: NodeId; readonly request: PeerRequest }[] = [];
  fateOf: (from: NodeId, to: NodeId, request: PeerRequest) => Fate;
  stateOf: Liveness["stateOf"];
  /** the table that a node believes in, where it is not `table` */
  readonly views: Map<NodeId, PlacementTable> = new Map();
  /** dots up to this counter may have been collected */
  collectedThrough = 0;
  /** what every node says of itself */
  isShedding = false;
  readonly #keepsHints: boolean;

  constructor(options: FakeClusterOptions = {}) {
    const n = options.n ?? 3;
    this.settings = { n, r: 2, w: 2, conflicts: "siblings", blindWrites: "overwrite", ...options.settings };
    this.#keepsHints = options.keepsHints ?? false;
    this.fateOf = options.fateOf ?? (() => ({ thereMs: 1, backMs: 1 }));
    this.stateOf = options.stateOf ?? (() => "alive");
    const ids = Array.from({ length: options.nodeCount ?? n }, (_, at) => nodeId(`node${at}`));
    this.table = fakeTable(ids, n);
    for (const [at, id] of ids.entries()) this.nodes.push(this.#node(id, at < n ? at : -1, at + 1));
  }

  node(at: number): FakeNode {
    const node = this.nodes[at];
    if (node === undefined) throw new Error(`no node ${at}`);
    return node;
  }

  /** Makes a node believe that these hold the slots of every partition; nodes by their number. */
  believe(at: number, holders: readonly { readonly at: number; readonly slot: number }[]): void {
    const owners = holders.map((holder) => ({ node: this.node(holder.at).id, slot: holder.slot }));
    this.views.set(
      this.node(at).id,
      tableOf(
        this.nodes.map((node) => node.id),
        this.table.replicaCount,
        owners,
      ),
    );
  }

  /** A node's slot goes to another one with all that is held, at once; nobody is told but by refusals. */
  move(from: number, to: number): void {
    const [giver, taker] = [this.node(from).replica, this.node(to).replica];
    taker.copyFrom(giver);
    taker.slot = giver.slot;
    taker.movedTo = undefined;
    giver.slot = -1;
    giver.movedTo = this.node(to).id;
  }

  /** The same as a hand-over does it: sealed, copied when all that was inside is done, and for a while nobody's. */
  async handOver(from: number, to: number, transitMs: number): Promise<void> {
    const [giver, taker] = [this.node(from).replica, this.node(to).replica];
    const slot = giver.slot;
    if (slot < 0 || taker.slot >= 0 || giver.isSealed || taker.isSealed) return;
    giver.isSealed = true;
    taker.isSealed = true;
    while (giver.insideCount > 0) await this.#wait(1);
    taker.copyFrom(giver);
    giver.slot = -1;
    giver.movedTo = this.node(to).id;
    giver.isSealed = false;
    // The real one keeps it until the taker is seen to have it all: sooner is harder.
    giver.held.clear();
    taker.slotComing = slot;
    await this.#wait(transitMs);
    taker.slotComing = -1;
    taker.slot = slot;
    taker.movedTo = undefined;
    taker.isSealed = false;
  }

  /** What every slot holds of the key, at its holder or, in transit, where it went. */
  slotContents(): readonly { readonly slot: number; readonly set: SiblingSet | undefined }[] {
    const key = keyText(locate(this.name(), PARTITION_COUNT));
    return this.nodes
      .map(({ replica }) => ({ slot: Math.max(replica.slot, replica.slotComing), set: replica.held.get(key) }))
      .filter(({ slot }) => slot >= 0);
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.clock.setTimer(ms, resolve);
    });
  }

  name(key = "alice", bucket = "carts"): KeyName {
    return { bucket: bucketName(bucket), key: Buffer.from(key) };
  }

  /** PUT through a node; time runs until it answers. */
  put(at: number, value: string, more: Partial<Parameters<QuorumCoordinator["put"]>[0]> = {}): Promise<WriteAnswer> {
    const request = { name: this.name(), knobs: knobs(), contentType: "text/plain", bytes: Buffer.from(value) };
    return this.run(this.node(at).coordinator.put({ ...request, context: undefined, ...more }));
  }

  /** DELETE through a node; time runs until it answers. */
  delete(at: number, more: Partial<Parameters<QuorumCoordinator["delete"]>[0]> = {}): Promise<WriteAnswer> {
    return this.run(
      this.node(at).coordinator.delete({ name: this.name(), knobs: knobs(), context: undefined, ...more }),
    );
  }

  /** GET through a node; time runs until it answers. */
  get(at: number, more: Partial<Parameters<QuorumCoordinator["get"]>[0]> = {}): Promise<GetAnswer> {
    return this.run(this.node(at).coordinator.get({ name: this.name(), knobs: knobs(), ...more }));
  }

  /** Lets time pass, a millisecond at a time, until the promise settles; throws when it does not within 40 s. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = promise.finally(() => {
      isSettled = true;
    });
    settled.catch(() => undefined);
    await this.clock.advance(0);
    for (let ms = 0; !isSettled && ms < 40_000; ms += 1) await this.clock.advance(1);
    if (!isSettled) throw new Error("an operation never settled");
    return settled;
  }

  #node(id: NodeId, slot: number, actor: number): FakeNode {
    const replica = new FakeReplica(this.clock, actor, slot);
    const hints = new FakeHints(this.clock, HINT_ACTORS + actor);
    const peers = this.#peersOf(id);
    const repairs: RepairTask[] = [];
    const missed: MissedWrite[] = [];
    const repair = new ReadRepair({ self: id, clock: this.clock, peers, local: replica, share: () => 1 });
    const coordinator = new QuorumCoordinator({
      self: id,
      clock: this.clock,
      placement: { table: () => this.views.get(id) ?? this.table },
      liveness: { stateOf: (node) => this.stateOf(node) },
      buckets: { settingsOf: () => this.settings },
      local: replica,
      peers,
      collected: { collectedThrough: () => this.collectedThrough },
      scan: { scan: (partition, from, limit) => this.#scan(id, replica, { partition, from, limit }) },
      repairs: {
        repair: (task) => {
          repairs.push(task);
          repair.repair(task);
        },
      },
      handoff: { missed: (write) => void missed.push(write) },
      isShedding: () => this.isShedding,
      log: this.log,
      ...(this.#keepsHints ? { fallback: hints } : {}),
    });
    const { clock } = this;
    const standIns = this.#keepsHints ? { standIns: hints } : {};
    const requests = new PeerRequests({ replica, log: SILENT, clock, ...standIns });
    for (const [topic, handler] of coordinator.topics) requests.registerTopic(topic, handler);
    return {
      id,
      replica,
      hints,
      coordinator,
      repair,
      requests,
      repairs,
      missed,
      isAway: false,
      scanFails: false,
      onScan: undefined,
    };
  }

  async #scan(
    id: NodeId,
    replica: FakeReplica,
    run: { readonly partition: number; readonly from: bigint; readonly limit: number },
  ): Promise<{ readonly entries: readonly ScannedKey[]; readonly nextHash: bigint | undefined }> {
    if (this.nodes.some((node) => node.id === id && node.scanFails)) throw new Error("as the test says");
    this.nodes.find((node) => node.id === id)?.onScan?.();
    const entries: ScannedKey[] = [];
    for (const [text, set] of replica.held) {
      const key = Buffer.from(text, "latin1");
      const zero = key.indexOf(0);
      const bucket = bucketName(key.subarray(0, zero).toString());
      const place = locate({ bucket, key: key.subarray(zero + 1) }, PARTITION_COUNT);
      if (place.partition !== run.partition || place.hash < run.from) continue;
      const mayExpire = encodedExpiryOf(encodeSet(set)) > 0;
      entries.push({ hash: place.hash, key, isTombstone: set.siblings.length === 0, mayExpire });
    }
    entries.sort((a, b) => (a.hash < b.hash ? -1 : 1));
    return { entries: entries.slice(0, run.limit), nextHash: entries[run.limit]?.hash };
  }

  #peersOf(from: NodeId): Peers {
    const nodeOf = (id: NodeId): FakeNode | undefined => this.nodes.find((node) => node.id === id);
    return {
      isReachable: (id) => nodeOf(id)?.isAway === false,
      call: (to, request, budgetMs, onResult) => {
        const target = nodeOf(to);
        if (target === undefined || target.isAway) {
          onResult({ kind: "unsent", reason: "no_link" });
          return;
        }
        this.sent.push({ from, to, request });
        this.#deliver({ from, target, request, budgetMs }, onResult);
      },
    };
  }

  #deliver(
    call: {
      readonly from: NodeId;
      readonly target: FakeNode;
      readonly request: PeerRequest;
      readonly budgetMs: number;
    },
    onResult: (result: CallResult) => void,
  ): void {
    const { thereMs, backMs, breaksMs } = this.fateOf(call.from, call.target.id, call.request);
    let isOver = false;
    const end = (result: CallResult): void => {
      if (isOver) return;
      isOver = true;
      onResult(result);
    };
    this.clock.setTimer(call.budgetMs, () => end({ kind: "lost", reason: "timeout" }));
    if (breaksMs !== undefined) this.clock.setTimer(breaksMs, () => end({ kind: "lost", reason: "link_closed" }));
    if (thereMs < 0 || breaksMs !== undefined) return;
    this.clock.setTimer(thereMs, () => {
      call.target.requests.handle(call.from, call.request, call.budgetMs - thereMs, (reply) => {
        if (backMs >= 0) this.clock.setTimer(backMs, () => end(reply));
      });
    });
  }
}

function fakeTable(ids: readonly NodeId[], n: number): PlacementTable {
  return tableOf(
    ids,
    n,
    ids.slice(0, n).map((node, slot) => ({ node, slot })),
  );
}

function tableOf(ids: readonly NodeId[], n: number, owners: readonly SlotHolder[]): PlacementTable {
  return {
    partitionCount: PARTITION_COUNT,
    replicaCount: n,
    ringHash: 0xabcn,
    members: ids.map((id) => ({ id, zone: `zone-${id}`, host: id, weight: 1 })),
    ownersOf: () => owners,
    fallbacksOf: () => ids.filter((id) => !owners.some((owner) => owner.node === id)),
    slotOf: (_partition, node) => owners.find((owner) => owner.node === node)?.slot ?? -1,
    zoneOf: (node) => `zone-${node}`,
  };
}

function nodeId(text: string): NodeId {
  const id = parseNodeId(text);
  if (id === undefined) throw new Error(`no node id: ${text}`);
  return id;
}

function bucketName(text: string): BucketName {
  const bucket = parseBucketName(text);
  if (bucket === undefined) throw new Error(`no bucket name: ${text}`);
  return bucket;
}
