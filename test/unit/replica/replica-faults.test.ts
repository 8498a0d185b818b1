/** What a replica does when the store, the disk or its own memory fails it. */
import { describe, expect, test } from "vitest";
import { COUNTER_LEASE_BLOCK } from "../../../services/base/limits.ts";
import type { Minted } from "../../../services/replica/contract.ts";
import { covers, EMPTY_CONTEXT } from "../../../services/versioning/causal-context.ts";
import {
  CorruptRecordError,
  DiskFullError,
  StoreBusyError,
  StoreClosedError,
  StoreFailedError,
} from "../../../storage/errors.ts";
import { newMemoryImage } from "../../../storage/memory-image.ts";
import { DiskError } from "../../../storage/ports.ts";
import {
  locationOf,
  putOf,
  type ReplicaFixture,
  replicaFixture,
  type StoreCall,
  textsAt,
  writeTo,
} from "../../support/replica-fixture.ts";

const alice = locationOf("carts", "alice");
const bob = locationOf("carts", "bob");
const versionOf = ({ baseDigest, digest, object }: Minted) => ({ baseDigest, digest, object });
const failing =
  (failed: StoreCall, error: Error) =>
  (call: StoreCall): void => {
    if (call === failed) throw error;
  };
const failingLater =
  (failed: StoreCall, error: Error) =>
  async (call: StoreCall): Promise<void> => {
    if (call !== failed) return;
    await new Promise((resolve) => setImmediate(resolve));
    throw error;
  };
const nothing = (): void => undefined;

const unreadable: readonly { readonly name: string; readonly gate: (call: StoreCall) => void | Promise<void> }[] = [
  { name: "at once", gate: failing("get", new CorruptRecordError({ segment: 1, offset: 2 })) },
  { name: "later", gate: failingLater("get", new CorruptRecordError({ segment: 1, offset: 2 })) },
];

describe("a record that cannot be read", () => {
  test.each(unreadable)("is never an absence: reads, writes and merges are refused ($name)", async ({ gate }) => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await writeTo(node, alice, putOf("a"));
    const { minted } = await writeTo(other, alice, putOf("b"));
    const digest = node.replica.digestOf(alice);
    node.store.onCall = gate;
    const refused = { kind: "refused", reason: "corrupt_record" };
    expect(await node.replica.read(alice)).toMatchObject(refused);
    expect(await node.replica.readEncoded(alice)).toMatchObject(refused);
    expect(await node.replica.write(alice, putOf("c"), () => expect.unreachable("minted"))).toMatchObject(refused);
    expect(await node.replica.store(alice, versionOf(minted))).toMatchObject(refused);
    expect(node.replica.digestOf(alice)).toBe(digest);
  });

  test("because it is no object is refused as well", async () => {
    const node = replicaFixture();
    await node.store.engine.put({ address: alice, value: new Uint8Array(30), digest: 5n, isTombstone: false });
    expect(node.replica.read(alice)).toMatchObject({ kind: "refused", reason: "corrupt_record" });
    const result = await node.replica.write(alice, putOf("c"), () => expect.unreachable("minted"));
    expect(result).toMatchObject({ kind: "refused", reason: "corrupt_record" });
  });
});

describe("a full disk", () => {
  test("refuses the write, and the next dot comes from another actor: the first may be held elsewhere", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await writeTo(node, alice, putOf("a"));
    node.store.onCall = failingLater("put", new DiskFullError());
    const lost = await writeTo(node, alice, putOf("b", EMPTY_CONTEXT));
    expect(lost.result).toMatchObject({ kind: "refused", reason: "disk_full" });
    await other.replica.store(alice, versionOf(lost.minted));

    node.store.onCall = nothing;
    const next = await writeTo(node, alice, putOf("c", EMPTY_CONTEXT));
    expect(next.minted.dot.actor).not.toBe(lost.minted.dot.actor);
    await other.replica.store(alice, versionOf(next.minted));
    expect(new Set(await textsAt(other, alice))).toEqual(new Set(["a", "b", "c"]));
    expect(node.log.events).toEqual(["replica.actor-in-doubt", "replica.actor-renewed"]);
  });

  test("is told before anything is announced while it lasts, and costs one actor in all", async () => {
    const node = replicaFixture();
    await writeTo(node, alice, putOf("a"));
    node.store.onCall = failingLater("put", new DiskFullError());
    await writeTo(node, alice, putOf("b"));
    for (let i = 0; i < 5; i += 1) {
      const result = await node.replica.write(alice, putOf("c"), () => expect.unreachable("announced"));
      expect(result).toMatchObject({ kind: "refused", reason: "disk_full" });
    }
    expect(node.store.identity.pastActors).toHaveLength(1);
    node.store.onCall = nothing;
    expect((await writeTo(node, alice, putOf("d"))).result.kind).toBe("stored");
    const orderOf = async (): Promise<readonly string[]> => {
      const order: string[] = [];
      node.store.onCall = async (call) => {
        await new Promise((resolve) => setImmediate(resolve));
        order.push(call);
      };
      await node.replica.write(alice, putOf("e"), () => order.push("announced"));
      return order;
    };
    // that one was kept says little of the next, which may need what is short
    expect(await orderOf()).toEqual(["get", "put", "announced"]);
    node.clock.micros += 5_000_000;
    await orderOf();
    expect(await orderOf()).toEqual(["get", "announced", "put"]);
    expect(node.store.identity.pastActors).toHaveLength(1);
  });

  test("that keeps the actor from being renewed refuses writes before they are announced", async () => {
    const node = replicaFixture();
    node.store.onCall = async (call) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (call === "put" || call === "renew") throw new DiskFullError();
    };
    await writeTo(node, alice, putOf("a"));
    const result = await node.replica.write(bob, putOf("b"), () => expect.unreachable("announced"));
    expect(result).toMatchObject({ kind: "refused", reason: "disk_full" });
    node.store.onCall = nothing;
    expect((await writeTo(node, bob, putOf("c"))).result.kind).toBe("stored");
  });

  test("refuses versions of others, and takes them again when there is space", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    const { minted } = await writeTo(other, alice, putOf("a"));
    node.store.onCall = failing("put", new DiskFullError());
    expect(await node.replica.store(alice, versionOf(minted))).toMatchObject({ reason: "disk_full" });
    node.store.onCall = nothing;
    expect(await node.replica.store(alice, versionOf(minted))).toMatchObject({ kind: "stored" });
  });
});

describe("a record that no file handle is left to look at", () => {
  test("refuses reads and writes as a busy store does: nothing was done", async () => {
    const node = replicaFixture();
    await writeTo(node, alice, putOf("a"));
    node.store.onCall = failing("get", new DiskError("EMFILE", "open"));
    const refusal = { kind: "refused", reason: "overloaded", detail: "no file can be opened just now" };
    expect(await node.replica.read(alice)).toEqual(refusal);
    expect(await node.replica.write(alice, putOf("b"), () => expect.unreachable("announced"))).toEqual(refusal);
    node.store.onCall = nothing;
    expect((await writeTo(node, alice, putOf("c"))).result.kind).toBe("stored");
  });
});

describe("a store that fails", () => {
  test("in mid-write leaves it open whether the write is there, and nothing more is minted", async () => {
    const node = replicaFixture();
    await writeTo(node, alice, putOf("a"));
    node.store.onCall = async (call) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (call === "put" || call === "renew") throw new StoreFailedError();
    };
    expect((await writeTo(node, alice, putOf("b"))).result).toMatchObject({ kind: "failed" });
    const result = await node.replica.write(bob, putOf("c"), () => expect.unreachable("announced"));
    expect(result).toMatchObject({ kind: "refused", reason: "shutting_down" });
  });

  test.each([
    { name: "busy", error: new StoreBusyError(), answer: { kind: "refused", reason: "overloaded" } },
    { name: "closed", error: new StoreClosedError(), answer: { kind: "refused", reason: "shutting_down" } },
    { name: "full", error: new DiskFullError(), answer: { kind: "refused", reason: "disk_full" } },
    { name: "failed", error: new StoreFailedError(), answer: { kind: "failed" } },
  ])("and says at once that it is $name announces nothing and keeps its actor", async ({ error, answer }) => {
    const node = replicaFixture();
    const { minted } = await writeTo(node, alice, putOf("a"));
    node.store.onCall = failing("put", error);
    const result = await node.replica.write(alice, putOf("b"), () => expect.unreachable("announced"));
    expect(result).toMatchObject(answer);
    node.store.onCall = nothing;
    expect((await writeTo(node, alice, putOf("c"))).minted.dot.actor).toBe(minted.dot.actor);
  });

  test("to lease counters refuses writes before they are announced", async () => {
    const node = replicaFixture();
    await writeTo(node, alice, putOf("a"));
    node.clock.micros += 2 * COUNTER_LEASE_BLOCK;
    for (const [error, reason] of [
      [new DiskFullError(), "disk_full"],
      [new StoreClosedError(), "shutting_down"],
      [new StoreFailedError(), "shutting_down"],
    ] as const) {
      node.store.onCall = failing("lease", error);
      const result = await node.replica.write(alice, putOf("b"), () => expect.unreachable("announced"));
      expect(result).toMatchObject({ kind: "refused", reason });
    }
    node.store.onCall = nothing;
    expect((await writeTo(node, alice, putOf("c"))).result.kind).toBe("stored");
  });

  test("in an unknown way is a bug that is not hidden, and frees the key", async () => {
    const node = replicaFixture();
    await node.replica.prepare();
    node.store.onCall = failing("put", new RangeError("a bug"));
    await expect(node.replica.write(alice, putOf("a"), nothing)).rejects.toThrow("a bug");
    node.store.onCall = nothing;
    expect((await writeTo(node, alice, putOf("b"))).result.kind).toBe("stored");
  });
});

describe("a node that forgot", () => {
  test("draws a new actor when it is handed a dot of its own for a key that it has nothing of", async () => {
    const image = newMemoryImage();
    const [before, other] = [replicaFixture({ seed: 1, image }), replicaFixture({ seed: 2 })];
    const first = await writeTo(before, alice, putOf("acknowledged"));
    await other.replica.store(alice, versionOf(first.minted));
    await before.store.engine.close();
    image.records.clear();
    const after = replicaFixture({ seed: 3, image });
    expect(after.store.identity.actor).toBe(first.minted.dot.actor);
    const blank = await writeTo(after, bob, putOf("still as the old one"));
    expect(blank.minted.dot.actor).toBe(first.minted.dot.actor);

    await after.replica.store(alice, versionOf(first.minted));
    const next = await writeTo(after, alice, putOf("next", EMPTY_CONTEXT));
    expect(next.minted.dot.actor).not.toBe(first.minted.dot.actor);
    expect(after.log.events).toContain("replica.actor-renewed");
    expect(new Set(await textsAt(after, alice))).toEqual(new Set(["acknowledged", "next"]));
  });

  test("draws a new actor when a version to be merged knows a later dot of its own", async () => {
    const image = newMemoryImage();
    const [before, other] = [replicaFixture({ seed: 1, image }), replicaFixture({ seed: 2 })];
    const first = await writeTo(before, alice, putOf("1"));
    const rolledBack = new Map(before.image.records.get(alice.partition));
    const second = await writeTo(before, alice, putOf("2"));
    await other.replica.store(alice, versionOf(second.minted));
    const elsewhere = await writeTo(other, alice, putOf("3", EMPTY_CONTEXT));
    image.records.set(alice.partition, rolledBack);

    await before.replica.store(alice, versionOf(elsewhere.minted));
    const next = await writeTo(before, alice, putOf("4", first.minted.context));
    expect(next.minted.dot.actor).not.toBe(first.minted.dot.actor);
    expect(new Set(await textsAt(before, alice))).toEqual(new Set(["2", "3", "4"]));
  });

  test("draws a new actor before it mints for a client that has seen more of it than it holds", async () => {
    const image = newMemoryImage();
    const [node, other] = [replicaFixture({ seed: 1, image }), replicaFixture({ seed: 2 })];
    const unread = await writeTo(node, alice, putOf("unread"));
    const read = await writeTo(node, alice, putOf("read", undefined, "sibling"));
    await other.replica.store(alice, versionOf(read.minted));
    image.records.clear();
    const next = await writeTo(node, alice, putOf("next", read.minted.context));
    expect(next.minted.dot.actor).not.toBe(read.minted.dot.actor);
    expect(covers(next.minted.context, unread.minted.dot)).toBe(false);
    await other.replica.store(alice, versionOf(next.minted));
    expect(new Set(await textsAt(other, alice))).toEqual(new Set(["unread", "next"]));
  });

  test("is not troubled by dots of actors that it once was", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    const old = await writeTo(node, alice, putOf("old"));
    await other.replica.store(alice, versionOf(old.minted));
    await node.replica.renewActor();
    const actor = node.store.identity.actor;
    node.image.records.clear();
    await node.replica.store(alice, versionOf(old.minted));
    expect((await writeTo(node, alice, putOf("new"))).minted.dot.actor).toBe(actor);
    expect(node.log.events).toEqual(["replica.actor-renewed"]);
  });

  test("by an unclean stop goes on as a new actor above its old lease", async () => {
    const image = newMemoryImage();
    const before = replicaFixture({ seed: 1, image });
    const old = await writeTo(before, alice, putOf("old"));
    const after = replicaFixture({ seed: 2, image, clock: before.clock });
    const next = await writeTo(after, alice, putOf("next"));
    expect(next.minted.dot.actor).not.toBe(old.minted.dot.actor);
    expect(next.minted.dot.counter).toBe(before.clock.micros + COUNTER_LEASE_BLOCK + 1);
  });

  test("draws one new actor for a partition in which records are missing, before it mints for a key that is not there", async () => {
    const node = replicaFixture();
    const first = await writeTo(node, alice, putOf("a"));
    node.image.records.clear();
    node.image.suspects.add(alice.partition);
    const next = await writeTo(node, alice, putOf("b"));
    expect(next.minted.dot.actor).not.toBe(first.minted.dot.actor);
    node.image.records.clear();
    expect((await writeTo(node, alice, putOf("c"))).minted.dot.actor).toBe(next.minted.dot.actor);
  });

  test("takes a version of others for a record that it cannot read any more, and draws a new actor", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    const first = await writeTo(node, alice, putOf("lost"));
    const { minted } = await writeTo(other, alice, putOf("elsewhere"));
    // As the log engine does: the digest is gone, the partition suspect, and reading still fails.
    node.image.records.clear();
    node.image.suspects.add(alice.partition);
    node.store.onCall = failing("get", new CorruptRecordError({ segment: 1, offset: 2 }));
    expect(await node.replica.store(alice, versionOf(minted))).toMatchObject({ kind: "stored", digest: minted.digest });
    node.store.onCall = nothing;
    expect(await textsAt(node, alice)).toEqual(["elsewhere"]);
    expect((await writeTo(node, alice, putOf("next"))).minted.dot.actor).not.toBe(first.minted.dot.actor);
  });

  test("merges a version of others with a record that was given up and can be read after all", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await writeTo(node, alice, putOf("here"));
    const { minted } = await writeTo(other, alice, putOf("elsewhere"));
    // As the log engine does after a read that failed once: its place is kept, its digest is not.
    node.image.suspects.add(alice.partition);
    node.store.digestOf = () => 0n;
    expect(await node.replica.store(alice, versionOf(minted))).toMatchObject({ kind: "stored" });
    expect(new Set(await textsAt(node, alice))).toEqual(new Set(["here", "elsewhere"]));
    const putCount = node.store.puts.length;
    const again = await writeTo(other, bob, putOf("there"));
    await node.replica.store(bob, versionOf(again.minted));
    await node.replica.store(bob, versionOf(again.minted));
    expect(node.store.puts.length, "and written again, so that the index knows it").toBe(putCount + 2);
  });

  test("shows which partitions are suspect", () => {
    const node = replicaFixture();
    expect(node.replica.isSuspect(3)).toBe(false);
    node.image.suspects.add(3);
    expect(node.replica.isSuspect(3)).toBe(true);
  });
});

describe("a node that stops", () => {
  test("finishes what it accepted, and refuses what comes after", async () => {
    const node = replicaFixture();
    await node.replica.prepare();
    const gate = Promise.withResolvers<void>();
    node.store.onCall = (call) => (call === "put" ? gate.promise : undefined);
    const done: string[] = [];
    const writes = ["a", "b"].map(async (text) => {
      await node.replica.write(alice, putOf(text), nothing);
      done.push(text);
    });
    const closing = node.replica.close().then(() => done.push("closed"));
    expect(await node.replica.write(bob, putOf("late"), nothing)).toMatchObject({ reason: "shutting_down" });
    gate.resolve();
    await Promise.all([...writes, closing]);
    expect(done.toSorted()).toEqual(["a", "b", "closed"]);
    expect(await textsAt(node, alice)).toEqual(["b"]);
    await expect(node.replica.close()).resolves.toEqual({ isActorTrusted: true });
  });

  const later = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const doubts: readonly {
    readonly name: string;
    readonly arise: (node: ReplicaFixture) => Promise<void>;
  }[] = [
    {
      name: "a write was announced but not kept on a full disk",
      arise: async (node) => {
        node.store.onCall = failingLater("put", new DiskFullError());
        await writeTo(node, alice, putOf("lost"));
      },
    },
    {
      name: "another node knew a dot of its own that it does not hold",
      arise: async (node) => {
        const { minted } = await writeTo(node, alice, putOf("lost"));
        node.image.records.clear();
        await node.replica.store(alice, versionOf(minted));
      },
    },
    {
      name: "a record was replaced that it could not read any more",
      arise: async (node) => {
        const { minted } = await writeTo(replicaFixture({ seed: 2 }), alice, putOf("elsewhere"));
        await node.replica.prepare();
        node.image.suspects.add(alice.partition);
        node.store.onCall = failing("get", new CorruptRecordError({ segment: 1, offset: 2 }));
        await node.replica.store(alice, versionOf(minted));
      },
    },
  ];

  test.each(doubts)("cleanly comes back as a new actor when $name", async ({ arise }) => {
    const image = newMemoryImage();
    const node = replicaFixture({ seed: 1, image });
    const before = node.store.identity.actor;
    await arise(node);
    node.store.onCall = nothing;
    expect(await node.replica.close()).toEqual({ isActorTrusted: true });
    await node.store.engine.close();
    const again = replicaFixture({ seed: 9, image, clock: node.clock });
    expect(again.store.recovery).toMatchObject({ mode: "clean", isNewActor: false });
    expect((await writeTo(again, bob, putOf("next"))).minted.dot.actor).not.toBe(before);
  });

  test.each(doubts)("says that its actor cannot be trusted when none could be drawn after $name", async ({ arise }) => {
    const node = replicaFixture({ seed: 1 });
    const renew = node.store.engine.renewActor.bind(node.store.engine);
    node.store.engine.renewActor = () => Promise.reject(new DiskFullError());
    await arise(node);
    await later();
    expect(await node.replica.close()).toEqual({ isActorTrusted: false });
    expect(node.log.events).toContain("replica.actor-not-renewed");
    node.store.engine.renewActor = renew;
    expect(await node.replica.close()).toEqual({ isActorTrusted: true });
  });

  test("draws a new actor in the turn of the doubt, whether anything is written after or not", async () => {
    const node = replicaFixture({ seed: 1 });
    const before = node.store.identity.actor;
    const { minted } = await writeTo(node, alice, putOf("lost"));
    node.image.records.clear();
    await node.replica.store(alice, versionOf(minted));
    await later();
    expect(node.store.identity.actor).not.toBe(before);
    expect(node.store.identity.pastActors).toEqual([before]);
  });

  test("still reads", async () => {
    const node = replicaFixture();
    await writeTo(node, alice, putOf("a"));
    await node.replica.close();
    expect(await textsAt(node, alice)).toEqual(["a"]);
  });
});
