/** Removing a partition that is no longer held, and meeting its versions again. */
import { describe, expect, test } from "vitest";
import { MintPlaces } from "../../../services/replica/mint-places.ts";
import { newMemoryImage } from "../../../storage/memory-image.ts";
import { locationOf, putOf, replicaFixture, textsAt, writeTo } from "../../support/replica-fixture.ts";

const alice = locationOf("carts", "alice");

describe("dropping a partition", () => {
  test("removes what was held of it, and what comes back from others is no sign of a loss", async () => {
    const node = replicaFixture();
    const { minted } = await writeTo(node, alice, putOf("a"));
    const { actor } = node.store.identity;
    node.slots.slot = -1;
    await node.replica.dropPartition(alice.partition);
    expect(node.store.identity.pastActors).toEqual([actor]);
    expect(node.replica.digestOf(alice)).toBe(0n);
    await node.replica.ingest(alice, minted.object);
    node.slots.slot = 0;
    expect(await textsAt(node, alice)).toEqual(["a"]);
    expect(node.log.events).not.toContain("replica.actor-in-doubt");
    const { minted: next } = await writeTo(node, alice, putOf("b"));
    expect(next.dot.actor).not.toBe(actor);
  });

  test("draws a new actor only when the present one may have minted there", async () => {
    const node = replicaFixture();
    await writeTo(node, alice, putOf("a"));
    const { actor } = node.store.identity;
    node.slots.slot = -1;
    await node.replica.dropPartition(locationOf("carts", "bob").partition);
    expect(node.store.identity.actor).toBe(actor);
    await node.replica.dropPartition(alice.partition);
    const second = node.store.identity.actor;
    expect(second).not.toBe(actor);
    await node.replica.dropPartition(alice.partition);
    expect(node.store.identity.actor).toBe(second);
  });

  test("takes an actor that came with a clean start for one that may have minted anywhere", async () => {
    const image = newMemoryImage();
    const first = replicaFixture({ image });
    await first.store.engine.close();
    const node = replicaFixture({ image, seed: 2 });
    const { actor } = node.store.identity;
    expect(node.store.recovery.isNewActor).toBe(false);
    node.slots.slot = -1;
    await node.replica.dropPartition(3);
    expect(node.store.identity.actor).not.toBe(actor);
  });

  test("is a bug while a slot is held, and removes nothing", async () => {
    const node = replicaFixture();
    await writeTo(node, alice, putOf("a"));
    await expect(node.replica.dropPartition(alice.partition)).rejects.toThrow("not dropped");
    expect(await textsAt(node, alice)).toEqual(["a"]);
  });
});

test("where an actor minted is forgotten when there is another one", () => {
  const places = new MintPlaces(1, true);
  expect(places.has(1, 3)).toBe(false);
  places.note(1, 3);
  expect([places.has(1, 3), places.has(2, 3), places.has(1, 4)]).toEqual([true, false, false]);
  places.note(2, 4);
  expect([places.has(2, 3), places.has(2, 4), places.has(1, 3)]).toEqual([false, true, false]);
  expect(new MintPlaces(1, false).has(1, 9)).toBe(true);
});
