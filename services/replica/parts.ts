/** What a replica is made of, and what it counts. Must never hold behaviour. */
import type { DotMintParts } from "./dot-mint.ts";
import type { CollectedLines, ConflictRules, ReplicaStore, SlotHoldings, StorePulse } from "./needs.ts";

/** What the replica is made of. */
export interface ReplicaParts extends DotMintParts {
  readonly store: ReplicaStore;
  readonly slots: SlotHoldings;
  readonly conflicts: ConflictRules;
  /** absent: no tombstone was ever collected here */
  readonly collected?: CollectedLines;
  /** absent: nobody watches how long writes take */
  readonly pulse?: StorePulse;
  /** the store's puts are durable when they resolve (`durability=fsync`) */
  readonly isDurable: boolean;
}

/** What happened since start, for metrics: totals, only growing. */
export interface ReplicaCounters {
  writeCount: number;
  /** of them, those after which the key had more siblings or bytes than is well */
  crowdedWriteCount: number;
  /** handed versions that were stored as they came, without reading */
  appendedCount: number;
  mergedCount: number;
  /** handed versions that brought nothing new */
  knownCount: number;
}
