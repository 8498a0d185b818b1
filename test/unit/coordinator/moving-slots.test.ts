/** Requests while slots move: what the table believes is wrong, in transit, or changes under them. */
import { describe, expect, test } from "vitest";
import type { GetAnswer } from "../../../services/coordinator/contract.ts";
import { FakeCluster, type FakeClusterOptions, knobs } from "../../support/fake-cluster.ts";

const SILENT = { thereMs: -1, backMs: -1 };

function valuesOf(answer: GetAnswer): readonly string[] {
  if (answer.kind !== "found") return [answer.kind === "failed" ? answer.code : answer.kind];
  return answer.set.siblings.map((sibling) => Buffer.from(sibling.bytes).toString()).sort();
}

/** Six nodes; the first three hold the slots, and hold `old` already. */
async function cluster(options: FakeClusterOptions = {}): Promise<FakeCluster> {
  const made = new FakeCluster({ nodeCount: 6, ...options });
  await made.put(0, "old");
  await made.clock.advance(20);
  made.sent.length = 0;
  return made;
}

function toldBy(made: FakeCluster, at: number): readonly string[] {
  return made.sent.filter((call) => call.from === `node${at}`).map((call) => `${call.request.kind} ${call.to}`);
}

async function tookMs<T>(made: FakeCluster, running: Promise<T>): Promise<number> {
  const startMs = made.clock.monotonicMs();
  await running;
  return made.clock.monotonicMs() - startMs;
}

describe("a read of a slot that has moved", () => {
  test("asks whom the refusal names, and whom that one names, at once", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    made.move(1, 3);
    made.move(3, 4);
    const answer = await made.get(0, { knobs: knobs({ explain: true }) });
    expect(valuesOf(answer)).toEqual(["old"]);
    expect(toldBy(made, 0)).toEqual(["digest node1", "digest node3", "digest node4"]);
    expect(made.clock.monotonicMs()).toBeLessThan(40);
    expect(made.node(0).coordinator.counters).toMatchObject({ movedCount: 2, holderLookCount: 0 });
    if (answer.kind !== "found") throw new Error(answer.kind);
    expect(answer.explain?.replicas.map(({ node, slot, answer: word }) => [node, slot, word])).toEqual([
      ["node0", 0, "ok"],
      ["node1", 1, "moved"],
      ["node2", 2, "not_asked"],
      ["node3", 1, "moved"],
      ["node4", 1, "ok"],
    ]);
  });

  test("does not wait for it when the other slots suffice", async () => {
    const made = await cluster();
    made.node(1).replica.slot = -1;
    expect(valuesOf(await made.get(0))).toEqual(["old"]);
    expect(toldBy(made, 0)).toEqual(["digest node1", "digest node2"]);
  });

  test("times whoever is found by looking again from when it was asked, not from when the look was planned", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    made.node(1).replica.slot = -1;
    const reading = made.get(0, { knobs: knobs({ explain: true, timeoutMs: 1_000 }) });
    made.node(3).replica.copyFrom(made.node(0).replica);
    made.clock.setTimer(15, () => {
      made.node(3).replica.slot = 1;
      made.believe(0, [
        { at: 0, slot: 0 },
        { at: 3, slot: 1 },
        { at: 2, slot: 2 },
      ]);
    });
    const answer = await reading;
    const replicas = answer.kind === "found" ? (answer.explain?.replicas ?? []) : [];
    expect(replicas.find(({ node }) => node === "node3")).toMatchObject({ answer: "ok", latencyMs: 2 });
  });

  test("goes at most three hops and then waits, and never in a circle without waiting", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    for (const [from, to] of [
      [1, 3],
      [3, 4],
      [4, 5],
      [5, 1],
    ] as const) {
      made.node(from).replica.slot = -1;
      made.node(from).replica.movedTo = made.node(to).id;
    }
    const answer = await made.get(0, { knobs: knobs({ timeoutMs: 500 }) });
    expect(valuesOf(answer)).toEqual(["quorum_not_met"]);
    expect(toldBy(made, 0).slice(0, 4)).toEqual(["digest node1", "digest node3", "digest node4", "digest node5"]);
    expect(made.sent.length, "four at once, then at most four after each wait of 20 to 100 ms").toBeLessThanOrEqual(
      100,
    );
    expect(made.node(0).coordinator.counters.holderLookCount).toBeGreaterThanOrEqual(4);
  });

  test("ends soon after the slot in transit has arrived", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    void made.handOver(1, 3, 300);
    await made.clock.advance(5);
    const reading = made.get(0);
    expect(await tookMs(made, reading)).toBeLessThan(300 + 110);
    expect(valuesOf(await reading)).toEqual(["old"]);
  });

  test("asks whom a newer table names for it", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    made.move(1, 4);
    made.node(1).replica.movedTo = undefined;
    const reading = made.get(0);
    made.clock.setTimer(200, () =>
      made.believe(0, [
        { at: 0, slot: 0 },
        { at: 4, slot: 1 },
        { at: 2, slot: 2 },
      ]),
    );
    expect(await tookMs(made, reading)).toBeLessThan(200 + 110);
    expect(valuesOf(await reading)).toEqual(["old"]);
  });

  test("counts a slot once that two nodes claim, and keeps looking for the one that nobody names", async () => {
    const made = await cluster();
    made.node(0).isAway = true;
    made.node(4).replica.slot = 1;
    made.node(4).replica.copyFrom(made.node(1).replica);
    made.believe(5, [
      { at: 0, slot: 0 },
      { at: 1, slot: 1 },
      { at: 4, slot: 2 },
    ]);
    expect(valuesOf(await made.get(5, { knobs: knobs({ timeoutMs: 300 }) }))).toEqual(["quorum_not_met"]);
    const reading = made.get(5);
    made.clock.setTimer(150, () =>
      made.believe(5, [
        { at: 0, slot: 0 },
        { at: 1, slot: 1 },
        { at: 2, slot: 2 },
      ]),
    );
    expect(valuesOf(await reading)).toEqual(["old"]);
  });

  test("through the pending node itself waits for its own slot", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    made.believe(3, [
      { at: 0, slot: 0 },
      { at: 3, slot: 1 },
      { at: 2, slot: 2 },
    ]);
    void made.handOver(1, 3, 200);
    await made.clock.advance(5);
    const reading = made.get(3);
    expect(await tookMs(made, reading)).toBeLessThan(310);
    expect(valuesOf(await reading)).toEqual(["old"]);
  });

  test("does not count a local read during which the slot went away", async () => {
    const made = await cluster();
    for (const at of [1, 2]) made.node(at).isAway = true;
    const { replica } = made.node(0);
    replica.readDelayMs = 10;
    const reading = made.get(0, { knobs: knobs({ r: 1, timeoutMs: 200 }) });
    made.clock.setTimer(5, () => {
      replica.slot = -1;
      replica.held.clear();
    });
    expect(valuesOf(await reading)).toEqual(["quorum_not_met"]);
  });
});

describe("a write of a slot that has moved", () => {
  test("tells whom the refusal names in that one's place", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    made.move(1, 3);
    const answer = await made.put(0, "new", { knobs: knobs({ explain: true }) });
    expect(answer).toMatchObject({ kind: "applied", acks: { received: 2, owners: 2 } });
    expect(toldBy(made, 0)).toEqual(["store node1", "store node3"]);
    expect(made.node(0).missed.map((missed) => missed.owner)).toEqual(["node2"]);
  });

  test("is taken to the new holder after its answer too", async () => {
    const made = await cluster();
    void made.handOver(2, 3, 150);
    await made.clock.advance(5);
    expect(await made.put(0, "new")).toMatchObject({ kind: "applied", acks: { received: 2 } });
    await made.clock.advance(300);
    expect(made.node(3).replica.everStored.length).toBeGreaterThan(1);
    expect(made.node(0).missed).toEqual([]);
    expect(valuesOf(await made.get(4, { knobs: knobs({ r: 3 }) }))).toEqual(["new"]);
  });

  test("waits for a slot in transit, and is applied when it arrives", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    void made.handOver(1, 3, 300);
    await made.clock.advance(5);
    const writing = made.put(0, "new");
    expect(await tookMs(made, writing)).toBeLessThan(300 + 110);
    expect(await writing).toMatchObject({ kind: "applied", acks: { received: 2 } });
  });

  test("is unknown at its deadline, and a hint is due, when the slot stays nobody's", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    made.node(1).replica.slot = -1;
    const writing = made.put(0, "new", { knobs: knobs({ timeoutMs: 300 }) });
    expect(await tookMs(made, writing)).toBeLessThanOrEqual(310);
    expect(await writing).toMatchObject({ kind: "failed", outcome: "unknown", received: 1 });
    expect(
      made
        .node(0)
        .missed.map((missed) => missed.owner)
        .sort(),
    ).toEqual(["node1", "node2"]);
  });

  test("is not applied, and tells nobody more, when all that were told refused it", async () => {
    const made = await cluster();
    for (const at of [1, 2]) made.node(at).replica.slot = -1;
    made.node(0).replica.appendFault = "disk_full";
    const answer = await made.put(0, "new", { knobs: knobs({ timeoutMs: 300 }) });
    expect(answer).toMatchObject({ kind: "failed", outcome: "not_applied" });
    const sentCount = made.sent.length;
    await made.clock.advance(1_000);
    expect(made.sent.length).toBe(sentCount);
    expect(made.nodes.flatMap((node) => node.missed)).toEqual([]);
  });

  test("counts a slot once that two nodes claim", async () => {
    const made = await cluster();
    made.node(4).replica.slot = 0;
    for (const at of [1, 2]) made.node(at).isAway = true;
    made.believe(0, [
      { at: 0, slot: 0 },
      { at: 4, slot: 1 },
      { at: 2, slot: 2 },
    ]);
    const answer = await made.put(0, "new", { knobs: knobs({ timeoutMs: 300 }) });
    expect(answer).toMatchObject({ kind: "failed", outcome: "unknown", received: 1 });
  });

  test("counts the slots that replies name, though the table has them crosswise", async () => {
    const made = await cluster();
    made.believe(0, [
      { at: 0, slot: 0 },
      { at: 2, slot: 1 },
      { at: 1, slot: 2 },
    ]);
    expect(await made.put(0, "new", { knobs: knobs({ w: 3 }) })).toMatchObject({
      kind: "applied",
      acks: { received: 3 },
    });
  });

  test("is applied though the table names this node or another one twice, and this node never calls itself", async () => {
    for (const twice of [0, 1]) {
      const made = await cluster();
      made.believe(0, [
        { at: 0, slot: 0 },
        { at: 1, slot: 1 },
        { at: twice, slot: 2 },
      ]);
      expect(await made.put(0, "new")).toMatchObject({ kind: "applied", acks: { received: 2 } });
      expect(valuesOf(await made.get(0))).toEqual(["new"]);
      expect(made.sent.filter((call) => call.from === call.to)).toEqual([]);
    }
  });

  test("does not count a slot beyond the bucket's n", async () => {
    const made = await cluster({ settings: { n: 2, r: 2, w: 2 } });
    made.node(1).isAway = true;
    made.believe(0, [
      { at: 0, slot: 0 },
      { at: 2, slot: 1 },
      { at: 1, slot: 2 },
    ]);
    const answer = await made.put(0, "new", { knobs: knobs({ timeoutMs: 300 }) });
    expect(answer).toMatchObject({ kind: "failed", outcome: "unknown", received: 1 });
  });

  test("is refused at once when the slots within reach do not suffice, though nodes do", async () => {
    const made = await cluster();
    for (const at of [1, 2]) made.node(at).isAway = true;
    made.believe(0, [
      { at: 4, slot: 0 },
      { at: 1, slot: 1 },
      { at: 2, slot: 2 },
    ]);
    expect(await made.put(0, "new")).toMatchObject({ kind: "failed", outcome: "not_applied" });
    expect(made.sent).toEqual([]);
  });
});

describe("a write that this node cannot coordinate any more", () => {
  test("waits while its partition is sealed, then goes to whom the slot went, and is applied there", async () => {
    const made = await cluster();
    void made.handOver(0, 3, 0);
    const answer = await made.put(0, "new", { knobs: knobs({ explain: true }) });
    expect(answer).toMatchObject({ kind: "applied", acks: { received: 2 }, explain: { forwardedTo: "node3" } });
    expect(made.node(0).replica.everStored.length, "nothing was minted here").toBe(1);
  });

  test("is forwarded to whom the refusal of an owner names, by the first node alone", async () => {
    const made = await cluster();
    for (const [from, to] of [
      [0, 3],
      [1, 4],
    ] as const)
      made.move(from, to);
    made.node(2).replica.slot = -1;
    const answer = await made.put(5, "new", { knobs: knobs({ w: 1, explain: true }) });
    expect(answer).toMatchObject({ kind: "applied" });
    const asks = made.sent.filter((call) => call.request.kind === "ask");
    expect(new Set(asks.map((call) => call.from))).toEqual(new Set(["node5"]));
    expect(asks.length).toBeLessThanOrEqual(3);
  });

  test("is coordinated here when the slot arrives here meanwhile", async () => {
    const made = await cluster();
    for (const at of [1, 2]) made.node(at).replica.storeFault = "disk_full";
    const writing = made.put(3, "new", { knobs: knobs({ w: 1, explain: true }) });
    void made.handOver(0, 3, 150);
    expect(await tookMs(made, writing)).toBeLessThan(300);
    expect(await writing).toMatchObject({ kind: "applied", explain: { coordinator: "node3" } });
  });

  test("is not applied at its deadline when no node holds a slot, whoever points at whom", async () => {
    const made = await cluster();
    for (const [from, to] of [
      [0, 1],
      [1, 2],
      [2, 0],
    ] as const) {
      made.node(from).replica.slot = -1;
      made.node(from).replica.movedTo = made.node(to).id;
    }
    const writing = made.put(5, "new", { knobs: knobs({ timeoutMs: 400 }) });
    expect(await tookMs(made, writing)).toBeGreaterThanOrEqual(300);
    expect(await writing).toMatchObject({ kind: "failed", outcome: "not_applied", code: "quorum_not_met" });
    expect(made.sent.length).toBeLessThanOrEqual(66);
  });
});

describe("a holder that was found on the way", () => {
  test("is tried again while its link is under way", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    made.move(1, 3);
    made.node(3).isAway = true;
    const writing = made.put(0, "new");
    const reading = made.get(0);
    made.clock.setTimer(200, () => {
      made.node(3).isAway = false;
    });
    expect(await writing).toMatchObject({ kind: "applied" });
    expect((await reading).kind).toBe("found");
    expect(made.clock.monotonicMs()).toBeLessThan(400);
  });

  test("is not asked a second time when it falls silent", async () => {
    const made = await cluster();
    made.node(2).isAway = true;
    made.move(1, 3);
    made.fateOf = (_from, to) => (to === "node3" ? SILENT : { thereMs: 1, backMs: 1 });
    expect(await made.put(0, "new", { knobs: knobs({ timeoutMs: 300 }) })).toMatchObject({ outcome: "unknown" });
    expect(toldBy(made, 0)).toEqual(["store node1", "store node3"]);
  });
});
