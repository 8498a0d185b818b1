/** What a store holds and takes, gathered from its parts. Must never cost more than a look at each segment. */
import type { StorageStats } from "./engine.ts";
import type { EngineParts } from "./engine-parts.ts";

/** The figures of an open store. Cost: one addition a segment and partition. */
export function statsOf(parts: EngineParts): StorageStats {
  const { keyspace, segments, writer, publisher, compactor, lookup, scrubber } = parts;
  let liveBytes = 0;
  let diskBytes = 0;
  for (const segment of segments.all()) {
    liveBytes += segment.liveBytes;
    diskBytes += segment.sizeBytes;
  }
  return {
    keyCount: keyspace.entryCount - keyspace.tombstoneCount,
    tombstoneCount: keyspace.tombstoneCount,
    reapedCount: keyspace.reapedCount,
    liveBytes,
    diskBytes,
    indexBytes: keyspace.indexBytes,
    segmentCount: segments.size,
    putCount: publisher.putCount,
    commitCount: writer.commitCount,
    compactedBytes: compactor.compactedBytes,
    corruptReadCount: lookup.corruptReadCount,
    scrub: scrubber.state,
  };
}
