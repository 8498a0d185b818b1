/**
 * What a holder answers to one that catches up with it: pages of its keys, and the objects that are asked for. Must never
 * answer for a proof in which it took no part, nor list keys without naming those of which it cannot say what it held: records
 * that it has lost, and keys that it could not prove itself (`collect-unproved-core.ts`).
 */
import type { StorageEngine } from "../../storage/engine.ts";
import { CATCH_UP_BYTES, CATCH_UP_KEYS } from "../base/limits.ts";
import type { LocalReplica } from "../replica/contract.ts";
import { encodePage, parseAsked } from "./collect-catch-up-pages.ts";
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
    if (asked === undefined || asked.rules !== this.#parts.rulesOfMarks()) return null;
    const { partition, slot, line, what } = asked;
    if (partition >= this.#parts.floors.partitionCount || !this.#mayAnswer(partition, slot, line)) return null;
    if (what.kind === "fetch") return this.#fetchFor(partition, what.keys);
    const listed = await this.#listFor(partition, what.from, Math.max(slot, asked.askerSlot));
    // A scan leaves out what it cannot read, and says so in this way only.
    return this.#mayAnswer(partition, slot, line) ? listed : null;
  }

  /** Only who took part in the proof, and has lost nothing since, can be believed. */
  #mayAnswer(partition: number, slot: number, line: number): boolean {
    const { replica, floors, store } = this.#parts;
    if (replica.slotOf(partition) !== slot || store.isSuspect(partition)) return false;
    return !floors.isBehind(partition) && floors.marksOf(partition).noted.floor >= line;
  }

  /** A page ends where more is lost than fits into one. O(keys of its range). */
  async #listFor(partition: number, from: bigint, higherSlot: number): Promise<unknown> {
    const { store, rules } = this.#parts;
    const page = await store.scan(partition, from, CATCH_UP_KEYS);
    const lost = this.#lostIn(partition, from, page.nextHash);
    const cut = lost[CATCH_UP_KEYS];
    const isShown = (hash: bigint, key: Uint8Array): boolean =>
      (cut === undefined || hash < cut) && !rules.isExempt(key, higherSlot);
    return encodePage({
      keys: page.entries.filter(({ hash, key }) => isShown(hash, key)),
      lost: lost.slice(0, CATCH_UP_KEYS),
      next: cut ?? page.nextHash,
    });
  }

  /** In order, each once; one more than fits into a page at most. */
  #lostIn(partition: number, fromHash: bigint, beforeHash: bigint | undefined): readonly bigint[] {
    const { store, unproved } = this.#parts;
    const unreadable = store.unreadableIn(partition, { fromHash, beforeHash, limit: CATCH_UP_KEYS + 1 });
    const isInside = (hash: bigint): boolean => hash >= fromHash && (beforeHash === undefined || hash < beforeHash);
    const kept = unproved.hashesOf(partition).filter(isInside);
    const lost = kept.length === 0 ? unreadable : [...new Set([...unreadable, ...kept])].toSorted(ascending);
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
