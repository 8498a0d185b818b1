/** What has changed while somebody copies a partition. */
import { describe, expect, test } from "vitest";
import { MAX_TRACKED_CHANGES } from "../../../services/base/limits.ts";
import { ChangeTrackers } from "../../../services/replica/change-trackers.ts";
import type { Minted } from "../../../services/replica/contract.ts";
import { DiskFullError } from "../../../storage/errors.ts";
import { locationOf, putOf, replicaFixture, textsAt, writeTo } from "../../support/replica-fixture.ts";

const alice = locationOf("carts", "alice");
const nothing = (): void => undefined;
const versionOf = ({ baseDigest, digest, object }: Minted) => ({ baseDigest, digest, object });

describe("a tracker", () => {
  test("notes writes, stores and ingests of its partition once each, from its beginning to its end", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await writeTo(node, alice, putOf("before"));
    const tracker = node.replica.trackChanges(alice.partition);
    expect(tracker.take(10)).toEqual([]);
    await writeTo(node, alice, putOf("a"));
    await writeTo(node, locationOf("carts", "bob"), putOf("b"));
    expect(tracker.count).toBe(1);
    expect(tracker.take(10)).toEqual([alice.hash]);
    const { minted } = await writeTo(other, alice, putOf("c", undefined, "sibling"));
    await node.replica.store(alice, versionOf(minted));
    expect(tracker.take(10)).toEqual([alice.hash]);
    await node.replica.store(alice, versionOf(minted));
    expect(tracker.take(10)).toEqual([]);
    const { minted: next } = await writeTo(other, alice, putOf("d"));
    await node.replica.ingest(alice, next.object);
    expect(tracker.take(10)).toEqual([alice.hash]);
    tracker.stop();
    await writeTo(node, alice, putOf("e"));
    expect(tracker.count).toBe(0);
  });

  test("notes nothing for a write that was not kept", async () => {
    const node = replicaFixture();
    const tracker = node.replica.trackChanges(alice.partition);
    node.store.onCall = (call) => {
      if (call === "put") throw new DiskFullError();
    };
    expect(await node.replica.write(alice, putOf("a"), nothing)).toMatchObject({ reason: "disk_full" });
    expect(tracker.count).toBe(0);
  });

  test("gives the longest noted first, and notes again what changes after it was taken", () => {
    const trackers = new ChangeTrackers();
    const tracker = trackers.track(1);
    for (const hash of [5n, 6n, 5n, 7n]) trackers.note(1, hash);
    expect(tracker.take(2)).toEqual([5n, 6n]);
    trackers.note(1, 5n);
    expect(tracker.take(2)).toEqual([7n, 5n]);
  });

  test("stands beside others of its partition, and ends alone", () => {
    const trackers = new ChangeTrackers();
    const [one, two] = [trackers.track(1), trackers.track(1)];
    trackers.note(1, 5n);
    one.stop();
    one.stop();
    const three = trackers.track(1);
    trackers.note(1, 6n);
    expect([one.take(9), two.take(9), three.take(9)]).toEqual([[], [5n, 6n], [6n]]);
  });

  test("says so when more changes than it remembers, and gives nothing that would look whole", () => {
    const trackers = new ChangeTrackers();
    const tracker = trackers.track(1);
    for (let hash = 0; hash < MAX_TRACKED_CHANGES; hash += 1) trackers.note(1, BigInt(hash));
    expect(tracker.isOverflown).toBe(false);
    trackers.note(1, 123_456_789n);
    expect(tracker.isOverflown).toBe(true);
    expect(tracker.take(10)).toEqual([]);
  });
});

describe("an ingest", () => {
  test("stores without a slot, merges with what is there, and is bound by no limit of clients", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await writeTo(node, alice, putOf("here"));
    const { minted } = await writeTo(other, alice, putOf("there", undefined, "sibling"));
    node.slots.slot = -1;
    expect(await node.replica.store(alice, versionOf(minted))).toMatchObject({ reason: "not_owner" });
    const result = await node.replica.ingest(alice, minted.object);
    expect(result).toEqual({ kind: "stored", digest: node.replica.digestOf(alice), isDurable: true });
    expect(await node.replica.ingest(alice, minted.object)).toEqual(result);
    node.slots.slot = 0;
    expect((await textsAt(node, alice)).toSorted()).toEqual(["here", "there"]);
  });

  test("refuses bytes that are no object", async () => {
    const node = replicaFixture();
    expect(await node.replica.ingest(alice, Buffer.from("rubbish"))).toMatchObject({ reason: "corrupt_record" });
    expect(node.store.puts).toEqual([]);
  });
});
