/** A replica whose tombstones were collected up to a line: late copies bring nothing, and its own old dots prove no loss. */
import { describe, expect, test } from "vitest";
import { MAX_CLOCK_SKEW_MICROS } from "../../../services/base/limits.ts";
import { Replica } from "../../../services/replica/replica.ts";
import { digestOf, encodeSet } from "../../../services/versioning/object-codec.ts";
import { EMPTY, merge, put } from "../../../services/versioning/sibling-set.ts";
import type { Dot, SiblingSet } from "../../../services/versioning/types.ts";
import { locationOf, putOf, replicaFixture, writeTo } from "../../support/replica-fixture.ts";

const alice = locationOf("carts", "alice");

function valueOf(dot: Dot): SiblingSet {
  return put(EMPTY, {
    context: EMPTY.clock,
    sibling: { dot, expiresAtMs: 0, contentType: "text/plain", bytes: Buffer.from("v") },
  });
}

const handed = (set: SiblingSet) => ({ baseDigest: 0n, digest: digestOf(set), object: encodeSet(set) });

/** A replica with a line, over the fixture's store. */
function collectedAt(line: number | (() => number), slot = 0, isCertain = true) {
  const fixture = replicaFixture();
  const replica = new Replica({
    store: fixture.store,
    clock: fixture.clock,
    log: fixture.log,
    slots: { slotOf: () => slot },
    conflicts: { isLastWriteWins: () => false },
    collected: { lineOf: typeof line === "number" ? () => line : line, isCertain: () => isCertain },
    isDurable: true,
  });
  return { ...fixture, replica };
}

describe("below the line", () => {
  const old = valueOf({ actor: 9, counter: 500 });

  test("a late copy of what was collected is refused, and not kept", async () => {
    const node = collectedAt(1_000);
    expect(await node.replica.store(alice, handed(old))).toMatchObject({ kind: "refused", reason: "collected" });
    expect(node.replica.digestOf(alice)).toBe(0n);
    expect(await node.replica.ingest(alice, encodeSet(old))).toMatchObject({ reason: "collected" });
    expect(node.replica.digestOf(alice)).toBe(0n);
  });

  test("what a holder has that took part in the proof is kept, however old", async () => {
    const node = collectedAt(1_000);
    await node.replica.adopt(alice, encodeSet(old), Number.POSITIVE_INFINITY);
    expect(node.replica.digestOf(alice)).toBe(digestOf(old));
    // held from now on, it is no news when it comes again
    await node.replica.store(alice, handed(old));
    expect(node.replica.digestOf(alice)).toBe(digestOf(old));
  });

  test("but not where more was collected since it took part", async () => {
    const node = collectedAt(1_000);
    expect(await node.replica.adopt(alice, encodeSet(old), 999)).toMatchObject({ reason: "collected" });
    expect(node.replica.digestOf(alice)).toBe(0n);
    await node.replica.adopt(alice, encodeSet(old), 1_000);
    expect(node.replica.digestOf(alice)).toBe(digestOf(old));
  });

  test("a copy for a slot that is still to come is kept: the line comes with the slot", async () => {
    const node = collectedAt(1_000, -1);
    await node.replica.ingest(alice, encodeSet(old));
    expect(node.replica.digestOf(alice)).toBe(digestOf(old));
  });

  test("the same holds where records were lost: what lived there comes back from who took part", async () => {
    const node = collectedAt(1_000);
    node.image.suspects.add(alice.partition);
    expect(await node.replica.store(alice, handed(old))).toMatchObject({ reason: "collected" });
    expect(node.replica.digestOf(alice)).toBe(0n);
    await node.replica.adopt(alice, encodeSet(old), Number.POSITIVE_INFINITY);
    expect(node.replica.digestOf(alice)).toBe(digestOf(old));
  });

  test("what is collected while a lost record is looked for counts", async () => {
    let line = 0;
    const node = collectedAt(() => line);
    node.image.suspects.add(alice.partition);
    const storing = node.replica.store(alice, handed(old));
    line = 1_000;
    expect(await storing).toMatchObject({ kind: "refused", reason: "collected" });
    expect(node.replica.digestOf(alice)).toBe(0n);
  });

  test("who writes below the line is told from where on it is kept: what comes with it and is new", async () => {
    const node = collectedAt(1_000);
    const young = valueOf({ actor: 8, counter: 2_000 });
    await node.replica.store(alice, handed(young));
    const younger = merge(merge(young, old), valueOf({ actor: 7, counter: 3_000 }));
    const stored = { kind: "stored", isDurable: true, keptAbove: 1_000 };
    expect(await node.replica.store(alice, handed(younger))).toMatchObject(stored);
    const read = await node.replica.read(alice);
    expect(read.kind === "object" && read.set?.siblings.map(({ dot }) => dot.counter)).toEqual([3_000, 2_000]);
  });

  test("that holds for what was made from what is held, too: who read it here may have held what was collected", async () => {
    const node = collectedAt(1_000);
    const young = valueOf({ actor: 8, counter: 2_000 });
    await node.replica.store(alice, handed(young));
    const pushed = { ...handed(merge(young, old)), baseDigest: digestOf(young) };
    expect(await node.replica.store(alice, pushed)).toMatchObject({ kind: "stored", keptAbove: 1_000 });
    const read = await node.replica.read(alice);
    expect(read).toMatchObject({ kind: "object", set: { siblings: [{ dot: { counter: 2_000 } }] } });
  });

  test("what is old and held stays when more is made from it", async () => {
    const node = collectedAt(1_000);
    await node.replica.adopt(alice, encodeSet(old), 1_000);
    const both = merge(old, valueOf({ actor: 8, counter: 2_000 }));
    const stored = await node.replica.store(alice, { ...handed(both), baseDigest: digestOf(old) });
    expect(stored).toEqual({ kind: "stored", digest: digestOf(both), isDurable: true });
    expect(node.replica.digestOf(alice)).toBe(digestOf(both));
  });

  test("beside nothing held, too, what is left of a version is stored in part", async () => {
    const node = collectedAt(1_000);
    const both = merge(valueOf({ actor: 8, counter: 2_000 }), old);
    expect(await node.replica.store(alice, handed(both))).toMatchObject({ kind: "stored", keptAbove: 1_000 });
    const digest = node.replica.digestOf(alice);
    // its clock tells the rest: the same again brings nothing
    expect(await node.replica.store(alice, handed(both))).toEqual({ kind: "stored", digest, isDurable: true });
    expect(await node.replica.read(alice)).toMatchObject({ set: { siblings: [{ dot: { counter: 2_000 } }] } });
  });

  test("one that may lack what lives elsewhere does not say that it was deleted", async () => {
    const node = collectedAt(1_000, 0, false);
    expect(await node.replica.store(alice, handed(old))).toMatchObject({ kind: "refused", reason: "uncertain" });
  });

  test("where what is not held may live elsewhere, nothing of a version is kept: its clock would remove the rest there", async () => {
    const young = valueOf({ actor: 8, counter: 2_000 });
    const both = merge(young, old);
    for (const isHeld of [false, true]) {
      const node = collectedAt(1_000, 0, false);
      const other = valueOf({ actor: 7, counter: 3_000 });
      if (isHeld) await node.replica.store(alice, handed(other));
      const before = node.replica.digestOf(alice);
      expect(await node.replica.store(alice, handed(both))).toMatchObject({ kind: "refused", reason: "uncertain" });
      expect(node.replica.digestOf(alice)).toBe(before);
      expect(await node.replica.store(alice, handed(young))).toMatchObject({ kind: "stored" });
    }
  });

  test("an old value stays away from a new one that stands", async () => {
    const node = collectedAt(1_000);
    const young = valueOf({ actor: 8, counter: 2_000 });
    await node.replica.store(alice, handed(young));
    await node.replica.store(alice, handed(old));
    const read = await node.replica.read(alice);
    expect(read).toMatchObject({ kind: "object", set: { siblings: [{ dot: { counter: 2_000 } }] } });
  });

  test("a dot of our own is no sign of a loss: a client may follow a delete long after it was collected", async () => {
    const node = collectedAt(Number.MAX_SAFE_INTEGER);
    const actor = node.store.identity.actor;
    const context = { vector: [{ actor, counter: 700 }], detached: [] };
    await writeTo(node, alice, putOf("again", context));
    expect(node.store.identity.actor).toBe(actor);
    expect(node.log.facts.filter(({ event }) => event === "replica.actor-in-doubt")).toEqual([]);
  });
});

describe("a promise to mint above a counter", () => {
  test("holds for the next dot and after a restart, though the wall clock is behind", async () => {
    const node = replicaFixture();
    const promised = node.clock.wallMicros() + 10 * MAX_CLOCK_SKEW_MICROS;
    await node.replica.mintAbove(promised);
    expect((await writeTo(node, alice, putOf("a"))).minted.dot.counter).toBeGreaterThan(promised);
    const again = replicaFixture({ image: node.image, clock: node.clock });
    expect((await writeTo(again, alice, putOf("b"))).minted.dot.counter).toBeGreaterThan(promised);
  });
});
