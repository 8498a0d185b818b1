/**
 * RepairFlags: the partitions of which a hint was given up, or may be lost: anti-entropy has to compare them first. One bit
 * a partition in one small document. A hint is given up only after its flag is durable; a flag goes only when everything
 * since it was last raised has been compared. Must never clear a flag for what came after.
 */
import { readAdvisory } from "../../storage/advisory-document.ts";
import { MAX_PARTITIONS } from "../base/limits.ts";
import type { Log } from "../base/ports.ts";

/** The flags as anti-entropy sees them. */
export interface FlaggedPartitions {
  /** Ascending. */
  flaggedPartitions(): readonly number[];
  isFlagged(partition: number): boolean;
  /** How often the partition was flagged since the start: two flags are two reasons. Taken before a comparison begins. */
  flagCountOf(partition: number): number;
  /**
   * The partition was compared with every holder of its slots, since the count was `asOf`; one that was flagged again stays.
   * Durable when it resolves; never rejects: a flag that cannot be cleared is only compared again.
   */
  clearFlag(partition: number, asOf: number): Promise<void>;
}

/** Where flags are kept. */
export interface FlagDocuments {
  read(name: string): Uint8Array | undefined;
  write(name: string, bytes: Uint8Array): Promise<void>;
}

const DOCUMENT = "hint-flags";
const VERSION = 1;

/** The flags of one node. */
export class RepairFlags implements FlaggedPartitions {
  readonly #documents: FlagDocuments;
  readonly #log: Log;
  readonly #partitionCount: number;
  readonly #bits: Uint8Array;
  readonly #counts: Uint32Array = new Uint32Array(MAX_PARTITIONS);
  /** the bits as they are on disk */
  #durable: Uint8Array;
  #writing: Promise<void> | undefined;
  #onFlagged: () => void = () => {};

  constructor(documents: FlagDocuments, partitionCount: number, log: Log) {
    this.#documents = documents;
    this.#log = log;
    this.#partitionCount = partitionCount;
    this.#bits = this.#bitsKept(Math.ceil(partitionCount / 8));
    this.#durable = this.#bits.slice();
  }

  /** Whoever looks after flags hears of each: it may be of a partition whose slot goes on to another node. */
  onFlagged(listen: () => void): void {
    this.#onFlagged = listen;
  }

  /** How many partitions are flagged. */
  get count(): number {
    let count = 0;
    for (let partition = 0; partition < this.#partitionCount; partition += 1) if (this.isFlagged(partition)) count += 1;
    return count;
  }

  flaggedPartitions(): readonly number[] {
    const flagged: number[] = [];
    for (let partition = 0; partition < this.#partitionCount; partition += 1) {
      if (this.isFlagged(partition)) flagged.push(partition);
    }
    return flagged;
  }

  flagCountOf(partition: number): number {
    return this.#counts[partition] ?? 0;
  }

  isFlagged(partition: number): boolean {
    return isSet(this.#bits, partition);
  }

  /** In RAM at once; the promise resolves when it is durable, or rejects as the store does. */
  async flag(partitions: readonly number[]): Promise<void> {
    for (const partition of partitions) {
      setBit(this.#bits, partition, true);
      this.#counts[partition] = this.flagCountOf(partition) + 1;
    }
    if (partitions.length > 0) this.#onFlagged();
    while (partitions.some((partition) => this.isFlagged(partition) && !isSet(this.#durable, partition))) {
      await this.#save();
    }
  }

  /** As `flag`, for whoever cannot wait: until it is durable the flag may be lost with the process. Never rejects. */
  raise(partition: number): void {
    this.flag([partition]).catch((error: unknown) => {
      // Not swallowed: the flag stands in RAM, and is written with the next one or at the stop.
      this.#log.warn({ event: "hints.flag-not-durable", partition, error });
    });
  }

  async clearFlag(partition: number, asOf: number): Promise<void> {
    if (!this.isFlagged(partition) || asOf !== this.flagCountOf(partition)) return;
    setBit(this.#bits, partition, false);
    try {
      await this.#save();
    } catch (error) {
      this.#log.warn({ event: "hints.flag-not-cleared", partition, error });
    }
  }

  /** Writes what is not durable yet. Rejects as the store does. */
  async flush(): Promise<void> {
    while (Buffer.compare(this.#bits, this.#durable) !== 0) await this.#save();
  }

  /** A document that cannot be read flags everything, until it is written anew: what it said is not known. */
  #bitsKept(sizeBytes: number): Uint8Array {
    const kept = readAdvisory(
      () => this.#documents.read(DOCUMENT),
      (bytes) => (bytes[0] === VERSION && bytes.length === sizeBytes + 1 ? bytes.slice(1) : undefined),
    );
    switch (kept.kind) {
      case "none":
        return new Uint8Array(sizeBytes);
      case "read":
        return kept.content;
      case "unreadable":
        this.#log.warn({ event: "hints.flags-unreadable", partitionCount: this.#partitionCount });
        return new Uint8Array(sizeBytes).fill(0xff);
    }
  }

  /** One write at a time; whoever comes during one waits for it and lets its caller look again. */
  #save(): Promise<void> {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #write(): Promise<void> {
    const bits = this.#bits.slice();
    // What this write clears is not durable from its beginning on: whoever flags it again meanwhile waits for another.
    this.#durable = this.#durable.map((byte, at) => byte & (bits[at] ?? 0));
    await this.#documents.write(DOCUMENT, Buffer.concat([Uint8Array.of(VERSION), bits]));
    this.#durable = bits;
  }
}

function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
}

function setBit(bits: Uint8Array, at: number, isOn: boolean): void {
  const bit = 1 << (at & 7);
  bits[at >> 3] = isOn ? (bits[at >> 3] ?? 0) | bit : (bits[at >> 3] ?? 0) & ~bit;
}
