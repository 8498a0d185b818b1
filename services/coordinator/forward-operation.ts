/**
 * A write that this node cannot coordinate, handed to one owner after the other until one takes it. The next is tried
 * only when the one before has certainly done nothing. Source: Dynamo §6.4 (server-driven coordination).
 */
import type { ErrorCode } from "../base/errors.ts";
import type { CallResult } from "../peers/messages.ts";
import type { ReplicaReport, WriteAnswer } from "./contract.ts";
import { forwardLost, forwardRefused, type UnmetFacts } from "./failures.ts";
import { FanOut, type FanOutListener } from "./fan-out.ts";
import { parseAnswer } from "./forward-answer.ts";
import { COORDINATE_TOPIC, plainWrite, type WriteRequest } from "./forward-request.ts";
import type { Seat } from "./needs.ts";
import { explainOf, forwardReport, unaskedReport } from "./reports.ts";
import { type CoordinatorRoom, type RequestScope, readOrder } from "./request-scope.ts";

/** What to hand over, and what this node itself has to say about it. */
export interface ForwardOrder {
  readonly scope: RequestScope;
  readonly request: WriteRequest;
  readonly timeoutMs: number;
  /** distinct slots that the write needs, for the error document */
  readonly required: number;
  /** why this node, an owner, does not coordinate; undefined when it is none */
  readonly ownReason: string | undefined;
}

/** A hand-over under way; `start` it once. Calls `onAnswer` exactly once, within the deadline and one tick. */
export class ForwardOperation implements FanOutListener {
  readonly #room: CoordinatorRoom;
  readonly #order: ForwardOrder;
  readonly #onAnswer: (answer: WriteAnswer) => void;
  readonly #fanOut: FanOut;
  readonly #seats: readonly Seat[];
  readonly #reports: ReplicaReport[] = [];
  readonly #reasons: string[] = [];
  #next = 0;
  #isAsking = false;

  constructor(room: CoordinatorRoom, order: ForwardOrder, onAnswer: (answer: WriteAnswer) => void) {
    this.#room = room;
    this.#order = order;
    this.#onAnswer = onAnswer;
    this.#fanOut = new FanOut(room, this, order.timeoutMs);
    this.#seats = readOrder(room, order.scope).filter((seat) => seat.node !== room.self);
    if (order.ownReason !== undefined) this.#reasons.push(order.ownReason);
  }

  /** Asks the first owner that can be reached. */
  start(): void {
    this.#room.counters.forwardCount += 1;
    this.#askNext();
  }

  onResult(index: number, result: CallResult): void {
    if (this.#fanOut.isClosed) {
      this.#room.counters.lateReplyCount += 1;
      return;
    }
    switch (result.kind) {
      case "answer":
        this.#onReply(index, result.body);
        return;
      case "refused":
        this.#didNothing(index, result.reason);
        return;
      case "unsent":
        this.#didNothing(index, "unreachable");
        return;
      case "lost":
        this.#lost(index, result.reason);
        return;
      case "failed":
      case "digest":
      case "object":
      case "stored":
      case "pong":
        this.#lost(index, "failed");
    }
  }

  /** Writes are never hedged. */
  onSlow(): void {}

  onDeadline(): void {
    if (this.#fanOut.isClosed) return;
    if (this.#isAsking) this.#lost(this.#next - 1, "timeout");
    else this.#giveUp();
  }

  #askNext(): void {
    const index = this.#next;
    const seat = this.#seats[index];
    if (seat === undefined) {
      this.#giveUp();
      return;
    }
    this.#next += 1;
    if (!this.#room.peers.isReachable(seat.node)) {
      this.#didNothing(index, "unreachable");
      return;
    }
    this.#isAsking = true;
    const body = plainWrite(this.#order.request, this.#fanOut.remainingMs());
    this.#fanOut.send(index, seat.node, { kind: "ask", topic: COORDINATE_TOPIC, body });
  }

  #onReply(index: number, body: unknown): void {
    const answer = parseAnswer(body);
    const seat = this.#seats[index];
    if (answer === undefined || seat === undefined) {
      this.#lost(index, "bad_reply");
      return;
    }
    this.#fanOut.close();
    this.#onAnswer(
      answer.explain === undefined ? answer : { ...answer, explain: { ...answer.explain, forwardedTo: seat.node } },
    );
  }

  #didNothing(index: number, reason: string): void {
    this.#isAsking = false;
    this.#reasons.push(reason);
    this.#report(index, reason);
    this.#askNext();
  }

  #lost(index: number, reason: string): void {
    this.#report(index, reason);
    this.#fanOut.close();
    this.#onAnswer(forwardLost(this.#facts()));
  }

  #giveUp(): void {
    this.#fanOut.close();
    this.#onAnswer(forwardRefused(commonCodeOf(this.#reasons), this.#facts()));
  }

  #report(index: number, answer: string): void {
    const seat = this.#seats[index];
    if (seat === undefined) return;
    const { scope } = this.#order;
    this.#reports.push(forwardReport(scope, seat, { answer, latencyMs: this.#fanOut.tookMs(index) }));
  }

  #facts(): UnmetFacts {
    const { scope, required, request, ownReason } = this.#order;
    const own = scope.seats[scope.localIndex];
    const untold = this.#seats.slice(this.#next).map((seat) => unaskedReport(scope, seat, "not_asked"));
    const self = own === undefined || ownReason === undefined ? [] : [unaskedReport(scope, own, ownReason)];
    const replicas = [...self, ...this.#reports, ...untold];
    const explain = request.knobs.explain
      ? explainOf(this.#room, scope, { replicas, repaired: [], isHedged: false })
      : undefined;
    return { required, received: 0, replicas, explain };
  }
}

/** The code when every owner that was reached gave the same reason and it has one; a missed quorum otherwise. */
function commonCodeOf(reasons: readonly string[]): ErrorCode {
  const reached = reasons.filter((reason) => reason !== "unreachable");
  const first = reached[0];
  if (first === undefined || reached.some((reason) => reason !== first)) return "quorum_not_met";
  switch (first) {
    case "disk_full":
    case "overloaded":
    case "shutting_down":
    case "not_ready":
      return first;
    default:
      return "quorum_not_met";
  }
}
