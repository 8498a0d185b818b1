/**
 * Forgets reap marks that nothing needs any more: those of which no older record of their key is left in any segment. A
 * mark that is out of the index is garbage where it lies; should a start find it again, it says what is true anyway.
 * Compaction never copies a reaped record, so older ones only go. Must never run beside a compaction, which moves
 * marks, nor forget one on a guess.
 */

import { entryAt, INDEX_ENTRY_BYTES } from "./format/index-file.ts";
import { KIND_REAPED } from "./format/record.ts";
import { nextTurn } from "./index-loader.ts";
import type { Keyspace } from "./keyspace.ts";
import { isDropped } from "./manifest-state.ts";
import { type EntriesParts, entriesOf } from "./segment-entries.ts";
import type { Segment } from "./segment-set.ts";
import { lowWord, splitU64, words } from "./words.ts";

/** What a sweep works with. */
export interface SweepParts extends EntriesParts {
  readonly keyspace: Keyspace;
  /** whether to give up, asked between slices */
  readonly isStopped: () => boolean;
}

interface Mark {
  readonly partition: number;
  readonly hash: bigint;
  readonly segment: number;
  readonly offset: number;
  /** 0 until its own entry was met: a mark in a segment that is still written is left for the next sweep */
  seq: number;
}

/** entries looked at before the event loop gets its turn */
const SLICE_ENTRIES = 4096;
/** marks gathered or forgotten before it does */
const SLICE_MARKS = 512;
/** marks judged in one sweep: about 16 MiB; the rest come with the next */
const MAX_MARKS = 65_536;
/** bits of the filter that spares most entries the look-up: 16 for each of the most marks */
const FILTER_BITS = 20;
const FILTER_MASK: number = 2 ** FILTER_BITS - 1;

/** One sweep; resolves to how many marks were forgotten. Cost: the index files of all segments. Throws `DiskError`. */
export async function sweepReaped(parts: SweepParts): Promise<number> {
  // what is sealed later holds nothing older than what is visible now
  const all = [...parts.segments.all()];
  const sealed = all.filter((segment) => segment.isSealed);
  const open = all.filter((segment) => !segment.isSealed && segment.minSeq !== 0);
  let doubtfulFrom = Math.min(Number.POSITIVE_INFINITY, ...open.map((segment) => segment.minSeq));
  const marks = await marksOf(parts);
  for (const segment of sealed) {
    if (marks.size === 0 || parts.isStopped()) return 0;
    if (!(await disprove(parts, segment, marks))) doubtfulFrom = Math.min(doubtfulFrom, segment.minSeq);
  }
  return forget(parts, marks, doubtfulFrom);
}

/** Marks, found by hash; most hashes that are not among them are known by a bit. */
class Marks {
  readonly #byHash = new Map<bigint, Mark>();
  readonly #filter = new Uint8Array(2 ** FILTER_BITS / 8);

  add(mark: Mark): void {
    this.#byHash.set(mark.hash, mark);
    splitU64(mark.hash);
    const bit = (words[lowWord] ?? 0) & FILTER_MASK;
    this.#filter[bit >>> 3] = (this.#filter[bit >>> 3] ?? 0) | (1 << (bit & 7));
  }

  get size(): number {
    return this.#byHash.size;
  }

  /** `low`: the lower half of a hash. */
  mayHave(low: number): boolean {
    const bit = low & FILTER_MASK;
    return ((this.#filter[bit >>> 3] ?? 0) & (1 << (bit & 7))) !== 0;
  }

  get(hash: bigint): Mark | undefined {
    return this.#byHash.get(hash);
  }

  remove(hash: bigint): void {
    this.#byHash.delete(hash);
  }

  all(): IterableIterator<Mark> {
    return this.#byHash.values();
  }
}

async function marksOf({ keyspace, settings }: SweepParts): Promise<Marks> {
  const marks = new Marks();
  for (let partition = 0; partition < settings.partitionCount && marks.size < MAX_MARKS; partition += 1) {
    for (let from: bigint | undefined = 0n; from !== undefined && marks.size < MAX_MARKS; ) {
      from = keyspace.reapedCountOf(partition) === 0 ? undefined : addSlice(keyspace, { partition, from }, marks);
      if (from !== undefined) await nextTurn(settings.clock);
    }
  }
  return marks;
}

/** Adds marks of a partition from a hash on; where to go on, undefined at its end. */
function addSlice(
  keyspace: Keyspace,
  at: { readonly partition: number; readonly from: bigint },
  marks: Marks,
): bigint | undefined {
  const { partition } = at;
  const table = keyspace.table(partition);
  const sizeBefore = marks.size;
  let next: bigint | undefined;
  let seenCount = 0;
  table?.forEachFrom(at.from, (slot) => {
    seenCount += 1;
    if (seenCount > SLICE_ENTRIES || marks.size - sizeBefore >= SLICE_MARKS) {
      next = table.hashAt(slot);
      return false;
    }
    if (table.kindAt(slot) !== KIND_REAPED) return true;
    const hash = table.hashAt(slot);
    // several keys of one hash: the proof below is by hash
    if (table.find(hash) === slot && table.findNext(slot, hash) < 0) {
      marks.add({ partition, hash, segment: table.segmentAt(slot), offset: table.offsetAt(slot), seq: 0 });
    }
    return true;
  });
  return next;
}

/** Takes out the marks of which the segment holds another record; false when it cannot all be listed. */
async function disprove(parts: SweepParts, segment: Segment, marks: Marks): Promise<boolean> {
  const { segments, settings, manifest } = parts;
  segments.pin(segment);
  try {
    const { entries, unknown } = await entriesOf(parts, segment);
    const count = entries.length / INDEX_ENTRY_BYTES;
    for (let position = 0; position < count; position += 1) {
      if (position % SLICE_ENTRIES === SLICE_ENTRIES - 1) await nextTurn(settings.clock);
      // the lower half of the hash, looked at without reading the rest
      if (!marks.mayHave(entries.readUInt32LE(position * INDEX_ENTRY_BYTES + 8))) continue;
      const { hash, seq, partition, offset } = entryAt(entries, position);
      const mark = marks.get(hash);
      if (mark === undefined) continue;
      if (mark.segment === segment.id && mark.offset === offset) mark.seq = seq;
      // what was dropped never comes back
      else if (!isDropped(manifest.state.dropped, partition, seq)) marks.remove(hash);
    }
    return unknown.length === 0;
  } finally {
    segments.unpin(segment);
  }
}

/** The marks that are left, as far as nothing older can lie where nobody could look. */
async function forget({ keyspace, settings }: SweepParts, marks: Marks, doubtfulFrom: number): Promise<number> {
  let count = 0;
  for (const { partition, hash, segment, offset, seq } of marks.all()) {
    if (seq === 0 || seq > doubtfulFrom) continue;
    const slot = keyspace.slotAt(partition, hash, { segment, offset });
    if (slot < 0 || keyspace.table(partition)?.kindAt(slot) !== KIND_REAPED) continue;
    keyspace.remove(partition, slot);
    count += 1;
    if (count % SLICE_MARKS === 0) await nextTurn(settings.clock);
  }
  return count;
}
