/**
 * Where the newest record of each key of ONE partition lies: an off-heap table by ordered linear probing. Slots lie in
 * hash order, so a range of hashes is a contiguous run: scans, transfers and Merkle leaves read it without sorting.
 * 28 bytes an entry in one Uint32Array of seven words a slot; the load stays between 0.73 and 0.875 while the table
 * grows, hence 32 … 39 bytes a key. Nothing wraps around: entries pushed past the last home slot lie in a spill at
 * the end, which keeps the order whole. Must never look at keys: two keys of one hash are two entries side by side,
 * and the caller tells them apart on disk.
 *
 * Source: ordered hash tables (Amble & Knuth, 1974); DESIGN §5.
 */
import assert from "node:assert";
import type { RecordKind } from "./format/record.ts";
import { highWord, joinU64, lowWord, splitU64, words } from "./words.ts";

/** What the index knows of one record. */
export interface IndexEntry {
  /** unsigned 64-bit */
  readonly hash: bigint;
  /** version digest, unsigned 64-bit; 0 of a reap mark, and of a record that cannot be read */
  readonly digest: bigint;
  /** 0 … 2^32 − 1 */
  readonly segment: number;
  /** bytes, a multiple of 8, below 32 GiB */
  readonly offset: number;
  /** of the whole record, bytes, a multiple of 8, 8 … 2^31 − 8 */
  readonly length: number;
  readonly kind: RecordKind;
}

const wordsPerSlot = 7;
const hashHigh = 0;
const hashLow = 1;
const digestHigh = 2;
const digestLow = 3;
const segmentWord = 4;
const offsetWord = 5;
/** the record's length, and in the two low bits, which no length has, its kind; 0 marks a free slot, for no record is empty */
const lengthWord = 6;
const kindMask = 3;
const maxLength = 0x7ffffff8;

const maxLoad = 0.875;
/** below this load a removal gives memory back */
const minLoad = 0.35;
/** slots behind its home where an entry mostly lies */
const nearSlots = 8;
const growth = 1.2;
const smallestHomes = 4;
const emptySlots: Uint32Array<ArrayBuffer> = new Uint32Array(0);

/** The index of one partition. Slot numbers are valid until the next `insert` or `removeAt`. */
export class IndexTable {
  readonly #partitionBits: number;
  #slots: Uint32Array<ArrayBuffer> = emptySlots;
  /** slots that are home to some hash; those behind them are the spill */
  #homes = 0;
  #slotCount = 0;
  #count = 0;

  /** `partitionBits`: how many top bits all hashes of the partition share, 0 … 32. */
  constructor(partitionBits: number) {
    assert(Number.isInteger(partitionBits) && partitionBits >= 0 && partitionBits <= 32, "partition bits: 0 … 32");
    this.#partitionBits = partitionBits;
  }

  /** Entries in the table. */
  get count(): number {
    return this.#count;
  }

  /** Memory of the slots, bytes. */
  get bytes(): number {
    return this.#slots.byteLength;
  }

  /** The first slot with this hash, or −1. Expected cost: five probes. */
  find(hash: bigint): number {
    if (this.#count === 0) return -1;
    splitU64(hash);
    const high = words[highWord] ?? 0;
    const low = words[lowWord] ?? 0;
    const slot = this.#firstNotBelow(this.#homeOf(high, low), high, low, false);
    return this.#holds(slot, high, low) ? slot : -1;
  }

  /** The slot after `slot` if it has this hash too, or −1. */
  findNext(slot: number, hash: bigint): number {
    splitU64(hash);
    return this.#holds(slot + 1, words[highWord] ?? 0, words[lowWord] ?? 0) ? slot + 1 : -1;
  }

  hashAt(slot: number): bigint {
    return joinU64(this.#word(slot, hashHigh), this.#word(slot, hashLow));
  }

  digestAt(slot: number): bigint {
    return joinU64(this.#word(slot, digestHigh), this.#word(slot, digestLow));
  }

  segmentAt(slot: number): number {
    return this.#word(slot, segmentWord);
  }

  /** Bytes. */
  offsetAt(slot: number): number {
    return this.#word(slot, offsetWord) * 8;
  }

  /** Bytes of the whole record. */
  lengthAt(slot: number): number {
    return this.#word(slot, lengthWord) & ~kindMask;
  }

  kindAt(slot: number): RecordKind {
    const bits = this.#word(slot, lengthWord) & kindMask;
    return bits === 0 ? 0 : bits === 1 ? 1 : bits === 2 ? 2 : 3;
  }

  /** Adds an entry behind those of the same hash. Amortized constant: a rebuild in hash order at each growth. */
  insert(entry: IndexEntry): void {
    if (this.#count + 1 > this.#homes * maxLoad) {
      this.#rebuild(Math.max(smallestHomes, Math.ceil(this.#homes * growth)), spillFor(this.#homes));
    }
    splitU64(entry.hash);
    const high = words[highWord] ?? 0;
    const low = words[lowWord] ?? 0;
    const slot = this.#makeRoom(high, low);
    this.#write(slot, entry);
    this.#count += 1;
  }

  /** Puts another entry of the SAME hash in the slot's place. */
  replaceAt(slot: number, entry: IndexEntry): void {
    assert(this.hashAt(slot) === entry.hash && this.#isTaken(slot), "only an entry of the same hash may take the slot");
    this.#write(slot, entry);
  }

  /** Takes the entry out and moves the displaced ones behind it one slot towards home. */
  removeAt(slot: number): void {
    assert(this.#isTaken(slot), "the slot is free already");
    let end = slot + 1;
    while (end < this.#slotCount && this.#isTaken(end) && this.#homeAt(end) < end) end += 1;
    this.#slots.copyWithin(slot * wordsPerSlot, (slot + 1) * wordsPerSlot, end * wordsPerSlot);
    this.#slots.fill(0, (end - 1) * wordsPerSlot, end * wordsPerSlot);
    this.#count -= 1;
    if (this.#count === 0) this.#rebuild(0, 0);
    else if (this.#homes > 2 * smallestHomes && this.#count < this.#homes * minLoad) {
      const homes = Math.max(smallestHomes, Math.ceil(this.#count / (maxLoad * 0.85)));
      this.#rebuild(homes, spillFor(homes));
    }
  }

  /**
   * Visits the slots with a hash ≥ `fromHash` in hash order, until `visit` returns false. `fromHash` carries the
   * partition's top bits. The table must not change meanwhile.
   */
  forEachFrom(fromHash: bigint, visit: (slot: number) => boolean): void {
    if (this.#count === 0) return;
    splitU64(fromHash);
    const high = words[highWord] ?? 0;
    const low = words[lowWord] ?? 0;
    let slot = this.#firstNotBelow(this.#homeOf(high, low), high, low, true);
    for (; slot < this.#slotCount; slot += 1) {
      if (this.#isTaken(slot) && !visit(slot)) return;
    }
  }

  #word(slot: number, word: number): number {
    return this.#slots[slot * wordsPerSlot + word] ?? 0;
  }

  #isTaken(slot: number): boolean {
    return (this.#slots[slot * wordsPerSlot + lengthWord] ?? 0) !== 0;
  }

  #holds(slot: number, high: number, low: number): boolean {
    const at = slot * wordsPerSlot;
    const slots = this.#slots;
    return slots[at + hashLow] === low && slots[at + hashHigh] === high && slots[at + lengthWord] !== 0;
  }

  /**
   * The slot that a hash belongs to: its 32 bits behind the partition's, scaled to the home slots. Monotone in the
   * hash also where the product is rounded, and order is all that is asked of it.
   */
  #homeOf(high: number, low: number): number {
    const bits = this.#partitionBits;
    const position = bits === 0 ? high : bits === 32 ? low : ((high << bits) | (low >>> (32 - bits))) >>> 0;
    return Math.floor((position * this.#homes) / 0x100000000);
  }

  #homeAt(slot: number): number {
    return this.#homeOf(this.#word(slot, hashHigh), this.#word(slot, hashLow));
  }

  /**
   * From `slot`, the home of (high, low), the first that is free or whose hash is not below; free ones are skipped over if
   * asked. A step in most tables; where entries came in the order of their hashes, and so lie far behind their homes,
   * the steps double: whoever is below lies in one run with everyone before it, for an entry is never parted from its
   * home by a free slot.
   */
  #firstNotBelow(slot: number, high: number, low: number, skipFree: boolean): number {
    let found = slot;
    let step = 1;
    // slots up to `found` − 1 are below
    while (this.#isBelow(found + step - 1, high, low)) {
      found += step;
      if (found - slot > nearSlots) step *= 2;
    }
    while (step > 1) {
      step >>>= 1;
      if (this.#isBelow(found + step - 1, high, low)) found += step;
    }
    if (skipFree) while (found < this.#slotCount && !this.#isTaken(found)) found += 1;
    return found;
  }

  #isBelow(slot: number, high: number, low: number): boolean {
    const slots = this.#slots;
    const at = slot * wordsPerSlot;
    if (slot >= this.#slotCount || slots[at + lengthWord] === 0) return false;
    const slotHigh = slots[at + hashHigh] ?? 0;
    return slotHigh < high || (slotHigh === high && (slots[at + hashLow] ?? 0) < low);
  }

  /** Frees the slot where a new entry of this hash belongs, pushing what is behind it one slot on. */
  #makeRoom(high: number, low: number): number {
    let slot = this.#firstNotBelow(this.#homeOf(high, low), high, low, false);
    while (this.#holds(slot, high, low)) slot += 1;
    let free = slot;
    while (free < this.#slotCount && this.#isTaken(free)) free += 1;
    if (free >= this.#slotCount) {
      this.#rebuild(this.#homes, 2 * (this.#slotCount - this.#homes));
      return this.#makeRoom(high, low);
    }
    if (free > slot) {
      this.#slots.copyWithin((slot + 1) * wordsPerSlot, slot * wordsPerSlot, free * wordsPerSlot);
    }
    return slot;
  }

  #write(slot: number, entry: IndexEntry): void {
    const { segment, offset, length } = entry;
    assert(segment >>> 0 === segment, "segment: u32");
    assert(offset % 8 === 0 && (offset / 8) >>> 0 === offset / 8, "offset: a multiple of 8 below 32 GiB");
    assert(length > 0 && length % 8 === 0 && length <= maxLength, "length: a multiple of 8, up to 2^31 − 8");
    const slots = this.#slots;
    const at = slot * wordsPerSlot;
    splitU64(entry.hash);
    slots[at + hashHigh] = words[highWord] ?? 0;
    slots[at + hashLow] = words[lowWord] ?? 0;
    splitU64(entry.digest);
    slots[at + digestHigh] = words[highWord] ?? 0;
    slots[at + digestLow] = words[lowWord] ?? 0;
    slots[at + segmentWord] = segment;
    slots[at + offsetWord] = offset / 8;
    slots[at + lengthWord] = length + entry.kind;
  }

  /** Moves all entries, in order, to a table with this many home slots and at least this spill. */
  #rebuild(homes: number, spill: number): void {
    const old = this.#slots;
    const oldSlotCount = this.#slotCount;
    this.#homes = homes;
    const target = homes === 0 ? emptySlots : new Uint32Array((homes + spill) * wordsPerSlot);
    let next = 0;
    for (let slot = 0; slot < oldSlotCount; slot += 1) {
      const at = slot * wordsPerSlot;
      if (old[at + lengthWord] === 0) continue;
      const home = this.#homeOf(old[at + hashHigh] ?? 0, old[at + hashLow] ?? 0);
      const to = home > next ? home : next;
      if (to >= homes + spill) {
        this.#rebuild(homes, spill + this.#count);
        return;
      }
      const toAt = to * wordsPerSlot;
      for (let word = 0; word < wordsPerSlot; word += 1) target[toAt + word] = old[at + word] ?? 0;
      next = to + 1;
    }
    this.#slots = target;
    this.#slotCount = homes + (homes === 0 ? 0 : spill);
  }
}

/** Enough for the longest run that random hashes push past the last home slot; a fuller one rebuilds. */
function spillFor(homes: number): number {
  return 4 + Math.min(64, homes >>> 6);
}
