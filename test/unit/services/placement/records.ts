/** Member records for placement tests: made by hand, by the ring, or by chance. No tests here. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { MemberKey, MemberRecord, Removal } from "../../../../services/placement/member-record.ts";
import { RecordSet } from "../../../../services/placement/record-set.ts";
import { TargetTables } from "../../../../services/placement/target-table.ts";
import { nodeId } from "../../placement/layouts.ts";

/** The Q of most tests. */
export const Q = 64;
/** The N of all tests. */
export const N = 3;

/** A member key that says its number. */
export function keyOf(index: number): MemberKey {
  return index.toString(16).padStart(16, "0");
}

/** A normal member named `n<index>` of zone `index mod 3`, on a host of its own, without slots. */
export function recordOf(index: number, changes: Partial<MemberRecord> = {}, partitionCount: number = Q): MemberRecord {
  const name = nodeId(`n${index}`);
  return {
    key: keyOf(index),
    nodeId: name,
    version: 1,
    status: "normal",
    zone: `zone-${index % 3}`,
    host: `host-${index}`,
    weight: 1,
    address: `10.0.0.${index}:7400`,
    position: changes.nodeId ?? name,
    slots: new Int8Array(partitionCount).fill(-1),
    replaces: undefined,
    ...changes,
  };
}

/** A set of these records and removals; asserts that every one is taken. */
export function setOf(records: readonly MemberRecord[], removals: readonly Removal[] = []): RecordSet {
  const set = new RecordSet(records[0]?.slots.length ?? Q, N);
  for (const record of records) assert.deepEqual(set.mergeRecord(record), { kind: "taken" });
  for (const removal of removals) assert.deepEqual(set.mergeRemoval(removal), { kind: "taken" });
  return set;
}

/** A cluster in which everyone in T holds the slots that T names. */
export function settled(records: readonly MemberRecord[], removals: readonly Removal[] = []): RecordSet {
  const set = setOf(records, removals);
  const { table, members } = new TargetTables(N).of(set);
  for (const record of members.values()) {
    const slots = record.slots.map((_, partition) => table.slotOf(partition, record.nodeId));
    set.mergeRecord({ ...record, version: record.version + 1, slots });
  }
  return set;
}

/** The record of that number as the set knows it, changed and one version on. */
export function changed(set: RecordSet, index: number, changes: Partial<MemberRecord>): MemberRecord {
  const record = set.recordOf(keyOf(index));
  assert.ok(record !== undefined, `n${index} has a record`);
  return { ...record, ...changes, version: record.version + 1 };
}

/** Slots by chance: few, many, or none. */
export function anySlots(partitionCount: number): fc.Arbitrary<Int8Array> {
  const slot = fc.oneof(
    { arbitrary: fc.constant(-1), weight: 3 },
    { arbitrary: fc.integer({ min: 0, max: 2 }), weight: 1 },
  );
  return fc
    .oneof(
      fc.array(slot, { minLength: partitionCount, maxLength: partitionCount }),
      fc.array(fc.integer({ min: -1, max: 2 }), { minLength: partitionCount, maxLength: partitionCount }),
      fc.constant(Array.from({ length: partitionCount }, () => -1)),
    )
    .map((slots) => Int8Array.from(slots));
}

/** Records of few members, so that versions of one and lives of one name meet. */
export const anyRecord: fc.Arbitrary<MemberRecord> = fc
  .record({
    index: fc.integer({ min: 1, max: 5 }),
    version: fc.integer({ min: 1, max: 4 }),
    status: fc.constantFrom<MemberRecord["status"]>("joining", "normal", "leaving", "left"),
    zone: fc.constantFrom("a", "b"),
    weight: fc.constantFrom(0.5, 1, 2),
    replaces: fc.option(fc.integer({ min: 6, max: 9 }).map(keyOf), { nil: undefined }),
    slots: anySlots(Q),
  })
  .map(({ index, slots, ...fields }) =>
    // Members 1 and 4, 2 and 5 are two lives of one name.
    recordOf(index, {
      ...fields,
      nodeId: nodeId(`name-${index % 3}`),
      slots: fields.status === "left" ? slots.map(() => -1) : slots,
    }),
  );

/** Removals of the same few. */
export const anyRemoval: fc.Arbitrary<Removal> = fc.record({
  key: fc.integer({ min: 1, max: 5 }).map(keyOf),
  by: fc.integer({ min: 1, max: 3 }).map(keyOf),
  replacedBy: fc.option(fc.integer({ min: 1, max: 5 }).map(keyOf), { nil: undefined }),
});

/** All that a set says of itself, for comparing. */
export function contentsOf(set: RecordSet): unknown {
  return { records: set.records(), removals: set.removals(), members: set.members(), hash: set.hash };
}
