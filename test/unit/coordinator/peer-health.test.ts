/** Whom requests ask first and last, by what gossip believes and by who answers; and that no belief makes a 503. */
import { describe, expect, test } from "vitest";
import type { PeerView } from "../../../services/coordinator/peer-health.ts";
import { FakeCluster, type Fate, knobs } from "../../support/fake-cluster.ts";

const QUICK: Fate = { thereMs: 1, backMs: 1 };
const SILENT: Fate = { thereMs: -1, backMs: -1 };

function silentAt(...nodes: readonly string[]): (from: string, to: string) => Fate {
  return (_from, to) => (nodes.includes(to) ? SILENT : QUICK);
}

/** Reads and writes by turns through node0 for so long, one each 10 ms; how many failed. */
async function traffic(cluster: FakeCluster, forMs: number): Promise<number> {
  let failedCount = 0;
  const running: Promise<void>[] = [];
  const note = (answer: { readonly kind: string }): void => {
    if (answer.kind === "failed") failedCount += 1;
  };
  for (let atMs = 0; atMs < forMs; atMs += 10) {
    const { coordinator } = cluster.node(0);
    const name = cluster.name(`key${atMs % 100}`);
    const put = { name, knobs: knobs(), context: undefined, contentType: "text/plain", bytes: Buffer.from("v") };
    running.push(coordinator.put(put).then(note), coordinator.get({ name, knobs: knobs() }).then(note));
    await cluster.clock.advance(10);
  }
  await cluster.run(Promise.all(running));
  return failedCount;
}

function toldCount(cluster: FakeCluster, node: string): number {
  return cluster.sent.filter((call) => call.to === node).length;
}

test("what is believed of a node is told as it is gone by: when it is asked, and how long its reads took", async () => {
  const cluster = new FakeCluster({
    fateOf: (_from, to) => (to === "node1" ? { thereMs: 20, backMs: 20 } : QUICK),
    stateOf: (node) => (node === "node1" ? "suspect" : node === "node3" ? "dead" : "alive"),
    nodeCount: 4,
    n: 3,
  });
  const seen = (): readonly PeerView[] =>
    cluster.node(0).coordinator.peerViews(cluster.table.members.map(({ id }) => id));
  const neverAsked = ["node1", "node2", "node3"].map((node) => ({ node, meanReadMs: 0 }));
  expect(seen().map(({ node, meanReadMs }) => ({ node, meanReadMs }))).toEqual(neverAsked);
  expect(seen().map(({ standing }) => standing)).toEqual(["doubtful", "well", "unreachable"]);
  for (let times = 0; times < 5; times += 1) await cluster.get(0, { knobs: knobs({ r: 3 }) });
  const [slow, quick] = seen();
  expect(slow?.meanReadMs).toBeGreaterThanOrEqual(40);
  expect(quick?.meanReadMs).toBeGreaterThanOrEqual(2);
  expect(quick?.meanReadMs).toBeLessThan(10);
});

describe("a node that gossip suspects", () => {
  test("is read last, and written as any other", async () => {
    const cluster = new FakeCluster({ stateOf: (node) => (node === "node1" ? "suspect" : "alive") });
    for (let times = 0; times < 5; times += 1) await cluster.get(0);
    expect(toldCount(cluster, "node1")).toBe(0);
    await cluster.put(0, "a");
    expect(toldCount(cluster, "node1")).toBe(1);
    cluster.node(2).isAway = true;
    expect((await cluster.get(0)).kind).toBe("found");
  });
});

describe("a node that gossip holds for dead", () => {
  test("is out of reach at once, though its link stands", async () => {
    const cluster = new FakeCluster({ stateOf: (node) => (node === "node0" ? "alive" : "dead") });
    expect(await cluster.put(0, "a")).toMatchObject({ kind: "failed", outcome: "not_applied" });
    expect(cluster.sent).toEqual([]);
    expect(cluster.clock.monotonicMs()).toBeLessThan(3);
  });

  test("is asked by a read that lacks its quorum without it: the belief may be wrong", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    cluster.stateOf = (node) => (node === "node0" ? "alive" : "dead");
    expect((await cluster.get(0)).kind).toBe("found");
  });
});

describe("a replica that falls silent", () => {
  test("makes no request fail at W = 2, and is told no more than now and then after a second", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    cluster.fateOf = silentAt("node1");
    expect(await traffic(cluster, 1_100)).toBe(0);
    cluster.sent.length = 0;
    expect(await traffic(cluster, 1_000)).toBe(0);
    expect(toldCount(cluster, "node1"), "a probe each 250 ms").toBeLessThanOrEqual(6);
    expect(new Set(cluster.node(0).missed.map(({ owner }) => owner))).toEqual(new Set(["node1"]));
  });

  test("is one of all again at its first answer", async () => {
    const cluster = new FakeCluster();
    cluster.fateOf = silentAt("node1");
    await traffic(cluster, 1_500);
    cluster.fateOf = () => QUICK;
    await traffic(cluster, 300);
    cluster.sent.length = 0;
    await traffic(cluster, 200);
    expect(cluster.sent.filter((call) => call.to === "node1" && call.request.kind === "store").length).toBe(20);
  });

  test("frees the reads that wait for it, though their budget of hedges is spent", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.clock.advance(10);
    cluster.fateOf = silentAt("node1");
    const many = Array.from({ length: 200 }, () =>
      cluster.node(0).coordinator.get({ name: cluster.name(), knobs: knobs({ timeoutMs: 3_000 }) }),
    );
    const all = Promise.all(many);
    const answers = await cluster.run(all);
    expect(answers.every((answer) => answer.kind === "found")).toBe(true);
    expect(cluster.clock.monotonicMs()).toBeLessThan(1_300);
  });

  test("is told of a write when those who answer do not suffice after all, before the write fails", async () => {
    const cluster = new FakeCluster();
    cluster.fateOf = silentAt("node1");
    await traffic(cluster, 1_300);
    cluster.fateOf = () => QUICK;
    cluster.node(2).replica.storeFault = "disk_full";
    cluster.sent.length = 0;
    expect(await cluster.put(0, "new")).toMatchObject({ kind: "applied", acks: { received: 2 } });
  });

  test("is told of a write when the others let wait", async () => {
    const cluster = new FakeCluster();
    cluster.fateOf = silentAt("node1");
    await traffic(cluster, 1_300);
    cluster.fateOf = silentAt("node2");
    const startMs = cluster.clock.monotonicMs();
    expect(await cluster.put(0, "new")).toMatchObject({ kind: "applied", acks: { received: 2 } });
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThan(80);
  });

  test("is told of a write that cannot be applied without it", async () => {
    const cluster = new FakeCluster();
    cluster.fateOf = silentAt("node1");
    await traffic(cluster, 1_300);
    cluster.fateOf = () => QUICK;
    cluster.node(2).isAway = true;
    expect(await cluster.put(0, "new")).toMatchObject({ kind: "applied" });
    expect((await cluster.get(0)).kind).toBe("found");
  });
});
