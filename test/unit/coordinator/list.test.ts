/** Listings: hash order, stable cursor, prefixes, short pages, owners that fail. */
import { describe, expect, test } from "vitest";
import { xxh64 } from "../../../services/base/hash.ts";
import { LIST_SCAN_MS } from "../../../services/base/limits.ts";
import type { ListAnswer, ListRequest } from "../../../services/coordinator/contract.ts";
import { FakeCluster } from "../../support/fake-cluster.ts";

function request(cluster: FakeCluster, changed: Partial<ListRequest> = {}): ListRequest {
  return {
    bucket: cluster.name().bucket,
    limit: 10,
    from: 0n,
    prefix: new Uint8Array(0),
    timeoutMs: 2_000,
    ...changed,
  };
}

function pageOf(answer: ListAnswer): Extract<ListAnswer, { kind: "page" }> {
  if (answer.kind !== "page") throw new Error(answer.detail);
  return answer;
}

async function listAll(cluster: FakeCluster, at: number, changed: Partial<ListRequest> = {}): Promise<string[]> {
  const keys: string[] = [];
  let from: bigint | undefined = 0n;
  for (let pages = 0; from !== undefined && pages < 200; pages += 1) {
    const list = cluster.node(at).coordinator.list(request(cluster, { ...changed, from }));
    const page = pageOf(await cluster.run(list));
    keys.push(...page.keys.map((key) => Buffer.from(key).toString()));
    from = page.next;
  }
  expect(from).toBeUndefined();
  return keys;
}

async function filled(cluster: FakeCluster, count: number): Promise<readonly string[]> {
  const keys = Array.from({ length: count }, (_, at) => `${at % 2 === 0 ? "even" : "odd"}/${at}`);
  for (const key of keys) await cluster.put(0, "v", { name: cluster.name(key) });
  await cluster.put(0, "v", { name: cluster.name("elsewhere", "other") });
  await cluster.clock.advance(10);
  const hashOf = (key: string): bigint => xxh64(Buffer.from(`carts\0${key}`));
  return keys.toSorted((a, b) => (hashOf(a) < hashOf(b) ? -1 : 1));
}

describe("a listing", () => {
  test("shows every key of the bucket once, in hash order, page by page", async () => {
    const cluster = new FakeCluster();
    const keys = await filled(cluster, 60);
    for (const limit of [1, 7, 60, 1_000]) expect(await listAll(cluster, 0, { limit })).toEqual(keys);
  });

  test("keeps to a prefix", async () => {
    const cluster = new FakeCluster();
    const keys = await filled(cluster, 40);
    const prefix = Buffer.from("odd/");
    expect(await listAll(cluster, 0, { limit: 3, prefix })).toEqual(keys.filter((key) => key.startsWith("odd/")));
  });

  test("skips what was deleted", async () => {
    const cluster = new FakeCluster();
    const keys = await filled(cluster, 10);
    await cluster.delete(0, { name: cluster.name(keys[3]) });
    await cluster.clock.advance(10);
    expect(await listAll(cluster, 0)).toEqual(keys.filter((_, at) => at !== 3));
  });

  test("through a node that owns nothing asks an owner, and another when that one fails", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    const keys = await filled(cluster, 30);
    expect(await listAll(cluster, 3)).toEqual(keys);
    cluster.node(0).isAway = true;
    cluster.node(1).replica.slot = -1;
    expect(await listAll(cluster, 3)).toEqual(keys);
  });

  test("gives the same cursor a meaning on every node", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    const keys = await filled(cluster, 30);
    const first = pageOf(await cluster.run(cluster.node(1).coordinator.list(request(cluster, { limit: 11 }))));
    const rest = request(cluster, { limit: 100, from: first.next ?? 0n });
    const second = pageOf(await cluster.run(cluster.node(3).coordinator.list(rest)));
    expect([...first.keys, ...second.keys].map((key) => Buffer.from(key).toString())).toEqual(keys);
  });

  test("never passes over a partition that nobody answers for", async () => {
    const cluster = new FakeCluster({ nodeCount: 4 });
    await filled(cluster, 5);
    for (const at of [0, 1, 2]) cluster.node(at).isAway = true;
    const answer = await cluster.run(cluster.node(3).coordinator.list(request(cluster)));
    expect(answer).toMatchObject({ kind: "failed", code: "quorum_not_met", retryable: true });
  });

  test("goes to whom the slots went, page by page, and shows every key once", async () => {
    const cluster = new FakeCluster({ nodeCount: 6 });
    const keys = await filled(cluster, 40);
    const shown: string[] = [];
    let from: bigint | undefined = 0n;
    const moves = [
      [0, 3],
      [1, 4],
      [2, 5],
      [3, 0],
      [5, 1],
    ] as const;
    for (let page = 0; from !== undefined && page < 100; page += 1) {
      const move = moves[page];
      if (move !== undefined) {
        cluster.move(move[0], move[1]);
        cluster.node(move[0]).replica.held.clear();
      }
      const found = pageOf(
        await cluster.run(cluster.node(page % 6).coordinator.list(request(cluster, { limit: 4, from }))),
      );
      shown.push(...found.keys.map((key) => Buffer.from(key).toString()));
      from = found.next;
    }
    expect(shown).toEqual(keys);
  });

  test("waits for slots in transit, and takes the table of then", async () => {
    const cluster = new FakeCluster({ nodeCount: 6 });
    const keys = await filled(cluster, 10);
    for (const at of [0, 1]) cluster.node(at).isAway = true;
    void cluster.handOver(2, 4, 200);
    await cluster.clock.advance(5);
    cluster.clock.setTimer(150, () =>
      cluster.believe(3, [
        { at: 0, slot: 0 },
        { at: 1, slot: 1 },
        { at: 4, slot: 2 },
      ]),
    );
    expect(await listAll(cluster, 3)).toEqual(keys);
    expect(cluster.clock.monotonicMs()).toBeLessThan(500);
  });

  test("shows nothing of a partition whose slot went away while it was read", async () => {
    const cluster = new FakeCluster({ nodeCount: 6 });
    const keys = await filled(cluster, 10);
    cluster.node(0).onScan = () => {
      cluster.node(0).onScan = undefined;
      cluster.move(0, 3);
      cluster.node(0).replica.held.clear();
    };
    expect(await listAll(cluster, 0)).toEqual(keys);
  });

  test("works for a page as long as it may, whatever time the client gives, and loses no key by that", async () => {
    const cluster = new FakeCluster();
    const keys = await filled(cluster, 60);
    const [stepMs, node] = [20, cluster.node(0)];
    const plain = cluster.clock.monotonicMs.bind(cluster.clock);
    let workedMs = 0;
    cluster.clock.monotonicMs = () => plain() + workedMs;
    node.onScan = () => {
      workedMs += stepMs;
    };
    const page = pageOf(
      await cluster.run(node.coordinator.list(request(cluster, { limit: 1_000, timeoutMs: 30_000 }))),
    );
    expect(workedMs).toBe(LIST_SCAN_MS);
    expect(page.next).toBeDefined();
    expect(page.keys.length).toBeLessThan(keys.length);
    expect(await listAll(cluster, 0, { limit: 1_000, timeoutMs: 30_000 })).toEqual(keys);
  });

  test("ends at its deadline", async () => {
    const cluster = new FakeCluster({ nodeCount: 4, fateOf: () => ({ thereMs: -1, backMs: -1 }) });
    const answer = await cluster.run(cluster.node(3).coordinator.list(request(cluster, { timeoutMs: 200 })));
    expect(answer).toMatchObject({ kind: "failed", code: "quorum_not_met" });
    expect(cluster.clock.monotonicMs()).toBeLessThanOrEqual(210);
  });

  test("asks another owner when this node's store cannot be read", async () => {
    const cluster = new FakeCluster();
    const keys = await filled(cluster, 10);
    cluster.node(0).scanFails = true;
    expect(await listAll(cluster, 0)).toEqual(keys);
  });

  test("prefers a whole store over one that may have lost keys", async () => {
    const cluster = new FakeCluster();
    const keys = await filled(cluster, 10);
    cluster.node(0).replica.held.clear();
    cluster.node(0).replica.isSuspectStore = true;
    expect(await listAll(cluster, 0)).toEqual(keys);
  });
});
