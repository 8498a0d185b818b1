/**
 * Asking on behalf of others: a ping-req becomes a ping of our own, its answer goes back, and if none comes in time we say so,
 * early enough to be heard before the prober decides. Must never keep more requests than its cap.
 * Source: SWIM §3.1; Lifeguard's nack at 80 % of the timeout (gossip-ring notes §0.2).
 */
import type { Message, Sender } from "./messages.ts";
import type { SwimState } from "./swim-state.ts";

const NACK_SHARE = 0.8;
/** An answer later than this many timeouts is not passed on. */
const KEPT_TIMEOUTS = 4;
const MAX_REQUESTS = 1024;

interface Request {
  readonly origin: Sender;
  readonly originSeq: number;
  readonly target: string;
  readonly timeoutMs: number;
}

/** The requests that this node carries out for others. */
export class Helper {
  readonly #state: SwimState;
  readonly #requests = new Map<number, Request>();

  constructor(state: SwimState) {
    this.#state = state;
  }

  onRequest(origin: Sender, asked: Extract<Message, { kind: "ping-req" }>, nowMs: number): void {
    const { table, outbox, hashes } = this.#state;
    if (this.#requests.size >= MAX_REQUESTS) return;
    const seq = this.#state.nextSeq();
    const { target, targetAddress, timeoutMs } = asked;
    this.#requests.set(seq, { origin, originSeq: asked.seq, target, timeoutMs });
    this.#state.sendToAddress(targetAddress, table.get(target), [{ kind: "ping", seq, target, hashes }]);
    outbox.arm({ kind: "relay-nack", seq }, NACK_SHARE * timeoutMs, nowMs);
  }

  /** An answer to a ping of ours for another: true when it was one. */
  onAck(ack: Extract<Message, { kind: "ack" }>, sender: Sender): boolean {
    const request = this.#requests.get(ack.seq);
    if (request === undefined || request.target !== sender.nodeId) return false;
    this.#requests.delete(ack.seq);
    this.#reply(request, { ...ack, seq: request.originSeq });
    return true;
  }

  onNackDue(seq: number, nowMs: number): void {
    const request = this.#requests.get(seq);
    if (request === undefined) return;
    this.#reply(request, { kind: "nack", seq: request.originSeq });
    const leftMs = (KEPT_TIMEOUTS - NACK_SHARE) * request.timeoutMs;
    this.#state.outbox.arm({ kind: "relay-end", seq }, leftMs, nowMs);
  }

  onEnd(seq: number): void {
    this.#requests.delete(seq);
  }

  #reply(request: Request, message: Message): void {
    const { origin } = request;
    this.#state.sendToAddress(origin.address, this.#state.table.get(origin.nodeId), [message]);
  }
}
