/**
 * The accepting side of a link that stands: decodes requests, hands them to the node's handler, sends the replies of a
 * turn together. Must never let a slow reader grow its queue, or requests that wait for our disk grow our memory, without
 * bound, nor start work for a link that has closed.
 */
import assert from "node:assert/strict";
import type { NodeId } from "../base/ids.ts";
import { LINK_IDLE_PROBE_MS, MAX_CALLS_PER_LINK, MAX_FRAME_BYTES, MAX_PEER_QUEUE_BYTES } from "../base/limits.ts";
import type { Clock, Timer } from "../base/ports.ts";
import { decodeBody, encodeBody } from "./binary-json.ts";
import type { Frame } from "./frame-reader.ts";
import type { FramedLink, FrameSink, LinkContext } from "./framed-link.ts";
import type { LinkStats } from "./link-stats.ts";
import type { PeerHandler, PeerReply, PeerRequest } from "./messages.ts";
import type { QueueAccount } from "./queue-account.ts";
import { encodeReply, replySize, type WireReply } from "./reply-codec.ts";
import { decodeRequest, isRequestKind, type WireRequest } from "./request-codec.ts";

/** The dialling side probes each second: a link silent for this long has lost it. */
const SILENCE_MS = 4 * LINK_IDLE_PROBE_MS;

/** What the link tells its owner. */
export interface ServeLinkOwner {
  readonly from: NodeId;
  readonly handler: PeerHandler;
  /** bytes of the peer's requests that are being served, over all its links, this one and closed ones included */
  readonly served: QueueAccount;
  /** the ring hash that the peer named in its latest request, when it differs from the one before */
  onRingHash(high: number, low: number): void;
  onClose(reason: string): void;
}

interface WaitingReply {
  readonly requestId: number;
  readonly reply: WireReply;
}

/** One link for one peer's requests to us. */
export class ServeLink implements FrameSink {
  readonly #link: FramedLink;
  readonly #clock: Clock;
  readonly #stats: LinkStats;
  readonly #owner: ServeLinkOwner;
  #waiting: WaitingReply[] = [];
  #underWayCount = 0;
  #ringHashHigh = 0;
  #ringHashLow = 0;
  #silenceTimer: Timer;

  constructor(link: FramedLink, context: LinkContext, owner: ServeLinkOwner) {
    this.#link = link;
    this.#clock = context.clock;
    this.#stats = context.stats;
    this.#owner = owner;
    this.#silenceTimer = this.#clock.setTimer(SILENCE_MS, this.#onSilenceDue);
  }

  /** Bytes of replies that have not left. */
  get queuedBytes(): number {
    return this.#link.isClosed ? 0 : this.#link.queuedBytes;
  }

  /** Ends the link. Replies of requests under way go nowhere. */
  close(reason: string): void {
    this.#link.close(reason);
  }

  accepts(kind: number): boolean {
    return isRequestKind(kind);
  }

  onFrame(frame: Frame): void {
    const request = decodeRequest(frame);
    if (request === undefined) return this.#link.close("malformed_request");
    if (frame.ringHashLow !== this.#ringHashLow || frame.ringHashHigh !== this.#ringHashHigh) {
      this.#ringHashHigh = frame.ringHashHigh;
      this.#ringHashLow = frame.ringHashLow;
      this.#owner.onRingHash(frame.ringHashHigh, frame.ringHashLow);
    }
    this.#serve(frame, request);
  }

  onFlush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#link.waitingBytes = 0;
    const { writer } = this.#link;
    for (const { requestId, reply } of waiting) {
      writer.requestId = requestId;
      encodeReply(writer, reply);
      this.#stats.framesSent += 1;
    }
  }

  onClose(reason: string): void {
    this.#silenceTimer.cancel();
    this.#waiting = [];
    this.#link.waitingBytes = 0;
    this.#owner.onClose(reason);
  }

  #serve(frame: Frame, wire: WireRequest): void {
    const { requestId, budgetMs } = frame;
    if (wire.kind === "ping") return this.#send(requestId, { kind: "pong" });
    this.#stats.requestsServed += 1;
    if (this.#underWayCount >= MAX_CALLS_PER_LINK) {
      return this.#send(requestId, { kind: "refused", reason: "overloaded", detail: "too many requests on one link" });
    }
    const { served } = this.#owner;
    const sizeBytes = frame.bodyEnd - frame.bodyStart;
    if (!served.hasRoom(sizeBytes)) {
      return this.#send(requestId, { kind: "refused", reason: "overloaded", detail: "too many bytes under way" });
    }
    const request = fromWire(wire);
    if (request === undefined) {
      return this.#send(requestId, { kind: "refused", reason: "bad_request", detail: "the body could not be decoded" });
    }
    let isReplied = false;
    this.#underWayCount += 1;
    served.add(sizeBytes);
    this.#owner.handler(this.#owner.from, request, budgetMs, (reply) => {
      assert.ok(!isReplied, "a request is answered once");
      isReplied = true;
      this.#underWayCount -= 1;
      served.add(-sizeBytes);
      if (reply.kind === "refused" && reply.reason === "expired") this.#stats.requestsExpired += 1;
      this.#send(requestId, toWire(reply));
    });
  }

  #send(requestId: number, reply: WireReply): void {
    if (this.#link.isClosed) {
      this.#stats.orphanReplies += 1;
      return;
    }
    const fitting = this.#fitted(reply);
    // The bound for a peer that asks and does not read; what it asked for is lost to it, not to us.
    if (this.#link.queuedBytes > MAX_PEER_QUEUE_BYTES) return this.#link.close("slow_reader");
    this.#waiting.push({ requestId, reply: fitting });
    this.#link.waitingBytes += replySize(fitting);
    this.#link.flushLater();
  }

  /** The reply itself, or, when there is no room for it, a small one that tells the truth. */
  #fitted(reply: WireReply): WireReply {
    if (reply.kind !== "object" && reply.kind !== "answer") return reply;
    const sizeBytes = replySize(reply);
    const isTooLarge = sizeBytes > MAX_FRAME_BYTES;
    if (!isTooLarge && this.#link.hasRoom(sizeBytes)) return reply;
    const detail = isTooLarge ? "the reply is larger than a frame" : "the way back is full";
    if (reply.kind === "object") return { kind: "refused", reason: "overloaded", detail };
    return { kind: "failed", detail };
  }

  readonly #onSilenceDue = (): void => {
    this.#clock.defer(this.#checkSilence);
  };

  readonly #checkSilence = (): void => {
    if (this.#link.isClosed) return;
    this.#link.settleAccount();
    const silentMs = this.#clock.monotonicMs() - this.#link.heardMs;
    if (silentMs >= SILENCE_MS) return this.#link.close("silent");
    this.#silenceTimer = this.#clock.setTimer(Math.max(1, SILENCE_MS - silentMs), this.#onSilenceDue);
  };
}

function fromWire(request: WireRequest): PeerRequest | undefined {
  if (request.kind !== "ask") return request;
  const decoded = decodeBody(request.body);
  return decoded.kind === "body" ? { kind: "ask", topic: request.topic, body: decoded.body } : undefined;
}

function toWire(reply: PeerReply): WireReply {
  if (reply.kind !== "answer") return reply;
  try {
    return { kind: "answer", body: encodeBody(reply.body) };
  } catch (error) {
    // A handler answered with what cannot be carried: its work is done, only its words are lost.
    return { kind: "failed", detail: error instanceof Error ? error.message : "the answer could not be encoded" };
  }
}
