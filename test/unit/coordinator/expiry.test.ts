/** Times to live through whole coordinators: who decides the end, and what is seen afterwards. */
import { describe, expect, test } from "vitest";
import { FakeCluster, knobs } from "../../support/fake-cluster.ts";

const nowMs = (cluster: FakeCluster): number => Math.floor(cluster.clock.wallMicros() / 1_000);

async function keysAt(cluster: FakeCluster, at: number): Promise<readonly string[]> {
  const request = { bucket: cluster.name().bucket, limit: 100, from: 0n, prefix: new Uint8Array(0), timeoutMs: 2_000 };
  const answer = await cluster.run(cluster.node(at).coordinator.list(request));
  if (answer.kind !== "page") throw new Error(answer.detail);
  return answer.keys.map((key) => Buffer.from(key).toString());
}

describe("a value with a time to live", () => {
  test("is there until its time is over, and then answers as deleted, with a context to follow", async () => {
    const cluster = new FakeCluster();
    const startMs = nowMs(cluster);
    const written = await cluster.put(0, "v", { ttlSeconds: 5 });
    if (written.kind !== "applied" || written.expiresAtMs === undefined) throw new Error("not applied with an end");
    expect(written.expiresAtMs - startMs).toBeGreaterThanOrEqual(5_000);
    expect(await cluster.get(1)).toMatchObject({
      kind: "found",
      set: { siblings: [{ expiresAtMs: written.expiresAtMs }] },
    });
    await cluster.clock.advance(5_000);
    const gone = await cluster.get(1);
    expect(gone).toMatchObject({ kind: "deleted", expiredAtMs: written.expiresAtMs });
    if (gone.kind !== "deleted") throw new Error("not deleted");
    expect(await cluster.put(2, "again", { context: gone.context })).toMatchObject({
      kind: "applied",
      siblingCount: 1,
    });
    expect(await cluster.get(0)).toMatchObject({ kind: "found", set: { siblings: [{ expiresAtMs: 0 }] } });
  });

  test("costs no repair when its time is over", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "v", { ttlSeconds: 1, knobs: knobs({ w: "all" }) });
    await cluster.clock.advance(2_000);
    for (const at of [0, 1, 2]) await cluster.get(at, { knobs: knobs({ r: "all" }) });
    expect(cluster.nodes.flatMap((node) => node.repairs)).toEqual([]);
  });

  test("has the bucket's unless the write says another one, or none", async () => {
    const cluster = new FakeCluster({ settings: { ttlSeconds: 100 } });
    const startMs = nowMs(cluster);
    const byBucket = await cluster.put(0, "v");
    const own = await cluster.put(0, "v", { ttlSeconds: 7 });
    const endless = await cluster.put(0, "v", { ttlSeconds: 0 });
    const lifeMs = (answer: typeof own): number =>
      answer.kind === "applied" && answer.expiresAtMs !== undefined ? answer.expiresAtMs - startMs : 0;
    expect(Math.round(lifeMs(byBucket) / 1_000)).toBe(100);
    expect(Math.round(lifeMs(own) / 1_000)).toBe(7);
    expect(lifeMs(endless)).toBe(0);
    expect(await cluster.get(0)).toMatchObject({ kind: "found", set: { siblings: [{ expiresAtMs: 0 }] } });
  });

  test("gets its end from the one who mints: a write that is handed on carries seconds, never a date", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    const answer = await cluster.put(3, "v", { ttlSeconds: 9 });
    const asked = cluster.sent.find((one) => one.from === cluster.node(3).id && one.request.kind === "ask");
    expect(asked?.request).toMatchObject({ body: { ttlSeconds: 9 } });
    expect(JSON.stringify(asked?.request)).not.toContain("expiresAt");
    const read = await cluster.get(0);
    if (answer.kind !== "applied" || read.kind !== "found") throw new Error("not there");
    expect(read.set.siblings[0]?.expiresAtMs).toBe(answer.expiresAtMs);
  });

  test("leaves its living siblings alone", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "short", { ttlSeconds: 1, blind: "sibling" });
    await cluster.put(0, "long", { blind: "sibling" });
    await cluster.clock.advance(1_500);
    const read = await cluster.get(0);
    if (read.kind !== "found") throw new Error("not found");
    expect(read.set.siblings.map((one) => Buffer.from(one.bytes).toString())).toEqual(["long"]);
  });

  test("is not listed once its time is over, at any node", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    const all = knobs({ w: "all" });
    await cluster.put(0, "v", { name: cluster.name("short"), ttlSeconds: 2, knobs: all });
    await cluster.put(0, "v", { name: cluster.name("long"), ttlSeconds: 1_000, knobs: all });
    await cluster.put(0, "v", { name: cluster.name("endless"), knobs: all });
    for (const at of [0, 3]) expect((await keysAt(cluster, at)).toSorted()).toEqual(["endless", "long", "short"]);
    await cluster.clock.advance(3_000);
    for (const at of [0, 3]) expect((await keysAt(cluster, at)).toSorted()).toEqual(["endless", "long"]);
  });
});

describe("a reader who has seen what was collected since", () => {
  test("is answered that nothing is there, not that everybody is behind", async () => {
    const cluster = new FakeCluster();
    const written = await cluster.put(0, "v");
    const gone = await cluster.delete(0);
    if (written.kind !== "applied" || gone.kind !== "applied") throw new Error("not applied");
    for (const node of cluster.nodes) node.replica.held.clear();
    expect(await cluster.get(1, { atLeast: gone.context })).toMatchObject({ kind: "failed", code: "stale" });
    // old, but by no proof: whoever has it is away
    await cluster.clock.advance(3_600_001);
    expect(await cluster.get(1, { atLeast: gone.context })).toMatchObject({ kind: "failed", code: "stale" });
    cluster.collectedThrough = cluster.clock.wallMicros() - 3_600_000_000;
    expect(await cluster.get(1, { atLeast: gone.context })).toEqual({ kind: "not_found" });
  });
});
