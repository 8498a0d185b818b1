/**
 * MarkerStore: the notes of an owner that another owner lacks a version that is in the main store. A marker is a key and, as
 * the digest of its record, the slots and the time: no copy of the object. They are gathered for a moment and written
 * together, after the answer; where that cannot be done, the partition is flagged. Must never let go of a note that
 * came while it was being settled.
 */
import type { PutRequest } from "../../storage/engine.ts";
import { MARKER_GATHER_MS, MAX_PENDING_MARKERS } from "../base/hint-limits.ts";
import type { Clock, Log, Timer } from "../base/ports.ts";
import type { KeyLocation } from "../replica/contract.ts";
import { type FoundHint, type HintRecords, removalOf } from "./hint-records.ts";
import type { HintRoom } from "./hint-room.ts";
import type { RepairFlags } from "./repair-flags.ts";
import type { ShelfTally } from "./shelf-tally.ts";

/** What markers are kept with. */
export interface MarkerParts {
  readonly records: HintRecords;
  readonly tally: ShelfTally;
  readonly flags: RepairFlags;
  readonly room: HintRoom;
  readonly clock: Clock;
  readonly log: Log;
  /** a note is written: something may be kept that was not before */
  readonly onKept?: () => void;
}

/** What a marker says. */
export interface MarkerFacts {
  /** bit s: the holder of slot s lacks it */
  readonly mask: number;
  /** wall-clock milliseconds at which the first miss was noted */
  readonly sinceMs: number;
}

interface Pending {
  readonly location: KeyLocation;
  mask: number;
}

/** share of the budget that markers may take; beyond, partitions are flagged instead */
const MARKER_SHARE = 0.25;
/** what a marker takes beside its key */
const MARKER_BYTES = 64;
const NOTHING = new Uint8Array(0);

/** The markers of one node. */
export class MarkerStore {
  readonly #parts: MarkerParts;
  /** notes that are not written yet, by hash */
  #pending = new Map<bigint, Pending>();
  /** keys of which a record is being written */
  readonly #writing = new Map<bigint, number>();
  #timer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();
  /** notes that became flags */
  givenUpCount = 0;

  constructor(parts: MarkerParts) {
    this.#parts = parts;
  }

  get tally(): ShelfTally {
    return this.#parts.tally;
  }

  get records(): HintRecords {
    return this.#parts.records;
  }

  /** Notes that the slot's holder lacks what the main store has of the key. Returns at once, never throws. */
  note(location: KeyLocation, slot: number): void {
    const { records, tally } = this.#parts;
    const { partition, hash } = location;
    const bit = 1 << slot;
    // In a flagged partition too: to raise the flag for each miss would begin its comparison anew each time.
    const waiting = this.#pending.get(hash);
    if (waiting !== undefined) {
      if (isSame(waiting.location.key, location.key)) waiting.mask |= bit;
      else this.#giveUp(partition);
      return;
    }
    const isNoted = (markerOf(records.digestOf(location)).mask & bit) !== 0 && !this.#writing.has(hash);
    if (isNoted) return;
    if (this.#pending.size >= MAX_PENDING_MARKERS || this.#isOverShare(location.key.length)) {
      return this.#giveUp(partition);
    }
    this.#pending.set(hash, { location, mask: bit });
    tally.begin(partition, slot);
    this.#timer ??= this.#parts.clock.setTimer(MARKER_GATHER_MS, () => void this.flush());
  }

  /** Resolves when all that was noted before is durable, or flagged. Never rejects. */
  flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const notes = [...this.#pending.values()];
    this.#pending = new Map();
    if (notes.length > 0) this.#flushing = this.#flushing.then(() => this.#write(notes));
    return this.#flushing;
  }

  /** The slot's holder has it: strikes the slot out, unless `mayGo` says no at that moment. True when it is struck out. */
  async settle({ location, digest }: FoundHint, slots: number, mayGo: () => boolean): Promise<boolean> {
    const { records } = this.#parts;
    const isBusy = this.#writing.has(location.hash) || this.#pending.has(location.hash);
    if (isBusy || records.digestOf(location) !== digest || !mayGo()) return false;
    const { mask, sinceMs } = markerOf(digest);
    const left = mask & ~slots;
    try {
      await this.#put(left === 0 ? removalOf(location) : markerPut(location, { mask: left, sinceMs }));
      return true;
    } catch {
      // refused for lack of room, or the store has failed, which ends the process: the marker stays
      return false;
    }
  }

  /** Forgets all markers of a partition that is flagged, durably: in one edit, and flags it anew. Rejects as the store does. */
  async drop(partition: number): Promise<void> {
    const { flags, records } = this.#parts;
    await this.flush();
    const before = this.tally.countOf(partition);
    // The flag that was here may have been cleared since: nothing goes before its successor is durable.
    await flags.flag([partition]);
    await records.drop(partition);
    this.givenUpCount += before;
    // a comparison that began before these misses, or those that came meanwhile, clears nothing
    flags.raise(partition);
  }

  /** Gives back what the removal marks of a partition take, when no marker is left in it. Rejects as the store does. */
  async sweep(partition: number): Promise<void> {
    if (this.tally.isEmpty(partition)) await this.#parts.records.drop(partition);
  }

  async #write(notes: readonly Pending[]): Promise<void> {
    const { records, clock, tally } = this.#parts;
    const nowMs = Math.floor(clock.wallMicros() / 1_000);
    await Promise.all(
      notes.map(async ({ location, mask }) => {
        const before = markerOf(records.digestOf(location));
        const sinceMs = before.mask === 0 ? nowMs : before.sinceMs;
        try {
          await this.#put(markerPut(location, { mask: mask | before.mask, sinceMs }));
          // one of these may have been struck out meanwhile: it is back now, and no pass that has gone by offered it
          tally.mark(location.partition, before.mask);
        } catch (error) {
          this.#parts.log.warn({ event: "hints.marker-not-kept", partition: location.partition, error });
          this.#giveUp(location.partition);
        }
        // once for each slot it was announced for; the first announcement is the one counted
        for (let slot = 0, isFirst = true; 1 << slot <= mask; slot += 1) {
          if ((mask & (1 << slot)) === 0) continue;
          if (!isFirst) tally.begin(location.partition, slot);
          tally.end(location.partition, slot);
          isFirst = false;
        }
      }),
    );
    // again: who was woken when the miss was noted may have looked before it was written, and found nothing to do
    this.#parts.onKept?.();
  }

  async #put(request: PutRequest): Promise<void> {
    const { hash } = request.address;
    this.#writing.set(hash, (this.#writing.get(hash) ?? 0) + 1);
    try {
      await this.#parts.records.put(request);
    } finally {
      const others = (this.#writing.get(hash) ?? 1) - 1;
      if (others === 0) this.#writing.delete(hash);
      else this.#writing.set(hash, others);
    }
  }

  #giveUp(partition: number): void {
    this.givenUpCount += 1;
    this.#parts.flags.raise(partition);
  }

  #isOverShare(keyBytes: number): boolean {
    const { room, tally } = this.#parts;
    const usedBytes = (tally.total + this.#pending.size) * (MARKER_BYTES + keyBytes);
    return usedBytes > room.budgetBytes * MARKER_SHARE || room.excessBytes > 0;
  }
}

/** What the digest of a marker's record says; mask 0: there is none. */
export function markerOf(digest: bigint): MarkerFacts {
  return { mask: Number(digest & 0xffn), sinceMs: Number(digest >> 8n) };
}

function markerPut(location: KeyLocation, { mask, sinceMs }: MarkerFacts): PutRequest {
  const digest = (BigInt(Math.max(1, sinceMs)) << 8n) | BigInt(mask);
  return { address: location, value: NOTHING, digest, isTombstone: false };
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
