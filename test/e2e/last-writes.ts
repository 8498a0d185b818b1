/**
 * What the keys of a test must hold, by the answers that its writers got: of each key the last write that was acknowledged,
 * beside it only what that one may not have met. For keys with one writer each, who writes blindly. Must never demand more
 * than the answers promised, nor less.
 */
import { type Answer, valuesOf } from "./http.ts";

/** The part of one node, as `explain` tells it. */
export interface Report {
  readonly node: string;
  readonly role: string;
  readonly slot: number;
  readonly answer: string;
  readonly digest?: string;
  readonly hint: boolean;
}

/** All parts; none when the answer does not explain itself. */
export function reportsOf(answer: Answer): readonly Report[] {
  const replicas = explainOf(answer)["replicas"];
  return Array.isArray(replicas) ? replicas : [];
}

/** Digests that owners named before anything was repaired, one for each slot that answered. */
export function ownersDigests(answer: Answer): readonly (string | undefined)[] {
  const owners = reportsOf(answer).filter(({ role, answer: word }) => role === "owner" && word === "ok");
  return [...new Map(owners.map(({ slot, digest }) => [slot, digest])).values()];
}

/** One write: its value as shown, and the owners that said they hold it. */
interface Written {
  readonly value: string;
  readonly heldBy: readonly string[];
}

interface Kept {
  last: string;
  answeredAt: number;
  /** who coordinated the last write, and so notes who missed it */
  taker: string;
  /** writes that the node which took a later one may not have seen, and the last one */
  beside: readonly Written[];
  /** writes that were answered `unknown`, or not at all: at any of the owners, or none; they may land late */
  readonly maybe: string[];
}

/** Notes of what an owner missed are written by the coordinator some moments after the answer; its kill may take them, and anti-entropy looks then. */
const NOTES_MS = 2_000;

/** The writes of one test. */
export class LastWrites {
  readonly #keys = new Map<string, Kept>();
  readonly #killed: { readonly node: string; readonly at: number }[] = [];

  /** All keys that were written. */
  get keys(): readonly string[] {
    return [...this.#keys.keys()];
  }

  /** Keys with a write of unknown outcome. */
  get unknownCount(): number {
    return [...this.#keys.values()].filter(({ maybe }) => maybe.length > 0).length;
  }

  /** A write that was applied, by its explained answer. A blind one replaces what the replica that takes it holds. */
  applied(key: string, value: unknown, answer: Answer): void {
    const taker = explainOf(answer)["coordinator"];
    if (typeof taker !== "string") throw new Error(`no answer that explains itself: ${answer.text}`);
    const heldBy = reportsOf(answer).flatMap((one) => (one.role === "owner" && one.answer === "ok" ? [one.node] : []));
    const kept = this.#keptOf(key);
    kept.last = JSON.stringify(value);
    kept.answeredAt = performance.now();
    kept.taker = taker;
    const left = kept.beside.filter((earlier) => !earlier.heldBy.includes(taker));
    kept.beside = [...left, { value: kept.last, heldBy }];
  }

  /** A write of which nobody knows what became. */
  unknown(key: string, value: unknown): void {
    this.#keptOf(key).maybe.push(JSON.stringify(value));
  }

  /** The node of this name was killed just now. */
  killed(node: string): void {
    this.#killed.push({ node, at: performance.now() });
  }

  /** Nothing can stand beside the last write. */
  isSingle(key: string): boolean {
    const kept = this.#keptOf(key);
    return kept.maybe.length === 0 && kept.beside.length === 1;
  }

  /**
   * The last write is owed to every owner as soon as all hints are delivered. One of unknown outcome owes nobody anything:
   * one owner alone may have it until replicas are compared. Nor may the note of a miss have outlived a kill of who wrote
   * it; what a stand-in acknowledged outlives any.
   */
  isOwedToAll(key: string): boolean {
    const { maybe, answeredAt, taker } = this.#keptOf(key);
    const isNoteLost = this.#killed.some(({ node, at }) => node === taker && Math.abs(at - answeredAt) <= NOTES_MS);
    return maybe.length === 0 && !isNoteLost;
  }

  /** What is wrong with an answer, in words; empty when it shows the last write, or one of unknown outcome, and beside it only what it may not have met. */
  faultOf(key: string, answer: Answer): string {
    const { last, maybe, beside } = this.#keptOf(key);
    const lasting = [last, ...maybe];
    const allowed = new Set([...lasting, ...beside.map(({ value }) => value)]);
    const values = valuesOf(answer);
    const isRight = answer.status === 200 && values.every((shown) => allowed.has(shown));
    if (isRight && values.some((shown) => lasting.includes(shown))) return "";
    return `${key} is to hold ${lasting.join(" or ")}, beside it at most ${[...allowed].join(", ")}: ${answer.text}`;
  }

  #keptOf(key: string): Kept {
    const kept = this.#keys.get(key) ?? { last: "", answeredAt: 0, taker: "", beside: [], maybe: [] };
    this.#keys.set(key, kept);
    return kept;
  }
}

function explainOf(answer: Answer): Readonly<Record<string, unknown>> {
  const explain = answer.body["explain"];
  return typeof explain === "object" && explain !== null ? { ...explain } : {};
}
