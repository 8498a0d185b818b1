/**
 * Goes through one exchange with another holder: asks what `exchange-core.ts` wants asked, moves what differs. Must never
 * go on when a slot has moved on either side: what is left belongs to others.
 */
import type { NodeId } from "../base/ids.ts";
import {
  ANTI_ENTROPY_CONFIRM_MS,
  ANTI_ENTROPY_SETTLE_MS,
  EXCHANGE_ASK_MS,
  MAX_EXCHANGE_HASHES,
  MAX_EXCHANGE_PASSES,
  MAX_LISTED_STATES,
} from "../base/limits.ts";
import {
  type Difference,
  differingStates,
  Exchange,
  type ExchangeEnd,
  type ExchangeStep,
  type LeafRange,
} from "./exchange-core.ts";
import { BUSY_WORDS, reasonOf } from "./exchange-ends-core.ts";
import {
  EXCHANGE_TOPIC,
  type ExchangeAnswer,
  type ExchangeQuestion,
  encodeQuestion,
  parseAnswer,
} from "./exchange-messages.ts";
import { type Moved, ObjectMover, type ObjectParts } from "./exchange-objects.ts";
import type { PairSight } from "./exchange-view.ts";

/** What exchanges work with. */
export interface RunnerParts extends ObjectParts {
  /** the slot that this node serves, −1 for none */
  readonly slotOf: (partition: number) => number;
  /** over the bulk link; undefined = no answer */
  readonly ask: (to: NodeId, topic: string, body: unknown, timeoutMs: number) => Promise<unknown>;
  readonly onMoved: (peer: NodeId, moved: Moved) => void;
}

/** Which partition with whom. */
export interface Pair {
  readonly partition: number;
  readonly peer: NodeId;
  readonly ownSlot: number;
  readonly peerSlot: number;
}

/** How an exchange ended: by itself, or before its time. */
export type ExchangeResult = ExchangeEnd | { readonly kind: "ended"; readonly reason: string };

/** One step's outcome: the next step, or why there is none. */
type Next = ExchangeStep | { readonly kind: "ended"; readonly reason: string };

/** Runs exchanges. */
export class ExchangeRunner {
  readonly #parts: RunnerParts;
  readonly #mover: ObjectMover;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#mover = new ObjectMover(parts);
  }

  /**
   * One exchange. `isPatient`: keys that are being written are left alone; `isOurs` is asked before each step whether the
   * partition may still be compared with this one. Rejects as the store does.
   */
  async run(pair: Pair, isPatient: boolean, isOurs: () => boolean): Promise<ExchangeResult> {
    const { views } = this.#parts;
    const sight = views.sightOf(pair.partition, { own: pair.ownSlot, peer: pair.peerSlot });
    const exchange = new Exchange({
      isPatient,
      maxHashes: MAX_EXCHANGE_HASHES,
      maxPasses: MAX_EXCHANGE_PASSES,
      rangeOf: (leaf) => views.rangeOf(pair.partition, leaf),
    });
    const running = { pair, sight, exchange, isOurs };
    let step: Next = exchange.begin();
    for (;;) {
      if (step.kind === "end") return step.end;
      if (step.kind === "ended") return step;
      if (this.#parts.isStopped()) return ended("this node stops");
      if (this.#parts.slotOf(pair.partition) !== pair.ownSlot) return ended("the slot has moved");
      if (!isOurs()) return ended(BUSY_WORDS);
      step = await this.#take(running, step);
    }
  }

  async #take(running: Running, step: Exclude<ExchangeStep, { kind: "end" }>): Promise<Next> {
    const { exchange, sight } = running;
    switch (step.kind) {
      case "compare":
        if (step.isAgain) await this.#parts.pause(ANTI_ENTROPY_CONFIRM_MS);
        return exchange.compared(await this.#parts.views.leaves(sight));
      case "ask-inner": {
        const answer = await this.#ask(running, { kind: "inner", inner: step.inner });
        return answer?.kind === "inner" ? exchange.innerDiffer(answer.bits) : ended(reasonOf(answer));
      }
      case "ask-leaves": {
        const answer = await this.#ask(running, { kind: "leaves", at: step.at, leaves: step.leaves });
        return answer?.kind === "leaves" ? exchange.leavesDiffer(answer.bits) : ended(reasonOf(answer));
      }
      case "ask-list":
        return this.#list(running, step.range);
      case "settle":
        return this.#settle(running, step.differences);
      case "move":
        return this.#move(running, step.differences);
    }
  }

  async #list(running: Running, range: LeafRange): Promise<Next> {
    const { exchange, sight } = running;
    const own = await this.#parts.views.states(sight, range, MAX_LISTED_STATES);
    const question = { kind: "list", ...range, toHash: own.throughHash, states: own.states } as const;
    const answer = await this.#ask(running, question);
    if (answer?.kind !== "listed") return ended(reasonOf(answer));
    const { throughHash } = answer;
    // what they say differs is looked at with what we said we have
    if (throughHash < range.fromHash || throughHash > own.throughHash) return ended("an answer beyond the question");
    const held = new Map(own.states.map((one) => [one.hash, one.state]));
    const differences = answer.states.map(({ hash, state }) => ({ hash, ours: held.get(hash) ?? 0n, theirs: state }));
    const isInRange = differences.every(({ hash }) => hash >= range.fromHash && hash <= throughHash);
    return isInRange ? exchange.listed(differences, throughHash) : ended("an answer beyond the question");
  }

  /** A write under way looks like a difference, for as long as it takes to reach the other side. */
  async #settle(running: Running, differences: readonly Difference[]): Promise<Next> {
    const { exchange, sight } = running;
    await this.#parts.pause(ANTI_ENTROPY_SETTLE_MS);
    const hashes = differences.map(({ hash }) => hash);
    const answer = await this.#ask(running, { kind: "states", hashes });
    if (answer?.kind !== "states" || answer.states.length !== hashes.length) return ended(reasonOf(answer));
    const own = await this.#parts.views.statesOf(sight, hashes);
    const statesAt = (states: readonly bigint[]): { readonly hash: bigint; readonly state: bigint }[] =>
      hashes.map((hash, at) => ({ hash, state: states[at] ?? 0n }));
    const now = differingStates(statesAt(own), statesAt(answer.states), Number.POSITIVE_INFINITY).differences;
    const before = new Map(differences.map((one) => [one.hash, one]));
    const standing = now.filter(({ hash, ours, theirs }) => {
      const then = before.get(hash);
      return then?.ours === ours && then.theirs === theirs;
    });
    return exchange.settled(standing, now.length - standing.length);
  }

  async #move(running: Running, differences: readonly Difference[]): Promise<Next> {
    const { exchange, sight, pair } = running;
    const ask = (question: ExchangeQuestion): Promise<ExchangeAnswer | undefined> => this.#ask(running, question);
    const moved = await this.#mover.move({ peer: pair.peer, sight, ask, prolong: running.isOurs }, differences);
    this.#parts.onMoved(pair.peer, moved);
    if (moved.endedBy !== undefined) return ended(moved.endedBy);
    return exchange.moved(moved.movedCount, moved.failedCount);
  }

  async #ask({ pair, sight }: Running, question: ExchangeQuestion): Promise<ExchangeAnswer | undefined> {
    const { partition, ownSlot, peerSlot, peer } = pair;
    const body = encodeQuestion({ partition, ownSlot, peerSlot, isFiltered: sight.isFiltered }, question);
    return parseAnswer(await this.#parts.ask(peer, EXCHANGE_TOPIC, body, EXCHANGE_ASK_MS));
  }
}

interface Running {
  readonly pair: Pair;
  readonly sight: PairSight;
  readonly exchange: Exchange;
  readonly isOurs: () => boolean;
}

function ended(reason: string): { readonly kind: "ended"; readonly reason: string } {
  return { kind: "ended", reason };
}
