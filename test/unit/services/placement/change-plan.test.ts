import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NodeId } from "../../../../services/base/ids.ts";
import { type ChangePlan, planChange } from "../../../../services/placement/change-plan.ts";
import { buildHolderTable } from "../../../../services/placement/holder-table.ts";
import type { MemberRecord } from "../../../../services/placement/member-record.ts";
import { type PlanFacts, type PlannedChange, plannedRecords } from "../../../../services/placement/planned-records.ts";
import type { RecordSet } from "../../../../services/placement/record-set.ts";
import { movesLeft } from "../../../../services/placement/ring-balance.ts";
import { TargetTables } from "../../../../services/placement/target-table.ts";
import { nodeId } from "../../placement/layouts.ts";
import { changed, keyOf, N, recordOf, settled } from "./records.ts";

const BIG_Q = 1_024;
const targets = new TargetTables(N);
const clusterOf = (count: number, changes: (index: number) => Partial<MemberRecord> = () => ({})): RecordSet =>
  settled(Array.from({ length: count }, (_, at) => recordOf(at + 1, changes(at + 1), BIG_Q)));
const waitingNode = (index: number): PlanFacts["waiting"][number] => ({
  node: nodeId(`n${index}`),
  zone: `zone-${index % 3}`,
  host: `host-${index}`,
  weight: 1,
});

function factsOf(facts: { readonly waiting?: readonly number[]; readonly dead?: readonly number[] } = {}): PlanFacts {
  const dead = new Set((facts.dead ?? []).map((index) => `n${index}`));
  return {
    waiting: (facts.waiting ?? []).map(waitingNode),
    isAlive: (node) => !dead.has(node),
    bytesOf: (partition) => 1_000 + partition,
  };
}

const node = (index: number): NodeId => nodeId(`n${index}`);
const join = (index: number): PlannedChange => ({ kind: "join", node: node(index) });
const leave = (index: number): PlannedChange => ({ kind: "leave", node: node(index) });
const remove = (index: number, force = false): PlannedChange => ({ kind: "remove", node: node(index), force });
const replace = (index: number, by: number, force = false): PlannedChange => ({
  kind: "replace",
  node: node(index),
  with: node(by),
  force,
});

function planOf(set: RecordSet, changes: readonly PlannedChange[], facts: PlanFacts = factsOf()): ChangePlan {
  return planChange({ set, targets, changes, facts });
}

const slotsOf = (set: RecordSet, index: number): number =>
  set.recordOf(keyOf(index))?.slots.filter((slot) => slot >= 0).length ?? 0;

describe("a plan", () => {
  it("of a join moves copies to the newcomer alone, hardly more than the least, and says from whom", () => {
    const set = clusterOf(5);
    const plan = planOf(set, [join(6)], factsOf({ waiting: [6] }));
    expect(plan.refusals).toEqual([]);
    expect(plan.movedCopies / plan.minimumCopies).toBeLessThanOrEqual(1.1);
    const mine = plan.moves.find((move) => move.node === "n6");
    expect(mine?.incoming).toBe(plan.after.slots["n6"]);
    expect(plan.moves.reduce((sum, move) => sum + move.outgoing, 0)).toBe(plan.movedCopies);
    expect(plan.moves.reduce((sum, move) => sum + move.bytesOut, 0)).toBe(plan.bytes);
    expect(plan.bytes).toBeGreaterThan(plan.movedCopies * 1_000);
    expect(plan.before.slots["n6"]).toBeUndefined();
  });

  it("of a leave moves what the leaver holds, and shows it empty afterwards", () => {
    const set = clusterOf(6);
    const plan = planOf(set, [leave(3)]);
    expect(plan.refusals).toEqual([]);
    expect(plan.before.slots["n3"]).toBe(slotsOf(set, 3));
    expect(plan.after.slots["n3"]).toBeUndefined();
    expect(plan.moves.find((move) => move.node === "n3")).toMatchObject({ incoming: 0, outgoing: slotsOf(set, 3) });
    expect(plan.movedCopies).toBeGreaterThanOrEqual(plan.minimumCopies);
    expect(plan.minimumCopies).toBeGreaterThanOrEqual(slotsOf(set, 3));
  });

  it("of a replacement moves exactly what the dead one held, to its replacement, and nothing else", () => {
    const set = clusterOf(6);
    const plan = planOf(set, [replace(2, 8)], factsOf({ waiting: [8], dead: [2] }));
    expect(plan.refusals).toEqual([]);
    const incoming = slotsOf(set, 2);
    expect(plan.moves).toMatchObject([{ node: "n8", incoming, outgoing: 0, bytesOut: 0 }]);
    expect(plan.movedCopies).toBe(plan.minimumCopies);
    expect(plan.after.slots["n8"]).toBe(incoming);
  });

  it("of a node whose disk was lost gives it back what its former life held", () => {
    const set = clusterOf(6);
    for (const change of [join(2), replace(2, 2)]) {
      const plan = planOf(set, [change], factsOf({ waiting: [2] }));
      expect(plan.refusals).toEqual([]);
      expect(plan.moves).toMatchObject([{ node: "n2", incoming: slotsOf(set, 2) }]);
    }
  });

  it("of several changes at once moves less than one after the other", () => {
    const set = clusterOf(6);
    const facts = factsOf({ waiting: [7, 8] });
    const both = planOf(set, [join(7), join(8), leave(1)], facts);
    const single = [[join(7)], [join(8)], [leave(1)]].map((changes) => planOf(set, changes, facts).movedCopies);
    expect(both.refusals).toEqual([]);
    expect(both.movedCopies).toBeLessThan(single.reduce((sum, moved) => sum + moved, 0));
    expect(Object.keys(both.after.slots).sort()).toEqual(["n2", "n3", "n4", "n5", "n6", "n7", "n8"]);
  });

  it("of a weight gives a heavier node its share", () => {
    const plan = planOf(clusterOf(6), [{ kind: "weight", node: node(1), weight: 2 }]);
    expect(plan.refusals).toEqual([]);
    expect(plan.after.slots["n1"] ?? 0).toBeGreaterThan(1.4 * (plan.before.slots["n1"] ?? 0));
    expect(plan.after.maxOverFair).toBeLessThanOrEqual(1.1);
  });

  it("of nothing new moves nothing", () => {
    const plan = planOf(clusterOf(6), [{ kind: "host", node: node(1), host: "host-1" }]);
    expect(plan).toMatchObject({ refusals: [], moves: [], movedCopies: 0, minimumCopies: 0, bytes: 0 });
    expect(plan.before).toEqual(plan.after);
  });

  it("changes nothing of the records it is made of", () => {
    const set = clusterOf(4);
    const { hash } = set;
    planOf(set, [join(9), remove(1, true)], factsOf({ waiting: [9] }));
    expect(set.hash).toBe(hash);
  });

  it("says what earlier changes still have to move", () => {
    const set = clusterOf(6);
    set.mergeRecord(changed(set, 1, { status: "leaving" }));
    const plan = planOf(set, [join(7)], factsOf({ waiting: [7] }));
    expect(plan.warnings).toEqual([expect.stringContaining(`${slotsOf(set, 1)} copies of earlier changes`)]);
  });
});

describe("a plan is refused, in words", () => {
  it.each<[string, readonly PlannedChange[], string]>([
    ["nothing to do", [], "nothing to do"],
    ["a stranger that leaves", [leave(77)], "n77 is no member"],
    ["one that leaves already", [leave(4)], "n4 is leaving already"],
    ["a node that is not there to join", [join(78)], "n78 is not waiting"],
    ["a member that joins", [join(1)], "n1 is a member already (normal)"],
    ["the removal of a node that is alive", [remove(1)], "n1 is alive"],
    ["the replacement of a node that is alive", [replace(1, 8)], "n1 is alive"],
    ["a replacement that is not there", [replace(5, 79)], "n79 is not waiting"],
    ["a replacement that is a member", [replace(5, 1)], "n1 is a member already"],
    ["one node named twice", [leave(1), { kind: "weight", node: node(1), weight: 2 }], "n1 is named twice"],
    ["a weight of nothing", [{ kind: "weight", node: node(1), weight: 0 }], "weight"],
    ["a weight beyond measure", [{ kind: "weight", node: node(1), weight: 65 }], "weight"],
    ["a zone without a name", [{ kind: "zone", node: node(1), zone: "" }], "zone"],
    ["fewer members than replicas", [leave(1), leave(2)], "2 members would be left, fewer than the 3 replicas"],
  ])("%s", (_, changes, words) => {
    const set = clusterOf(5);
    set.mergeRecord(changed(set, 4, { status: "leaving" }));
    const plan = planOf(set, changes, factsOf({ waiting: [8], dead: [5] }));
    expect(plan.refusals).toEqual([expect.stringContaining(words)]);
  });

  it("the removal of a node whose partitions have too few live sources, unless with force", () => {
    const set = clusterOf(6);
    const facts = factsOf({ dead: [1, 2] });
    expect(planOf(set, [remove(1)], facts).refusals).toEqual([expect.stringContaining("fewer than 2 live sources")]);
    expect(planOf(set, [remove(1, true)], facts).refusals).toEqual([]);
    expect(planOf(set, [remove(1)], factsOf({ dead: [1] })).refusals).toEqual([]);
  });

  it("and warns when replicas will share zones that they do not share now", () => {
    const set = clusterOf(6, (index) => ({ zone: index === 1 ? "lonely" : `zone-${index % 2}` }));
    expect(planOf(set, [leave(1)]).warnings).toEqual([expect.stringContaining("2 zones for 3 replicas, 3 now")]);
    expect(planOf(set, [leave(2)]).warnings).toEqual([]);
  });
});

describe("force", () => {
  it("removes a node although it is alive", () => {
    expect(planOf(clusterOf(5), [remove(1, true)]).refusals).toEqual([]);
  });
});

describe("the plan's hash", () => {
  it("is that of the records, the changes and the outcome, whatever bytes are guessed", () => {
    const set = clusterOf(5);
    const facts = factsOf({ waiting: [6], dead: [1] });
    const plan = planOf(set, [join(6)], facts);
    expect(plan.planHash).toMatch(/^[0-9a-f]{16}$/);
    expect(planOf(set.copy(), [{ node: node(6), kind: "join" }], { ...facts, bytesOf: () => 5 }).planHash).toBe(
      plan.planHash,
    );
    expect(planOf(set, [remove(1)], facts).planHash).not.toBe(plan.planHash);
    expect(planOf(set, [remove(1, true)], facts).planHash).not.toBe(planOf(set, [remove(1)], facts).planHash);
    const heavier = { ...facts, waiting: [{ ...waitingNode(6), weight: 2 }] };
    expect(planOf(set, [join(6)], heavier).planHash).not.toBe(plan.planHash);
    set.mergeRecord(changed(set, 2, { address: "elsewhere:1" }));
    expect(planOf(set, [join(6)], facts).planHash).not.toBe(plan.planHash);
  });
});

describe("any plan that is not refused", () => {
  const anyChanges = fc.uniqueArray(
    fc.oneof(
      fc.integer({ min: 1, max: 8 }).map(leave),
      fc.constantFrom(11, 12, 13).map(join),
      fc.integer({ min: 1, max: 8 }).map((index) => remove(index, true)),
      fc.tuple(fc.integer({ min: 1, max: 8 }), fc.constantFrom(11, 12, 13)).map(([old, by]) => replace(old, by, true)),
      fc
        .tuple(fc.integer({ min: 1, max: 8 }), fc.constantFrom(0.5, 2))
        .map(([index, weight]): PlannedChange => ({ kind: "weight", node: node(index), weight })),
      fc
        .tuple(fc.integer({ min: 1, max: 8 }), fc.constantFrom("zone-0", "zone-9"))
        .map(([index, zone]): PlannedChange => ({ kind: "zone", node: node(index), zone })),
    ),
    { minLength: 1, maxLength: 4, selector: (change) => change.node },
  );

  it("leaves N distinct nodes, and as many zones as there can be, in every partition", () => {
    const sets = [3, 5, 8].map((count) => settled(Array.from({ length: count }, (_, at) => recordOf(at + 1))));
    let goodCount = 0;
    fc.assert(
      fc.property(fc.constantFrom(...sets), anyChanges, (set, changes) => {
        const facts = factsOf({ waiting: [11, 12, 13] });
        const plan = planOf(set, changes, facts);
        if (plan.refusals.length > 0) return;
        goodCount += 1;
        const { set: next } = plannedRecords(set, changes, facts);
        const { table, members } = targets.of(next);
        const zoneCount = new Set([...members.values()].map((record) => record.zone)).size;
        for (let partition = 0; partition < table.partitionCount; partition += 1) {
          const owners = table.ownersOf(partition).map((owner) => owner.node);
          expect(new Set(owners).size).toBe(N);
          expect(new Set(owners.map((name) => table.zoneOf(name))).size).toBe(Math.min(N, zoneCount));
        }
        expect(plan.after.zoneViolations).toBe(0);
        expect(plan.after.zonesUsed[Math.min(N, zoneCount)]).toBe(table.partitionCount);
        expect(plan.movedCopies).toBeGreaterThanOrEqual(plan.minimumCopies);
        expect(Object.values(plan.after.slots).reduce((sum, count) => sum + count, 0)).toBe(N * table.partitionCount);
      }),
      { numRuns: 150 },
    );
    expect(goodCount).toBeGreaterThan(30);
  });
});

describe("what is left to move", () => {
  it("is counted for each member, and nothing is when all is settled", () => {
    const set = clusterOf(6);
    const done = movesLeft(buildHolderTable(set, targets.of(set)));
    expect(done).toMatchObject({ partitionsLeft: 0, copiesLeft: 0, underReplicated: 0 });
    const held = slotsOf(set, 1);
    expect(done.members.get(keyOf(1))).toEqual({ slotsHeld: held, slotsTarget: held, incoming: 0, outgoing: 0 });
    set.mergeRecord(changed(set, 1, { status: "leaving" }));
    const left = movesLeft(buildHolderTable(set, targets.of(set)));
    expect(left.members.get(keyOf(1))).toEqual({ slotsHeld: held, slotsTarget: 0, incoming: 0, outgoing: held });
    expect(left.copiesLeft).toBeGreaterThanOrEqual(held);
    set.mergeRemoval({ key: keyOf(1), by: keyOf(2), replacedBy: undefined });
    expect(movesLeft(buildHolderTable(set, targets.of(set))).underReplicated).toBe(held);
  });
});
