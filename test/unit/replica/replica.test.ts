/** One key on one node: what writes and handed versions make of it. */
import { describe, expect, test } from "vitest";
import {
  MAX_CLOCK_SKEW_MICROS,
  MAX_OBJECT_BYTES,
  MAX_SIBLINGS,
  MAX_VALUE_BYTES,
} from "../../../services/base/limits.ts";
import { MANY_OBJECT_BYTES, MANY_SIBLINGS } from "../../../services/base/load-limits.ts";
import type { Minted } from "../../../services/replica/contract.ts";
import { covers, EMPTY_CONTEXT } from "../../../services/versioning/causal-context.ts";
import { digestOf, encodeSet } from "../../../services/versioning/object-codec.ts";
import { EMPTY, merge, put } from "../../../services/versioning/sibling-set.ts";
import type { SiblingSet } from "../../../services/versioning/types.ts";
import { locationOf, putOf, readFrom, replicaFixture, textsAt, writeTo } from "../../support/replica-fixture.ts";

const alice = locationOf("carts", "alice");
const handed = (set: SiblingSet, baseDigest = 0n) => ({ baseDigest, digest: digestOf(set), object: encodeSet(set) });
const versionOf = (minted: Minted) => ({
  baseDigest: minted.baseDigest,
  digest: minted.digest,
  object: minted.object,
});
const foreign = (actor: number, counter: number, text: string): SiblingSet =>
  put(EMPTY, {
    context: EMPTY_CONTEXT,
    sibling: { dot: { actor, counter }, expiresAtMs: 0, contentType: "text/plain", bytes: Buffer.from(text) },
  });

describe("a write", () => {
  test("is announced with its dot before it is durable, and is there when it is answered", async () => {
    const node = replicaFixture();
    const order: string[] = [];
    node.store.onCall = async (call) => {
      await new Promise((resolve) => setImmediate(resolve));
      order.push(call);
    };
    const result = await node.replica.write(alice, putOf("a"), (minted) => {
      expect(minted.dot.actor).toBe(node.store.identity.actor);
      expect(minted.baseDigest).toBe(0n);
      expect(minted.siblingCount).toBe(1);
      order.push("announced");
    });
    expect(order).toEqual(["get", "lease", "announced", "put"]);
    expect(result).toEqual({ kind: "stored", digest: node.replica.digestOf(alice), isDurable: true });
    expect(await textsAt(node, alice)).toEqual(["a"]);
  });

  test("that carries a context replaces what that reader saw and stands beside the rest", async () => {
    const node = replicaFixture();
    const first = await writeTo(node, alice, putOf("a"));
    await writeTo(node, alice, putOf("b", undefined, "sibling"));
    expect(await textsAt(node, alice)).toEqual(["b", "a"]);
    const third = await writeTo(node, alice, putOf("c", first.minted.context));
    expect(await textsAt(node, alice)).toEqual(["c", "b"]);
    expect(third.minted.siblingCount).toBe(2);
    const set = await readFrom(node, alice);
    expect(set?.siblings[1] !== undefined && covers(third.minted.context, set.siblings[1].dot)).toBe(false);
  });

  test("is counted while its key has more than ten siblings after it, or more than 4 MiB", async () => {
    const node = replicaFixture();
    const counts: number[] = [];
    for (let i = 0; i < MANY_SIBLINGS + 2; i += 1) {
      await writeTo(node, alice, putOf(`${i}`, undefined, "sibling"));
      counts.push(node.replica.counters.crowdedWriteCount);
    }
    expect(counts.slice(-3)).toEqual([0, 1, 2]);
    await writeTo(node, alice, putOf("all of them"));
    const large = "x".repeat(MAX_VALUE_BYTES);
    const bob = locationOf("carts", "bob");
    for (let i = 0; i < MANY_OBJECT_BYTES / MAX_VALUE_BYTES; i += 1) {
      expect(node.replica.counters.crowdedWriteCount).toBe(2);
      await writeTo(node, bob, putOf(large, undefined, "sibling"));
    }
    // four values of 1 MiB and what names them: a few bytes above
    expect(node.replica.counters).toMatchObject({ writeCount: 17, crowdedWriteCount: 3 });
  });

  test("without a context replaces all that is held, or nothing, as it is told", async () => {
    const node = replicaFixture();
    for (let i = 0; i < 20; i += 1) await writeTo(node, alice, putOf(`${i}`));
    expect(await textsAt(node, alice)).toEqual(["19"]);
    for (let i = 20; i < 23; i += 1) await writeTo(node, alice, putOf(`${i}`, undefined, "sibling"));
    expect(await textsAt(node, alice)).toEqual(["22", "21", "20", "19"]);
  });

  test("names as its base what was held before", async () => {
    const node = replicaFixture();
    const first = await writeTo(node, alice, putOf("a"));
    const second = await writeTo(node, alice, putOf("b"));
    expect(second.minted.baseDigest).toBe(first.minted.digest);
  });

  test("leaves behind what has expired: the dead are neither conflicts nor count towards limits", async () => {
    const node = replicaFixture();
    const endsAtMs = node.clock.wallMicros() / 1_000 + 1_000;
    for (let i = 0; i < MAX_SIBLINGS; i += 1) {
      const bytes = Buffer.from(`${i}`);
      const shared = { kind: "put", contentType: "text/plain", context: undefined, blind: "sibling" } as const;
      await writeTo(node, alice, { ...shared, bytes, expiresAtMs: endsAtMs });
    }
    node.clock.pass(2_000);
    const other = await readFrom(node, alice);
    const { minted } = await writeTo(node, alice, putOf("new", undefined, "sibling"));
    expect(minted.siblingCount).toBe(1);
    expect(await textsAt(node, alice)).toEqual(["new"]);
    // who still has them loses them as by any removal
    await node.replica.store(alice, handed(other ?? EMPTY));
    expect(await textsAt(node, alice)).toEqual(["new"]);
  });

  test("that deletes leaves a tombstone, with or without a context", async () => {
    const node = replicaFixture();
    const first = await writeTo(node, alice, putOf("a"));
    const gone = await writeTo(node, alice, { kind: "delete", context: first.minted.context });
    expect(gone.minted.siblingCount).toBe(0);
    expect(node.store.puts.at(-1)?.isTombstone).toBe(true);
    expect((await readFrom(node, alice))?.siblings).toEqual([]);
    await writeTo(node, alice, putOf("b"));
    await writeTo(node, alice, { kind: "delete", context: undefined });
    expect((await readFrom(node, alice))?.siblings).toEqual([]);
  });

  test("over a tombstone follows the delete", async () => {
    const node = replicaFixture();
    const gone = await writeTo(node, alice, { kind: "delete", context: undefined });
    const again = await writeTo(node, alice, putOf("a"));
    expect(covers(again.minted.context, gone.minted.dot)).toBe(true);
    expect(await textsAt(node, alice)).toEqual(["a"]);
  });

  test("is refused by a node that holds no slot, without a trace", async () => {
    const node = replicaFixture();
    node.slots.slot = -1;
    const announced: Minted[] = [];
    const result = await node.replica.write(alice, putOf("a"), (minted) => announced.push(minted));
    expect(result).toMatchObject({ kind: "refused", reason: "not_owner" });
    expect(announced).toEqual([]);
    expect(node.store.calls).toEqual([]);
    expect(node.replica.read(alice)).toMatchObject({ kind: "refused", reason: "not_owner" });
    expect(await node.replica.store(alice, handed(foreign(9, 1, "x")))).toMatchObject({ reason: "not_owner" });
  });

  test("is dated by the hybrid clock and follows what it has seen", async () => {
    const node = replicaFixture();
    await node.replica.store(alice, handed(foreign(9, node.clock.micros + 50, "ahead")));
    const { minted } = await writeTo(node, alice, putOf("a"));
    expect(minted.dot.counter).toBe(node.clock.micros + 51);
  });

  test("is announced within the turn of the event loop while the lease lasts", async () => {
    const node = replicaFixture();
    await node.replica.prepare();
    node.store.onCall = (call) => (call === "put" ? new Promise((resolve) => setImmediate(resolve)) : undefined);
    const order: string[] = [];
    setImmediate(() => order.push("next turn"));
    const writing = node.replica.write(alice, putOf("a"), () => order.push("announced"));
    await writing;
    expect(order).toEqual(["announced", "next turn"]);
  });
});

describe("client limits", () => {
  test("refuse the sibling too many with the facts, and nothing is announced or stored", async () => {
    const node = replicaFixture();
    for (let i = 0; i < MAX_SIBLINGS; i += 1) await writeTo(node, alice, putOf(`${i}`, undefined, "sibling"));
    const before = node.replica.digestOf(alice);
    const announced: Minted[] = [];
    const result = await node.replica.write(alice, putOf("x", undefined, "sibling"), (minted) =>
      announced.push(minted),
    );
    expect(result).toMatchObject({
      kind: "refused",
      reason: "too_many_siblings",
      facts: { limit: MAX_SIBLINGS, siblings: MAX_SIBLINGS + 1 },
    });
    expect(announced).toEqual([]);
    expect(node.replica.digestOf(alice)).toBe(before);
  });

  test("refuse an object that outgrows its bytes with the facts", async () => {
    const node = replicaFixture();
    const big = Buffer.alloc(MAX_OBJECT_BYTES / 2);
    const intent = { ...putOf("", undefined, "sibling"), bytes: big } as const;
    await writeTo(node, alice, intent);
    const result = await node.replica.write(alice, intent, () => expect.unreachable("nothing is minted"));
    expect(result).toMatchObject({
      kind: "refused",
      reason: "object_too_large",
      facts: { limitBytes: MAX_OBJECT_BYTES },
    });
  });

  test("bind neither versions from other replicas nor writes that make the object smaller", async () => {
    const node = replicaFixture();
    let many = EMPTY;
    for (let i = 1; i <= MAX_SIBLINGS + 10; i += 1) many = merge(many, foreign(i, 5, `${i}`));
    await writeTo(node, alice, putOf("own"));
    expect(await node.replica.store(alice, handed(many))).toMatchObject({ kind: "stored" });
    const shrinking = {
      vector: [],
      detached: [
        { actor: 1, counter: 5 },
        { actor: 2, counter: 5 },
      ],
    };
    const { minted } = await writeTo(node, alice, putOf("resolved", shrinking));
    expect(minted.siblingCount).toBe(MAX_SIBLINGS + 10);
    await writeTo(node, alice, { kind: "delete", context: { vector: [], detached: [{ actor: 3, counter: 5 }] } });
    expect((await textsAt(node, alice)).length).toBe(MAX_SIBLINGS + 9);
  });
});

describe("a version handed in", () => {
  test("is appended without reading when nothing is held, or when it was made from what is held", async () => {
    const [a, b] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    for (const text of ["1", "2", "3"]) {
      const { minted } = await writeTo(a, alice, putOf(text));
      expect(await b.replica.store(alice, versionOf(minted))).toEqual({
        kind: "stored",
        digest: minted.digest,
        isDurable: true,
      });
    }
    expect(b.store.calls).toEqual(["put", "put", "put"]);
    expect(await textsAt(b, alice)).toEqual(["3"]);
  });

  test("is merged with what is held otherwise, and the digest told is that of the merge", async () => {
    const [a, b] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    const { minted } = await writeTo(a, alice, putOf("from a"));
    await writeTo(b, alice, putOf("from b"));
    const result = await b.replica.store(alice, versionOf(minted));
    expect(result).toEqual({ kind: "stored", digest: b.replica.digestOf(alice), isDurable: true });
    expect(b.replica.digestOf(alice)).not.toBe(minted.digest);
    expect(new Set(await textsAt(b, alice))).toEqual(new Set(["from a", "from b"]));
  });

  test("is answered without writing when it is there already, or brings nothing new", async () => {
    const [a, b] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    const first = await writeTo(a, alice, putOf("1"));
    const second = await writeTo(a, alice, putOf("2"));
    await b.replica.store(alice, versionOf(second.minted));
    const known = { kind: "stored", digest: second.minted.digest, isDurable: true };
    expect(await b.replica.store(alice, versionOf(second.minted))).toEqual(known);
    expect(await b.replica.store(alice, versionOf(first.minted))).toEqual(known);
    expect(b.store.puts).toHaveLength(1);
    expect(b.replica.counters).toMatchObject({ appendedCount: 1, knownCount: 2, mergedCount: 0 });
  });

  test("that is a delete is stored as a tombstone on both ways in", async () => {
    const [a, b] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    const gone = await writeTo(a, alice, { kind: "delete", context: undefined });
    await b.replica.store(alice, versionOf(gone.minted));
    expect(b.store.puts.at(-1)?.isTombstone).toBe(true);
    const c = replicaFixture({ seed: 3 });
    const bob = await writeTo(c, alice, putOf("a"));
    await a.replica.store(alice, versionOf(bob.minted));
    const all = await writeTo(a, alice, { kind: "delete", context: undefined });
    await writeTo(b, alice, { kind: "delete", context: undefined });
    await b.replica.store(alice, versionOf(all.minted));
    expect(b.store.puts.at(-1)?.isTombstone).toBe(true);
  });

  test("is refused when it is not what its digest says, or is not whole", async () => {
    const node = replicaFixture();
    const version = handed(foreign(9, 1, "x"));
    const cut = { ...version, object: version.object.subarray(0, -1) };
    const wrong = { ...version, digest: version.digest ^ 1n };
    for (const bad of [cut, wrong, { ...version, object: new Uint8Array(3) }]) {
      expect(await node.replica.store(alice, bad)).toMatchObject({ kind: "refused", reason: "corrupt_record" });
    }
    expect(node.store.calls).toEqual([]);
  });

  test("comes out of a read as it went in, encoded", async () => {
    const node = replicaFixture();
    expect(node.replica.readEncoded(alice)).toEqual({ kind: "object", object: undefined });
    const version = handed(foreign(9, 1, "x"));
    await node.replica.store(alice, version);
    const read = await node.replica.readEncoded(alice);
    expect(read.kind === "object" && Buffer.from(read.object ?? []).equals(version.object)).toBe(true);
  });
});

describe("a bucket in which the last write wins", () => {
  const counter = locationOf("lww", "counter");

  test("keeps one value, whatever meets", async () => {
    const [a, b] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    b.clock.micros += 1_000;
    const older = await writeTo(a, counter, putOf("older", undefined, "sibling"));
    const newer = await writeTo(b, counter, putOf("newer", undefined, "sibling"));
    await a.replica.store(counter, versionOf(newer.minted));
    await b.replica.store(counter, versionOf(older.minted));
    expect(await textsAt(a, counter)).toEqual(["newer"]);
    expect(await textsAt(b, counter)).toEqual(["newer"]);
    expect(a.replica.digestOf(counter)).toBe(b.replica.digestOf(counter));
  });

  test("takes a write that follows one from a clock far ahead, instead of losing it", async () => {
    const node = replicaFixture();
    const ahead = node.clock.micros + 1_000 * MAX_CLOCK_SKEW_MICROS;
    await node.replica.store(counter, handed(foreign(9, ahead, "from the future")));
    const { minted } = await writeTo(node, counter, putOf("now"));
    expect(minted.dot.counter).toBe(ahead + 1);
    expect(minted.siblingCount).toBe(1);
    expect(await textsAt(node, counter)).toEqual(["now"]);
  });

  test("lets a newer delete win over an older value that it never saw", async () => {
    const [a, b] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    b.clock.micros += 1_000;
    const value = await writeTo(a, counter, putOf("value"));
    const gone = await writeTo(b, counter, { kind: "delete", context: EMPTY_CONTEXT });
    await a.replica.store(counter, versionOf(gone.minted));
    await b.replica.store(counter, versionOf(value.minted));
    expect(await textsAt(a, counter)).toEqual([]);
    expect(a.replica.digestOf(counter)).toBe(b.replica.digestOf(counter));
  });
});

describe("another bucket", () => {
  test("does not let a clock far ahead pull this node's clock along", async () => {
    const node = replicaFixture();
    await node.replica.store(alice, handed(foreign(9, node.clock.micros + 2 * MAX_CLOCK_SKEW_MICROS, "ahead")));
    const { minted } = await writeTo(node, alice, putOf("now"));
    expect(minted.dot.counter).toBe(node.clock.micros);
    expect(await textsAt(node, alice)).toEqual(["now"]);
  });
});
