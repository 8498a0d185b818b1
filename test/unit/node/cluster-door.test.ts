import { describe, expect, it } from "vitest";
import type { ClusterMember } from "../../../services/api/cluster-door.ts";
import { PLAN_LIFETIME_MS } from "../../../services/base/limits.ts";
import { NodeClusterDoor } from "../../../services/node/cluster-door.ts";
import type { ClusterFacts, StatusFacts } from "../../../services/node/cluster-facts.ts";
import { MembershipRig, type RigNode } from "../cluster/membership-rig.ts";

/** Three members, an empty node, and the door of each member; `dead` ones look so. */
async function ringWithDoors(
  dead: readonly string[] = [],
): Promise<{ readonly rig: MembershipRig; door(name: string): NodeClusterDoor }> {
  const rig = new MembershipRig(["a", "b", "c"]);
  for (const name of ["a", "b", "c"]) rig.begin(name);
  rig.start("d");
  rig.link("a", "b", "c", "d");
  await rig.clock.advance(200);
  const doors = new Map<string, NodeClusterDoor>();
  const door = (name: string): NodeClusterDoor => {
    const known = doors.get(name) ?? doorOf(rig, rig.node(name), dead);
    doors.set(name, known);
    return known;
  };
  return { rig, door };
}

function doorOf(rig: MembershipRig, { id, membership, operator }: RigNode, dead: readonly string[]): NodeClusterDoor {
  const isAlive = (node: string): boolean => !dead.includes(node);
  const facts = {
    status: () =>
      ({ members: ["a", "b", "c", "d"].map((name) => seen(rig, membership, name)) }) as unknown as StatusFacts,
    isEmpty: () => false,
  } as unknown as ClusterFacts;
  const monotonicMs = (): number => rig.clock.monotonicMs();
  return new NodeClusterDoor({ self: id, facts, membership, operator, isAlive, bytesOf: () => 10, monotonicMs });
}

function seen(rig: MembershipRig, membership: RigNode["membership"], name: string): ClusterMember {
  const record = membership.table?.all.find(({ nodeId }) => nodeId === name);
  const { id: node } = rig.nodes.get(name) ?? { id: name };
  return { node, status: record?.status ?? "waiting", zone: "z", host: name, weight: 1 } as unknown as ClusterMember;
}

describe("plan and commit", () => {
  it("what is committed is what was planned, once", async () => {
    const { rig, door } = await ringWithDoors();
    const planned = await door("a").plan([{ kind: "join", node: rig.node("d").id }]);
    expect(planned.kind === "planned" && planned.plan.refusals).toEqual([]);
    const planHash = planned.kind === "planned" ? planned.plan.planHash : "";
    expect(door("a").status().pendingPlan?.planHash).toBe(planHash);
    expect((await door("a").commit(planHash)).kind).toBe("committed");
    expect(door("a").status().pendingPlan).toBe(undefined);
    await rig.clock.advance(1_500);
    expect(rig.node("b").membership.set?.memberNamed(rig.node("d").id)?.status).toBe("joining");
    expect((await door("a").commit(planHash)).kind).toBe("unknown_plan");
  });

  it("a plan of two operators: the second is told that the records have changed", async () => {
    const { rig, door } = await ringWithDoors();
    const first = await door("a").plan([{ kind: "weight", node: rig.node("b").id, weight: 2 }]);
    const second = await door("c").plan([{ kind: "weight", node: rig.node("b").id, weight: 3 }]);
    if (first.kind !== "planned" || second.kind !== "planned") throw new Error("both are planned");
    expect((await door("a").commit(first.plan.planHash)).kind).toBe("committed");
    await rig.clock.advance(500);
    expect((await door("c").commit(second.plan.planHash)).kind).toBe("plan_changed");
    expect(rig.node("b").membership.store.record.weight).toBe(2);
  });

  it("refuses to remove a live member without force, and does so with it, durably", async () => {
    const { rig, door } = await ringWithDoors();
    const node = rig.node("d").id;
    const join = await door("a").plan([{ kind: "join", node }]);
    if (join.kind === "planned") await door("a").commit(join.plan.planHash);
    await rig.clock.advance(500);
    const mild = await door("a").plan([{ kind: "remove", node, force: false }]);
    expect(mild.kind === "planned" && mild.plan.refusals.join()).toMatch(/is alive: let it leave/);
    expect(mild.kind === "planned" && (await door("a").commit(mild.plan.planHash)).kind).toBe("refused");
    const harsh = await door("a").plan([{ kind: "remove", node, force: true }]);
    expect(harsh.kind === "planned" && (await door("a").commit(harsh.plan.planHash)).kind).toBe("committed");
    await rig.clock.advance(500);
    expect(rig.node("d").removals.length).toBe(1);
    expect(rig.node("c").membership.set?.memberNamed(node)).toBe(undefined);
  });

  it("what was refused, or only looked at, is not pending, and what was refused is never done", async () => {
    const { rig, door } = await ringWithDoors();
    const b = rig.node("b").id;
    const shown = await door("a").plan([{ kind: "weight", node: b, weight: 3 }], () => false);
    expect([shown.kind, door("a").status().pendingPlan]).toEqual(["planned", undefined]);
    const allowed = await door("a").plan([{ kind: "weight", node: b, weight: 2 }]);
    const refused = await door("a").plan([{ kind: "leave", node: b }]);
    if (shown.kind !== "planned" || allowed.kind !== "planned" || refused.kind !== "planned")
      throw new Error("planned");
    expect(door("a").status().pendingPlan?.planHash).toBe(allowed.plan.planHash);
    expect((await door("a").commit(shown.plan.planHash)).kind).toBe("unknown_plan");
    expect(await door("a").commit(refused.plan.planHash)).toEqual({ kind: "refused", refusals: refused.plan.refusals });
    expect((await door("a").commit(allowed.plan.planHash)).kind).toBe("committed");
    expect(door("a").status().pendingPlan).toBe(undefined);
  });

  it("a removal that was refused while its node was alive is not done when it is dead", async () => {
    const dead: string[] = [];
    const { rig, door } = await ringWithDoors(dead);
    const { id: node } = rig.node("d");
    const join = await door("a").plan([{ kind: "join", node }]);
    if (join.kind === "planned") await door("a").commit(join.plan.planHash);
    await rig.clock.advance(500);
    const refused = await door("a").plan([{ kind: "remove", node, force: false }]);
    if (refused.kind !== "planned") throw new Error("planned");
    dead.push(node);
    expect((await door("a").commit(refused.plan.planHash)).kind).toBe("plan_changed");
  });

  it("a change that fails in the middle says what was done before it", async () => {
    const { rig, door } = await ringWithDoors();
    const [b, c] = [rig.node("b").id, rig.node("c").id];
    const planned = await door("a").plan([
      { kind: "weight", node: b, weight: 2 },
      { kind: "weight", node: c, weight: 2 },
    ]);
    rig.links.cut.add("a>c");
    const committed = planned.kind === "planned" ? await door("a").commit(planned.plan.planHash) : undefined;
    expect(committed).toMatchObject({ kind: "failed", outcome: "unknown", isRetryable: false });
    expect(committed?.kind === "failed" && committed.detail).toBe(
      "weight c: node c cannot be reached (lost); done before it: weight b: plan the rest again",
    );
    expect(door("a").status().pendingPlan).toBe(undefined);
  });

  it("a plan of which nothing was done is committed again as it is, if that helps", async () => {
    const { rig, door } = await ringWithDoors();
    const planned = await door("a").plan([{ kind: "weight", node: rig.node("c").id, weight: 2 }]);
    const planHash = planned.kind === "planned" ? planned.plan.planHash : "";
    rig.links.cut.add("a>c");
    expect(await door("a").commit(planHash)).toMatchObject({ kind: "failed", outcome: "unknown", isRetryable: true });
    expect(door("a").status().pendingPlan?.planHash).toBe(planHash);
    rig.links.cut.clear();
    expect((await door("a").commit(planHash)).kind).toBe("committed");
  });

  it("a plan that nobody commits for a quarter of an hour is forgotten", async () => {
    const { rig, door } = await ringWithDoors();
    const planned = await door("a").plan([{ kind: "weight", node: rig.node("b").id, weight: 2 }]);
    const planHash = planned.kind === "planned" ? planned.plan.planHash : "";
    await rig.clock.advance(PLAN_LIFETIME_MS - 1_000);
    expect(door("a").status().pendingPlan?.planHash).toBe(planHash);
    await rig.clock.advance(2_000);
    expect(door("a").status().pendingPlan).toBe(undefined);
    expect(await door("a").commit(planHash)).toMatchObject({
      kind: "unknown_plan",
      detail: `no plan ${planHash} was made at this node in the last 15 minutes: plan again`,
    });
  });

  it("remembers a bounded number of plans", async () => {
    const { rig, door } = await ringWithDoors();
    const hashes: string[] = [];
    for (let weight = 1; weight <= 20; weight += 1) {
      const planned = await door("a").plan([{ kind: "weight", node: rig.node("b").id, weight: weight + 1 }]);
      if (planned.kind === "planned") hashes.push(planned.plan.planHash);
    }
    expect((await door("a").commit(hashes[0] ?? "")).kind).toBe("unknown_plan");
    expect((await door("a").commit(hashes.at(-1) ?? "")).kind).toBe("committed");
  });

  it("a node that is no member sends people to one", async () => {
    const { door } = await ringWithDoors();
    expect(await door("d").plan([])).toMatchObject({ kind: "failed", outcome: "not_applied" });
    expect(await door("d").leave()).toMatchObject({ kind: "failed" });
    expect(await door("d").abort()).toMatchObject({ kind: "failed" });
  });
});

describe("leave and abort", () => {
  it("a leave that would leave fewer members than replicas is refused in words", async () => {
    const { door } = await ringWithDoors();
    expect(await door("a").leave()).toEqual({
      kind: "refused",
      refusals: ["2 members would be left, fewer than the 3 replicas of every key"],
    });
  });

  it("an abort that fails in the middle says what was done before it, and is not to be repeated as it is", async () => {
    const { rig, door } = await ringWithDoors();
    const planned = await door("a").plan([{ kind: "join", node: rig.node("d").id }]);
    if (planned.kind === "planned") await door("a").commit(planned.plan.planHash);
    await rig.node("c").operator.obey({ kind: "leave" });
    await rig.clock.advance(2_000);
    const changing =
      rig
        .node("a")
        .membership.set?.members()
        .filter(({ status }) => status !== "normal") ?? [];
    const [first, second] = changing.map(({ nodeId }) => nodeId);
    expect([first, second].toSorted()).toEqual(["c", "d"]);
    rig.links.cut.add(`a>${second}`);
    const aborted = await door("a").abort();
    expect(aborted).toMatchObject({ kind: "failed", outcome: "unknown", isRetryable: false });
    const status = first === "c" ? "normal" : "leaving";
    expect(aborted.kind === "failed" && aborted.detail).toBe(
      `node ${second}: node ${second} cannot be reached (lost); done before it: ${first} is ${status}: abort the rest by name`,
    );
  });

  it("an abort gives up whatever is under way, or says that nothing is", async () => {
    const { rig, door } = await ringWithDoors();
    expect(await door("a").abort()).toEqual({ kind: "refused", refusals: ["no member is joining or leaving"] });
    await rig.node("d").operator.obey({ kind: "join", replaces: undefined });
    await rig.clock.advance(500);
    expect(await door("a").abort(rig.node("b").id)).toEqual({
      kind: "refused",
      refusals: ["node b is neither joining nor leaving"],
    });
    expect(await door("a").abort()).toEqual({
      kind: "aborted",
      nodes: [{ node: rig.node("d").id, status: "leaving" }],
    });
  });
});
