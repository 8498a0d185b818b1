import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { takeBootstrapInput } from "../../../services/cluster/bootstrap-core.ts";
import { startBootstrapState } from "../../../services/cluster/bootstrap-state.ts";
import { emptyOwnRecord, type OwnRecord } from "../../../services/cluster/own-record.ts";
import { BootstrapWorld, nodeId, settingsFor, type WorldShape } from "./bootstrap-world.ts";

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

/** Any two sets of `expect` share two nodes, so that one of them may lose its disk (B5). */
const roomyShapes: fc.Arbitrary<WorldShape> = fc.constantFrom(
  { nodeCount: 3, expect: 3, replicaCount: 3 },
  { nodeCount: 4, expect: 3, replicaCount: 3 },
  { nodeCount: 5, expect: 4, replicaCount: 3 },
);

/** Who loses its disk, and when; the lowest ids propose. */
const losses = fc.record({ at: fc.nat(250), node: fc.constantFrom(0, 0, 0, 1, 2) });

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
  checkSlots(members);
}

/** B5 alone: the members that there are, and those that there were before a disk was lost, are of one cluster. */
function checkOneCluster(world: BootstrapWorld, seen: Set<string>): void {
  const members = membersAmong(world.nodes.map((node) => world.recordOf(node)));
  for (const { proposal } of members) seen.add(JSON.stringify(proposal));
  if (seen.size > 1) expect.fail(`two clusters: ${[...seen].join(" and ")}`);
  checkSlots(members);
}

function checkSlots(members: readonly Extract<OwnRecord["stage"], { kind: "member" }>[]): void {
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
  });
});

describe("bootstrap when a node loses its disk, a proposer above all", () => {
  it("never makes a second cluster: what was promised to a record that is gone stays promised", () => {
    let forgottenCount = 0;
    let committedCount = 0;
    fc.assert(
      fc.property(roomyShapes, schedules, losses, (shape, schedule, loss) => {
        const world = new BootstrapWorld(shape);
        const seen = new Set<string>();
        for (const [at, choice] of schedule.entries()) {
          if (at === loss.at) world.wipe(loss.node);
          const { writeCount } = world;
          world.step(choice);
          if (world.writeCount > writeCount) checkOneCluster(world, seen);
        }
        if (seen.size > 0) committedCount += 1;
        world.settle();
        checkOneCluster(world, seen);
        if ((world.events.get("bootstrap.refused") ?? 0) > 0) forgottenCount += 1;
      }),
      { numRuns: 3_000 },
    );
    expect(committedCount).toBeGreaterThan(300);
    expect(forgottenCount).toBeGreaterThan(300);
  });

  it("does not call an attempt withdrawn that it has forgotten, whatever its number", () => {
    const shape = { nodeCount: 3, expect: 3, replicaCount: 3 };
    const settings = settingsFor("a", shape);
    const state = startBootstrapState(settings, emptyOwnRecord(settings.node.id, settings.clusterName));
    for (const name of ["b", "c"]) {
      const { node } = settingsFor(name, shape);
      takeBootstrapInput(state, { kind: "peer_up", peer: { member: node, clusterId: undefined } });
    }
    const [own, lost] = ["1".repeat(32), "f".repeat(32)];
    takeBootstrapInput(state, { kind: "tick", candidateId: own });
    const ask = (clusterId: string, lineage: string): unknown => {
      const request = { kind: "ask", clusterId, attempt: 1, lineage } as const;
      return takeBootstrapInput(state, { kind: "request", from: nodeId("b"), request }).reply;
    };
    expect(ask(lost, lost)).toEqual({ kind: "pending" });
    expect(ask(own, own)).toEqual({ kind: "pending" });
    takeBootstrapInput(state, { kind: "peer_up", peer: { member: settingsFor("0", shape).node, clusterId: lost } });
    takeBootstrapInput(state, { kind: "tick", candidateId: "2".repeat(32) });
    expect(ask(own, own)).toEqual({ kind: "withdrawn", clusterId: own });
    expect(ask(lost, lost)).toEqual({ kind: "pending" });
  });
});
