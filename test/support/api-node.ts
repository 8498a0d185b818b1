/**
 * A node for tests of the API: the real server over a coordinator that answers at once from memory, or as told. The
 * context codec is the real one.
 */

import type {
  AbortAnswer,
  ClusterDoor,
  ClusterMember,
  ClusterStatus,
  CommitAnswer,
  LeaveAnswer,
  MembershipPlan,
  PlanAnswer,
  PlanChange,
  RingPage,
} from "../../services/api/cluster-door.ts";
import type { Route } from "../../services/api/exchange.ts";
import type {
  ApiDependencies,
  BucketChange,
  BucketDirectory,
  ClusterHealth,
  HealthCheck,
  LoadControl,
  NodeStatus,
} from "../../services/api/ports.ts";
import type { RepairDoor, StoreScrubbed } from "../../services/api/repair-door.ts";
import { allRoutes } from "../../services/api/routes.ts";
import { type ApiServer, createApiServer } from "../../services/api/server.ts";
import type { BucketSettings } from "../../services/base/bucket-settings.ts";
import type { BucketName, NodeId } from "../../services/base/ids.ts";
import { parseBucketName, parseNodeId } from "../../services/base/ids.ts";
import { MetricsRegistry } from "../../services/base/metrics.ts";
import type { Clock, LogFacts } from "../../services/base/ports.ts";
import type { HintsWaited, ReplicasCompared } from "../../services/base/repair-reports.ts";
import type {
  Coordinator,
  DeleteRequest,
  GetAnswer,
  GetRequest,
  KeyName,
  ListAnswer,
  ListRequest,
  PutRequest,
  WriteAnswer,
} from "../../services/coordinator/contract.ts";
import { ContextCodec } from "../../services/versioning/context-codec.ts";
import type { CausalContext, Dot, Sibling } from "../../services/versioning/types.ts";

export const ACTOR: number = 0x0000abcdef01;
/** 2026-11-20T10:00:00.000Z */
export const NOON_MICROS: number = 1_795_168_800_000_000;

/** The bucket name; a test that names none fails here. */
export function bucket(text: string): BucketName {
  const name = parseBucketName(text);
  if (name === undefined) throw new Error(`no bucket name: ${text}`);
  return name;
}

/** The node id; a test that names none fails here. */
export function node(text: string): NodeId {
  const id = parseNodeId(text);
  if (id === undefined) throw new Error(`no node id: ${text}`);
  return id;
}

/** A context that covers the dots. */
export function seen(...dots: readonly Dot[]): CausalContext {
  return { vector: [...dots], detached: [] };
}

/** One sibling of a value. */
export function sibling(contentType: string, bytes: string | Uint8Array, counter: number = NOON_MICROS): Sibling {
  return { dot: { actor: ACTOR, counter }, expiresAtMs: 0, contentType, bytes: Buffer.from(bytes) };
}

/** A read that found these siblings. */
export function found(...siblings: readonly Sibling[]): Extract<GetAnswer, { kind: "found" }> {
  const clock = seen({ actor: ACTOR, counter: Math.max(...siblings.map((one) => one.dot.counter)) });
  return { kind: "found", set: { clock, siblings }, digest: 0x1234n };
}

/** Answers from a map, or whatever `answers` says. */
export class FakeCoordinator implements Coordinator {
  readonly gets: GetRequest[] = [];
  readonly puts: PutRequest[] = [];
  readonly deletes: DeleteRequest[] = [];
  readonly lists: ListRequest[] = [];
  readonly answers: {
    get?: (request: GetRequest) => GetAnswer | Promise<GetAnswer>;
    put?: (request: PutRequest) => WriteAnswer | Promise<WriteAnswer>;
    delete?: (request: DeleteRequest) => WriteAnswer | Promise<WriteAnswer>;
    list?: (request: ListRequest) => ListAnswer | Promise<ListAnswer>;
  } = {};
  readonly #held = new Map<string, { readonly contentType: string; readonly bytes: Buffer; readonly dot: Dot } | Dot>();
  #counter = NOON_MICROS;

  async get(request: GetRequest): Promise<GetAnswer> {
    this.gets.push(request);
    if (this.answers.get !== undefined) return this.answers.get(request);
    const held = this.#held.get(nameText(request.name));
    if (held === undefined) return { kind: "not_found" };
    if (!("bytes" in held)) return { kind: "deleted", context: seen(held) };
    const { contentType, bytes, dot } = held;
    return {
      kind: "found",
      set: { clock: seen(dot), siblings: [{ dot, expiresAtMs: 0, contentType, bytes }] },
      digest: BigInt(dot.counter),
    };
  }

  async put(request: PutRequest): Promise<WriteAnswer> {
    this.puts.push(request);
    if (this.answers.put !== undefined) return this.answers.put(request);
    const dot = this.#nextDot();
    const { contentType, bytes } = request;
    this.#held.set(nameText(request.name), { contentType, bytes: Buffer.from(bytes), dot });
    return applied(dot);
  }

  async delete(request: DeleteRequest): Promise<WriteAnswer> {
    this.deletes.push(request);
    if (this.answers.delete !== undefined) return this.answers.delete(request);
    const dot = this.#nextDot();
    this.#held.set(nameText(request.name), dot);
    return { ...applied(dot), siblingCount: 0 };
  }

  async list(request: ListRequest): Promise<ListAnswer> {
    this.lists.push(request);
    if (this.answers.list !== undefined) return this.answers.list(request);
    const { bucket: name, prefix, from, limit } = request;
    const head = `${name}/${Buffer.from(prefix).toString("hex")}`;
    const names = [...this.#held].filter(([text, held]) => text.startsWith(head) && "bytes" in held);
    const rest = names.slice(Number(from)).map(([text]) => Buffer.from(text.slice(name.length + 1), "hex"));
    return { kind: "page", keys: rest.slice(0, limit), next: rest.length > limit ? from + BigInt(limit) : undefined };
  }

  #nextDot(): Dot {
    this.#counter += 1_000;
    return { actor: ACTOR, counter: this.#counter };
  }
}

/** A write that W owners made durable. */
export function applied(dot: Dot): Extract<WriteAnswer, { kind: "applied" }> {
  const acks = { required: 2, received: 2, owners: 2, fallbacks: 0, durable: 2 };
  return { kind: "applied", context: seen(dot), dot, siblingCount: 1, acks };
}

/** Bucket settings in memory. */
export class FakeBuckets implements BucketDirectory {
  readonly #own = new Map<BucketName, BucketSettings>();
  next: BucketChange | undefined;

  defaults(): BucketSettings {
    return { n: 3, r: 2, w: 2, conflicts: "siblings", blindWrites: "overwrite" };
  }

  effective(name: BucketName): BucketSettings {
    return this.#own.get(name) ?? this.defaults();
  }

  isExplicit(name: BucketName): boolean {
    return this.#own.has(name);
  }

  list(): readonly { readonly name: BucketName; readonly settings: BucketSettings }[] {
    return [...this.#own].map(([name, settings]) => ({ name, settings }));
  }

  async put(name: BucketName, settings: BucketSettings): Promise<BucketChange> {
    if (this.next !== undefined) return this.next;
    this.#own.set(name, settings);
    return { kind: "changed", settings };
  }

  async patch(name: BucketName, change: Partial<BucketSettings>): Promise<BucketChange> {
    return this.put(name, { ...this.effective(name), ...change });
  }

  async delete(name: BucketName): Promise<BucketChange> {
    this.#own.delete(name);
    return { kind: "changed", settings: this.defaults() };
  }
}

/** A node that is well until told otherwise. */
export class FakeStatus implements NodeStatus {
  ready: readonly HealthCheck[] = [{ name: "storage", isOk: true, reason: "recovered" }];
  health: ClusterHealth = { verdict: "healthy", reasons: [], partitionsWithoutQuorum: 0 };

  livez(): readonly HealthCheck[] {
    return [{ name: "loop", isOk: true, reason: "turning" }];
  }

  readyz(): readonly HealthCheck[] {
    return this.ready;
  }

  startupz(): readonly HealthCheck[] {
    return this.ready;
  }

  cluster(): ReturnType<NodeStatus["cluster"]> {
    const member = { node: node("n1"), zone: "z1", host: "h1", weight: 1, liveness: "alive" } as const;
    const members = [{ ...member, address: "127.0.0.1:4501", slotsHeld: 192 }];
    return { cluster: "gyre", node: node("n1"), partitions: 64, replicas: 3, ringHash: "00000000000000ff", members };
  }

  ring(): ReturnType<NodeStatus["ring"]> {
    return { ringHash: "00000000000000ff", partitions: [{ partition: 0, owners: [node("n1")], fallbacks: [] }] };
  }

  ringOf(_name: KeyName): ReturnType<NodeStatus["ringOf"]> {
    return { ringHash: "00000000000000ff", partition: 7, owners: [node("n1")], fallbacks: [] };
  }

  clusterHealth(): ClusterHealth {
    return this.health;
  }
}

/** A member that is well and holds what it should. */
export function clusterMember(name: string, change: Partial<ClusterMember> = {}): ClusterMember {
  return {
    node: node(name),
    memberKey: "00000000000000a1",
    status: "normal",
    liveness: "alive",
    sinceMs: 60_000,
    fitness: { isDiskWritable: true, isDegraded: false, loopDelayMs: 1, health: 0 },
    address: "127.0.0.1:4501",
    zone: "z1",
    host: "h1",
    weight: 1,
    slotsHeld: 64,
    slotsTarget: 64,
    incoming: 0,
    outgoing: 0,
    recordsHash: RECORDS_HASH,
    ...change,
  };
}

/** The hash of the records of fake clusters. */
export const RECORDS_HASH: string = "00000000000000cc";

/** A cluster of three that is well until told otherwise. */
export function clusterStatus(change: Partial<ClusterStatus> = {}): ClusterStatus {
  return {
    cluster: "gyre",
    clusterId: "c1",
    node: node("n1"),
    waitingFor: undefined,
    partitions: 64,
    replicas: 3,
    ringHash: "00000000000000ff",
    recordsHash: RECORDS_HASH,
    members: ["n1", "n2", "n3"].map((name) => clusterMember(name)),
    moves: { partitionsLeft: 0, copiesLeft: 0, bytesPerSecond: 0, etaSeconds: undefined, active: [] },
    reachableHolders: new Uint8Array(64).fill(3),
    vacant: [],
    pendingPlan: undefined,
    concerns: [],
    details: { recovery: { mode: "clean" } },
    ...change,
  };
}

/** A plan that nothing stands against. */
export function membershipPlan(changes: readonly PlanChange[], change: Partial<MembershipPlan> = {}): MembershipPlan {
  const slots = { n1: 64, n2: 64, n3: 64 };
  const even = { maxOverFair: 1, hottestOverMean: 1 };
  const ring = { ...even, slots, zones: { z1: 192 }, zoneViolations: 0, zonesUsed: [0, 64] };
  const moves = [{ node: node("n4"), incoming: 48, outgoing: 0, bytesIn: 4_800, bytesOut: 0 }];
  const counts = { bytes: 4_800, movedCopies: 48, minimumCopies: 48 };
  const fixed = { planHash: "00112233445566aa", changes, moves, ...counts, before: ring, after: ring };
  return { ...fixed, refusals: [], warnings: [], ...change };
}

/** Membership that answers as told, and writes down what it was asked. */
export class FakeDoor implements ClusterDoor {
  facts: ClusterStatus = clusterStatus();
  /** this node has a replica of what is asked about */
  isHolder = true;
  readonly asked: unknown[] = [];
  readonly answers: {
    plan?: (changes: readonly PlanChange[]) => PlanAnswer;
    commit?: CommitAnswer;
    abort?: AbortAnswer;
    leave?: LeaveAnswer;
  } = {};

  status(): ClusterStatus {
    return this.facts;
  }

  ring(page: { readonly from: number; readonly limit: number }): RingPage {
    const count = Math.max(0, Math.min(page.limit, this.facts.partitions - page.from));
    const partitions = Array.from({ length: count }, (_, index) => this.#partition(page.from + index));
    return { ringHash: this.facts.ringHash, partitionCount: this.facts.partitions, partitions };
  }

  ringOf(_name: KeyName): ReturnType<ClusterDoor["ringOf"]> {
    const verified = [
      { node: node("n2"), atMs: 1_700_000_000_000 },
      { node: node("n3"), atMs: undefined },
    ];
    const healing = { isHeldHere: this.isHolder, verified, tombstonesWaitFor: "node n3 is away" };
    return { ringHash: this.facts.ringHash, ...this.#partition(7), healing };
  }

  async plan(changes: readonly PlanChange[], isKept: (planHash: string) => boolean): Promise<PlanAnswer> {
    this.asked.push(isKept("00112233445566aa") ? { plan: changes } : { plan: changes, isDryRun: true });
    return this.answers.plan?.(changes) ?? { kind: "planned", plan: membershipPlan(changes) };
  }

  async commit(planHash: string): Promise<CommitAnswer> {
    this.asked.push({ commit: planHash });
    return this.answers.commit ?? { kind: "committed", plan: membershipPlan([]) };
  }

  async abort(name?: NodeId): Promise<AbortAnswer> {
    this.asked.push({ abort: name });
    return this.answers.abort ?? { kind: "aborted", nodes: [{ node: name ?? node("n4"), status: "leaving" }] };
  }

  async leave(): Promise<LeaveAnswer> {
    this.asked.push("leave");
    return this.answers.leave ?? { kind: "leaving", slotsHeld: 64 };
  }

  #partition(partition: number): ReturnType<ClusterDoor["ring"]>["partitions"][number] {
    const owners = [node("n1"), node("n2"), node("n3")];
    return { partition, owners, pending: [], departing: [], fallbacks: [], vacant: [] };
  }
}

/** A door to repairs that answers what it is told. */
export class FakeRepair implements RepairDoor {
  /** timeouts of the waits that were asked for, ms */
  readonly waits: number[] = [];
  /** whether each of them was to ignore members that cannot be asked */
  readonly isIgnoring: boolean[] = [];
  hints: HintsWaited = { isDone: true, left: [], unreachable: [], durationMs: 12 };
  /** comparisons that were asked for: of which partition, for how long, ms */
  readonly comparisons: { readonly partition: number | undefined; readonly timeoutMs: number }[] = [];
  compared: ReplicasCompared = {
    isDone: true,
    pairs: 6,
    left: 0,
    waitingFor: {},
    unreachable: [],
    repairedKeys: 2,
    durationMs: 34,
  };
  /** timeouts of the scrubs that were asked for, ms */
  readonly scrubs: number[] = [];
  scrubbed: StoreScrubbed = {
    node: node("n1"),
    isDone: true,
    readBytes: 4096,
    rotCount: 3,
    lostCount: 2,
    rebuiltIndexCount: 1,
    durationMs: 56,
  };
  readonly partitionCount = 64;
  async scrub(timeoutMs: number): Promise<StoreScrubbed> {
    this.scrubs.push(timeoutMs);
    return this.scrubbed;
  }
  async compare(partition: number | undefined, timeoutMs: number): Promise<ReplicasCompared> {
    this.comparisons.push({ partition, timeoutMs });
    return this.compared;
  }
  async waitForHints(timeoutMs: number, ignoresUnreachable: boolean): Promise<HintsWaited> {
    this.waits.push(timeoutMs);
    this.isIgnoring.push(ignoresUnreachable);
    return this.hints;
  }
}

/** One API server and everything behind it. */
export interface ApiNode {
  /** all that the server was handed */
  readonly deps: ApiDependencies;
  readonly api: ApiServer;
  readonly coordinator: FakeCoordinator;
  readonly buckets: FakeBuckets;
  readonly status: FakeStatus;
  readonly door: FakeDoor;
  readonly repair: FakeRepair;
  readonly contexts: ContextCodec;
  readonly metrics: MetricsRegistry;
  readonly errors: LogFacts[];
  readonly warnings: LogFacts[];
  readonly infos: LogFacts[];
  /** every route that it has */
  readonly routes: readonly Route[];
}

const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMicros: () => Math.floor((performance.timeOrigin + performance.now()) * 1_000),
  setTimer: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (run) => void setImmediate(run),
};

/** A fresh server over fakes, not listening yet; `isFixed`: without a membership door. */
export function apiNode(clock: Clock = realClock, isFixed = false, calm?: LoadControl): ApiNode {
  return nodeOf(clock, isFixed, calm === undefined ? {} : { calm });
}

/** One that asks for tokens or certificates. */
export function guardedNode(
  guard: Pick<ApiDependencies, "tokens" | "isMetricsOpen" | "needsCertificate" | "refusesForeignHosts">,
  clock: Clock = realClock,
): ApiNode {
  return nodeOf(clock, false, guard);
}

/** What a server is made of, for tests that make one themselves. */
export function apiDependencies(): ApiDependencies {
  return { ...nodeOf(realClock, false, {}).deps, metrics: new MetricsRegistry() };
}

function nodeOf(clock: Clock, isFixed: boolean, more: Partial<ApiDependencies>): ApiNode {
  const coordinator = new FakeCoordinator();
  const buckets = new FakeBuckets();
  const status = new FakeStatus();
  const door = new FakeDoor();
  const repair = new FakeRepair();
  const contexts = new ContextCodec(Buffer.from("test secret"));
  const metrics = new MetricsRegistry();
  const errors: LogFacts[] = [];
  const warnings: LogFacts[] = [];
  const infos: LogFacts[] = [];
  const ignore = (): void => undefined;
  const log = {
    debug: ignore,
    info: (facts: LogFacts): void => void infos.push(facts),
    warn: (facts: LogFacts): void => void warnings.push(facts),
    error: (facts: LogFacts): void => void errors.push(facts),
  };
  const random = {
    u32: () => 0x1234abcd,
    float: () => 0.5,
    bytes: (count: number) => Buffer.alloc(count),
    fork: () => random,
  };
  const own = { coordinator, buckets, status, contexts, clock, random, log, metrics, ...more };
  const deps: ApiDependencies = isFixed ? own : { ...own, door, repair };
  return {
    deps,
    api: createApiServer(deps),
    coordinator,
    buckets,
    status,
    door,
    repair,
    contexts,
    metrics,
    errors,
    warnings,
    infos,
    routes: allRoutes(deps, () => false),
  };
}

function nameText(name: KeyName): string {
  return `${name.bucket}/${Buffer.from(name.key).toString("hex")}`;
}
