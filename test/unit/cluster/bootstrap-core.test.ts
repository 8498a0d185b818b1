import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { OwnRecord } from "../../../services/cluster/own-record.ts";
import { BootstrapWorld, type WorldShape } from "./bootstrap-world.ts";

/** Fewer than 2 × expect nodes, so that any two sets of `expect` share one (invariant B5). */
const shapes: fc.Arbitrary<WorldShape> = fc.constantFrom(
  { nodeCount: 3, expect: 3, replicaCount: 3 },
  { nodeCount: 3, expect: 2, replicaCount: 2 },
  { nodeCount: 4, expect: 3, replicaCount: 3 },
  { nodeCount: 5, expect: 3, replicaCount: 3 },
  { nodeCount: 5, expect: 4, replicaCount: 3 },
);

const schedules = fc.noBias(fc.array(fc.nat(0x7fff_ffff), { minLength: 60, maxLength: 300, size: "max" }));

function membersAmong(records: readonly OwnRecord[]): readonly Extract<OwnRecord["stage"], { kind: "member" }>[] {
  return records.flatMap((record) => (record.stage.kind === "member" ? [record.stage] : []));
}

/** B2, B4, B5: one cluster id, one configuration, promised by all of its members; each slot held once. */
function checkSafety(world: BootstrapWorld): void {
  const records = world.nodes.map((node) => world.recordOf(node));
  const members = membersAmong(records);
  const [first] = members;
  if (first === undefined) return;
  const agreed = JSON.stringify(first.proposal);
  for (const member of members) expect(JSON.stringify(member.proposal)).toBe(agreed);
  for (const { id } of first.proposal.config.members) {
    const stage = records.find((record) => record.nodeId === id)?.stage;
    expect(stage?.kind === "empty" ? undefined : stage?.proposal.config.clusterId).toBe(
      first.proposal.config.clusterId,
    );
  }
  const held = new Set<number>();
  for (const { slots } of members) {
    for (const [partition, slot] of slots.entries()) {
      if (slot === -1) continue;
      const token = partition * 8 + slot;
      if (held.has(token)) expect.fail(`slot ${slot} of partition ${partition} is held twice`);
      held.add(token);
    }
  }
}

describe("bootstrap under crashes, restarts, loss, duplicates, reordering and partial views", () => {
  it("never commits two clusters, never holds a slot twice, and makes one cluster once the faults end", () => {
    let committedEarly = 0;
    const reached = new Map<string, number>();
    fc.assert(
      fc.property(shapes, schedules, (shape, schedule) => {
        const world = new BootstrapWorld(shape);
        for (const choice of schedule) {
          const writeCount = world.writeCount;
          world.step(choice);
          if (world.writeCount > writeCount) checkSafety(world);
        }
        if (membersAmong(world.nodes.map((node) => world.recordOf(node))).length > 0) committedEarly += 1;
        for (const [event, count] of world.events) reached.set(event, (reached.get(event) ?? 0) + count);
        world.settle();
        checkSafety(world);
        const members = membersAmong(world.nodes.map((node) => world.recordOf(node)));
        expect(members).toHaveLength(shape.expect);
        const slotCount = members.reduce((sum, member) => sum + member.slots.filter((slot) => slot >= 0).length, 0);
        expect(slotCount).toBe(64 * shape.replicaCount);
      }),
      { numRuns: 2_000 },
    );
    // The schedules reach commits in mid-fault, not only in the calm at the end.
    expect(committedEarly).toBeGreaterThan(400);
    expect(reached.get("bootstrap.promise-ended")).toBeGreaterThan(20);
  }, 120_000);
});
