/**
 * Which tombstones compaction may drop. Two proofs are needed: the caller's, that every replica has it, and the local
 * one given here, that no older record of the key is left in any segment outside the compaction, which a restart
 * would otherwise bring back (Bitcask's resurrection, reliability notes §3.1, §3.5).
 * Must never drop one on a guess.
 */

import { entryAt, INDEX_ENTRY_BYTES } from "./format/index-file.ts";
import { FLAG_TOMBSTONE } from "./format/record.ts";
import type { IndexRun } from "./index-loader.ts";
import { nextTurn } from "./index-loader.ts";
import type { Keyspace } from "./keyspace.ts";
import { isDropped } from "./manifest-state.ts";
import { type EntriesParts, entriesOf } from "./segment-entries.ts";
import type { Segment } from "./segment-set.ts";

/** What the proof works with. */
export interface ProofParts extends EntriesParts {
  readonly keyspace: Keyspace;
}

interface Candidate {
  readonly hash: bigint;
  readonly seq: number;
}

/** entries looked at before the event loop gets its turn */
const SLICE_ENTRIES = 4096;

/** The seqs of the live tombstones in these runs that may be dropped. Cost: the index files of all older segments. */
export async function droppableTombstones(
  parts: ProofParts,
  inputs: readonly IndexRun[],
): Promise<ReadonlySet<number>> {
  const candidates = new Map<bigint, Candidate>();
  for (const run of inputs) await gather(parts, run, candidates);
  const outside = [...parts.segments.all()].filter((segment) => !inputs.some((run) => run.segment === segment));
  for (const segment of outside) {
    if (candidates.size > 0) await disprove(parts, segment, candidates);
  }
  return new Set([...candidates.values()].map((candidate) => candidate.seq));
}

async function gather(parts: ProofParts, run: IndexRun, candidates: Map<bigint, Candidate>): Promise<void> {
  const { keyspace, settings } = parts;
  const count = run.entries.length / INDEX_ENTRY_BYTES;
  for (let position = 0; position < count; position += 1) {
    if (position % SLICE_ENTRIES === SLICE_ENTRIES - 1) await nextTurn(settings.clock);
    // the flag's bit in the length word, looked at without reading the rest
    if (((run.entries[position * INDEX_ENTRY_BYTES + 28] ?? 0) & 1) === 0) continue;
    const { flags, seq, partition, hash, digest, offset } = entryAt(run.entries, position);
    // a hash that several keys share is left alone: the proof below is by hash
    if (flags !== FLAG_TOMBSTONE) continue;
    if (keyspace.slotAt(partition, hash, { segment: run.segment.id, offset }) < 0) continue;
    if (settings.mayDropTombstone({ partition, hash, digest })) candidates.set(hash, { hash, seq });
  }
}

/** Takes out the candidates of which the segment holds, or may hold, an older record. */
async function disprove(parts: ProofParts, segment: Segment, candidates: Map<bigint, Candidate>): Promise<void> {
  if (!segment.isSealed) {
    // still written: its records are younger than those of any sealed segment, unless its sealing failed
    doubtYounger(segment, candidates);
    return;
  }
  if (![...candidates.values()].some((candidate) => segment.minSeq < candidate.seq)) return;
  parts.segments.pin(segment);
  try {
    const { entries, unknown } = await entriesOf(parts, segment);
    // what cannot be listed may be an older record of any key
    if (unknown.length > 0) doubtYounger(segment, candidates);
    const count = entries.length / INDEX_ENTRY_BYTES;
    for (let position = 0; position < count; position += 1) {
      if (position % SLICE_ENTRIES === SLICE_ENTRIES - 1) await nextTurn(parts.settings.clock);
      const { hash, seq, partition } = entryAt(entries, position);
      const candidate = candidates.get(hash);
      if (candidate === undefined || seq >= candidate.seq) continue;
      // what was dropped never comes back
      if (!isDropped(parts.manifest.state.dropped, partition, seq)) candidates.delete(hash);
    }
  } finally {
    parts.segments.unpin(segment);
  }
}

/** Takes out the candidates that are younger than something in the segment, whatever that is. */
function doubtYounger(segment: Segment, candidates: Map<bigint, Candidate>): void {
  for (const { hash, seq } of candidates.values()) {
    if (segment.minSeq !== 0 && segment.minSeq < seq) candidates.delete(hash);
  }
}
