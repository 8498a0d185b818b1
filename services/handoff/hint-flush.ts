/**
 * Waiting until everything that was kept at a moment has been delivered: each member answers for its own hints, by its own
 * clock; whoever waits asks all of them until nothing is left. Must never call delivered what no whole pass has confirmed.
 */

import { HINT_FLUSH_ASK_MS, HINT_FLUSH_POLL_MS } from "../base/hint-limits.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Random } from "../base/ports.ts";
import type { HintsLeft, HintsWaited } from "../base/repair-reports.ts";
import type { HintDelivery, HintSlot } from "./delivery.ts";
import {
  encodeFlushMark,
  encodeFlushReply,
  HINTS_FLUSH_TOPIC,
  parseFlushMark,
  parseFlushReply,
} from "./hint-messages.ts";
import type { MarkerStore } from "./marker-store.ts";
import type { MissedWrites } from "./missed-writes.ts";
import type { HandoffPeers } from "./needs.ts";

/** What a node's hints are answered for with. */
export interface FlushParts {
  readonly self: NodeId;
  readonly delivery: Pick<HintDelivery, "forEachPlace" | "forEachVacant" | "hurry">;
  readonly markers: Pick<MarkerStore, "flush">;
  readonly missedWrites: Pick<MissedWrites, "settled">;
  readonly peers: HandoffPeers;
  readonly clock: Clock;
  readonly random: Random;
  /** every hint that is here is counted */
  readonly whenReady: () => Promise<void>;
  /** members that hold or keep anything, this node among them */
  readonly members: () => readonly NodeId[];
  readonly isAlive: (node: NodeId) => boolean;
}

/** What a member has answered: the moment of the first question by its own clock, and what was left. Absent: nothing yet. */
type Heard = ReturnType<typeof parseFlushReply>;
type Members = Map<NodeId, Heard>;

/** Answers for one node's hints, and waits for everyone's. */
export class HintFlush {
  readonly #parts: FlushParts;
  /** of this run of the process, by whose clock marks are */
  readonly #run: number;

  constructor(parts: FlushParts) {
    this.#parts = parts;
    this.#run = parts.random.fork("hint-marks").u32();
  }

  /**
   * What of the hints that were here at the mark is left; the first question makes the mark, and hurries the deliveries. A mark of
   * an earlier run says nothing by this run's clock: all that is here now is waited for then.
   */
  readonly handler = async (_from: NodeId, body: unknown): Promise<unknown> => {
    const { delivery, markers, missedWrites, clock, whenReady } = this.#parts;
    await whenReady();
    const given = parseFlushMark(body);
    const isOurs = given !== undefined && (given.run === undefined || given.run === this.#run);
    if (!isOurs) {
      await missedWrites.settled();
      await markers.flush();
    }
    const mark = isOurs ? given.mark : clock.monotonicMs();
    const left = this.#leftOf(mark);
    // once more for those that came in the way of what was put off
    if (left.size > 0) delivery.hurry();
    return encodeFlushReply({ mark, run: this.#run, left });
  };

  /**
   * Waits until all that the members keep for others now is delivered, at most so long; what one keeps that cannot be asked
   * is not known, so it is waited for until it can, or is a member no more. `ignoresUnreachable`: whoever cannot be asked at
   * the beginning is only named. Never rejects.
   */
  async wait(timeoutMs: number, ignoresUnreachable: boolean = false): Promise<HintsWaited> {
    const { clock, members } = this.#parts;
    const startedMs = clock.monotonicMs();
    const unreachable = new Set(members().filter((node) => !this.#isReachable(node)));
    const heard: Members = new Map(
      members()
        .filter((node) => !unreachable.has(node))
        .map((node) => [node, undefined]),
    );
    for (;;) {
      this.#forgetWhoIsGone(heard, unreachable);
      if (!ignoresUnreachable) this.#seeWhoIsBack(heard, unreachable);
      const leftMs = timeoutMs - (clock.monotonicMs() - startedMs);
      const patienceMs = Math.min(HINT_FLUSH_ASK_MS, Math.max(HINT_FLUSH_POLL_MS, leftMs));
      const { left, isWhole } = await this.#look(heard, unreachable, patienceMs);
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      const isDone = left.length === 0 && isWhole && (ignoresUnreachable || unreachable.size === 0);
      if (isDone || durationMs >= timeoutMs) return { isDone, left, unreachable: [...unreachable], durationMs };
      const pauseMs = Math.max(1, Math.min(HINT_FLUSH_POLL_MS, timeoutMs - durationMs));
      await new Promise<void>((resolve) => clock.setTimer(pauseMs, resolve));
    }
  }

  /** Whoever is a member no more keeps nothing, whatever it last said: it will never be heard again. */
  #forgetWhoIsGone(heard: Members, unreachable: Set<NodeId>): void {
    const members = new Set(this.#parts.members());
    for (const nodes of [heard, unreachable]) {
      for (const node of nodes.keys()) if (!members.has(node)) nodes.delete(node);
    }
  }

  /** Who can be asked again is asked from now on. */
  #seeWhoIsBack(heard: Members, unreachable: ReadonlySet<NodeId>): void {
    for (const node of unreachable) if (!heard.has(node) && this.#isReachable(node)) heard.set(node, undefined);
  }

  /**
   * Asks everyone once more. Who does not answer is asked again while it is alive; who has gone is waited for no more,
   * unless it had something left when it was heard last. `isWhole`: nobody is still to be heard.
   */
  async #look(
    heard: Members,
    unreachable: Set<NodeId>,
    patienceMs: number,
  ): Promise<{ readonly left: readonly HintsLeft[]; readonly isWhole: boolean }> {
    const left: HintsLeft[] = [];
    let isWhole = true;
    for (const { node, answer } of await this.#askAll(heard, patienceMs)) {
      const known = answer ?? heard.get(node);
      heard.set(node, known);
      for (const [target, count] of known?.left ?? []) left.push({ at: node, target, count });
      if (answer !== undefined) {
        unreachable.delete(node);
        continue;
      }
      unreachable.add(node);
      if (this.#isReachable(node)) isWhole = false;
      else if ((known?.left.size ?? 0) === 0) heard.delete(node);
    }
    return { left, isWhole };
  }

  async #askAll(
    heard: Members,
    patienceMs: number,
  ): Promise<readonly { readonly node: NodeId; readonly answer: Heard }[]> {
    const { peers, self } = this.#parts;
    return Promise.all(
      [...heard].map(async ([node, known]) => {
        const body = known === undefined ? {} : encodeFlushMark(known);
        const asking =
          node === self ? this.#askSelf(body, patienceMs) : peers.ask(node, HINTS_FLUSH_TOPIC, body, patienceMs);
        return { node, answer: parseFlushReply(await asking) };
      }),
    );
  }

  /** As long as another one is waited for. */
  #askSelf(body: unknown, patienceMs: number): Promise<unknown> {
    const { clock, self } = this.#parts;
    return new Promise((resolve, reject) => {
      const timer = clock.setTimer(patienceMs, () => resolve(undefined));
      this.handler(self, body)
        .then(resolve, reject)
        .finally(() => timer.cancel());
    });
  }

  #isReachable(node: NodeId): boolean {
    return node === this.#parts.self || this.#parts.isAlive(node);
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
