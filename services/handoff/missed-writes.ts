/**
 * MissedWrites: what becomes of a write that an owner missed. Where this node has it in its own slot, a marker says so; where
 * it has not, the version is kept whole. What can be neither is flagged. Never fails a client: all of it comes after the
 * answer. Satisfies the coordinator's `HandoffSink` by shape.
 */
import { MAX_MISSED_BYTES, MAX_MISSED_WRITES, MISSED_WRITE_TIMEOUT_MS } from "../base/hint-limits.ts";
import type { Log } from "../base/ports.ts";
import type { KeyLocation, ReplicaWriteResult } from "../replica/contract.ts";
import type { FallbackReplica } from "./contract.ts";
import type { MarkerStore } from "./marker-store.ts";
import type { MainReplica } from "./needs.ts";
import type { RepairFlags } from "./repair-flags.ts";

/** A write that the holder of a slot did not confirm although it stands, or may stand, elsewhere. */
export interface Missed {
  readonly location: KeyLocation;
  readonly slot: number;
  readonly baseDigest: bigint;
  readonly digest: bigint;
  /** the encoded sibling set, whole */
  readonly object: Uint8Array;
}

/** What it works with. */
export interface MissedParts {
  readonly main: MainReplica;
  readonly store: Pick<FallbackReplica, "store">;
  readonly markers: Pick<MarkerStore, "note">;
  readonly flags: RepairFlags;
  readonly log: Log;
  /** something is kept that was not before */
  readonly onKept: () => void;
}

/** The missed writes of one coordinator. */
export class MissedWrites {
  readonly #parts: MissedParts;
  #isClosed = false;
  readonly #underway = new Set<Promise<void>>();
  #underwayBytes = 0;
  missedCount = 0;
  flaggedCount = 0;

  constructor(parts: MissedParts) {
    this.#parts = parts;
  }

  /** Keeps a note or the version. Returns at once and never throws. */
  missed(write: Missed): void {
    this.missedCount += 1;
    const { main, markers, onKept } = this.#parts;
    const { location, slot, digest, object } = write;
    const isHeld = main.slotOf(location.partition) >= 0;
    if (isHeld && main.digestOf(location) === digest) {
      markers.note(location, slot);
      onKept();
      return;
    }
    const isTooMuch = this.#underwayBytes + object.length > MAX_MISSED_BYTES && this.#underway.size > 0;
    if (this.#isClosed || this.#underway.size >= MAX_MISSED_WRITES || isTooMuch) return this.#flag(location.partition);
    this.#underwayBytes += object.length;
    const keeping = this.#keep(write, isHeld).finally(() => {
      this.#underway.delete(keeping);
      this.#underwayBytes -= object.length;
    });
    this.#underway.add(keeping);
  }

  /** Resolves when what was begun by now is done: kept, or its partition flagged. */
  async settled(): Promise<void> {
    await Promise.all(this.#underway);
  }

  /** From now on what is missed is only flagged; resolves when what was begun is done. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.settled();
  }

  /** In its own slot first: then a marker is enough, and a later version of the same key is covered by it too. */
  async #keep({ location, slot, baseDigest, digest, object }: Missed, isHeld: boolean): Promise<void> {
    const { main, store, markers, log, onKept } = this.#parts;
    const version = { baseDigest, digest, object, budgetMs: MISSED_WRITE_TIMEOUT_MS };
    try {
      const held = isHeld ? await main.store(location, version) : undefined;
      // one that was kept in part is no answer for the whole
      if (held?.kind === "stored" && held.keptAbove === undefined) {
        markers.note(location, slot);
        return onKept();
      }
      const result: ReplicaWriteResult = await store.store(location, slot, version);
      if (result.kind === "stored") return onKept();
    } catch (error) {
      log.error({ event: "hints.not-kept", partition: location.partition, error });
    }
    this.#flag(location.partition);
  }

  #flag(partition: number): void {
    this.flaggedCount += 1;
    this.#parts.flags.raise(partition);
    this.#parts.onKept();
  }
}
