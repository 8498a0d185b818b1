/** A holder whose own marks cannot be read from the disk: it may have been behind, or in doubt, of any partition that it holds. */
import { describe, expect, test } from "vitest";
import { DiskFullError } from "../../../storage/errors.ts";
import { newMemoryImage } from "../../../storage/memory-image.ts";
import { COLLECT_PARTITIONS, CollectRig } from "../../support/collect-rig.ts";
import { rot } from "../../support/rotten-document.ts";

type Location = ReturnType<CollectRig["locate"]>;

const TWO_HOURS_MS = 7_200_000;
const CATCH_UP = "collect.catch-up";
const MARKS = "collected";
const UNREADABLE = "collect.marks-unreadable";
/** in the magic, the length and the checksum, and in what is said */
const PLACES = [0, 12, 16, 41];

/** A value that was deleted and collected everywhere, a key of another partition that lives, and node 2's disk of before the deletion. */
async function collected() {
  const on = new CollectRig();
  await on.begin();
  const gone = on.locate("gone");
  const lives = on.locate("lives");
  const written = await on.write(0, gone);
  await on.write(0, lives);
  const old = on.copyOf(2);
  await on.delete(1, gone);
  await on.pass(TWO_HOURS_MS);
  await on.collect();
  expect([await on.valuesAt(0, gone), gone.partition === lives.partition]).toEqual([undefined, false]);
  return { on, gone, lives, old, written };
}

/** Node 2 starts on its own disk, of which one bit of the marks has turned. */
async function restartRotten(on: CollectRig, offset = 41): Promise<void> {
  await rot(on.node(2).image, MARKS, { offset, bit: 2 });
  await on.restart(2);
}

const behindOf = (on: CollectRig): number => on.node(2).collecting.status().behind;
const isBehind = (on: CollectRig, { partition }: Location): boolean => on.node(2).floors.isBehind(partition);
const told = (on: CollectRig): readonly string[] => on.node(2).log.events.filter((event) => event === UNREADABLE);

describe("a holder that cannot read its marks", () => {
  test.each(PLACES)("begins, says so, and is behind nowhere once it was compared (byte %i)", async (offset) => {
    const { on, gone, lives } = await collected();
    const before = on.node(2).floors.marksOf(gone.partition);
    await restartRotten(on, offset);
    expect([told(on).length, behindOf(on)]).toEqual([1, 0]);
    expect(on.node(2).log.facts).toContainEqual({ event: UNREADABLE, partitionCount: COLLECT_PARTITIONS });
    expect([before.noted.floor > 0, on.node(2).floors.marksOf(gone.partition)]).toEqual([true, before]);
    expect([await on.valuesAt(2, gone), await on.valuesAt(2, lives), on.hidden(lives)[2]]).toEqual([
      undefined,
      1,
      false,
    ]);
    await on.restart(2);
    expect([told(on), on.node(2).floors.marksOf(gone.partition), behindOf(on)]).toEqual([[], before, 0]);
  });

  test("begins though the disk is full, believes nothing meanwhile, and is behind nowhere once there is space", async () => {
    const { on, gone, lives } = await collected();
    const { documents } = on.node(2).image;
    await rot(on.node(2).image, MARKS, { offset: 41, bit: 2 });
    const set = documents.set.bind(documents);
    let isFull = true;
    documents.set = (name, bytes) => {
      if (isFull) throw new DiskFullError();
      return set(name, bytes);
    };
    await on.restart(2);
    await on.pass(120_000);
    expect([told(on).length, on.hidden(lives)[2], isBehind(on, lives)]).toEqual([1, true, true]);
    isFull = false;
    await on.pass(TWO_HOURS_MS);
    expect([behindOf(on), on.hidden(lives)[2], await on.valuesAt(2, gone), await on.valuesAt(2, lives)]).toEqual([
      0,
      false,
      undefined,
      1,
    ]);
  });

  test("writes what it came to doubt on a full disk once there is space, though nothing else happens", async () => {
    const { on, gone } = await collected();
    const { documents } = on.node(2).image;
    const set = documents.set.bind(documents);
    let isFull = true;
    documents.set = (name, bytes) => {
      if (isFull) throw new DiskFullError();
      return set(name, bytes);
    };
    on.away.add(0).add(1);
    await expect(on.node(2).collecting.lostRecords(gone.partition)).rejects.toMatchObject({ code: "DISK_FULL" });
    isFull = false;
    await on.node(2).collecting.collect();
    await on.restart(2);
    expect([isBehind(on, gone), behindOf(on)]).toEqual([true, 1]);
  });

  test("reaps what the disk had no room to note once the note is there, though nothing else happens", async () => {
    const { on, gone, lives } = await collected();
    const { documents } = on.node(2).image;
    const set = documents.set.bind(documents);
    await on.delete(1, lives);
    await on.pass(TWO_HOURS_MS);
    const reaped = (): number => on.node(2).floors.marksOf(lives.partition).reaped.floor;
    const before = reaped();
    // the last step of the proof alone finds no room
    let isFull = true;
    documents.set = (name, bytes) => {
      if (isFull && name === MARKS && reaped() > before) throw new DiskFullError();
      return set(name, bytes);
    };
    await on.collect();
    expect([reaped() > before, on.node(2).engine.stats().tombstoneCount]).toEqual([true, 1]);
    isFull = false;
    on.away.add(0).add(1);
    // something else is noted, and that with it
    await on.node(2).collecting.lostRecords(gone.partition);
    void on.node(2).collecting.collect();
    await on.pass(60_000);
    expect(on.node(2).engine.stats().tombstoneCount).toBe(0);
  });

  test("takes part in collections again, in those that others lead", async () => {
    const { on, lives } = await collected();
    await restartRotten(on);
    await on.delete(1, lives);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    expect(on.nodes.map(({ engine }) => engine.stats().tombstoneCount)).toEqual([0, 0, 0]);
  });

  test("believes nothing that it holds until it was compared, and remembers that over restarts", async () => {
    const { on, gone, lives } = await collected();
    on.mute.add(CATCH_UP);
    await restartRotten(on);
    await on.pass(70_000);
    expect([isBehind(on, gone), on.hidden(gone)[2]]).toEqual([true, true]);
    on.away.add(0).add(1);
    await on.restart(2);
    expect([told(on), behindOf(on), on.hidden(gone)[2], on.hidden(lives)[2]]).toEqual([[], 1, true, false]);
  });

  test("is in doubt of all that it holds, durably, though nobody is there to compare with", async () => {
    const { on } = await collected();
    on.away.add(0).add(1);
    await restartRotten(on);
    expect([told(on).length, behindOf(on)]).toEqual([1, COLLECT_PARTITIONS]);
    await on.restart(2);
    expect([told(on).length, behindOf(on)]).toEqual([0, COLLECT_PARTITIONS]);
  });

  test("which may be behind shows no deleted value, and drops it when one is there that took part", async () => {
    const { on, gone, old } = await collected();
    on.mute.add(CATCH_UP);
    await on.restart(2, old);
    expect([isBehind(on, gone), await on.valuesAt(2, gone)]).toEqual([true, 1]);
    on.away.add(0).add(1);
    await restartRotten(on);
    await on.pass(600_000);
    expect([isBehind(on, gone), on.hidden(gone)[2], await on.valuesAt(2, gone)]).toEqual([true, true, 1]);
    on.away.clear();
    on.mute.clear();
    on.node(2).collecting.peerUp(on.node(1).id);
    await on.pass(70_000);
    expect([behindOf(on), on.hidden(gone)[2], await on.valuesAt(2, gone)]).toEqual([0, false, undefined]);
  });

  test("keeps no late copy of what was collected, though it takes it meanwhile", async () => {
    const { on, gone, written } = await collected();
    on.mute.add(CATCH_UP);
    on.mute.add("collect.floors");
    await restartRotten(on);
    await on.node(2).replica.store(gone, written);
    expect([await on.valuesAt(2, gone), on.hidden(gone)[2]]).toEqual([1, true]);
    on.mute.clear();
    await on.pass(70_000);
    expect([behindOf(on), await on.valuesAt(2, gone)]).toEqual([0, undefined]);
    await on.node(2).replica.store(gone, written);
    expect(await on.valuesAt(2, gone)).toBeUndefined();
  });

  test("waits for a silent one where those that are there know of no proof", async () => {
    const { on, gone, lives } = await collected();
    on.away.add(1);
    await restartRotten(on);
    await on.pass(70_000);
    expect([isBehind(on, gone), isBehind(on, lives), on.hidden(lives)[2]]).toEqual([false, true, true]);
    on.away.clear();
    on.node(2).collecting.peerUp(on.node(1).id);
    await on.pass(70_000);
    expect([behindOf(on), on.hidden(lives)[2], await on.valuesAt(2, lives)]).toEqual([0, false, 1]);
  });

  test("that cannot read either what it could not prove begins all the same", async () => {
    const { on, gone } = await collected();
    await on.node(2).engine.writeDocument("unproved", Buffer.from("rot"));
    await restartRotten(on);
    expect([told(on).length, on.node(2).log.events.includes("collect.unproved-unreadable")]).toEqual([1, true]);
    expect([behindOf(on), await on.valuesAt(2, gone)]).toEqual([0, undefined]);
  });

  test("as none of the others can, goes on with what is there", async () => {
    const { on, lives } = await collected();
    for (const slot of [0, 1, 2]) {
      await rot(on.node(slot).image, MARKS, { offset: 20, bit: 0 });
      on.node(slot).collecting.stop();
    }
    for (const slot of [0, 1, 2]) await on.restart(slot);
    await on.pass(70_000);
    expect(on.nodes.map(({ collecting }) => collecting.status().behind)).toEqual([0, 0, 0]);
    expect([on.hidden(lives), await on.valuesAt(2, lives)]).toEqual([[false, false, false], 1]);
  });

  test("is not taken for a new one, which has nothing to be in doubt about", async () => {
    const { on } = await collected();
    on.away.add(0).add(1);
    await on.restart(2, newMemoryImage());
    expect([told(on), behindOf(on)]).toEqual([[], 0]);
  });
});
