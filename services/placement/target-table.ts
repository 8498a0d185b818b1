/**
 * TargetTable: T(p), who should hold each partition, out of what is known of who belongs. Equal record sets give equal
 * tables. Says nothing of who holds what now, nor of who is alive: neither may ever move T. Source: DESIGN §3;
 * gossip-ring notes §A.8, §B.5, §C 20.
 */
import type { MemberKey, MemberRecord } from "./member-record.ts";
import { buildPlacementTable, ringHashOf } from "./placement-table.ts";
import type { RecordSet } from "./record-set.ts";
import type { PlacementTable, RingMember } from "./types.ts";

/** T of one set of records. */
export interface TargetTable {
  readonly table: PlacementTable;
  /** the members that are in the table, by key */
  readonly members: ReadonlyMap<MemberKey, MemberRecord>;
}

/** Tables kept by what they are made from: the one of now, the one before, and those that plans look at. */
const MAX_TABLES = 4;

/** The members that should hold slots: joining or normal, not removed, waiting for nobody whose place they are to take. */
export function targetRecordsOf(set: RecordSet): readonly MemberRecord[] {
  return set.members().filter((record) => shouldHold(record) && waitsFor(set, record) === undefined);
}

/**
 * Those members as the ring takes them. Two never stand in one position: whoever was meant to inherit it has it, the other
 * stands beside it.
 */
export function ringMembersOf(
  set: RecordSet,
  records: readonly MemberRecord[] = targetRecordsOf(set),
): readonly RingMember[] {
  const ranked = records.toSorted((left, right) => claimRank(set, left) - claimRank(set, right));
  const taken = new Set<string>();
  return ranked.map((record) => {
    const { nodeId: id, zone, host, weight } = record;
    const position = taken.has(record.position) ? `${record.position}#${record.key}` : record.position;
    taken.add(position);
    return position === id ? { id, zone, host, weight } : { id, zone, host, weight, position };
  });
}

/** The member whose place this one is to take and that still has it; undefined: this one waits for nobody. */
export function waitsFor(set: RecordSet, record: MemberRecord): MemberKey | undefined {
  const key = record.replaces;
  const other = key === undefined || set.isRemoved(key) ? undefined : set.recordOf(key);
  if (other === undefined || !shouldHold(other) || other.nodeId === record.nodeId) return undefined;
  // Two that wait for each other: a fault of theirs, which must not take both out of the ring.
  return other.replaces === record.key && record.key < other.key ? undefined : other.key;
}

/** The tables of one cluster, each made once for what it is made from. */
export class TargetTables {
  readonly #replicaCount: number;
  readonly #tables = new Map<bigint, PlacementTable>();

  /** For a cluster of this N. */
  constructor(replicaCount: number) {
    this.#replicaCount = replicaCount;
  }

  /** T for these records; its table is the same object as long as nothing that matters changed. A new one costs about 10 ms. */
  of(set: RecordSet): TargetTable {
    const records = targetRecordsOf(set);
    const table = this.#tableOf(set.partitionCount, ringMembersOf(set, records));
    return { table, members: new Map(records.map((record) => [record.key, record])) };
  }

  #tableOf(partitionCount: number, members: readonly RingMember[]): PlacementTable {
    const inputs = { partitionCount, replicaCount: this.#replicaCount, members };
    const hash = ringHashOf(inputs);
    const table = this.#tables.get(hash) ?? buildPlacementTable(inputs);
    this.#tables.delete(hash);
    this.#tables.set(hash, table);
    for (const oldest of this.#tables.keys()) {
      if (this.#tables.size <= MAX_TABLES) break;
      this.#tables.delete(oldest);
    }
    return table;
  }
}

function shouldHold({ status }: MemberRecord): boolean {
  return status === "joining" || status === "normal";
}

/** Who has a position first: by what never changes while they live, so that nothing moves when one becomes normal. */
function claimRank(set: RecordSet, record: MemberRecord): number {
  if (record.position === record.nodeId) return 2;
  const removal = record.replaces === undefined ? undefined : set.removalOf(record.replaces);
  return removal?.replacedBy === record.key ? 0 : 1;
}
