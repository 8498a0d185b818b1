/**
 * The asked side of comparing partitions: says which roots and leaves differ, what it has where they do, and gives objects.
 * Stateless but for claims: every question can be asked again. Must never answer for a slot that is not held, nor take a
 * record that it cannot read for an absence: the store makes the partition suspect, and the others' records go on.
 */
import type { StorageEngine, StoredRecord } from "../../storage/engine.ts";
import { CorruptRecordError } from "../../storage/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { EXCHANGE_STEP_HASHES, MAX_LISTED_STATES, TRANSFER_READS } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import { type CollectWords, wordOver } from "./collect-word-core.ts";
import type { ExchangeClaims } from "./exchange-claims.ts";
import { differingInner, differingStates, differingUnder, type HashState } from "./exchange-core.ts";
import {
  type ExchangeAnswer,
  type ExchangeQuestion,
  type ExchangeRefusal,
  encodeAnswer,
  type PairOnWire,
  parseQuestion,
} from "./exchange-messages.ts";
import type { PairSight, PairViews } from "./exchange-view.ts";
import { encodeVerdicts, parseRoots, type RootItem, type RootVerdict } from "./roots-messages.ts";
import type { KeyLister } from "./transfer-listing.ts";
import type { TransferPace } from "./transfer-pace.ts";
import { PageFiller } from "./transfer-page.ts";

/** What answering works with. */
export interface AnswerParts {
  readonly store: Pick<StorageEngine, "get" | "isSuspect">;
  /** the slot that this node serves, −1 for none */
  readonly slotOf: (partition: number) => number;
  readonly views: PairViews;
  readonly claims: ExchangeClaims;
  readonly clock: Clock;
  readonly pace: TransferPace;
  /** what may be said of the partition as it is now; undefined: nothing */
  readonly wordOf: CollectWords["wordOf"];
  /** both hold the same of the partition now */
  readonly onEqual: (peer: NodeId, partition: number) => void;
  readonly onSent: (objectCount: number, sizeBytes: number) => void;
}

/** Answers other holders. */
export class ExchangeAnswers {
  readonly #parts: AnswerParts;
  readonly #filler: PageFiller;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
    const { store } = parts;
    this.#filler = new PageFiller({
      clock: parts.clock,
      store: { get: (address) => readableOf(() => store.get(address)) },
    });
  }

  /** Whether the asker's roots are ours. Rejects as the store does. */
  async roots(from: NodeId, body: unknown): Promise<unknown> {
    const items = parseRoots(body);
    if (items === undefined) return encodeVerdicts([]);
    const verdicts: RootVerdict[] = [];
    for (const item of items) verdicts.push(await this.#verdictOf(from, item));
    return encodeVerdicts(verdicts);
  }

  /** One question of an exchange. Rejects as the store does. */
  async exchange(from: NodeId, body: unknown): Promise<unknown> {
    const asked = parseQuestion(body);
    if (asked === undefined) return encodeAnswer(refused("malformed"));
    const { pair, question } = asked;
    const sight = this.#sightOf(pair);
    if (sight === undefined) return encodeAnswer(refused("moved"));
    if (!this.#parts.claims.take(pair.partition, from, "asked")) return encodeAnswer(refused("busy"));
    const answer = await this.#answerTo(sight, question);
    // what was read while the slot went away may be less than it held
    return encodeAnswer(this.#sightOf(pair) === undefined ? refused("moved") : answer);
  }

  async #verdictOf(from: NodeId, item: RootItem): Promise<RootVerdict> {
    const sight = this.#sightOf(item);
    if (sight === undefined) return "not_held";
    const root = this.#parts.views.root(sight);
    if ((root instanceof Promise ? await root : root) === item.root) {
      this.#parts.onEqual(from, item.partition);
      return "equal";
    }
    return this.#parts.store.isSuspect(item.partition) ? "suspect" : "differs";
  }

  /** The view of the pair; undefined when this node does not hold the slot that it is asked for. */
  #sightOf({ partition, ownSlot, peerSlot, isFiltered }: PairOnWire): PairSight | undefined {
    if (this.#parts.slotOf(partition) !== peerSlot) return undefined;
    return { partition, higherSlot: Math.max(ownSlot, peerSlot), isFiltered };
  }

  async #answerTo(sight: PairSight, question: ExchangeQuestion): Promise<ExchangeAnswer> {
    const { views } = this.#parts;
    switch (question.kind) {
      case "inner": {
        const leaves = await views.leaves(sight);
        return { kind: "inner", bits: differingInner(leaves, question.inner) };
      }
      case "leaves": {
        const bits = differingUnder(await views.leaves(sight), question.at, question.leaves);
        return bits === undefined ? refused("malformed") : { kind: "leaves", bits };
      }
      case "list":
        return this.#list(sight, question);
      case "states":
        return { kind: "states", states: await views.statesOf(sight, question.hashes) };
      case "fetch":
        return this.#fetch(sight, question);
    }
  }

  async #list(
    sight: PairSight,
    { states, ...range }: Extract<ExchangeQuestion, { kind: "list" }>,
  ): Promise<ExchangeAnswer> {
    const own = await this.#parts.views.states(sight, range, MAX_LISTED_STATES);
    const compared = states.filter(({ hash }) => hash <= own.throughHash);
    const { differences, throughHash } = differingStates(compared, own.states, EXCHANGE_STEP_HASHES);
    const theirs: readonly HashState[] = differences.map((one) => ({ hash: one.hash, state: one.theirs }));
    return { kind: "listed", states: theirs, throughHash: throughHash ?? own.throughHash };
  }

  async #fetch(
    sight: PairSight,
    { hashes, cursor }: Extract<ExchangeQuestion, { kind: "fetch" }>,
  ): Promise<ExchangeAnswer> {
    // What the marks leave out by the settings of now no word covers, whatever the asker took them for when it began.
    const list = shownLister(this.#parts.views, { ...sight, isFiltered: true }, hashes);
    const { partition } = sight;
    const page = await this.#parts.pace.run(async () => {
      const before = this.#parts.wordOf(partition);
      const made = await this.#filler.page({ partition, list, cursor });
      return { ...made, word: wordOver(before, this.#parts.wordOf(partition)) };
    });
    if (page === "busy") return refused("busy");
    this.#parts.onSent(page.objectCount, page.sizeBytes);
    return { kind: "objects", objects: page.objects, next: page.next, word: page.word };
  }
}

/** The keys under some hashes, which ascend, without those that the pair does not compare. */
function shownLister(views: PairViews, sight: PairSight, hashes: readonly bigint[]): KeyLister {
  return async (fromHash) => {
    const at = hashes.findIndex((hash) => hash >= fromHash);
    if (at < 0) return { entries: [], nextHash: undefined };
    const some = hashes.slice(at, at + TRANSFER_READS);
    const entries = await Promise.all(some.map((hash) => views.keysOf(sight, hash)));
    return { entries: entries.flat(), nextHash: hashes[at + TRANSFER_READS] };
  };
}

/** A record that cannot be read is left out; the store has taken note of it. */
function readableOf(
  read: () => StoredRecord | undefined | Promise<StoredRecord | undefined>,
): StoredRecord | undefined | Promise<StoredRecord | undefined> {
  const leaveOut = (error: unknown): undefined => {
    if (error instanceof CorruptRecordError) return undefined;
    throw error;
  };
  try {
    const found = read();
    return found instanceof Promise ? found.catch(leaveOut) : found;
  } catch (error) {
    return leaveOut(error);
  }
}

function refused(reason: ExchangeRefusal): ExchangeAnswer {
  return { kind: "refused", reason };
}
