/**
 * RecordSet: everything that is known of who belongs: one record a member key, and removals, which win for ever. Merging
 * is commutative, associative and idempotent, so nodes that have heard the same things know the same. Pure but for its
 * own maps. Must never drop a removal, and never take an older version. Source: gossip-ring notes §A.8.
 */
import { xxh64 } from "../base/hash.ts";
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { MAX_MEMBERS, MAX_REPLICAS } from "../base/limits.ts";
import type { MemberKey, MemberRecord, Removal } from "./member-record.ts";
import { recordSizeBytes, recordText, sumOf } from "./record-text.ts";

/** Records of all lives that may be known at once: members, and those who were. */
export const MAX_RECORDS: number = 4 * MAX_MEMBERS;
/** All records in a document of at most 1 MiB: newcomers are refused well before, so that those known can still change. */
const MAX_BYTES = 1_000 * 1_024;
const MAX_BYTES_BEFORE_NEWCOMER = 700 * 1_024;
const REMOVAL_BYTES = 64;
/** As many as a node may be told to weigh. */
const MAX_WEIGHT = 64;
/** A version this far above the known one is no count of writes. */
const MAX_VERSION_JUMP = 2 ** 32;

/** What one merge came to. */
export type RecordMerge =
  | { readonly kind: "taken" }
  | { readonly kind: "known" }
  | { readonly kind: "refused"; readonly reason: string };

/** Who knows what of one member, in as few words as possible. */
export interface RecordDigest {
  readonly key: MemberKey;
  /** 0: no record is known */
  readonly version: number;
  /** 16 hex digits over the record and its removal: whoever knows the same has the same */
  readonly sum: string;
}

/** Two living members under one node id: an operator's mistake, or a disk that was lost and is not yet removed. */
export interface NameConflict {
  readonly nodeId: NodeId;
  /** the one that counts */
  readonly kept: MemberKey;
  /** counts for nothing, whatever slots it claims */
  readonly ignored: MemberKey;
}

/** What is worked out from the contents when it is asked for. */
interface Derived {
  readonly records: readonly MemberRecord[];
  readonly removals: readonly Removal[];
  readonly members: readonly MemberRecord[];
  readonly byName: ReadonlyMap<NodeId, MemberRecord>;
  readonly conflicts: readonly NameConflict[];
  readonly digests: readonly RecordDigest[];
  readonly hash: bigint;
}

const TAKEN: RecordMerge = { kind: "taken" };
const KNOWN: RecordMerge = { kind: "known" };

/** The set. Grows by merging alone. */
export class RecordSet {
  readonly partitionCount: number;
  readonly #replicaCount: number;
  readonly #records = new Map<MemberKey, MemberRecord>();
  readonly #removals = new Map<MemberKey, Removal>();
  #derived: Partial<Derived> = {};
  #sizeBytes = 0;
  #changeCount = 0;

  /** An empty set for a cluster of this Q and N. */
  constructor(partitionCount: number, replicaCount: number = MAX_REPLICAS) {
    this.partitionCount = partitionCount;
    this.#replicaCount = replicaCount;
  }

  /** Counts changes: equal counts of one set, equal contents. */
  get changeCount(): number {
    return this.#changeCount;
  }

  /**
   * How much of the room for lives is taken, 0 … 1: about there newcomers are refused. Only former lives fill it, and none of
   * them is ever forgotten: the disk of one may come back, and its record claims slots.
   */
  get fill(): number {
    const lives = Math.max(this.#records.size, this.#removals.size) / MAX_RECORDS;
    return Math.max(lives, this.#sizeBytes / MAX_BYTES_BEFORE_NEWCOMER);
  }

  /** xxh64 over the digests, unsigned: equal on two nodes iff they know the same. */
  get hash(): bigint {
    return this.#once("hash", () => {
      const parts = this.digests().map(({ key, version, sum }) => [key, version, sum]);
      return xxh64(Buffer.from(JSON.stringify(parts), "utf8"));
    });
  }

  /** All records, removed members' too, sorted by key. */
  records(): readonly MemberRecord[] {
    return this.#once("records", () => [...this.#records.values()].sort((a, b) => compare(a.key, b.key)));
  }

  /** All removals, sorted by key. */
  removals(): readonly Removal[] {
    return this.#once("removals", () => [...this.#removals.values()].sort((a, b) => compare(a.key, b.key)));
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
    return this.#once("members", () => [...this.#byName().values()].sort((a, b) => compare(a.key, b.key)));
  }

  /** The member of that name that belongs. */
  memberNamed(node: NodeId): MemberRecord | undefined {
    return this.#byName().get(node);
  }

  /** Living members that do not count because another one has their name. */
  conflicts(): readonly NameConflict[] {
    return this.#once("conflicts", () =>
      this.records().flatMap((record) => {
        const kept = this.#isLiving(record) ? this.#byName().get(record.nodeId) : undefined;
        if (kept === undefined || kept === record) return [];
        return [{ nodeId: record.nodeId, kept: kept.key, ignored: record.key }];
      }),
    );
  }

  /** Takes a record if it is newer than the one known. */
  mergeRecord(record: MemberRecord): RecordMerge {
    const known = this.#records.get(record.key);
    if (known === record) return KNOWN;
    const flaw = flawOf(record, this.partitionCount, this.#replicaCount);
    if (flaw !== undefined) return { kind: "refused", reason: flaw };
    if (known !== undefined && !isNewer(record, known)) return KNOWN;
    const objection = this.#objectionTo(record, known);
    if (objection !== undefined) return { kind: "refused", reason: objection };
    this.#sizeBytes += recordSizeBytes(record) - (known === undefined ? 0 : recordSizeBytes(known));
    this.#records.set(record.key, record);
    this.#changed();
    return TAKEN;
  }

  /** Whether `mergeRemoval` would take it. */
  isNews(removal: Removal): boolean {
    const known = this.#removals.get(removal.key);
    return known === undefined ? this.#removals.size < MAX_RECORDS : compareRemovals(removal, known) < 0;
  }

  /** Takes a removal; of two of one key the smaller `by` is kept. */
  mergeRemoval(removal: Removal): RecordMerge {
    const known = this.#removals.get(removal.key);
    if (known !== undefined && compareRemovals(removal, known) >= 0) return KNOWN;
    if (known === undefined && this.#removals.size >= MAX_RECORDS) {
      return { kind: "refused", reason: "too many removals" };
    }
    if (known === undefined) this.#sizeBytes += REMOVAL_BYTES;
    this.#removals.set(removal.key, removal);
    this.#changed();
    return TAKEN;
  }

  /** What is known, for comparing: one entry a key, sorted. */
  digests(): readonly RecordDigest[] {
    return this.#once("digests", () => {
      const keys = new Set([...this.#records.keys(), ...this.#removals.keys()]);
      return [...keys].sort(compare).map((key) => {
        const record = this.#records.get(key);
        return { key, version: record?.version ?? 0, sum: sumOf(record, this.#removals.get(key)) };
      });
    });
  }

  /** What a holder of these digests lacks, and what it may have otherwise: merging decides. */
  newerThan(digests: readonly RecordDigest[]): {
    readonly records: readonly MemberRecord[];
    readonly removals: readonly Removal[];
  } {
    const theirs = new Map(digests.map((digest) => [digest.key, digest]));
    return {
      records: this.records().filter((record) => {
        const their = theirs.get(record.key);
        if (their === undefined || record.version !== their.version) return record.version > (their?.version ?? 0);
        return sumOf(record, this.#removals.get(record.key)) !== their.sum;
      }),
      removals: this.removals().filter(
        (removal) => theirs.get(removal.key)?.sum !== sumOf(this.#records.get(removal.key), removal),
      ),
    };
  }

  /** A set of its own with the same contents. */
  copy(): RecordSet {
    const other = new RecordSet(this.partitionCount, this.#replicaCount);
    other.#sizeBytes = this.#sizeBytes;
    for (const record of this.#records.values()) other.#records.set(record.key, record);
    for (const removal of this.#removals.values()) other.#removals.set(removal.key, removal);
    return other;
  }

  #objectionTo(record: MemberRecord, known: MemberRecord | undefined): string | undefined {
    if (record.version - (known?.version ?? 0) > MAX_VERSION_JUMP) return "version jumps";
    if (known === undefined && this.#records.size >= MAX_RECORDS) return "too many members";
    if (known !== undefined && record.nodeId !== known.nodeId) return "a key belongs to one node id for ever";
    const sizeBytes = this.#sizeBytes + recordSizeBytes(record) - (known === undefined ? 0 : recordSizeBytes(known));
    return sizeBytes > (known === undefined ? MAX_BYTES_BEFORE_NEWCOMER : MAX_BYTES) ? "too many bytes" : undefined;
  }

  #isLiving(record: MemberRecord): boolean {
    return record.status !== "left" && !this.#removals.has(record.key);
  }

  #byName(): ReadonlyMap<NodeId, MemberRecord> {
    return this.#once("byName", () => {
      const byName = new Map<NodeId, MemberRecord>();
      for (const record of this.records()) {
        const other = byName.get(record.nodeId);
        if (this.#isLiving(record) && (other === undefined || isMeant(record, other)))
          byName.set(record.nodeId, record);
      }
      return byName;
    });
  }

  /** Works a thing out once for each state of the set. */
  #once<Name extends keyof Derived>(name: Name, derive: () => Derived[Name]): Derived[Name] {
    const known = this.#derived[name];
    if (known !== undefined) return known;
    const derived = derive();
    this.#derived[name] = derived;
    return derived;
  }

  #changed(): void {
    this.#derived = {};
    this.#changeCount += 1;
  }
}

/** Of two living records of one node id: is `one` meant rather than `other`? */
function isMeant(one: MemberRecord, other: MemberRecord): boolean {
  if (one.replaces === other.key) return true;
  if (other.replaces === one.key) return false;
  if (one.version !== other.version) return one.version > other.version;
  return one.key > other.key;
}

function flawOf(record: MemberRecord, partitionCount: number, replicaCount: number): string | undefined {
  if (!Number.isSafeInteger(record.version) || record.version < 1) return "no version";
  if (record.slots.length !== partitionCount)
    return `slots of ${record.slots.length} partitions, not ${partitionCount}`;
  if (record.slots.some((slot) => slot < -1 || slot >= replicaCount)) return "a slot that cannot be";
  if (record.status === "left" && record.slots.some((slot) => slot >= 0)) return "left, and holds slots";
  if (record.replaces === record.key) return "replaces itself";
  // Positions are names of nodes, own or inherited; the ring library reads meaning into other characters.
  if (parseNodeId(record.position) === undefined) return "a position that is no node's name";
  return record.weight > 0 && record.weight <= MAX_WEIGHT ? undefined : "no weight";
}

/** Two of one version are a fault; then everyone must keep the same of them. */
function isNewer(record: MemberRecord, known: MemberRecord): boolean {
  if (record.version !== known.version) return record.version > known.version;
  return recordText(record) > recordText(known);
}

function compareRemovals(left: Removal, right: Removal): number {
  return compare(left.by, right.by) || compare(left.replacedBy ?? "", right.replacedBy ?? "");
}

/** By code units, never by locale: the order must be the same on every node. */
function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
