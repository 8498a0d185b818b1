/**
 * What the edits of a manifest add up to. Must never depend on anything but the edits.
 */
import type { ManifestChange, SealedFacts } from "./format/manifest-edit.ts";

/** What a store is made of. Mutable: the manifest owns it. */
export interface ManifestState {
  /** live segments; the facts once sealed */
  readonly segments: Map<number, SealedFacts | undefined>;
  /** ids below may have been used */
  nextSegment: number;
  /** 0 until the first is drawn */
  actor: number;
  readonly pastActors: number[];
  leasedThrough: number;
  readonly suspects: Set<number>;
  /** by partition: its records up to this seq are gone, wherever they still lie. Never forgotten: a copy may turn up. */
  readonly dropped: Map<number, number>;
}

/** The state before any edit. */
export function emptyManifestState(): ManifestState {
  return {
    segments: new Map(),
    nextSegment: 1,
    actor: 0,
    pastActors: [],
    leasedThrough: 0,
    suspects: new Set(),
    dropped: new Map(),
  };
}

/** Whether a record is gone because its partition was dropped after it was written. */
export function isDropped(dropped: ReadonlyMap<number, number>, partition: number, seq: number): boolean {
  return dropped.size > 0 && seq <= (dropped.get(partition) ?? 0);
}

/** Applies one change; `partitionCount` is what "all partitions" means. */
export function applyChange(state: ManifestState, change: ManifestChange, partitionCount: number): void {
  switch (change.kind) {
    case "ids":
      state.nextSegment = Math.max(state.nextSegment, change.nextSegment);
      return;
    case "added":
      state.segments.set(change.segment, undefined);
      return;
    case "sealed":
      state.segments.set(change.segment, change);
      return;
    case "removed":
      state.segments.delete(change.segment);
      return;
    case "actor":
      if (state.actor !== 0) state.pastActors.push(state.actor);
      state.actor = change.actor;
      return;
    case "lease":
      state.leasedThrough = Math.max(state.leasedThrough, change.through);
      return;
    case "suspect":
      state.suspects.add(change.partition);
      return;
    case "cleared":
      state.suspects.delete(change.partition);
      return;
    case "all-suspect":
      for (let partition = 0; partition < partitionCount; partition += 1) state.suspects.add(partition);
      return;
    case "dropped":
      state.dropped.set(change.partition, Math.max(change.throughSeq, state.dropped.get(change.partition) ?? 0));
      return;
  }
}

/** The changes that lead from nothing to this state. */
export function snapshotOf(state: ManifestState, partitionCount: number): ManifestChange[] {
  const changes: ManifestChange[] = [{ kind: "ids", nextSegment: state.nextSegment }];
  for (const actor of [...state.pastActors, state.actor]) changes.push({ kind: "actor", actor });
  changes.push({ kind: "lease", through: state.leasedThrough });
  for (const [segment, sealed] of state.segments) {
    changes.push(sealed === undefined ? { kind: "added", segment } : { ...sealed, kind: "sealed" });
  }
  if (state.suspects.size === partitionCount) changes.push({ kind: "all-suspect" });
  else for (const partition of state.suspects) changes.push({ kind: "suspect", partition });
  for (const [partition, throughSeq] of state.dropped) changes.push({ kind: "dropped", partition, throughSeq });
  return changes;
}
