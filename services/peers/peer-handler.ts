/**
 * What this node does with a request of another: digests at once from RAM, objects and stores through the replica, rare
 * ones through the handler of their topic. Must never start storage work for a budget that is used up, answer for a
 * partition of which no slot is held, or let an error escape: whatever happens, there is one reply.
 */

import { type NodeId, parseNodeId } from "../base/ids.ts";
import { MAX_TIMEOUT_MS } from "../base/limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { KeyOnWire, PeerHandler, PeerReply, PeerRequest, RefusalReason, StandIn } from "./messages.ts";
import { TracedRequests, traceOf } from "./traced-requests.ts";

/** Why the replica did nothing, in its own words; those that the wire does not know become `bad_request`. */
export interface RefusalByReplica {
  readonly kind: "refused";
  readonly reason: string;
  readonly detail: string;
  /** with `moved`: `to`, the node that the slot went to */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** The encoded versions of a key, or why not. */
export type EncodedRead = { readonly kind: "object"; readonly object: Uint8Array | undefined } | RefusalByReplica;

/** What became of a version that was handed in. */
export type StoreResult =
  | { readonly kind: "stored"; readonly digest: bigint; readonly isDurable: boolean; readonly keptAbove?: number }
  | RefusalByReplica
  | { readonly kind: "failed"; readonly detail: string };

/** The replica as seen from here; `services/replica` satisfies it by shape. */
export interface ServedReplica {
  /** −1: none is held */
  slotOf(partition: number): number;
  /** why the partition is not served: `moved` with `facts.to`, or `not_owner`; undefined while a slot is held */
  refusalOf?(partition: number): RefusalByReplica | undefined;
  isSuspect(partition: number): boolean;
  /** what is held of the key is no answer to a read; absent: all of it is */
  isHidden?(partition: number, key: Uint8Array): boolean;
  /** from RAM; 0n = nothing */
  digestOf(key: KeyOnWire): bigint;
  /** refused as `expired` when the disk had no time within the budget */
  readEncoded(key: KeyOnWire, budgetMs: number): EncodedRead | Promise<EncodedRead>;
  store(
    key: KeyOnWire,
    version: {
      readonly baseDigest: bigint;
      readonly digest: bigint;
      readonly object: Uint8Array;
      /** milliseconds from now: what still waits then must store nothing */
      readonly budgetMs?: number;
    },
  ): Promise<StoreResult>;
}

/** What this node keeps for owners that others cannot reach; `services/handoff` satisfies it by shape. */
export interface ServedStandIns {
  /** from RAM; 0n = nothing */
  digestOf(key: KeyOnWire): bigint;
  readEncoded(key: KeyOnWire, budgetMs: number): EncodedRead | Promise<EncodedRead>;
  /** durable, with the note that it is for `slot`, before it resolves */
  store(key: KeyOnWire, slot: number, version: Parameters<ServedReplica["store"]>[1]): Promise<StoreResult>;
}

/** A topic's answer: any MessagePack-able value, or a refusal made by `refuse`. */
export type TopicHandler = (from: NodeId, body: unknown, budgetMs: number) => Promise<unknown>;

/** What a topic's handler answers with to refuse. */
export class TopicRefusal {
  readonly reason: RefusalReason;
  readonly detail: string;
  /** with `moved`: who should be asked instead */
  readonly to: NodeId | undefined;
  constructor(reason: RefusalReason, detail: string, to?: NodeId) {
    this.reason = reason;
    this.detail = detail;
    this.to = to;
  }
}

/** What the handler works with. */
export interface PeerHandlerParts {
  readonly replica: ServedReplica;
  readonly log: Log;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** undefined: this node stands in for nobody */
  readonly standIns?: ServedStandIns;
  /**
   * The node was removed from the cluster. It may not know yet, hold a slot by its own disk, and coordinate: with nobody
   * serving it, what it counts is never a quorum. Absent: nobody is. Asked once a request: must be cheap.
   */
  readonly isRemoved?: (node: NodeId) => boolean;
}

type Reply = (reply: PeerReply) => void;
type KeyRequest = Extract<PeerRequest, { readonly key: KeyOnWire }>;
type StandInRequest = KeyRequest & { readonly standIn: StandIn };

/** The requests of all peers end here. */
export class PeerRequests {
  readonly #parts: PeerHandlerParts;
  readonly #topics = new Map<string, TopicHandler>();
  readonly #traced: TracedRequests;
  #isStopping = false;

  constructor(parts: PeerHandlerParts) {
    this.#parts = parts;
    this.#traced = new TracedRequests(parts);
  }

  /** Lets `handler` answer the asks of `topic` (at most 64 bytes); a topic has one handler. */
  registerTopic(topic: string, handler: TopicHandler): void {
    if (this.#topics.has(topic)) throw new RangeError(`topic ${topic} already has a handler`);
    this.#topics.set(topic, handler);
  }

  /** From now on everything but a digest is refused with `shutting_down`. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Answers one request; `reply` is called exactly once. */
  readonly handle: PeerHandler = (from, request, budgetMs, reply) => {
    const answer = this.#traced.watched(from, request, reply);
    try {
      this.#dispatch(from, request, budgetMs, answer);
    } catch (error) {
      this.#fail(request, error, answer);
    }
  };

  #dispatch(from: NodeId, request: PeerRequest, budgetMs: number, reply: Reply): void {
    if (request.kind === "ping") return reply({ kind: "pong" });
    if (budgetMs < 1) return reply(refusal("expired", "no time was left"));
    if (request.kind === "ask") return this.#ask(from, request, { budgetMs, reply });
    if (this.#parts.isRemoved?.(from) === true) return reply(refusal("not_ready", `node ${from} was removed`));
    const slot = this.#parts.replica.slotOf(request.key.partition);
    if (isForStandIn(request, slot)) return this.#standIn(request, budgetMs, reply);
    if (slot < 0) return reply(this.#notHeld(request.key.partition));
    if (request.kind === "digest") {
      const { replica } = this.#parts;
      if (this.#isHidden(request.key)) return reply({ kind: "digest", slot, digest: 0n, isSuspect: true });
      const isSuspect = replica.isSuspect(request.key.partition);
      return reply({ kind: "digest", slot, digest: replica.digestOf(request.key), isSuspect });
    }
    if (this.#isStopping) return reply(refusal("shutting_down", "this node is stopping"));
    if (request.kind === "fetch") return this.#fetch(request, { slot, budgetMs }, reply);
    this.#store(request, { slot, budgetMs }, reply);
  }

  /** In the place of an owner: by the hints, whatever the main store has of the key. */
  #standIn(request: StandInRequest, budgetMs: number, reply: Reply): void {
    const { standIns } = this.#parts;
    const { key, standIn } = request;
    const { slot } = standIn;
    if (standIns === undefined) return reply(refusal("not_ready", "this node keeps no hints"));
    if (request.kind === "digest") {
      return reply({ kind: "digest", slot, digest: standIns.digestOf(key), isSuspect: false, isStandIn: true });
    }
    if (this.#isStopping) return reply(refusal("shutting_down", "this node is stopping"));
    const onFailure = (error: unknown): void => this.#fail(request, error, reply);
    if (request.kind === "store") {
      const { baseDigest, digest, object } = request;
      const version = { baseDigest, digest, object, budgetMs };
      const finish = (result: StoreResult): void => reply(standInReplyOf(storeReplyOf(result, slot)));
      standIns.store(key, slot, version).then(finish, onFailure);
      return;
    }
    const finish = (read: EncodedRead): void => {
      if (read.kind === "refused") reply(refusalOf(read));
      else reply({ kind: "object", slot, object: read.object, isSuspect: false, isStandIn: true });
    };
    const read = standIns.readEncoded(key, budgetMs);
    if (read instanceof Promise) read.then(finish, onFailure);
    else finish(read);
  }

  #isHidden({ partition, key }: KeyOnWire): boolean {
    return this.#parts.replica.isHidden?.(partition, key) === true;
  }

  #notHeld(partition: number): PeerReply {
    const refused = this.#parts.replica.refusalOf?.(partition);
    return refused === undefined ? refusal("not_owner", "no slot of this partition is held here") : refusalOf(refused);
  }

  #fetch(
    request: Extract<PeerRequest, { kind: "fetch" }>,
    { slot, budgetMs }: { readonly slot: number; readonly budgetMs: number },
    reply: Reply,
  ): void {
    const { replica } = this.#parts;
    // before the disk is asked for what would be thrown away; and again after it, for time has passed
    if (this.#isHidden(request.key)) return reply({ kind: "object", slot, object: undefined, isSuspect: true });
    const finish = (read: EncodedRead): void => {
      if (read.kind === "refused") return reply(refusalOf(read));
      // The slot may have gone while the disk was read, and with it the key: such a read says nothing about the slot.
      if (replica.slotOf(request.key.partition) !== slot) return reply(this.#notHeld(request.key.partition));
      if (this.#isHidden(request.key)) return reply({ kind: "object", slot, object: undefined, isSuspect: true });
      const isSuspect = replica.isSuspect(request.key.partition);
      reply({ kind: "object", slot, object: read.object, isSuspect });
    };
    const read = replica.readEncoded(request.key, budgetMs);
    if (read instanceof Promise) read.then(finish, (error) => this.#fail(request, error, reply));
    else finish(read);
  }

  #store(
    request: Extract<PeerRequest, { kind: "store" }>,
    { slot, budgetMs }: { readonly slot: number; readonly budgetMs: number },
    reply: Reply,
  ): void {
    const { baseDigest, digest, object } = request;
    this.#parts.replica.store(request.key, { baseDigest, digest, object, budgetMs }).then(
      (result) => reply(storeReplyOf(result, this.#slotStoredIn(request.key.partition, slot))),
      (error) => this.#fail(request, error, reply),
    );
  }

  /** A store that waited while one slot went and another came is in nobody knows which: it counts for none. */
  #slotStoredIn(partition: number, slotBefore: number): number {
    const slot = this.#parts.replica.slotOf(partition);
    return slot === slotBefore || slot < 0 ? slotBefore : -1;
  }

  #ask(
    from: NodeId,
    request: Extract<PeerRequest, { kind: "ask" }>,
    { budgetMs, reply }: { readonly budgetMs: number; readonly reply: Reply },
  ): void {
    const handler = this.#topics.get(request.topic);
    if (handler === undefined) return reply(refusal("unknown_topic", request.topic));
    if (this.#isStopping) return reply(refusal("shutting_down", "this node is stopping"));
    handler(from, request.body, Math.min(budgetMs, MAX_TIMEOUT_MS)).then(
      (body) =>
        reply(body instanceof TopicRefusal ? refusal(body.reason, body.detail, body.to) : { kind: "answer", body }),
      (error) => this.#fail(request, error, reply),
    );
  }

  /** The request met a bug or a broken store: what it did is not known, and the log has the reason. */
  #fail(request: PeerRequest, error: unknown, reply: Reply): void {
    this.#parts.log.error({ event: "peers.request-failed", kind: request.kind, traceId: traceOf(request), error });
    reply({ kind: "failed", detail: "internal error" });
  }
}

function refusal(reason: RefusalReason, detail: string, to?: NodeId): PeerReply {
  return to === undefined ? { kind: "refused", reason, detail } : { kind: "refused", reason, detail, to };
}

/** True when the node is asked to stand in and is no owner itself by its own record. */
function isForStandIn(request: KeyRequest, ownSlot: number): request is StandInRequest {
  const { standIn } = request;
  return standIn !== undefined && (ownSlot < 0 || ownSlot >= standIn.n);
}

function standInReplyOf(reply: PeerReply): PeerReply {
  // A stand-in has no slot to be sent on from: whatever it says, it has done nothing and nobody is to be asked instead.
  if (reply.kind === "refused" && isStray(reply.reason)) return refusal("not_ready", reply.detail);
  return reply.kind === "stored" ? { ...reply, isStandIn: true } : reply;
}

function isStray(reason: RefusalReason): boolean {
  return reason === "moved" || reason === "not_owner";
}

function storeReplyOf(result: StoreResult, slot: number): PeerReply {
  if (result.kind === "refused") return refusalOf(result);
  if (result.kind === "failed") return { kind: "failed", detail: result.detail };
  const { digest, isDurable, keptAbove } = result;
  if (keptAbove === undefined) return { kind: "stored", slot, digest, isDurable };
  return { kind: "stored", slot, digest, isDurable, keptAbove };
}

const WIRE_REASONS: ReadonlySet<string> = new Set<RefusalReason>([
  "not_owner",
  "overloaded",
  "disk_full",
  "expired",
  "shutting_down",
  "not_ready",
  "corrupt_record",
  "too_many_siblings",
  "moved",
  "collected",
  "uncertain",
]);

function refusalOf(refused: RefusalByReplica): PeerReply {
  const to = refused.facts?.["to"];
  const node = refused.reason === "moved" && typeof to === "string" ? parseNodeId(to) : undefined;
  return refusal(parseReason(refused.reason), refused.detail, node);
}

function parseReason(reason: string): RefusalReason {
  return WIRE_REASONS.has(reason) ? (reason as RefusalReason) : "bad_request";
}
