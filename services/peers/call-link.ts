/**
 * The dialling side of a link that stands: sends requests, pairs the replies, ends calls whose time is up, notices a
 * link that has died in silence. Must never leave a call without a result, nor give it two.
 */
import { LINK_IDLE_PROBE_MS, MAX_CALLS_PER_LINK, MAX_FRAME_BYTES } from "../base/limits.ts";
import type { Clock, Timer } from "../base/ports.ts";
import { decodeBody, encodeBody } from "./binary-json.ts";
import type { Frame } from "./frame-reader.ts";
import type { FramedLink, FrameSink, LinkContext } from "./framed-link.ts";
import { countResult, type LinkStats } from "./link-stats.ts";
import type { CallResult, PeerReply, PeerRequest } from "./messages.ts";
import { type PendingCall, PendingCalls } from "./pending-calls.ts";
import { decodeReply, isReplyKind, type WireReply } from "./reply-codec.ts";
import { encodeRequest, requestSize, untraced, type WireRequest } from "./request-codec.ts";

/** Deadlines are swept at this grain, by one timer for the whole link. */
const SWEEP_GRAIN_MS = 10;
/** With this much unsent in the byte link, requests wait here, where they can still be called `unsent`. */
const HOLD_FROM_BYTES = 1_024 * 1_024;
const HOLD_RETRY_MS = 2;

/** What the link tells its owner. */
export interface CallLinkOwner {
  /** the ring hash to name in requests */
  readonly ringHash: { readonly high: number; readonly low: number };
  /** the other side understands requests with a trace */
  readonly takesTraces: boolean;
  /** a reply came after this time, milliseconds */
  onLatency(requestKind: WireRequest["kind"], latencyMs: number): void;
  /** called once, after every call has its result */
  onClose(reason: string): void;
}

/** One link for our requests to one peer. */
export class CallLink implements FrameSink {
  readonly #link: FramedLink;
  readonly #clock: Clock;
  readonly #stats: LinkStats;
  readonly #owner: CallLinkOwner;
  readonly #calls = new PendingCalls(MAX_CALLS_PER_LINK);
  readonly #openedMs: number;
  #waiting: PendingCall[] = [];
  #wakeTimer: Timer | undefined;
  #wakeAtMs = Infinity;
  #holdTimer: Timer | undefined;
  #probe: { readonly sentMs: number; readonly unsentBytes: number } | undefined;

  constructor(link: FramedLink, context: LinkContext, owner: CallLinkOwner) {
    this.#link = link;
    this.#clock = context.clock;
    this.#stats = context.stats;
    this.#owner = owner;
    this.#openedMs = link.heardMs;
    this.#wakeBy(link.heardMs + LINK_IDLE_PROBE_MS);
  }

  /** Calls under way. */
  get pendingCount(): number {
    return this.#calls.count;
  }

  /** Milliseconds since the handshake ended. */
  get ageMs(): number {
    return this.#clock.monotonicMs() - this.#openedMs;
  }

  /** Sends the request at the end of this turn; `onResult` is called exactly once. */
  call(request: PeerRequest, budgetMs: number, onResult: (result: CallResult) => void): void {
    const wire = this.#owner.takesTraces ? toWire(request) : untraced(toWire(request));
    const sizeBytes = requestSize(wire);
    if (this.#link.isClosed) return this.#end(onResult, { kind: "unsent", reason: "no_link" });
    if (this.#calls.isFull || sizeBytes > MAX_FRAME_BYTES || !this.#link.hasRoom(sizeBytes)) {
      return this.#end(onResult, { kind: "unsent", reason: "queue_full" });
    }
    const startedMs = this.#clock.monotonicMs();
    const deadlineMs = startedMs + budgetMs;
    const call: PendingCall = {
      requestId: 0,
      requestKind: wire.kind,
      request: wire,
      sizeBytes,
      startedMs,
      deadlineMs,
      onResult,
    };
    this.#calls.add(call);
    this.#waiting.push(call);
    this.#link.waitingBytes += sizeBytes;
    this.#link.settleAccount();
    this.#link.flushLater();
    if (deadlineMs < this.#wakeAtMs) this.#wakeBy(Math.ceil(deadlineMs / SWEEP_GRAIN_MS) * SWEEP_GRAIN_MS);
  }

  /** Bytes of requests that have not left. */
  get queuedBytes(): number {
    return this.#link.isClosed ? 0 : this.#link.queuedBytes;
  }

  /** Ends the link and with it every call. */
  close(reason: string): void {
    this.#link.close(reason);
  }

  accepts(kind: number): boolean {
    return isReplyKind(kind);
  }

  onFrame(frame: Frame): void {
    const call = this.#calls.find(frame.requestId);
    if (call === undefined || call.request !== undefined) {
      this.#stats.lateReplies += 1;
      return;
    }
    const reply = decodeReply(frame);
    if (reply === undefined || !isReplyTo(call.requestKind, reply)) return this.#link.close("malformed_reply");
    this.#calls.remove(call);
    this.#owner.onLatency(call.requestKind, this.#link.heardMs - call.startedMs);
    this.#end(call.onResult, fromWire(reply));
  }

  onFlush(): void {
    if (this.#waiting.length === 0) return;
    if (this.#link.unsentBytes > HOLD_FROM_BYTES) {
      this.#holdTimer ??= this.#clock.setTimer(HOLD_RETRY_MS, this.#onHoldOver);
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#link.waitingBytes = 0;
    const { writer } = this.#link;
    writer.ringHashHigh = this.#owner.ringHash.high;
    writer.ringHashLow = this.#owner.ringHash.low;
    for (const call of waiting) {
      const { request } = call;
      const budgetMs = Math.floor(call.deadlineMs - nowMs);
      // No time is left for it (or it has ended while it waited): the sweep says so, and truthfully as unsent.
      if (request === undefined || budgetMs < 1) continue;
      call.request = undefined;
      writer.requestId = call.requestId;
      writer.budgetMs = budgetMs;
      encodeRequest(writer, request);
      this.#stats.framesSent += 1;
    }
  }

  onClose(reason: string): void {
    this.#wakeTimer?.cancel();
    this.#holdTimer?.cancel();
    this.#waiting = [];
    this.#link.waitingBytes = 0;
    for (const call of this.#calls.takeAll()) {
      this.#end(
        call.onResult,
        call.request === undefined ? { kind: "lost", reason: "link_closed" } : { kind: "unsent", reason: "no_link" },
      );
    }
    this.#owner.onClose(reason);
  }

  #wakeBy(wakeAtMs: number): void {
    this.#wakeTimer?.cancel();
    this.#wakeAtMs = wakeAtMs;
    this.#wakeTimer = this.#clock.setTimer(Math.max(0, wakeAtMs - this.#clock.monotonicMs()), this.#onWake);
  }

  // One that is in time fires before the sockets are read, too (the clock sees to late ones): what has arrived is taken first.
  readonly #onWake = (): void => {
    this.#clock.defer(this.#sweep);
  };

  readonly #onHoldOver = (): void => {
    this.#holdTimer = undefined;
    this.#link.flushLater();
  };

  readonly #sweep = (): void => {
    if (this.#link.isClosed) return;
    this.#link.settleAccount();
    const nowMs = this.#clock.monotonicMs();
    for (const call of this.#calls.takeExpired(nowMs)) {
      const isSent = call.request === undefined;
      call.request = undefined;
      this.#end(call.onResult, isSent ? { kind: "lost", reason: "timeout" } : { kind: "unsent", reason: "queue_full" });
    }
    this.#checkAlive(nowMs);
    if (this.#link.isClosed) return;
    const probeAtMs = (this.#probe?.sentMs ?? this.#link.heardMs) + LINK_IDLE_PROBE_MS;
    const deadlineMs = Math.ceil(this.#calls.earliestDeadlineMs() / SWEEP_GRAIN_MS) * SWEEP_GRAIN_MS;
    this.#wakeBy(Math.max(nowMs + 1, Math.min(probeAtMs, deadlineMs)));
  };

  /** Probes a silent link, and closes it when neither an answer comes nor its queue gets shorter. */
  #checkAlive(nowMs: number): void {
    const probe = this.#probe;
    if (probe !== undefined && this.#link.heardMs > probe.sentMs) this.#probe = undefined;
    const sinceMs = Math.max(this.#link.heardMs, this.#probe?.sentMs ?? 0);
    if (nowMs - sinceMs < LINK_IDLE_PROBE_MS) return;
    const { unsentBytes } = this.#link;
    if (this.#probe !== undefined && unsentBytes >= this.#probe.unsentBytes) return this.#link.close("silent");
    if (this.#probe === undefined) this.call({ kind: "ping" }, 2 * LINK_IDLE_PROBE_MS, ignoreResult);
    this.#probe = { sentMs: nowMs, unsentBytes };
  }

  #end(onResult: (result: CallResult) => void, result: CallResult): void {
    countResult(this.#stats, result);
    onResult(result);
  }
}

function ignoreResult(): void {}

function toWire(request: PeerRequest): WireRequest {
  return request.kind === "ask" ? { kind: "ask", topic: request.topic, body: encodeBody(request.body) } : request;
}

function fromWire(reply: WireReply): PeerReply {
  if (reply.kind !== "answer") return reply;
  const decoded = decodeBody(reply.body);
  return decoded.kind === "body"
    ? { kind: "answer", body: decoded.body }
    : { kind: "failed", detail: `the answer could not be decoded: ${decoded.reason}` };
}

function isReplyTo(requestKind: WireRequest["kind"], reply: WireReply): boolean {
  return reply.kind === "refused" || reply.kind === "failed" || reply.kind === REPLY_KINDS[requestKind];
}

const REPLY_KINDS: Readonly<Record<WireRequest["kind"], WireReply["kind"]>> = {
  digest: "digest",
  fetch: "object",
  store: "stored",
  ping: "pong",
  ask: "answer",
};
