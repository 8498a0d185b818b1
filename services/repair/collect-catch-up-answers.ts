/**
 * What a holder answers to one that catches up with it: pages of its keys, and the objects that are asked for. Must never
 * answer for a proof in which it took no part, nor list keys without naming those of which it cannot say what it held: records
 * that it has lost, and keys that it could not prove itself (`collect-unproved-core.ts`).
 */
import type { ScanEntry, ScanPage, StorageEngine } from "../../storage/engine.ts";
import { CATCH_UP_BYTES, CATCH_UP_KEYS } from "../base/limits.ts";
import type { LocalReplica } from "../replica/contract.ts";
import { type AskedPage, encodePage, parseAsked } from "./collect-catch-up-pages.ts";
import type { CollectFloors } from "./collect-floors-core.ts";
import { bufferOf, fieldsOf, parseHex } from "./collect-messages.ts";
import type { UnprovedKeys } from "./collect-unproved-core.ts";
import type { SlotRules } from "./exchange-view.ts";

/** What answering works with. */
export interface CatchUpAnswerParts {
  readonly store: Pick<StorageEngine, "scan" | "isSuspect" | "unreadableIn">;
  readonly replica: Pick<LocalReplica, "readEncoded" | "slotOf">;
  readonly floors: CollectFloors;
  readonly unproved: UnprovedKeys;
  readonly rules: SlotRules;
  /** the rules under which this node's marks were noted, which are those of now */
  readonly rulesOfMarks: () => bigint;
}

/** the digest of a record that the index has given up */
const GIVEN_UP = 0n;
const NONE: readonly bigint[] = [];

/** The side that is asked. */
export class CatchUpAnswers {
  readonly #parts: CatchUpAnswerParts;

  constructor(parts: CatchUpAnswerParts) {
    this.#parts = parts;
  }

  /** The answer to one that catches up with this node; null for what is none. Rejects as the store does. */
  async answer(body: unknown): Promise<unknown> {
    const asked = parseAsked(body);
    // What one of two slots should not have by other settings would look deleted.
    if (asked === undefined || asked.partition >= this.#parts.floors.partitionCount) return null;
    if (!this.#mayAnswer(asked)) return null;
    const { partition, slot, askerSlot, what } = asked;
    const made =
      what.kind === "fetch"
        ? await this.#fetchFor(partition, what.keys)
        : await this.#listFor(partition, what.from, Math.max(slot, askerSlot));
    // What was lost, given away, or left out by other settings while it was read would look deleted.
    return this.#mayAnswer(asked) ? made : null;
  }

  /** Only who took part in the proof, and has lost nothing since, can be believed, by the settings of who asks. */
  #mayAnswer({ partition, slot, line, rules }: AskedPage): boolean {
    const { replica, floors, store, rulesOfMarks } = this.#parts;
    if (rules !== rulesOfMarks()) return false;
    if (replica.slotOf(partition) !== slot || store.isSuspect(partition)) return false;
    return !floors.isBehind(partition) && floors.marksOf(partition).noted.floor >= line;
  }

  /** A page ends where more is lost than fits into one. O(keys of its range). */
  async #listFor(partition: number, from: bigint, higherSlot: number): Promise<unknown> {
    const { store, rules } = this.#parts;
    const page = await store.scan(partition, from, CATCH_UP_KEYS);
    const lost = this.#lostIn(partition, from, page);
    const cut = lost[CATCH_UP_KEYS];
    // Of a record that was given up the key may be there to be read; nothing else is, for whoever fetches it.
    const isShown = ({ hash, key, digest }: ScanEntry): boolean =>
      (cut === undefined || hash < cut) && digest !== GIVEN_UP && !rules.isExempt(key, higherSlot);
    return encodePage({
      keys: page.entries.filter(isShown),
      lost: lost.slice(0, CATCH_UP_KEYS),
      next: cut ?? page.nextHash,
    });
  }

  /**
   * In order, each once; one more than fits into a page at most. What the page lacks for it could not be read is lost to it,
   * though it was written anew meanwhile.
   */
  #lostIn(partition: number, fromHash: bigint, page: ScanPage): readonly bigint[] {
    const { store, unproved } = this.#parts;
    const { entries, nextHash: beforeHash, unread = NONE } = page;
    const unreadable = store.unreadableIn(partition, { fromHash, beforeHash, limit: CATCH_UP_KEYS + 1 });
    const isInside = (hash: bigint): boolean => hash >= fromHash && (beforeHash === undefined || hash < beforeHash);
    const kept = unproved.hashesOf(partition).filter(isInside);
    const givenUp = entries.filter(({ digest }) => digest === GIVEN_UP).map(({ hash }) => hash);
    const others = [...unread, ...givenUp, ...kept];
    const lost = others.length === 0 ? unreadable : [...new Set([...unreadable, ...others])].toSorted(ascending);
    return lost.slice(0, CATCH_UP_KEYS + 1);
  }

  /** As many objects as fit, in order, at least one; an empty one stands for nothing. */
  async #fetchFor(partition: number, keys: readonly unknown[]): Promise<unknown> {
    const objects: Uint8Array[] = [];
    let sizeBytes = 0;
    for (const item of keys) {
      const fields = fieldsOf(item);
      const hash = parseHex(fields?.["hash"]);
      const key = bufferOf(fields?.["key"]);
      if (hash === undefined || key === undefined) return null;
      const read = await this.#parts.replica.readEncoded({ partition, hash, key });
      if (read.kind !== "object") return null;
      const object = read.object ?? new Uint8Array(0);
      if (objects.length > 0 && sizeBytes + object.length > CATCH_UP_BYTES) break;
      objects.push(object);
      sizeBytes += object.length;
    }
    return { objects };
  }
}

function ascending(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
