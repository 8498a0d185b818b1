/** Runs are merged by seq, however they interleave. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeIndexEntry, INDEX_ENTRY_BYTES, seqAt } from "../../../storage/format/index-file.ts";
import { type IndexRun, RunMerge } from "../../../storage/index-loader.ts";
import { SegmentSet } from "../../../storage/segment-set.ts";
import { simDisk } from "../../support/log-store.ts";

/** Run n holds the seqs 1, 2, … whose owner is n. */
function runsOf(owners: readonly number[]): IndexRun[] {
  const segments = new SegmentSet(simDisk(), 1);
  return [0, 1, 2, 3, 4, 5, 6].map((run) => {
    const seqs = owners.flatMap((owner, at) => (owner === run ? [at + 1] : []));
    const entries = Buffer.alloc(seqs.length * INDEX_ENTRY_BYTES);
    for (const [at, seq] of seqs.entries()) {
      const record = { seq, partition: 0, hash: 1n, digest: 1n, offset: 64, length: 64, flags: 0 };
      encodeIndexEntry(record, entries, at * INDEX_ENTRY_BYTES);
    }
    return { segment: segments.add({ id: run + 1, seed: 0, sizeBytes: 64 }), entries };
  });
}

test("a merge of runs yields every entry once, ascending by seq", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 1, 2, 3, 4, 5, 6), { maxLength: 80 }), (owners) => {
      const merge = new RunMerge(runsOf(owners));
      const seen: number[] = [];
      for (let next = merge.next(); next !== undefined; next = merge.next()) {
        seen.push(seqAt(next.run.entries, next.position));
      }
      expect(seen).toEqual(owners.map((_, at) => at + 1));
    }),
  );
});
