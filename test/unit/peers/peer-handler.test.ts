import { describe, expect, test } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import type { Log, LogFacts } from "../../../services/base/ports.ts";
import type { PeerReply, PeerRequest } from "../../../services/peers/messages.ts";
import {
  PeerRequests,
  type ServedReplica,
  type ServedStandIns,
  TopicRefusal,
} from "../../../services/peers/peer-handler.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const KEY = { partition: 3, hash: 5n, key: new TextEncoder().encode("b\0k") };
const STORE: PeerRequest = { kind: "store", key: KEY, baseDigest: 1n, digest: 2n, object: Uint8Array.of(9) };
const FROM = nodeIdOf("a");

class World {
  readonly touched: string[] = [];
  readonly errors: LogFacts[] = [];
  readonly clock = new FakeClock();
  readonly requests: PeerRequests;
  readonly removed = new Set<NodeId>();

  constructor(replica: Partial<ServedReplica> = {}, standIns?: ServedStandIns) {
    const touch = (name: string): void => {
      this.touched.push(name);
    };
    const silent = (): void => {};
    const log: Log = { debug: silent, info: silent, warn: silent, error: (facts) => this.errors.push(facts) };
    this.requests = new PeerRequests({
      log,
      clock: this.clock,
      isRemoved: (node) => this.removed.has(node),
      ...(standIns === undefined ? {} : { standIns }),
      replica: {
        slotOf: (partition) => (partition === 3 ? 2 : -1),
        isSuspect: () => true,
        digestOf: () => {
          touch("digest");
          return 77n;
        },
        readEncoded: () => {
          touch("read");
          return { kind: "object", object: Uint8Array.of(1) };
        },
        store: async () => {
          touch("store");
          return { kind: "stored", digest: 2n, isDurable: true };
        },
        ...replica,
      },
    });
  }

  /** The replies that have come when all promises have settled. */
  async ask(request: PeerRequest, budgetMs = 100): Promise<readonly PeerReply[]> {
    const replies: PeerReply[] = [];
    this.requests.handle(FROM, request, budgetMs, (reply) => replies.push(reply));
    await new Promise((fulfil) => {
      setImmediate(fulfil);
    });
    return replies;
  }
}

test("what is hidden is not read from the disk; nor told, when it was hidden while it was read", async () => {
  const nothing = [{ kind: "object", slot: 2, object: undefined, isSuspect: true }];
  const world = new World({ isHidden: () => true });
  expect(await world.ask({ kind: "fetch", key: KEY })).toEqual(nothing);
  expect(world.touched).toEqual([]);
  let isHidden = false;
  const later = new World({
    isHidden: () => isHidden,
    readEncoded: async () => {
      isHidden = true;
      return { kind: "object", object: Uint8Array.of(1) };
    },
  });
  expect(await later.ask({ kind: "fetch", key: KEY })).toEqual(nothing);
});

test("a store is told how much time is left, for it may wait for its key", async () => {
  const budgets: (number | undefined)[] = [];
  const world = new World({
    store: async (_key, version) => {
      budgets.push(version.budgetMs);
      return { kind: "stored", digest: version.digest, isDurable: true };
    },
  });
  await world.ask(STORE, 77);
  expect(budgets).toEqual([77]);
});

test("a removed node is served no key, and still hears what else it asks", async () => {
  const world = new World();
  world.removed.add(FROM);
  world.requests.registerTopic("news", async () => "you were removed");
  for (const request of [STORE, { kind: "fetch", key: KEY }, { kind: "digest", key: KEY }] as const) {
    expect(await world.ask(request)).toMatchObject([{ kind: "refused", reason: "not_ready" }]);
  }
  expect(world.touched).toEqual([]);
  expect(await world.ask({ kind: "ask", topic: "news", body: null })).toEqual([
    { kind: "answer", body: "you were removed" },
  ]);
});

test("a digest is answered within the call, with its slot", () => {
  const replies: PeerReply[] = [];
  new World().requests.handle(FROM, { kind: "digest", key: KEY }, 100, (reply) => replies.push(reply));
  expect(replies).toEqual([{ kind: "digest", slot: 2, digest: 77n, isSuspect: true }]);
});

test("an object and a store are answered with their slot", async () => {
  const world = new World();
  expect(await world.ask({ kind: "fetch", key: KEY })).toEqual([
    { kind: "object", slot: 2, object: Uint8Array.of(1), isSuspect: true },
  ]);
  expect(await world.ask(STORE)).toEqual([{ kind: "stored", slot: 2, digest: 2n, isDurable: true }]);
});

test.each<PeerRequest>([
  { kind: "digest", key: KEY },
  { kind: "fetch", key: KEY },
  STORE,
  { kind: "ask", topic: "t", body: 1 },
])("$kind with no time left is refused as expired and touches nothing", async (request) => {
  const world = new World();
  world.requests.registerTopic("t", async () => world.touched.push("topic"));
  expect(await world.ask(request, 0)).toMatchObject([{ kind: "refused", reason: "expired" }]);
  expect(world.touched).toEqual([]);
});

test.each<PeerRequest>([
  { kind: "digest", key: { ...KEY, partition: 4 } },
  { kind: "fetch", key: { ...KEY, partition: 4 } },
  { ...STORE, key: { ...KEY, partition: 4 } },
])("$kind for a partition of which no slot is held is refused and touches nothing", async (request) => {
  const world = new World();
  expect(await world.ask(request)).toMatchObject([{ kind: "refused", reason: "not_owner" }]);
  expect(world.touched).toEqual([]);
});

test("a partition whose slot has gone is refused with the node that it went to", async () => {
  const gone = { kind: "refused", reason: "moved", detail: "it went", facts: { to: "b" } } as const;
  const moved = [{ kind: "refused", reason: "moved", detail: "it went", to: nodeIdOf("b") }];
  const without = new World({ slotOf: () => -1, refusalOf: () => gone });
  for (const request of [{ kind: "digest", key: KEY }, { kind: "fetch", key: KEY }, STORE] as const) {
    expect(await without.ask(request)).toEqual(moved);
  }
  expect(without.touched).toEqual([]);
  const sealed = new World({ store: async () => gone, readEncoded: () => gone });
  for (const request of [{ kind: "fetch", key: KEY }, STORE] as const) expect(await sealed.ask(request)).toEqual(moved);
  const topics = new World();
  topics.requests.registerTopic("t", async () => new TopicRefusal("moved", "it went", nodeIdOf("b")));
  expect(await topics.ask({ kind: "ask", topic: "t", body: 1 })).toEqual(moved);
});

test("an object that was read while the slot went is no answer for the slot: the key may have gone with it", async () => {
  let slot = 2;
  const read = async (): Promise<{ readonly kind: "object"; readonly object: undefined }> => {
    slot = -1;
    return { kind: "object", object: undefined };
  };
  const world = new World({ slotOf: () => slot, readEncoded: read });
  expect(await world.ask({ kind: "fetch", key: KEY })).toMatchObject([{ kind: "refused", reason: "not_owner" }]);
});

test("a store that ends in another slot than it began in counts for none, in none for the one it was in", async () => {
  let slot = 2;
  const storing = (slotAfter: number): World =>
    new World({
      slotOf: () => slot,
      store: async () => {
        slot = slotAfter;
        return { kind: "stored", digest: 2n, isDurable: true };
      },
    });
  expect(await storing(1).ask(STORE)).toMatchObject([{ kind: "stored", slot: -1 }]);
  slot = 2;
  expect(await storing(-1).ask(STORE)).toMatchObject([{ kind: "stored", slot: 2 }]);
});

test("what the replica refuses or fails at is passed on in its words", async () => {
  const refusing = new World({
    readEncoded: async () => ({ kind: "refused", reason: "corrupt_record", detail: "crc" }),
    store: async () => ({ kind: "refused", reason: "disk_full", detail: "no space" }),
  });
  expect(await refusing.ask({ kind: "fetch", key: KEY })).toEqual([
    { kind: "refused", reason: "corrupt_record", detail: "crc" },
  ]);
  expect(await refusing.ask(STORE)).toEqual([{ kind: "refused", reason: "disk_full", detail: "no space" }]);
  const failing = new World({ store: async () => ({ kind: "failed", detail: "EIO" }) });
  expect(await failing.ask(STORE)).toEqual([{ kind: "failed", detail: "EIO" }]);
});

test("errors never escape: the reply is failed, the log has the reason", async () => {
  const planted = new Error("planted");
  const world = new World({
    digestOf: () => {
      throw planted;
    },
    readEncoded: () => Promise.reject(planted),
    store: () => Promise.reject(planted),
  });
  world.requests.registerTopic("t", () => Promise.reject(planted));
  world.requests.registerTopic("sync", () => {
    throw planted;
  });
  const requests: readonly PeerRequest[] = [
    { kind: "digest", key: KEY },
    { kind: "fetch", key: KEY },
    STORE,
    { kind: "ask", topic: "t", body: 1 },
    { kind: "ask", topic: "sync", body: 1 },
  ];
  for (const request of requests) {
    expect(await world.ask(request)).toEqual([{ kind: "failed", detail: "internal error" }]);
  }
  expect(world.errors).toHaveLength(requests.length);
  expect(world.errors[0]).toMatchObject({ event: "peers.request-failed", error: planted });
});

test("a topic's handler gets sender, body and budget; it answers or refuses", async () => {
  const world = new World();
  world.requests.registerTopic("echo", async (from, body, budgetMs) => ({ from, body, budgetMs }));
  world.requests.registerTopic("busy", async () => new TopicRefusal("overloaded", "later"));
  expect(await world.ask({ kind: "ask", topic: "echo", body: [1] }, 500)).toEqual([
    { kind: "answer", body: { from: FROM, body: [1], budgetMs: 500 } },
  ]);
  expect(await world.ask({ kind: "ask", topic: "busy", body: 1 })).toEqual([
    { kind: "refused", reason: "overloaded", detail: "later" },
  ]);
  expect(await world.ask({ kind: "ask", topic: "none", body: 1 })).toMatchObject([{ reason: "unknown_topic" }]);
  expect(() => world.requests.registerTopic("echo", async () => 1)).toThrow(RangeError);
});

test("a node that is stopping still tells digests, and refuses the rest", async () => {
  const world = new World();
  world.requests.stop();
  expect(await world.ask({ kind: "digest", key: KEY })).toMatchObject([{ kind: "digest" }]);
  expect(await world.ask(STORE)).toMatchObject([{ reason: "shutting_down" }]);
  expect(world.touched).toEqual(["digest"]);
});

describe("a request for a stand-in", () => {
  const place = { slot: 1, n: 3 };
  const away = { ...KEY, partition: 4 };
  const requests = [
    { kind: "digest", key: away, standIn: place },
    { kind: "fetch", key: away, standIn: place },
    { ...STORE, key: away, standIn: place },
  ] as const;

  function standIns(changed: Partial<ServedStandIns> = {}): ServedStandIns {
    return {
      digestOf: () => 5n,
      readEncoded: async () => ({ kind: "object", object: undefined }),
      store: async (_key, _slot, { digest }) => ({ kind: "stored", digest, isDurable: true }),
      ...changed,
    };
  }

  test("is answered by the hints, for the slot that was asked, and says so", async () => {
    const stored: unknown[] = [];
    const kept = standIns({
      store: async (_key, slot, version) => {
        stored.push([slot, version.budgetMs]);
        return { kind: "stored", digest: 9n, isDurable: true };
      },
    });
    const world = new World({}, kept);
    expect((await Promise.all(requests.map((request) => world.ask(request, 55)))).flat()).toEqual([
      { kind: "digest", slot: 1, digest: 5n, isSuspect: false, isStandIn: true },
      { kind: "object", slot: 1, object: undefined, isSuspect: false, isStandIn: true },
      { kind: "stored", slot: 1, digest: 9n, isDurable: true, isStandIn: true },
    ]);
    expect([world.touched, stored]).toEqual([[], [[1, 55]]]);
  });

  test("is answered as an owner by whoever holds a slot of the bucket, and by hints where its slot is beyond the bucket's", async () => {
    const world = new World({}, standIns());
    expect(await world.ask({ ...STORE, standIn: place })).toEqual([
      { kind: "stored", slot: 2, digest: 2n, isDurable: true },
    ]);
    expect(await world.ask({ ...STORE, standIn: { slot: 1, n: 2 } })).toEqual([
      { kind: "stored", slot: 1, digest: 2n, isDurable: true, isStandIn: true },
    ]);
    expect(world.touched).toEqual(["store"]);
  });

  test("is refused by who keeps no hints, by who stops, and as the hints refuse; never as if a slot had moved", async () => {
    for (const request of requests) {
      expect(await new World().ask(request)).toMatchObject([{ kind: "refused", reason: "not_ready" }]);
    }
    const stopping = new World({}, standIns());
    stopping.requests.stop();
    expect(await stopping.ask(requests[2])).toMatchObject([{ kind: "refused", reason: "shutting_down" }]);
    for (const [reason, told] of [
      ["overloaded", "overloaded"],
      ["disk_full", "disk_full"],
      ["moved", "not_ready"],
      ["not_owner", "not_ready"],
    ] as const) {
      const world = new World({}, standIns({ store: async () => ({ kind: "refused", reason, detail: "" }) }));
      expect(await world.ask(requests[2])).toMatchObject([{ kind: "refused", reason: told }]);
    }
  });

  test("that meets a broken store has failed, and the log says so", async () => {
    const broken = standIns({ store: () => Promise.reject(new Error("broken")) });
    const world = new World({}, broken);
    expect(await world.ask(requests[2])).toEqual([{ kind: "failed", detail: "internal error" }]);
    expect(world.errors.length).toBe(1);
  });
});
