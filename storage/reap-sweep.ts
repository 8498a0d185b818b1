/**
 * Forgets reap marks that nothing needs any more: those of which no older record of their key is left in any segment. A
 * mark that is out of the index is garbage where it lies; should a start find it again, it says what is true anyway.
 * Compaction never copies a reaped record, so older ones only go. Must never run beside a compaction, which moves
 * marks, nor forget one on a guess.
 */
import { entryAt, INDEX_ENTRY_BYTES } from "./format/index-file.ts";
import { KIND_REAPED } from "./format/record.ts";
import { nextTurn } from "./index-loader.ts";
import type { IndexTable } from "./index-table.ts";
import type { Keyspace } from "./keyspace.ts";
import { isDropped } from "./manifest-state.ts";
import { type EntriesParts, entriesOf } from "./segment-entries.ts";
import type { Segment } from "./segment-set.ts";
import { lowWord, splitU64, words } from "./words.ts";

/** What a sweep works with. */
export interface SweepParts extends EntriesParts {
  readonly keyspace: Keyspace;
  /** called after each segment; false to give up */
  readonly pace: () => Promise<boolean>;
}

interface Sweep extends SweepParts {
  readonly filter: HashFilter;
  /** seqs above this one may have older records where nobody could look */
  readonly doubtfulFrom: number;
  readonly needed: NeededMarks;
}

/** entries looked at before the event loop gets its turn */
const SLICE_ENTRIES = 4096;
/** marks gathered or forgotten before it does */
const SLICE_MARKS = 512;
const FILTER_BITS_PER_MARK = 16;
const MAX_FILTER_BITS = 2 ** 27;

/**
 * One sweep; resolves to how many marks were forgotten. Cost: the index files of all segments, and a bit a record that
 * is not one of a reaped key. Throws `DiskError`.
 */
export async function sweepReaped(parts: SweepParts): Promise<number> {
  // what is sealed later holds nothing older than what is visible now
  const all = [...parts.segments.all()];
  const sealed = new Set(all.filter((segment) => segment.isSealed));
  const unsealed = all.filter((segment) => !segment.isSealed && segment.minSeq !== 0);
  const doubtfulFrom = Math.min(Number.POSITIVE_INFINITY, ...unsealed.map((segment) => segment.minSeq));
  const filter = new HashFilter(parts.keyspace.reapedCount);
  const sweep = { ...parts, filter, doubtfulFrom, needed: new NeededMarks() };
  await eachMark(sweep, (table, slot) => filter.add(table.hashAt(slot)));
  for (const segment of sealed) {
    // one of which not all can be listed may hold an older record of any key: the scrub will see to it
    if (!(await markNeeded(sweep, segment)) || !(await parts.pace())) return 0;
  }
  return forget(sweep, sealed);
}

/** Says of most hashes that are not among those added that they are not. */
class HashFilter {
  readonly #bits: Uint8Array<ArrayBuffer>;
  readonly #mask: number;

  constructor(count: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(1024, count * FILTER_BITS_PER_MARK)));
    this.#mask = Math.min(MAX_FILTER_BITS, size) - 1;
    this.#bits = new Uint8Array((this.#mask + 1) / 8);
  }

  add(hash: bigint): void {
    splitU64(hash);
    const bit = (words[lowWord] ?? 0) & this.#mask;
    this.#bits[bit >>> 3] = (this.#bits[bit >>> 3] ?? 0) | (1 << (bit & 7));
  }

  /** `low`: the lower half of a hash. */
  mayHave(low: number): boolean {
    const bit = low & this.#mask;
    return ((this.#bits[bit >>> 3] ?? 0) & (1 << (bit & 7))) !== 0;
  }
}

/** Places of marks that are still needed: numbers only, for they may be millions. */
class NeededMarks {
  readonly #bySegment = new Map<number, Set<number>>();

  add(segment: number, offset: number): void {
    const offsets = this.#bySegment.get(segment) ?? new Set();
    this.#bySegment.set(segment, offsets);
    offsets.add(offset / 8);
  }

  has(segment: number, offset: number): boolean {
    return this.#bySegment.get(segment)?.has(offset / 8) === true;
  }
}

/** Visits all marks, in slices; `visit` must not change the index. */
async function eachMark(
  { keyspace, settings }: SweepParts,
  visit: (table: IndexTable, slot: number, partition: number) => void,
  afterSlice: () => void = () => undefined,
): Promise<void> {
  for (let partition = 0; partition < settings.partitionCount; partition += 1) {
    let from: bigint | undefined = keyspace.reapedCountOf(partition) === 0 ? undefined : 0n;
    while (from !== undefined) {
      const table = keyspace.table(partition);
      let next: bigint | undefined;
      let seenCount = 0;
      let markCount = 0;
      table?.forEachFrom(from, (slot) => {
        // keys of one hash stay in one slice
        if ((seenCount >= SLICE_ENTRIES || markCount >= SLICE_MARKS) && table.find(table.hashAt(slot)) === slot) {
          next = table.hashAt(slot);
          return false;
        }
        seenCount += 1;
        if (table.kindAt(slot) !== KIND_REAPED) return true;
        markCount += 1;
        visit(table, slot, partition);
        return true;
      });
      afterSlice();
      await nextTurn(settings.clock);
      from = next;
    }
  }
}

/** Notes the marks of which the segment holds another record; false when it cannot all be listed. */
async function markNeeded(sweep: Sweep, segment: Segment): Promise<boolean> {
  const { segments, settings, filter } = sweep;
  segments.pin(segment);
  try {
    const { entries, unknown } = await entriesOf(sweep, segment);
    if (unknown.length > 0) return false;
    const count = entries.length / INDEX_ENTRY_BYTES;
    for (let position = 0; position < count; position += 1) {
      if (position % SLICE_ENTRIES === SLICE_ENTRIES - 1) await nextTurn(settings.clock);
      // the lower half of the hash, looked at without reading the rest
      if (filter.mayHave(entries.readUInt32LE(position * INDEX_ENTRY_BYTES + 8))) {
        judge(sweep, segment, entryAt(entries, position));
      }
    }
    return true;
  } finally {
    segments.unpin(segment);
  }
}

/** A record keeps the marks of its hash needed; unless it is the mark itself, and nothing older can lie unseen. */
function judge(sweep: Sweep, segment: Segment, record: ReturnType<typeof entryAt>): void {
  const { keyspace, manifest, needed, doubtfulFrom } = sweep;
  const { partition, hash, seq, offset } = record;
  const table = keyspace.table(partition);
  if (table === undefined || isDropped(manifest.state.dropped, partition, seq)) return;
  for (let slot = table.find(hash); slot >= 0; slot = table.findNext(slot, hash)) {
    if (table.kindAt(slot) !== KIND_REAPED) continue;
    const isItself = table.segmentAt(slot) === segment.id && table.offsetAt(slot) === offset;
    if (!isItself || seq > doubtfulFrom) needed.add(table.segmentAt(slot), table.offsetAt(slot));
  }
}

/** Forgets what is not needed; a mark in a segment that was not looked at waits for the next sweep. */
async function forget(sweep: Sweep, sealed: ReadonlySet<Segment>): Promise<number> {
  const { keyspace, segments, needed } = sweep;
  let found: {
    readonly partition: number;
    readonly hash: bigint;
    readonly segment: number;
    readonly offset: number;
  }[] = [];
  let count = 0;
  const visit = (table: IndexTable, slot: number, partition: number): void => {
    const segment = table.segmentAt(slot);
    const offset = table.offsetAt(slot);
    const home = segments.get(segment);
    if (home === undefined || !sealed.has(home) || needed.has(segment, offset)) return;
    found.push({ partition, hash: table.hashAt(slot), segment, offset });
  };
  await eachMark(sweep, visit, () => {
    for (const { partition, hash, ...place } of found) {
      const slot = keyspace.slotAt(partition, hash, place);
      if (slot < 0) continue;
      keyspace.remove(partition, slot);
      count += 1;
    }
    found = [];
  });
  return count;
}
