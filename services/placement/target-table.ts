/**
 * TargetTable: T(p), who should hold each partition, out of what is known of who belongs. Equal record sets give equal
 * tables. Says nothing of who holds what now, nor of who is alive: neither may ever move T. Source: DESIGN §3;
 * gossip-ring notes §A.8, §B.5, §C 20.
 */
import type { MemberKey, MemberRecord } from "./member-record.ts";
import { buildPlacementTable, ringHashOf } from "./placement-table.ts";
import type { RecordSet } from "./record-set.ts";
import type { PlacementTable, RingMember } from "./types.ts";

/** What a cluster settled once, and every table needs. */
export interface RingShape {
  /** Q */
  readonly partitionCount: number;
  /** N */
  readonly replicaCount: number;
  /** how far above its fair share a member may go; undefined: by the number of members, see `PlacementInputs` */
  readonly capRatio?: number | undefined;
}

/** Tables kept by what they are made from: the one of now, the one before, and those that plans look at. */
const MAX_TABLES = 4;

/**
 * The members that should hold slots: joining or normal, not removed, and not waiting for the one whose place they are to
 * take. Two never stand in one position: whoever was meant to inherit it has it, the other stands beside it.
 */
export function ringMembersOf(set: RecordSet): readonly RingMember[] {
  const candidates = set.members().filter((record) => shouldHold(record) && waitsFor(set, record) === undefined);
  const ranked = candidates.toSorted((left, right) => claimRank(set, left) - claimRank(set, right));
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
  readonly shape: RingShape;
  readonly #tables = new Map<bigint, PlacementTable>();

  constructor(shape: RingShape) {
    this.shape = shape;
  }

  /** T for these records: the same object as long as nothing that matters changed. A new one costs about 10 ms. */
  tableOf(set: RecordSet): PlacementTable {
    const inputs = { ...this.shape, members: ringMembersOf(set) };
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
