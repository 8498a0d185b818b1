/**
 * Since when versions are kept for others, partition by partition, over any kind of stop: written down every now and then
 * while it changes, or a node that crashes again and again would never find its hints old. Only the ages: whom hints are for
 * is believed after a clean stop alone. One that was emptied and filled again since may seem older than it is, which only
 * gives it up sooner. Must never fail whoever keeps hints.
 */
import { readAdvisory } from "../../storage/advisory-document.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import { HINT_AGES_MS } from "../base/hint-limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { ShelfTally } from "./shelf-tally.ts";

const DOCUMENT = "hint-ages";
const VERSION = 1;
/** oldest f64, wall-clock ms */
const ENTRY_BYTES = 8;

/** What ages are kept with. */
export interface AgeParts {
  readonly engine: Pick<StorageEngine, "readDocument" | "writeDocument">;
  readonly tally: ShelfTally;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
}

/** The ages of one node's hints, as they are on disk. */
export class HintAges {
  readonly #parts: AgeParts;
  #written: Buffer;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #isWriting = false;

  constructor(parts: AgeParts) {
    this.#parts = parts;
    const sizeBytes = 1 + parts.tally.partitionCount * ENTRY_BYTES;
    const kept = readAdvisory(
      () => parts.engine.readDocument(DOCUMENT),
      (bytes) => (bytes.length === sizeBytes && bytes[0] === VERSION ? Buffer.from(bytes) : undefined),
    );
    // As if there were none: hints that seem younger than they are wait longer, and none is given up for it.
    if (kept.kind === "unreadable") parts.log.warn({ event: "hints.ages-unreadable" });
    this.#written = kept.kind === "read" ? kept.content : Buffer.alloc(sizeBytes);
  }

  /** Since when something is kept of the partition, wall-clock ms, as it was written down last; undefined: unknown. */
  of(partition: number): number | undefined {
    const oldestMs = this.#written.readDoubleBE(1 + partition * ENTRY_BYTES);
    return Number.isFinite(oldestMs) && oldestMs > 0 ? oldestMs : undefined;
  }

  /** Writes down what has changed, once in a while. Never rejects: what could not be written is tried the next time. */
  async note(): Promise<void> {
    const { engine, tally, clock, log } = this.#parts;
    if (this.#isWriting || clock.monotonicMs() - this.#lookedMs < HINT_AGES_MS) return;
    this.#lookedMs = clock.monotonicMs();
    const bytes = Buffer.alloc(this.#written.length);
    bytes[0] = VERSION;
    for (let partition = 0; partition < tally.partitionCount; partition += 1) {
      bytes.writeDoubleBE(tally.oldestMsOf(partition), 1 + partition * ENTRY_BYTES);
    }
    if (bytes.equals(this.#written)) return;
    this.#isWriting = true;
    try {
      await engine.writeDocument(DOCUMENT, bytes);
      this.#written = bytes;
    } catch (error) {
      log.warn({ event: "hints.ages-not-noted", error });
    } finally {
      this.#isWriting = false;
    }
  }
}
