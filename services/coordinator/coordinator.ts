/**
 * The coordinator: GET, PUT, DELETE and listings as any node takes them. It finds the key's place, checks what the
 * request asks for, and starts the one operation that answers it. Must never count votes itself (the cores do), nor
 * wait for peers (the fan-out does). Source: Dynamo §4.5; DESIGN §7.
 */
import type { NodeId } from "../base/ids.ts";
import { DEADLINE_TICK_MS, MAX_MOVED_HOPS } from "../base/limits.ts";
import { type TopicHandler, TopicRefusal } from "../peers/peer-handler.ts";
import type {
  Coordinator,
  DeleteRequest,
  GetAnswer,
  GetRequest,
  ListAnswer,
  ListRequest,
  PutRequest,
  WriteAnswer,
} from "./contract.ts";
import { badQuorum, notReady, outOfTime, standInRefused } from "./failures.ts";
import { plainAnswer } from "./forward-answer.ts";
import { ForwardOperation } from "./forward-operation.ts";
import { COORDINATE_TOPIC, mayTakeBehind, NOT_YET, parseWrite, type WriteRequest } from "./forward-request.ts";
import { strayRefusalOf } from "./holder-search.ts";
import { BucketList } from "./list.ts";
import { isBehindHere } from "./local-write.ts";
import { type CoordinatorCounters, newCounters } from "./needs.ts";
import { PeerHealth, type PeerView } from "./peer-health.ts";
import { type QuorumNeed, readNeed, writeNeed } from "./quorum-core.ts";
import { ReadOperation } from "./read-operation.ts";
import { HedgeBudget, ReplicaRanking } from "./replica-ranking-core.ts";
import { type CoordinatorParts, type CoordinatorRoom, type RequestScope, SeatCache, scopeOf } from "./request-scope.ts";
import { SCAN_TOPIC } from "./scan-message.ts";
import { isBlindDelete, seenFirst } from "./seen-first.ts";
import { Stagger } from "./stagger.ts";
import { standInLimit, standInScope } from "./stand-ins.ts";
import { TimerWheel } from "./timer-wheel.ts";
import type { WriteOrder } from "./write-answer.ts";
import { intentOf, problemOf } from "./write-intent.ts";
import { WriteOperation } from "./write-operation.ts";
import type { Elsewhere } from "./write-words.ts";

/** Time kept back for the answer to a forwarded write to travel. */
const ANSWER_WAY_MS = 4 * DEADLINE_TICK_MS;

/** A write on its way to a node that may coordinate it. */
interface SomeWrite {
  readonly request: WriteRequest;
  /** it removes whatever is there: never by a stand-in, which has not seen what the owners have */
  readonly isBlind: boolean;
  /** this node may lack what others have, and takes it all the same: nobody else does */
  readonly takesBehind: boolean;
  /** monotonic */
  readonly deadlineMs: number;
  readonly returnsLeft: number;
}

/** The coordinator of one node. */
export class QuorumCoordinator implements Coordinator {
  /** totals since start, for metrics */
  readonly counters: CoordinatorCounters = newCounters();
  /** what this room answers to other nodes, by topic of the `ask` */
  readonly topics: ReadonlyMap<string, TopicHandler>;
  readonly #room: CoordinatorRoom;
  readonly #list: BucketList;

  constructor(parts: CoordinatorParts) {
    this.#room = {
      ...parts,
      counters: this.counters,
      wheel: new TimerWheel(parts.clock, DEADLINE_TICK_MS),
      ranking: new ReplicaRanking(),
      hedges: new HedgeBudget(parts.isShedding),
      writeHedges: new HedgeBudget(),
      seats: new SeatCache(),
      health: new PeerHealth(parts),
      stagger: new Stagger(),
    };
    this.#list = new BucketList(this.#room);
    this.topics = new Map<string, TopicHandler>([
      [COORDINATE_TOPIC, (_from, body, budgetMs) => this.#takeForwarded(body, budgetMs)],
      [SCAN_TOPIC, (_from, body, budgetMs) => this.#list.answerScan(body, budgetMs)],
    ]);
  }

  /** Reads a key. Any node coordinates a read, whether it holds the key or not. */
  get(request: GetRequest): Promise<GetAnswer> {
    return new Promise((resolve) => this.#get(request, resolve));
  }

  /** Writes a value; forwarded once when this node holds no slot of the key. */
  put(request: PutRequest): Promise<WriteAnswer> {
    return new Promise((resolve) => this.#write({ op: "put", ...request }, resolve));
  }

  /** Removes what the context covers, or what R replicas have. */
  delete(request: DeleteRequest): Promise<WriteAnswer> {
    return new Promise((resolve) => this.#write({ op: "delete", ...request }, resolve));
  }

  /** One page of a bucket's keys, in hash order. */
  list(request: ListRequest): Promise<ListAnswer> {
    this.counters.listCount += 1;
    return this.#list.page(request);
  }

  /** What it goes by when it chooses whom to ask, of each of these nodes but its own. From memory. */
  peerViews(nodes: readonly NodeId[]): readonly PeerView[] {
    const { self, health, ranking, clock } = this.#room;
    const nowMs = clock.monotonicMs();
    return nodes
      .filter((node) => node !== self)
      .map((node) => ({ node, standing: health.standingOf(node, nowMs), meanReadMs: ranking.meanMsOf(node) }));
  }

  #get(request: GetRequest, onAnswer: (answer: GetAnswer) => void): void {
    this.counters.readCount += 1;
    const scope = scopeOf(this.#room, request.name);
    if (scope === undefined) {
      onAnswer(notReady());
      return;
    }
    const need = readNeed(request.knobs, scope.settings);
    if (need.kind !== "need") {
      onAnswer(badQuorum(need, scope.settings.n));
      return;
    }
    const { total, owners } = need;
    const { n, conflicts } = scope.settings;
    // Where only owners are asked for, what others keep is of no use.
    const { atLeast } = request;
    const collectedThrough =
      atLeast === undefined ? undefined : this.#room.collected.collectedThrough(scope.location.partition);
    const standIns = owners < total ? standInLimit(this.#room, scope, request.knobs) : 0;
    const read = {
      scope,
      request,
      need: { total, owners, n, atLeast, collectedThrough, isLww: conflicts === "lww", standIns },
    };
    new ReadOperation(this.#room, read, onAnswer).start();
  }

  #write(request: WriteRequest, resolve: (answer: WriteAnswer) => void): void {
    this.counters.writeCount += 1;
    const deadlineMs = this.#room.clock.monotonicMs() + request.knobs.timeoutMs;
    const onAnswer = (answer: WriteAnswer): void => {
      this.#count(answer);
      resolve(answer);
    };
    const isBlind = isBlindDelete(request);
    seenFirst(this.#room, request, {
      onSeen: (seen) =>
        this.#writeSomewhere(
          { request: seen, isBlind, takesBehind: false, deadlineMs, returnsLeft: MAX_MOVED_HOPS },
          onAnswer,
        ),
      onFailed: onAnswer,
    });
  }

  /** Writes here if this node holds a slot, hands the write over otherwise; and here again if a slot came meanwhile. */
  #writeSomewhere(write: SomeWrite, onAnswer: (answer: WriteAnswer) => void): void {
    const { request, isBlind, deadlineMs, returnsLeft } = write;
    this.#writeHere(write, (end, scope) => {
      if (end.kind !== "elsewhere" || scope === undefined) {
        onAnswer(end.kind === "elsewhere" ? notReady() : end);
        return;
      }
      const timeoutMs = Math.max(0, deadlineMs - this.#room.clock.monotonicMs());
      const need = writeNeed(request.knobs, scope.settings);
      const required = need.kind === "need" ? need.total : 0;
      const mayStandIn = !isBlind && this.#mayStandIn(request, scope);
      const order = { scope, request, timeoutMs, required, own: end, mayEndHere: returnsLeft > 0, mayStandIn };
      new ForwardOperation(this.#room, order, (forwarded) => {
        if (forwarded.kind !== "here" && forwarded.kind !== "stand_in") {
          onAnswer(forwarded);
          return;
        }
        const leftMs = deadlineMs - this.#room.clock.monotonicMs();
        if (leftMs < 1) {
          onAnswer(outOfTime());
          return;
        }
        const again = { ...request, knobs: { ...request.knobs, timeoutMs: leftMs } };
        if (forwarded.kind === "stand_in") this.#writeAsStandIn(again, onAnswer);
        else {
          const takesBehind = write.takesBehind || end.reason === "behind";
          this.#writeSomewhere({ ...write, takesBehind, request: again, returnsLeft: returnsLeft - 1 }, onAnswer);
        }
      }).start();
    });
  }

  /** Never for owners by number: where none can mint, none can store. */
  #mayStandIn({ knobs }: WriteRequest, scope: RequestScope): boolean {
    const need = writeNeed(knobs, scope.settings);
    if (need.kind !== "need" || need.owners > 0 || standInLimit(this.#room, scope, knobs) === 0) return false;
    return standInScope(this.#room, scope) !== undefined;
  }

  /** No owner takes the write: this node mints it among its hints, and others stand in for the other owners. */
  #writeAsStandIn(request: WriteRequest, onAnswer: (answer: WriteAnswer) => void): void {
    const found = scopeOf(this.#room, request.name);
    const scope = found === undefined ? undefined : standInScope(this.#room, found);
    const need = scope === undefined ? undefined : writeNeed(request.knobs, scope.settings);
    if (scope === undefined || need?.kind !== "need") {
      onAnswer(standInRefused({ reason: "not_owner", detail: "the key's slots moved meanwhile" }));
      return;
    }
    new WriteOperation(this.#room, this.#orderOf(request, scope, need), (end) =>
      onAnswer(end.kind === "elsewhere" ? standInRefused(end) : end),
    ).start();
  }

  #orderOf(request: WriteRequest, scope: RequestScope, need: Extract<QuorumNeed, { kind: "need" }>): WriteOrder {
    const { settings } = scope;
    const standIns = standInLimit(this.#room, scope, request.knobs);
    return {
      scope,
      intent: intentOf(request, settings, this.#room.clock),
      need: { total: need.total, owners: need.owners, n: settings.n, standIns },
      knobs: request.knobs,
    };
  }

  /** Coordinates the write at this node, or ends `elsewhere` when that cannot be and nothing was done. */
  #writeHere(
    { request, takesBehind }: Pick<SomeWrite, "request" | "takesBehind">,
    onEnd: (end: WriteAnswer | Elsewhere, scope: RequestScope | undefined) => void,
  ): void {
    const scope = scopeOf(this.#room, request.name);
    if (scope === undefined) {
      onEnd(notReady(), undefined);
      return;
    }
    const { settings } = scope;
    const need = writeNeed(request.knobs, settings);
    const problem = need.kind === "need" ? problemOf(request, settings.blindWrites) : badQuorum(need, settings.n);
    if (problem !== undefined || need.kind !== "need") {
      onEnd(problem ?? notReady(), scope);
      return;
    }
    if (scope.localIndex < 0) {
      onEnd(this.#notHeld(scope), scope);
      return;
    }
    if (!takesBehind && isBehindHere(this.#room, scope)) {
      onEnd({ kind: "elsewhere", reason: "behind", detail: "this node may lack what other owners have" }, scope);
      return;
    }
    new WriteOperation(this.#room, this.#orderOf(request, scope, need), (end) => onEnd(end, scope)).start();
  }

  #notHeld({ location }: RequestScope): Elsewhere {
    const refusal = this.#room.local.refusalOf?.(location.partition);
    const to = refusal === undefined ? undefined : strayRefusalOf(refusal)?.to;
    if (to === undefined)
      return { kind: "elsewhere", reason: "not_owner", detail: "this node holds no slot of the key" };
    return { kind: "elsewhere", reason: "moved", detail: `the slot that this node held went to ${to}`, to };
  }

  /** A write that another node handed over: never forwarded again; a refusal tells the other that nothing was done. */
  #takeForwarded(body: unknown, budgetMs: number): Promise<unknown> {
    const request = parseWrite(body);
    if (request === undefined)
      return Promise.resolve(new TopicRefusal("bad_request", "a forwarded write is malformed"));
    this.counters.writeCount += 1;
    const timeoutMs = Math.min(request.knobs.timeoutMs, budgetMs);
    // Ends before the other node gives up, so that even an `unknown` arrives with its counts and reasons.
    const knobs = { ...request.knobs, timeoutMs: timeoutMs - Math.min(timeoutMs / 10, ANSWER_WAY_MS) };
    return new Promise((resolve) => {
      this.#writeHere({ request: { ...request, knobs }, takesBehind: mayTakeBehind(body) }, (end) => {
        if (end.kind === "elsewhere") {
          resolve(new TopicRefusal(end.reason === "behind" ? NOT_YET : end.reason, end.detail, end.to));
          return;
        }
        if (end.kind === "failed" && end.code === "not_ready") {
          resolve(new TopicRefusal("not_ready", end.detail));
          return;
        }
        this.#count(end);
        resolve(plainAnswer(end));
      });
    });
  }

  #count(answer: WriteAnswer): void {
    if (answer.kind === "applied") this.counters.appliedCount += 1;
    else if (answer.outcome === "unknown") this.counters.unknownCount += 1;
    else this.counters.notAppliedCount += 1;
  }
}
