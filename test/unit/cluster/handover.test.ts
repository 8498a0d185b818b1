import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MAX_INCOMING_HANDOVERS } from "../../../services/base/limits.ts";
import type { HandoverMove } from "../../../services/cluster/handover-progress.ts";
import { TopicRefusal } from "../../../services/peers/peer-handler.ts";
import { FakeHandoverCluster } from "../../support/fake-handover.ts";

const PARTITIONS = 12;
let cluster: FakeHandoverCluster;

beforeEach(() => {
  cluster = new FakeHandoverCluster(5, PARTITIONS);
  for (let partition = 0; partition < PARTITIONS; partition += 1)
    cluster.place(partition, [0, 1, 2], `data ${partition}`);
});

afterEach(() => {
  for (const node of cluster.nodes) node.handover.stop();
});

/** Node 2 is to give everything to node 3. */
function leave(): void {
  for (let partition = 0; partition < PARTITIONS; partition += 1) cluster.target(partition, [0, 1, 3]);
}

const holders = (): readonly (readonly (number | undefined)[])[] =>
  Array.from({ length: PARTITIONS }, (_, partition) => cluster.holdersOf(partition));

describe("slots move to where they belong", () => {
  it("with their content, and nothing is left behind at the donor", async () => {
    leave();
    cluster.start();
    await cluster.clock.advance(20_000);

    expect(holders()).toEqual(Array.from({ length: PARTITIONS }, () => [0, 1, 3]));
    expect([...cluster.node(3).data.values()]).toEqual(Array.from({ length: PARTITIONS }, (_, p) => `data ${p}`));
    expect(cluster.node(2).data.size).toBe(0);
    expect([...cluster.node(3).held.values()]).toEqual(Array.from({ length: PARTITIONS }, () => 2));
    expect([...cluster.node(2).held.values()]).toEqual(Array.from({ length: PARTITIONS }, () => -1));
    expect(cluster.node(2).closed.size).toBe(0);
  });

  it("one at a time between two nodes, and a few in all", async () => {
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      cluster.target(partition, partition % 2 === 0 ? [0, 1, 3] : [3, 1, 2]);
    }
    cluster.start();
    await cluster.clock.advance(20_000);

    expect(cluster.mostIncoming).toBe(MAX_INCOMING_HANDOVERS);
    expect(holders().map((slots) => slots.includes(3))).toEqual(Array.from({ length: PARTITIONS }, () => true));
  });

  it("not at all while they are where they belong", async () => {
    cluster.start();
    await cluster.clock.advance(20_000);
    expect(cluster.nodes.flatMap((node) => node.asked)).toEqual([]);
  });

  it("when whoever was away is back", async () => {
    leave();
    cluster.node(2).isUp = false;
    cluster.start();
    await cluster.clock.advance(10_000);
    const { leftCount, stalled, incoming } = cluster.node(3).handover.progress();
    expect(leftCount).toBe(PARTITIONS);
    expect(stalled.map(({ why, slot }) => [why, slot])).toEqual(stalled.map(() => ["silent", undefined]));
    // each partition once that was tried: what is tried again tells why the last try failed
    const told = [...stalled, ...incoming.filter((move) => move.stalled === "silent")].map((one) => one.partition);
    expect(told.length).toBeGreaterThan(1);
    expect(new Set(told).size).toBe(told.length);

    cluster.node(2).isUp = true;
    cluster.node(2).handover.start();
    await cluster.clock.advance(30_000);
    expect(holders()).toEqual(Array.from({ length: PARTITIONS }, () => [0, 1, 3]));
  });

  it.each([0, 7, 15, 40, 90, 200])("when either side restarts after %i ms", async (ms) => {
    leave();
    cluster.start();
    await cluster.clock.advance(ms);
    cluster.restart(3);
    await cluster.clock.advance(ms);
    cluster.restart(2);
    await cluster.clock.advance(60_000);

    expect(holders()).toEqual(Array.from({ length: PARTITIONS }, () => [0, 1, 3]));
    expect(cluster.node(2).data.size).toBe(0);
  });

  it("though every answer to the receiver is lost for a while", async () => {
    leave();
    cluster.start();
    await cluster.clock.advance(9);
    cluster.cut.add("n2>n3");
    await cluster.clock.advance(20_000);
    cluster.cut.clear();
    await cluster.clock.advance(60_000);
    expect(holders()).toEqual(Array.from({ length: PARTITIONS }, () => [0, 1, 3]));
  });
});

describe("lost slots", () => {
  it("are made anew where they belong, from what the others have", async () => {
    cluster.node(2).isUp = false;
    cluster.records.removed.add(cluster.node(2).key);
    leave();
    cluster.start();
    await cluster.clock.advance(30_000);

    expect(holders()).toEqual(Array.from({ length: PARTITIONS }, () => [0, 1, 3]));
    expect(cluster.node(3).data.get(5)).toBe("data 5");
    expect(cluster.node(3).handover.progress()).toMatchObject({ mintedCount: PARTITIONS, leftCount: 0 });
  });

  it("stay lost while a member that might hold them does not answer", async () => {
    cluster.node(2).isUp = false;
    cluster.node(4).isUp = false;
    cluster.records.removed.add(cluster.node(2).key);
    leave();
    cluster.start();
    await cluster.clock.advance(60_000);
    expect(holders()[0]).toEqual([0, 1, undefined]);

    cluster.node(4).isUp = true;
    cluster.node(4).handover.start();
    await cluster.clock.advance(60_000);
    expect(holders()[0]).toEqual([0, 1, 3]);
  });
});

describe("a copy that could not be removed", () => {
  it("is tried again while whoever wanted it away still does", async () => {
    cluster.node(2).isUp = false;
    cluster.records.removed.add(cluster.node(2).key);
    leave();
    cluster.node(3).failingDropCount = 3;
    cluster.start();
    await cluster.clock.advance(60_000);
    expect(holders()).toEqual(Array.from({ length: PARTITIONS }, () => [0, 1, 3]));
    expect(cluster.node(3).data.get(5)).toBe("data 5");
  });

  it("is not removed later on, when the slot has come another way", async () => {
    const node = cluster.node(3);
    cluster.records.removed.add(cluster.node(2).key);
    cluster.target(0, [0, 1, 3]);
    node.failingDropCount = 1;
    cluster.start();
    const isFailed = (): boolean => node.logged.some(({ event }) => event === "handover.clear-failed");
    for (let ms = 0; ms < 20_000 && !isFailed(); ms += 1) await cluster.clock.advance(1);
    expect(node.handover.progress().minting).toMatchObject([{ stage: "clearing" }]);
    // the removal was of another life: the slot is there after all
    cluster.records.removed.clear();
    node.handover.review();
    await cluster.clock.advance(60_000);
    expect(holders()[0]).toEqual([0, 1, 3]);
    expect(node.data.get(0)).toBe("data 0");
  });
});

describe("a node whose disk may be an old copy", () => {
  it("neither gives nor takes a slot until another member was asked what it knows", async () => {
    leave();
    for (const index of [2, 3]) cluster.unconfirmed.add(cluster.node(index).key);
    cluster.start();
    await cluster.clock.advance(20_000);
    expect(cluster.node(3).asked).toEqual([]);
    cluster.unconfirmed.delete(cluster.node(3).key);
    await cluster.clock.advance(20_000);
    expect(holders()).toEqual(Array.from({ length: PARTITIONS }, () => [0, 1, 2]));
    cluster.unconfirmed.clear();
    await cluster.clock.advance(40_000);
    expect(holders()).toEqual(Array.from({ length: PARTITIONS }, () => [0, 1, 3]));
  });
});

describe("the handler refuses", () => {
  it("what is no request, or of no partition", async () => {
    cluster.start();
    const { handler } = cluster.node(0).handover;
    const seal = { kind: "seal", partition: PARTITIONS, from: cluster.node(1).key, tx: 1 };
    expect(await handler(cluster.node(1).nodeId, { kind: "what" })).toBeInstanceOf(TopicRefusal);
    expect(await handler(cluster.node(1).nodeId, seal)).toBeInstanceOf(TopicRefusal);
  });

  it("who speaks for another, and who is removed", async () => {
    cluster.start();
    const { handler } = cluster.node(0).handover;
    const seal = { kind: "seal", partition: 0, from: cluster.node(1).key, tx: 1 };
    expect(await handler(cluster.node(2).nodeId, seal)).toEqual({ kind: "refused", reason: "view_differs" });
    cluster.records.removed.add(cluster.node(1).key);
    expect(await handler(cluster.node(1).nodeId, seal)).toEqual({ kind: "refused", reason: "removed" });
  });

  it("everything before it is started", async () => {
    const seal = { kind: "seal", partition: 0, from: cluster.node(1).key, tx: 1 };
    expect(await cluster.node(0).handover.handler(cluster.node(1).nodeId, seal)).toBeInstanceOf(TopicRefusal);
  });
});

describe("progress", () => {
  it("says what is under way, how much came, and when it will be done", async () => {
    leave();
    cluster.start();
    const seen: HandoverMove[] = [];
    const taken: HandoverMove[] = [];
    for (let ms = 0; ms < 60; ms += 1) {
      await cluster.clock.advance(1);
      seen.push(...cluster.node(2).handover.progress().outgoing);
      taken.push(...cluster.node(3).handover.progress().incoming);
    }
    expect([...new Set(seen.map(({ peer, stage }) => `${peer} ${stage}`))]).toEqual([
      ...["n3 granting", "n3 copying", "n3 closing", "n3 sealed", "n3 releasing"],
    ]);
    // the slot that the donor has is the receiver's from the grant on, and bytes are those of the partition alone
    const given = new Map(seen.map(({ partition, slot }) => [partition, slot]));
    expect([...given.values()].every((slot) => slot !== undefined && slot >= 0)).toBe(true);
    const granted = taken.filter(({ stage }) => stage !== "asking");
    expect(granted.length).toBeGreaterThan(0);
    expect(granted.filter(({ partition, slot }) => slot !== given.get(partition))).toEqual([]);
    expect(taken.filter(({ stage, slot }) => stage === "asking" && slot !== undefined)).toEqual([]);
    expect(seen.filter((move) => move.receivedBytes !== undefined)).toEqual([]);
    const sizes = new Set(taken.filter(({ stage }) => stage === "ready").map((move) => move.receivedBytes));
    expect(sizes.size).toBeGreaterThan(0);
    expect([...sizes].every((size) => size !== undefined && size > 0 && size < 100)).toBe(true);

    const { incoming, leftCount, takenCount, receivedBytes, bytesPerSecond, etaMs } = cluster
      .node(3)
      .handover.progress();
    expect(incoming).toMatchObject([{ peer: "n2" }]);
    expect(takenCount).toBeGreaterThan(0);
    expect(leftCount + takenCount).toBe(PARTITIONS);
    expect(receivedBytes).toBeGreaterThanOrEqual(takenCount * 6);
    expect(bytesPerSecond).toBeGreaterThan(0);
    expect(etaMs).toBeGreaterThan(0);

    await cluster.clock.advance(20_000);
    expect(cluster.node(3).handover.progress()).toMatchObject({
      ...{ incoming: [], leftCount: 0, takenCount: PARTITIONS, etaMs: undefined, stalled: [] },
    });
  });
});
