/**
 * A write that this node cannot coordinate, handed to one owner after the other until one takes it. The next is tried
 * only when the one before has certainly done nothing. Slots move meanwhile: who says `moved` is followed, and when nobody
 * holds a slot, all are asked again after a while, by the table in force then. An owner never hands a write on: no loops.
 * Source: Dynamo §6.4 (server-driven coordination).
 */
import type { ErrorCode } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { MAX_HOLDER_LOOKS, MAX_MOVED_HOPS, STAND_IN_DELAY_MS } from "../base/limits.ts";
import type { CallResult } from "../peers/messages.ts";
import type { ReplicaReport, WriteAnswer } from "./contract.ts";
import { forwardLost, forwardRefused, type UnmetFacts } from "./failures.ts";
import { FanOut, type FanOutListener } from "./fan-out.ts";
import { parseAnswer } from "./forward-answer.ts";
import { COORDINATE_TOPIC, NOT_YET, plainWrite, type WriteRequest } from "./forward-request.ts";
import { lookAgainAfterMs } from "./holder-search.ts";
import type { Seat } from "./needs.ts";
import { explainOf, forwardReport, unaskedReport } from "./reports.ts";
import { askOrder, type CoordinatorRoom, type RequestScope, scopeOf } from "./request-scope.ts";
import { WheelCall } from "./timer-wheel.ts";
import type { Elsewhere } from "./write-words.ts";

/** What to hand over, and what this node itself has to say about it. */
export interface ForwardOrder {
  readonly scope: RequestScope;
  readonly request: WriteRequest;
  readonly timeoutMs: number;
  /** distinct slots that the write needs, for the error document */
  readonly required: number;
  /** why this node does not coordinate */
  readonly own: Elsewhere;
  /** ends `here` when this node has come to hold a slot */
  readonly mayEndHere: boolean;
  /** ends `stand_in` when no owner can be reached that would take it */
  readonly mayStandIn: boolean;
}

/**
 * Nothing was done anywhere, and this node may coordinate the write itself: it holds a slot of the key (`here`), or
 * no owner takes it, and this node may stand in for one.
 */
export type TakenHere = { readonly kind: "here" } | { readonly kind: "stand_in" };

/** What keeps an owner from taking a write, and not from others taking it: who has too much to do is spared instead. */
const REPLACEABLE: ReadonlySet<string> = new Set([
  "unreachable",
  "disk_full",
  "corrupt_record",
  "shutting_down",
  "not_ready",
]);

/** A hand-over under way; `start` it once. Calls `onEnd` exactly once, within the deadline and one tick. */
export class ForwardOperation implements FanOutListener {
  readonly #room: CoordinatorRoom;
  readonly #order: ForwardOrder;
  readonly #onEnd: (end: WriteAnswer | TakenHere) => void;
  readonly #fanOut: FanOut;
  readonly #again: WheelCall = new WheelCall(() => this.#startRound());
  /** all who were asked, by the index of the asking */
  readonly #asked: Seat[] = [];
  readonly #reports = new Map<NodeId, ReplicaReport>();
  /** of this round: who is still to be asked, who was met, the hops made, why nothing was done */
  #queue: Seat[] = [];
  readonly #met = new Set<NodeId>();
  #hopCount = 0;
  #reasons: string[] = [];
  #roundCount = 0;
  #isStraySeen = false;
  #isAsking = false;
  /** who may lack what others have is asked, too */
  #takesBehind = false;

  constructor(room: CoordinatorRoom, order: ForwardOrder, onEnd: (end: WriteAnswer | TakenHere) => void) {
    this.#room = room;
    this.#order = order;
    this.#onEnd = onEnd;
    this.#fanOut = new FanOut(room, this, order.timeoutMs);
    this.#queue = this.#othersOf(order.scope);
    if (order.scope.localIndex >= 0) this.#reasons.push(order.own.reason);
    this.#isStraySeen = isStray(order.own.reason) && order.scope.localIndex >= 0;
  }

  /** Asks the one that is known to hold the slot, or the first owner that can be reached. */
  start(): void {
    this.#room.counters.forwardCount += 1;
    this.#follow(this.#order.own.to, this.#room.local.slotOf(this.#order.scope.location.partition));
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
        this.#didNothing(this.#asked[index], { reason: result.reason, to: result.to });
        return;
      case "unsent":
        this.#didNothing(this.#asked[index], { reason: "unreachable", to: undefined });
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
    if (this.#isAsking) this.#lost(this.#asked.length - 1, "timeout");
    else this.#giveUp();
  }

  #askNext(): void {
    const seat = this.#queue.shift();
    if (seat === undefined) {
      this.#endRound();
      return;
    }
    this.#met.add(seat.node);
    if (!this.#room.health.isReachable(seat.node)) {
      this.#didNothing(seat, { reason: "unreachable", to: undefined });
      return;
    }
    this.#isAsking = true;
    this.#asked.push(seat);
    const terms = { timeoutMs: this.#fanOut.remainingMs(), takesBehind: this.#takesBehind };
    const body = plainWrite(this.#order.request, terms);
    this.#fanOut.send(this.#asked.length - 1, seat.node, { kind: "ask", topic: COORDINATE_TOPIC, body });
  }

  #onReply(index: number, body: unknown): void {
    const answer = parseAnswer(body);
    const seat = this.#asked[index];
    if (answer === undefined || seat === undefined) {
      this.#lost(index, "bad_reply");
      return;
    }
    this.#close();
    this.#onEnd(
      answer.explain === undefined ? answer : { ...answer, explain: { ...answer.explain, forwardedTo: seat.node } },
    );
  }

  #didNothing(seat: Seat | undefined, word: { readonly reason: string; readonly to: NodeId | undefined }): void {
    this.#isAsking = false;
    this.#reasons.push(word.reason);
    if (isStray(word.reason)) this.#isStraySeen = true;
    if (seat !== undefined) {
      this.#report(seat, word.reason);
      this.#follow(word.to, seat.slot);
    }
    this.#askNext();
  }

  /** Asks next whom the slot went to, once a round. */
  #follow(to: NodeId | undefined, slot: number): void {
    if (to === undefined || to === this.#room.self || this.#met.has(to)) return;
    if (this.#hopCount >= MAX_MOVED_HOPS) return;
    this.#hopCount += 1;
    this.#room.counters.movedCount += 1;
    this.#queue = [{ node: to, slot, role: "owner" }, ...this.#queue.filter((seat) => seat.node !== to)];
  }

  /** Nobody took it. Where slots are on the move that may change; otherwise it is an answer. */
  #endRound(): void {
    if (this.#order.own.reason === "behind") return this.#takeHere("here");
    if (!this.#takesBehind && this.#reasons.includes(NOT_YET)) {
      this.#takesBehind = true;
      // Not `here`: why this node cannot take it is as true as it was, and it would only hand it on once more.
      this.#askAll(scopeOf(this.#room, this.#order.request.name) ?? this.#order.scope);
      return;
    }
    if (this.#order.mayStandIn && this.#isReplaceable()) return this.#takeHere("stand_in");
    if (!this.#isStraySeen || this.#roundCount >= MAX_HOLDER_LOOKS || this.#fanOut.remainingMs() === 0) {
      this.#giveUp();
      return;
    }
    this.#roundCount += 1;
    const { wheel, clock, stagger } = this.#room;
    wheel.arm(this.#again, clock.monotonicMs() + lookAgainAfterMs(stagger.next()));
  }

  /** A slot in transit arrives soon: nobody stands in for its holder before a silent one would be stood in for. */
  #isReplaceable(): boolean {
    const { startedMs, deadlineMs } = this.#fanOut;
    const waitMs = Math.min(STAND_IN_DELAY_MS, (deadlineMs - startedMs) / 2);
    const mayPassOverStray = this.#room.clock.monotonicMs() - startedMs >= waitMs;
    return this.#reasons.every((reason) => REPLACEABLE.has(reason) || (mayPassOverStray && isStray(reason)));
  }

  /** Where slots were on the move: one may have come here. */
  #startRound(): void {
    this.#room.counters.holderLookCount += 1;
    const scope = scopeOf(this.#room, this.#order.request.name) ?? this.#order.scope;
    if (this.#order.mayEndHere && scope.localIndex >= 0) this.#takeHere("here");
    else this.#askAll(scope);
  }

  #askAll(scope: RequestScope): void {
    this.#met.clear();
    this.#hopCount = 0;
    this.#reasons = [];
    this.#queue = this.#othersOf(scope);
    this.#askNext();
  }

  #othersOf(scope: RequestScope): Seat[] {
    // A write is handed to one at a time and never hedged: nobody in doubt is tried with it.
    const order = askOrder(this.#room, scope, { nowMs: this.#room.clock.monotonicMs(), mayProbe: false });
    return order.filter((seat) => seat.node !== this.#room.self && this.#isWorthwhile(seat.node));
  }

  /** This node could do it, if not as well: then nobody is waited for who may not answer. */
  #isWorthwhile(node: NodeId): boolean {
    const { health, clock } = this.#room;
    return this.#order.own.reason !== "behind" || health.standingOf(node, clock.monotonicMs()) === "well";
  }

  #lost(index: number, reason: string): void {
    const seat = this.#asked[index];
    if (seat !== undefined) this.#report(seat, reason);
    this.#close();
    this.#onEnd(forwardLost(this.#facts()));
  }

  #giveUp(): void {
    this.#close();
    this.#onEnd(forwardRefused(commonCodeOf(this.#reasons), this.#facts()));
  }

  #takeHere(kind: TakenHere["kind"]): void {
    this.#close();
    this.#onEnd({ kind });
  }

  #close(): void {
    this.#fanOut.close();
    this.#room.wheel.disarm(this.#again);
  }

  #report(seat: Seat, answer: string): void {
    const at = this.#asked.at(-1) === seat ? this.#asked.length - 1 : -1;
    const heard = { answer, askedAfterMs: this.#fanOut.askedAfterMs(at), latencyMs: this.#fanOut.tookMs(at) };
    this.#reports.set(seat.node, forwardReport(this.#order.scope, seat, heard));
  }

  #facts(): UnmetFacts {
    const { scope, required, request, own } = this.#order;
    const { self } = this.#room;
    const seat = scope.seats[scope.localIndex];
    const here = seat === undefined ? [] : [unaskedReport(scope, seat, own.reason)];
    const untold = scope.seats.filter((one) => one.node !== self && !this.#reports.has(one.node));
    const replicas = [
      ...here,
      ...this.#reports.values(),
      ...untold.map((one) => unaskedReport(scope, one, "not_asked")),
    ];
    const explain = request.knobs.explain
      ? explainOf(this.#room, scope, { replicas, repaired: [], isHedged: false })
      : undefined;
    return { required, received: 0, replicas, explain };
  }
}

function isStray(reason: string): boolean {
  return reason === "moved" || reason === "not_owner";
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
