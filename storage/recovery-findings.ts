/** What a start has found so far, and the parts that every step of it works with. Mutable: the start owns it. */
import type { LogSettings } from "./log-options.ts";
import type { Manifest } from "./manifest.ts";
import type { Loss } from "./recovery-core.ts";
import type { SegmentSet } from "./segment-set.ts";

/** Counters and verdicts, gathered step by step. */
export interface RecoveryFindings {
  scannedBytes: number;
  truncatedBytes: number;
  corruptRecordCount: number;
  /** highest seq met anywhere, also in bytes that were given up */
  highestSeq: number;
  loss: Loss;
}

/** What the steps share. */
export interface RecoveryParts {
  readonly settings: LogSettings;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
  readonly findings: RecoveryFindings;
  /** false when the disk has lost something that was closed in order: index files may tell of records that are gone */
  readonly areIndexFilesTrusted: boolean;
}

/** Nothing found yet. */
export function emptyFindings(): RecoveryFindings {
  return { scannedBytes: 0, truncatedBytes: 0, corruptRecordCount: 0, highestSeq: 0, loss: { kind: "none" } };
}
