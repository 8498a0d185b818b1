/**
 * Waiting until everything that was kept at a moment has been delivered: each member answers for its own hints, by its own
 * clock; whoever waits asks all of them until nothing is left. Must never call delivered what no whole pass has confirmed.
 */

import { HINT_ASK_MS, HINT_FLUSH_POLL_MS } from "../base/hint-limits.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock } from "../base/ports.ts";
import type { HintsLeft, HintsWaited } from "../base/repair-reports.ts";
import type { HintDelivery, HintSlot } from "./delivery.ts";
import { encodeFlushReply, HINTS_FLUSH_TOPIC, parseFlushMark, parseFlushReply } from "./hint-messages.ts";
import type { MarkerStore } from "./marker-store.ts";
import type { HandoffPeers } from "./needs.ts";

/** What a node's hints are answered for with. */
export interface FlushParts {
  readonly self: NodeId;
  readonly delivery: HintDelivery;
  readonly markers: MarkerStore;
  readonly peers: HandoffPeers;
  readonly clock: Clock;
  /** every hint that is here is counted */
  readonly whenReady: () => Promise<void>;
  /** members that hold or keep anything, this node among them */
  readonly members: () => readonly NodeId[];
  readonly isAlive: (node: NodeId) => boolean;
}

/** By member, the moment of the first question by its own clock; undefined: it was not asked yet. */
type Marks = Map<NodeId, number | undefined>;

/** Answers for one node's hints, and waits for everyone's. */
export class HintFlush {
  readonly #parts: FlushParts;

  constructor(parts: FlushParts) {
    this.#parts = parts;
  }

  /** What of the hints that were here at the mark is left; the first question makes the mark, and hurries the deliveries. */
  readonly handler = async (_from: NodeId, body: unknown): Promise<unknown> => {
    const { delivery, markers, clock, whenReady } = this.#parts;
    const given = parseFlushMark(body);
    if (given === undefined) {
      await whenReady();
      await markers.flush();
    }
    const mark = given ?? clock.monotonicMs();
    const left = this.#leftOf(mark);
    // once more for those that came in the way of what was put off
    if (left.size > 0) delivery.hurry();
    return encodeFlushReply({ mark, left });
  };

  /** Waits until all that the reachable members keep for others now is delivered, at most so long. Never rejects. */
  async wait(timeoutMs: number): Promise<HintsWaited> {
    const { clock, members, isAlive, self } = this.#parts;
    const startedMs = clock.monotonicMs();
    const isReachable = (node: NodeId): boolean => node === self || isAlive(node);
    const unreachable = new Set(members().filter((node) => !isReachable(node)));
    const marks: Marks = new Map(
      members()
        .filter(isReachable)
        .map((node) => [node, undefined]),
    );
    for (;;) {
      const left = await this.#look(marks, unreachable);
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      const isDone = left.length === 0;
      if (isDone || durationMs >= timeoutMs) return { isDone, left, unreachable: [...unreachable], durationMs };
      const pauseMs = Math.max(1, Math.min(HINT_FLUSH_POLL_MS, timeoutMs - durationMs));
      await new Promise<void>((resolve) => clock.setTimer(pauseMs, resolve));
    }
  }

  /** Asks those with a mark once more, and those without for the first time; who does not answer is asked no more. */
  async #look(marks: Marks, unreachable: Set<NodeId>): Promise<readonly HintsLeft[]> {
    const left: HintsLeft[] = [];
    for (const { node, answer } of await this.#askAll(marks)) {
      if (answer === undefined) {
        marks.delete(node);
        unreachable.add(node);
        continue;
      }
      marks.set(node, answer.mark);
      for (const [target, count] of answer.left) left.push({ at: node, target, count });
    }
    return left;
  }

  async #askAll(
    marks: Marks,
  ): Promise<readonly { readonly node: NodeId; readonly answer: ReturnType<typeof parseFlushReply> }[]> {
    const { peers, self } = this.#parts;
    return Promise.all(
      [...marks].map(async ([node, mark]) => {
        const body = mark === undefined ? {} : { mark };
        const answer =
          node === self ? await this.handler(self, body) : await peers.ask(node, HINTS_FLUSH_TOPIC, body, HINT_ASK_MS);
        return { node, answer: parseFlushReply(answer) };
      }),
    );
  }

  /** By target; null: what is for slots that nobody is believed to hold, which waits until somebody does. */
  #leftOf(mark: number): ReadonlyMap<NodeId | null, number> {
    const left = new Map<NodeId | null, number>();
    const add = (target: NodeId | null, { partition, slot, tally }: HintSlot): void => {
      if (tally.hasOfferedAll(partition, slot, mark)) return;
      left.set(target, (left.get(target) ?? 0) + tally.countOf(partition));
    };
    this.#parts.delivery.forEachPlace((place) => add(place.holder, place));
    this.#parts.delivery.forEachVacant((slot) => add(null, slot));
    return left;
  }
}
