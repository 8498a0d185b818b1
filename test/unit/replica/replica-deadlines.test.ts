/** What a replica does with work that has waited too long: nothing, at any step at which it may have waited. */
import { describe, expect, test } from "vitest";
import { MAX_KEY_QUEUE, MAX_KEY_WAITERS, MAX_KEY_WRITES } from "../../../services/base/limits.ts";
import type { Minted, ReplicaWriteResult } from "../../../services/replica/contract.ts";
import { ReadExpiredError } from "../../../storage/errors.ts";
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
const versionOf = ({ baseDigest, digest, object }: Minted) => ({ baseDigest, digest, object });
const nothing = (): void => undefined;

describe("work whose time is up", () => {
  const heldUp = (node: ReplicaFixture, held: StoreCall): { readonly release: () => void } => {
    const gate = Promise.withResolvers<void>();
    node.store.onCall = (call) => (call === held ? gate.promise : undefined);
    return { release: gate.resolve };
  };
  const expired = { kind: "refused", reason: "expired" };

  test("when its turn at the key comes touches nothing and mints nothing", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await node.replica.prepare();
    const { minted } = await writeTo(other, alice, putOf("elsewhere"));
    const { release } = heldUp(node, "put");
    const first = node.replica.write(alice, putOf("1"), nothing);
    const late = { ...putOf("2"), budgetMs: 100 };
    const second = node.replica.write(alice, late, () => expect.unreachable("minted"));
    const third = node.replica.store(alice, { ...versionOf(minted), budgetMs: 100 });
    const fourth = node.replica.write(alice, { ...putOf("4"), budgetMs: 101 }, nothing);
    await new Promise((resolve) => setImmediate(resolve));
    const callsBefore = node.store.calls.length;
    node.clock.micros += 100_000;
    release();
    expect(await first).toMatchObject({ kind: "stored" });
    expect([await second, await third]).toMatchObject([expired, expired]);
    expect(await fourth).toMatchObject({ kind: "stored" });
    expect(node.store.calls.slice(callsBefore)).toEqual(["get", "put"]);
    expect(await textsAt(node, alice)).toEqual(["4"]);
  });

  test.each<StoreCall>(["get", "lease"])(
    "during a slow %s ends before the dot is announced and stored",
    async (call) => {
      const node = replicaFixture({ seed: 1 });
      const { release } = heldUp(node, call);
      const late = { ...putOf("1"), budgetMs: 100 };
      const write = node.replica.write(alice, late, () => expect.unreachable("announced"));
      await new Promise((resolve) => setImmediate(resolve));
      node.clock.micros += 100_000;
      release();
      expect(await write).toMatchObject(expired);
      expect(node.store.calls).toEqual(call === "get" ? ["get"] : ["get", "lease"]);
    },
  );

  test("of clients are refused as overloaded when too many wait for the key, stores of others later, repairs never", async () => {
    const node = replicaFixture({ seed: 1 });
    await node.replica.prepare();
    const { release } = heldUp(node, "put");
    const version = versionOf((await writeTo(replicaFixture({ seed: 2 }), alice, putOf("elsewhere"))).minted);
    const write = (): Promise<ReplicaWriteResult> => node.replica.write(alice, putOf("1"), () => undefined);
    const writes = Array.from({ length: MAX_KEY_WRITES + 1 }, write);
    const overloaded = { kind: "refused", reason: "overloaded", detail: "too many operations wait for this key" };
    expect(await write()).toEqual(overloaded);
    const stores = Array.from({ length: MAX_KEY_QUEUE - MAX_KEY_WRITES }, () => node.replica.store(alice, version));
    expect([await node.replica.store(alice, version), await write()]).toEqual([overloaded, overloaded]);
    const repair = node.replica.ingest(alice, version.object);
    expect(node.replica.keyRefusedCount).toBe(3);
    release();
    const ends = await Promise.all([...writes, ...stores, repair]);
    expect(new Set(ends.map((end) => end.kind))).toEqual(new Set(["stored"]));
  });

  test("is not even begun when too many wait for their keys already: that is refused as overloaded", async () => {
    const node = replicaFixture({ seed: 1 });
    await node.replica.prepare();
    const { release } = heldUp(node, "put");
    const version = versionOf((await writeTo(replicaFixture({ seed: 2 }), alice, putOf("elsewhere"))).minted);
    const waiting = Array.from({ length: MAX_KEY_WAITERS + 1 }, () => node.replica.ingest(alice, version.object));
    expect(await node.replica.store(alice, version)).toMatchObject({ kind: "refused", reason: "overloaded" });
    release();
    const kinds = new Set((await Promise.all(waiting)).map((result) => result.kind));
    expect(kinds).toEqual(new Set(["stored"]));
  });

  test("is not read from the disk: every read says by when it is wanted, and a store that had no time is no absence", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await writeTo(node, alice, putOf("here"));
    const { minted } = await writeTo(other, alice, putOf("elsewhere"));
    node.store.wantedBy.length = 0;
    const endMs = node.clock.monotonicMs() + 100;
    await node.replica.read(alice, 100);
    await node.replica.readEncoded(alice, 100);
    await node.replica.write(alice, { ...putOf("2"), budgetMs: 100 }, nothing);
    await node.replica.store(alice, { ...versionOf(minted), budgetMs: 100 });
    expect(node.store.wantedBy).toEqual([endMs, endMs, endMs, endMs]);
    node.store.onCall = (call) => (call === "get" ? Promise.reject(new ReadExpiredError()) : undefined);
    expect(await node.replica.read(alice, 100)).toMatchObject(expired);
    expect(await node.replica.readEncoded(alice, 100)).toMatchObject(expired);
    expect(await node.replica.write(alice, { ...putOf("3"), budgetMs: 100 }, nothing)).toMatchObject(expired);
  });

  test("while a version is read to be merged stores nothing", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await writeTo(node, alice, putOf("here"));
    const { minted } = await writeTo(other, alice, putOf("elsewhere"));
    const { release } = heldUp(node, "get");
    const store = node.replica.store(alice, { ...versionOf(minted), budgetMs: 100 });
    await new Promise((resolve) => setImmediate(resolve));
    node.clock.micros += 100_000;
    release();
    expect(await store).toMatchObject(expired);
    expect(node.store.puts).toHaveLength(1);
  });
});
