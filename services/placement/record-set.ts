/**
 * RecordSet: everything that is known of who belongs: one record a member key, and removals, which win for ever. Merging
 * is commutative, associative and idempotent, so nodes that have heard the same things know the same. Pure but for its
 * own maps. Must never drop a removal, and never take an older version. Source: gossip-ring notes §A.8.
 */
import { xxh64 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import { MAX_MEMBERS, MAX_REPLICAS } from "../base/limits.ts";
import type { MemberKey, MemberRecord, Removal } from "./member-record.ts";

/** Records of all lives that may be known at once: members, and those who were. */
export const MAX_RECORDS: number = 4 * MAX_MEMBERS;
/** A version this far above the known one is no count of writes. */
const MAX_VERSION_JUMP = 2 ** 32;

/** What one merge came to. */
export type RecordMerge =
  | { readonly kind: "taken" }
  | { readonly kind: "known" }
  | { readonly kind: "refused"; readonly reason: string };

/** Who knows what, in as few words as possible: key and version, or a removal. */
export interface RecordDigest {
  readonly key: MemberKey;
  /** 0: no record is known */
  readonly version: number;
  readonly isRemoved: boolean;
}

const TAKEN: RecordMerge = { kind: "taken" };
const KNOWN: RecordMerge = { kind: "known" };

/** The set. Grows by merging alone. */
export class RecordSet {
  readonly partitionCount: number;
  readonly #records = new Map<MemberKey, MemberRecord>();
  readonly #removals = new Map<MemberKey, Removal>();
  #hash: bigint | undefined;
  #changeCount = 0;

  /** An empty set for a cluster of this Q. */
  constructor(partitionCount: number) {
    this.partitionCount = partitionCount;
  }

  /** Counts changes: equal counts of one set, equal contents. */
  get changeCount(): number {
    return this.#changeCount;
  }

  /** xxh64 over sorted keys, versions and removals, unsigned. */
  get hash(): bigint {
    this.#hash ??= xxh64(Buffer.from(JSON.stringify(this.#canonical()), "utf8"));
    return this.#hash;
  }

  /** All records, removed members' too, sorted by key. */
  records(): readonly MemberRecord[] {
    return [...this.#records.values()].sort((a, b) => compare(a.key, b.key));
  }

  /** All removals, sorted by key. */
  removals(): readonly Removal[] {
    return [...this.#removals.values()].sort((a, b) => compare(a.key, b.key));
  }

  recordOf(key: MemberKey): MemberRecord | undefined {
    return this.#records.get(key);
  }

  removalOf(key: MemberKey): Removal | undefined {
    return this.#removals.get(key);
  }

  isRemoved(key: MemberKey): boolean {
    return this.#removals.has(key);
  }

  /**
   * Members that belong: not removed and not `left`, sorted by key. Of two lives of one node id the one that replaces the
   * other is meant, else the higher version, else the higher key.
   */
  members(): readonly MemberRecord[] {
    const byNode = new Map<NodeId, MemberRecord>();
    for (const record of this.records()) {
      if (record.status === "left" || this.#removals.has(record.key)) continue;
      const other = byNode.get(record.nodeId);
      if (other === undefined || isMeant(record, other)) byNode.set(record.nodeId, record);
    }
    return [...byNode.values()].sort((a, b) => compare(a.key, b.key));
  }

  /** The member of that name that belongs. */
  memberNamed(node: NodeId): MemberRecord | undefined {
    return this.members().find((record) => record.nodeId === node);
  }

  /** Takes a record if it is newer than the one known. */
  mergeRecord(record: MemberRecord): RecordMerge {
    const flaw = flawOf(record, this.partitionCount);
    if (flaw !== undefined) return { kind: "refused", reason: flaw };
    const known = this.#records.get(record.key);
    if (known === undefined) {
      if (this.#records.size >= MAX_RECORDS) return { kind: "refused", reason: "too many members" };
    } else {
      if (record.version < known.version) return KNOWN;
      if (record.version === known.version && compareRecords(record, known) <= 0) return KNOWN;
      if (record.version - known.version > MAX_VERSION_JUMP) return { kind: "refused", reason: "version jumps" };
      if (record.nodeId !== known.nodeId) return { kind: "refused", reason: "a key belongs to one node id for ever" };
    }
    this.#records.set(record.key, record);
    this.#changed();
    return TAKEN;
  }

  /** Takes a removal; of two of one key the smaller `by` is kept. */
  mergeRemoval(removal: Removal): RecordMerge {
    const known = this.#removals.get(removal.key);
    if (known !== undefined && compareRemovals(removal, known) >= 0) return KNOWN;
    if (known === undefined && this.#removals.size >= MAX_RECORDS) {
      return { kind: "refused", reason: "too many removals" };
    }
    this.#removals.set(removal.key, removal);
    this.#changed();
    return TAKEN;
  }

  /** What is known, for comparing: one entry a key, sorted. */
  digests(): readonly RecordDigest[] {
    const keys = new Set([...this.#records.keys(), ...this.#removals.keys()]);
    return [...keys].sort(compare).map((key) => ({
      key,
      version: this.#records.get(key)?.version ?? 0,
      isRemoved: this.#removals.has(key),
    }));
  }

  /** What a holder of these digests lacks. */
  newerThan(digests: readonly RecordDigest[]): {
    readonly records: readonly MemberRecord[];
    readonly removals: readonly Removal[];
  } {
    const theirs = new Map(digests.map((digest) => [digest.key, digest]));
    return {
      records: this.records().filter((record) => record.version > (theirs.get(record.key)?.version ?? 0)),
      removals: this.removals().filter((removal) => theirs.get(removal.key)?.isRemoved !== true),
    };
  }

  /** A set of its own with the same contents. */
  copy(): RecordSet {
    const other = new RecordSet(this.partitionCount);
    for (const record of this.#records.values()) other.#records.set(record.key, record);
    for (const removal of this.#removals.values()) other.#removals.set(removal.key, removal);
    return other;
  }

  #changed(): void {
    this.#hash = undefined;
    this.#changeCount += 1;
  }

  #canonical(): unknown {
    const records = this.records().map((record) => [record.key, record.version]);
    const removals = this.removals().map(({ key, by, replacedBy }) => [key, by, replacedBy ?? null]);
    return [records, removals];
  }
}

/** Of two living records of one node id: is `one` meant rather than `other`? */
function isMeant(one: MemberRecord, other: MemberRecord): boolean {
  if (one.replaces === other.key) return true;
  if (other.replaces === one.key) return false;
  if (one.version !== other.version) return one.version > other.version;
  return one.key > other.key;
}

function flawOf(record: MemberRecord, partitionCount: number): string | undefined {
  if (!Number.isSafeInteger(record.version) || record.version < 1) return "no version";
  if (record.slots.length !== partitionCount)
    return `slots of ${record.slots.length} partitions, not ${partitionCount}`;
  if (record.slots.some((slot) => slot < -1 || slot >= MAX_REPLICAS)) return "a slot that cannot be";
  if (record.status === "left" && record.slots.some((slot) => slot >= 0)) return "left, and holds slots";
  return record.weight > 0 && Number.isFinite(record.weight) ? undefined : "no weight";
}

/** Some order of records of one key and version: such a pair is a fault, and everyone must keep the same of them. */
function compareRecords(left: MemberRecord, right: MemberRecord): number {
  return compare(textOf(left), textOf(right));
}

function textOf(record: MemberRecord): string {
  return JSON.stringify({ ...record, slots: Array.from(record.slots) });
}

function compareRemovals(left: Removal, right: Removal): number {
  return compare(left.by, right.by) || compare(left.replacedBy ?? "", right.replacedBy ?? "");
}

/** By code units, never by locale: the order must be the same on every node. */
function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
