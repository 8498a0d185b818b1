/**
 * How far a load has come, kept beside its input so that it goes on where it was interrupted. Written whole and renamed, so
 * that it is never torn. It must never claim a line that is not done.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

/** What is loaded, and how: a progress file of anything else does not count. */
export interface LoadIdentity {
  readonly file: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly bucket: string;
  readonly key: string;
}

/** A line to be looked at again: a write of it had an unknown outcome, and may yet show up beside its repetition. */
export interface Unsettled {
  readonly startOffset: number;
  readonly sizeBytes: number;
}

/** The state of a load. */
export interface Progress {
  readonly identity: LoadIdentity;
  /** every line before this offset is done */
  readonly doneOffset: number;
  readonly doneLines: number;
  /** lines from here on were never sent; one before it that is not done may have been, and what became of it is unknown */
  readonly begunOffset: number;
  readonly unsettled: readonly Unsettled[];
}

/** What the progress file says about the load. */
export type KeptProgress =
  | { readonly kind: "none" }
  | { readonly kind: "progress"; readonly progress: Progress }
  | { readonly kind: "other"; readonly reason: string };

function differenceOf(kept: LoadIdentity, wanted: LoadIdentity): string | undefined {
  if (kept.bucket !== wanted.bucket) return `it is of bucket "${kept.bucket}"`;
  if (kept.key !== wanted.key) return `it was made with --key ${kept.key}`;
  return kept.sizeBytes === wanted.sizeBytes && kept.modifiedMs === wanted.modifiedMs
    ? undefined
    : "the input has changed since";
}

function parseProgress(text: string): Progress | undefined {
  try {
    const kept = JSON.parse(text) as Partial<Progress> | null;
    const isWhole =
      kept?.identity !== undefined &&
      Number.isSafeInteger(kept.doneOffset) &&
      Number.isSafeInteger(kept.begunOffset) &&
      Array.isArray(kept.unsettled);
    return isWhole ? (kept as Progress) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Reads the progress of this very load. */
export function readProgress(path: string, identity: LoadIdentity): KeptProgress {
  try {
    const progress = parseProgress(readFileSync(path, "utf8"));
    if (progress === undefined) return { kind: "other", reason: "it cannot be understood" };
    const reason = differenceOf(progress.identity, identity);
    return reason === undefined ? { kind: "progress", progress } : { kind: "other", reason };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { kind: "none" };
    throw error;
  }
}

/** Writes the progress, whole or not at all. */
export function writeProgress(path: string, progress: Progress): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(progress)}\n`);
  renameSync(`${path}.new`, path);
}

/** Forgets the progress. */
export function removeProgress(path: string): void {
  rmSync(path, { force: true });
}
