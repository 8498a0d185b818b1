import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { donorsFor, lostSlots, vacantSlots } from "../../../../services/placement/hand-over-pairs.ts";
import { buildHolderTable, type HolderTable } from "../../../../services/placement/holder-table.ts";
import type { MemberKey, MemberRecord } from "../../../../services/placement/member-record.ts";
import { RecordSet } from "../../../../services/placement/record-set.ts";
import { TargetTables } from "../../../../services/placement/target-table.ts";
import { anySlots, changed, keyOf, N, Q, recordOf, setOf, settled } from "./records.ts";

const targets = new TargetTables(N);
const tableOf = (set: RecordSet): HolderTable => buildHolderTable(set, targets.of(set));
const remove = (set: RecordSet, index: number, replacedBy?: number): void => {
  set.mergeRemoval({
    key: keyOf(index),
    by: keyOf(9),
    replacedBy: replacedBy === undefined ? undefined : keyOf(replacedBy),
  });
};

/** Any mix of members, claims and removals: also such as no protocol would bring about. */
const anySet: fc.Arbitrary<RecordSet> = fc
  .record({
    count: fc.integer({ min: 3, max: 8 }),
    statuses: fc.array(fc.constantFrom<MemberRecord["status"]>("joining", "normal", "normal", "leaving"), {
      minLength: 8,
      maxLength: 8,
    }),
    slots: fc.array(anySlots(Q), { minLength: 8, maxLength: 8 }),
    removed: fc.array(
      fc.tuple(fc.integer({ min: 1, max: 8 }), fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined })),
      { maxLength: 3 },
    ),
  })
  .map(({ count, statuses, slots, removed }) => {
    const set = setOf(
      Array.from({ length: count }, (_, at) =>
        recordOf(at + 1, { status: statuses[at] ?? "normal", slots: slots[at] ?? new Int8Array(Q).fill(-1) }),
      ),
    );
    for (const [index, heir] of removed) remove(set, index, heir);
    return set;
  });

/** A change of a settled cluster of six that the protocol brings about. */
const anyChange: fc.Arbitrary<RecordSet> = fc
  .record({
    joins: fc.integer({ min: 0, max: 2 }),
    leaver: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    removed: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    isReplaced: fc.boolean(),
  })
  .map(({ joins, leaver, removed, isReplaced }) => {
    const set = settled([1, 2, 3, 4, 5, 6].map((index) => recordOf(index)));
    for (let index = 7; index < 7 + joins; index += 1) set.mergeRecord(recordOf(index, { status: "joining" }));
    if (leaver !== undefined) set.mergeRecord(changed(set, leaver, { status: "leaving" }));
    if (removed === undefined) return set;
    if (isReplaced) {
      const { zone, position } = changed(set, removed, {});
      set.mergeRecord(recordOf(9, { status: "joining", replaces: keyOf(removed), zone, position }));
    }
    remove(set, removed, isReplaced ? 9 : undefined);
    return set;
  });

interface Step {
  readonly partition: number;
  readonly slot: number;
  readonly to: MemberKey;
  readonly from: MemberKey | undefined;
}

/** Every hand-over and minting that is meant to happen now. */
function stepsOf(set: RecordSet): readonly Step[] {
  const table = tableOf(set);
  const mints = vacantSlots(set, table).map(({ partition, slot, entitled }) => ({
    partition,
    slot,
    to: entitled,
    from: undefined,
  }));
  const pairs = table.moves.flatMap((move) =>
    move.pending.flatMap((to) => {
      const [from] = donorsFor(table, move, to);
      const slot = move.departing.find((claim) => claim.key === from)?.slot;
      return from === undefined || slot === undefined ? [] : [{ partition: move.partition, slot, to, from }];
    }),
  );
  return [...mints, ...pairs];
}

function withSlot(set: RecordSet, key: MemberKey, partition: number, slot: number): void {
  const record = set.recordOf(key);
  if (record === undefined) throw new Error("a member");
  set.mergeRecord({ ...record, version: record.version + 1, slots: record.slots.with(partition, slot) });
}

function done(set: RecordSet, { partition, slot, to, from }: Step): void {
  if (from !== undefined) withSlot(set, from, partition, -1);
  withSlot(set, to, partition, slot);
}

const sorted = (steps: readonly Step[]): readonly string[] => steps.map((step) => JSON.stringify(step)).sort();

describe("believed holders", () => {
  it("of a settled cluster are those of the target table, slot by slot, and nothing is on the move", () => {
    const set = settled([1, 2, 3, 4, 5, 6].map((index) => recordOf(index)));
    const table = tableOf(set);
    expect(table.moves).toEqual([]);
    for (let partition = 0; partition < Q; partition += 1) {
      const holders = table.ownersOf(partition).map(({ node, slot }) => ({ node, slot }));
      expect(holders).toEqual(table.target.table.ownersOf(partition));
      expect(table.fallbacksOf(partition)).toEqual(table.target.table.fallbacksOf(partition));
    }
  });

  it("are exactly N distinct members in slot order while there are as many, whatever the records say", () => {
    fc.assert(
      fc.property(anySet, (set) => {
        const table = tableOf(set);
        const most = Math.min(N, table.target.members.size);
        for (let partition = 0; partition < Q; partition += 1) {
          const owners = table.ownersOf(partition);
          expect(owners.length).toBeGreaterThanOrEqual(most);
          expect(new Set(owners.map((owner) => owner.node)).size).toBe(owners.length);
          expect(owners.map((owner) => owner.slot)).toEqual(owners.map((owner) => owner.slot).toSorted());
          if (table.target.members.size >= N) expect(owners.map((owner) => owner.slot)).toEqual([0, 1, 2]);
          const fallbacks = table.fallbacksOf(partition);
          const walk = table.target.table.members.map((member) => member.id);
          expect(new Set([...owners.map((owner) => owner.node), ...fallbacks]).isSupersetOf(new Set(walk))).toBe(true);
          expect(fallbacks.filter((node) => owners.some((owner) => owner.node === node))).toEqual([]);
        }
      }),
    );
  });

  it("are who claims the slot, before any guess; of several one that should hold the partition; never a removed one", () => {
    fc.assert(
      fc.property(anySet, (set) => {
        const table = tableOf(set);
        for (let partition = 0; partition < Q; partition += 1) {
          for (const { node, slot } of table.ownersOf(partition)) {
            const claims = set.members().filter((record) => record.slots[partition] === slot);
            expect(set.memberNamed(node)).toBeDefined();
            if (claims.length > 0) expect(claims.map((claim) => claim.nodeId)).toContain(node);
            const isTarget = (name: MemberRecord["nodeId"]): boolean => table.target.table.slotOf(partition, name) >= 0;
            if (claims.some((claim) => isTarget(claim.nodeId))) expect(isTarget(node)).toBe(true);
          }
          for (const record of set.members()) {
            expect(table.slotOf(partition, record.nodeId)).toBe(record.slots[partition]);
          }
        }
      }),
    );
  });

  it("guess that a slot on its way is with the first member that should hold one", () => {
    const set = settled([1, 2, 3, 4, 5, 6].map((index) => recordOf(index)));
    set.mergeRecord(recordOf(7, { status: "joining" }));
    const [move] = tableOf(set).moves;
    const [claim] = move?.departing ?? [];
    if (move === undefined || claim === undefined) throw new Error("something moves to the newcomer");
    withSlot(set, claim.key, move.partition, -1);
    const table = tableOf(set);
    expect(table.ownersOf(move.partition)).toContainEqual({ node: "n7", slot: claim.slot });
    expect(table.moves.find((one) => one.partition === move.partition)).toMatchObject({
      departing: [],
      pending: [keyOf(7)],
      unclaimed: [claim.slot],
      vacant: [],
    });
  });

  it("count no claim of a slot that the cluster does not have", () => {
    const set = new RecordSet(Q);
    for (const index of [1, 2, 3]) set.mergeRecord(recordOf(index, { slots: new Int8Array(Q).fill(index + 2) }));
    const table = tableOf(set);
    expect(table.claimsOf(0)).toEqual([]);
    expect(table.ownersOf(0).map((owner) => owner.slot)).toEqual([0, 1, 2]);
  });

  it("say which slots two members claim", () => {
    const set = settled([1, 2, 3, 4].map((index) => recordOf(index)));
    const table = tableOf(set);
    const outsider = set.members().find((record) => record.slots[0] === -1);
    if (outsider === undefined) throw new Error("one of four");
    withSlot(set, outsider.key, 0, 1);
    expect(tableOf(set).moves).toMatchObject([{ partition: 0, contested: [1], unclaimed: [] }]);
    expect(
      tableOf(set)
        .ownersOf(0)
        .map(({ node }) => node),
    ).toEqual(table.ownersOf(0).map(({ node }) => node));
  });
});

describe("who hands over to whom", () => {
  it("is agreed by all with equal records, gives no slot to two and no member two slots of a partition", () => {
    fc.assert(
      fc.property(anySet, (set) => {
        const steps = stepsOf(set);
        const unique = (names: readonly string[]): void => expect(new Set(names).size).toBe(names.length);
        unique(steps.map(({ partition, to }) => `${partition} ${to}`));
        unique(steps.filter((step) => step.from === undefined).map(({ partition, slot }) => `${partition} ${slot}`));
        unique(steps.flatMap(({ partition, from }) => (from === undefined ? [] : [`${partition} ${from}`])));
        const heard = new RecordSet(Q, N);
        for (const removal of set.removals().toReversed()) heard.mergeRemoval(removal);
        for (const record of set.records().toReversed()) heard.mergeRecord(record);
        expect(stepsOf(heard)).toEqual(steps);
      }),
    );
  });

  it("does not change for the others when one is done, and ends where the target says, each slot held once", () => {
    fc.assert(
      fc.property(anyChange, fc.array(fc.nat(), { minLength: 12, maxLength: 12 }), (set, choices) => {
        for (const choice of choices) {
          const steps = stepsOf(set);
          const step = steps[choice % Math.max(1, steps.length)];
          if (step === undefined) break;
          done(set, step);
          expect(sorted(stepsOf(set))).toEqual(sorted(steps.filter((other) => other !== step)));
        }
        for (const step of stepsOf(set)) done(set, step);
        const table = tableOf(set);
        expect(table.moves).toEqual([]);
        for (let partition = 0; partition < Q; partition += 1) {
          expect(table.claimsOf(partition).map((claim) => claim.slot)).toEqual([0, 1, 2]);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("prefers a donor of the receiver's zone, and names the others after it", () => {
    const set = settled([1, 2, 3, 4, 5, 6].map((index) => recordOf(index)));
    set.mergeRecord(changed(set, 1, { status: "leaving" }));
    set.mergeRecord(changed(set, 2, { status: "leaving" }));
    for (const index of [7, 8]) set.mergeRecord(recordOf(index, { status: "joining" }));
    const table = tableOf(set);
    const zone = (key: MemberKey | undefined): string | undefined => set.recordOf(key ?? "")?.zone;
    let metCount = 0;
    for (const move of table.moves) {
      for (const to of move.pending) {
        const donors = donorsFor(table, move, to);
        const isPossible = move.departing.some((claim) => zone(claim.key) === zone(to));
        const isRivalled = move.pending.some((other) => other !== to && zone(other) === zone(to));
        if (!isPossible || isRivalled) continue;
        expect(zone(donors[0])).toBe(zone(to));
        expect([...donors].sort()).toEqual(move.departing.map((claim) => claim.key).sort());
        metCount += 1;
      }
    }
    expect(metCount).toBeGreaterThan(10);
  });

  it("entitles the replacement that a removal names to every slot of the removed one, and nobody else", () => {
    const set = settled([1, 2, 3, 4, 5, 6].map((index) => recordOf(index)));
    const held = set.recordOf(keyOf(2))?.slots ?? new Int8Array();
    const { zone, position } = changed(set, 2, {});
    set.mergeRecord(recordOf(9, { status: "joining", replaces: keyOf(2), zone, position }));
    remove(set, 2, 9);
    const vacant = vacantSlots(set, tableOf(set));
    const expected = [...held].flatMap((slot, partition) =>
      slot < 0 ? [] : [{ partition, slot, removed: keyOf(2), entitled: keyOf(9) }],
    );
    expect(vacant).toEqual(expected);
    expect(vacant.length).toBeGreaterThan(10);
  });

  it("passes a slot on when the named replacement was removed in turn, and to the ring when heirs go in a circle", () => {
    const set = settled([1, 2, 3, 4, 5, 6].map((index) => recordOf(index)));
    set.mergeRecord(recordOf(8, { status: "joining", replaces: keyOf(2), zone: "zone-2", position: "n2" }));
    set.mergeRecord(recordOf(9, { status: "joining", replaces: keyOf(8), zone: "zone-2", position: "n2" }));
    remove(set, 2, 8);
    remove(set, 8, 9);
    expect(new Set(vacantSlots(set, tableOf(set)).map((one) => one.entitled))).toEqual(new Set([keyOf(9)]));
    const circle = settled([1, 2, 3, 4, 5, 6].map((index) => recordOf(index)));
    remove(circle, 2, 3);
    remove(circle, 3, 2);
    const table = tableOf(circle);
    for (const { partition, entitled } of vacantSlots(circle, table)) {
      expect(table.moves.find((move) => move.partition === partition)?.pending).toContain(entitled);
    }
  });

  it("names who may ask for a slot that a removed member took unheard, once somebody was removed, and only then", () => {
    const set = settled([1, 2, 3, 4, 5, 6].map((index) => recordOf(index)));
    const partition = 5;
    const holder = set.members().find((record) => record.slots[partition] === 1) ?? changed(set, 1, {});
    const slot = 1;
    // It gave its slot to member 9, and nobody has heard that 9 has it.
    withSlot(set, holder.key, partition, -1);
    expect(lostSlots(set, tableOf(set))).toEqual([]);
    set.mergeRecord(recordOf(9, { status: "joining", zone: holder.zone }));
    remove(set, 9);
    const lost = lostSlots(set, tableOf(set));
    expect(lost).toEqual([{ partition, slot, removed: undefined, entitled: holder.key }]);
    expect(vacantSlots(set, tableOf(set))).toEqual([]);
    withSlot(set, holder.key, partition, slot);
    expect(lostSlots(set, tableOf(set))).toEqual([]);
  });
});
