/** What a node knows before it writes, and what it makes of silence. */
import { describe, expect, test } from "vitest";
import { newMemoryImage } from "../../../storage/memory-image.ts";
import { CollectRig } from "../../support/collect-rig.ts";
import { putOf } from "../../support/replica-fixture.ts";

const TWO_HOURS_MS = 7_200_000;
const DAY_MICROS = 86_400_000_000;

async function collected(): Promise<{ readonly on: CollectRig; readonly gone: ReturnType<CollectRig["locate"]> }> {
  const on = new CollectRig();
  await on.begin();
  const gone = on.locate("gone");
  await on.write(0, gone);
  await on.delete(1, gone);
  await on.pass(TWO_HOURS_MS);
  await on.collect();
  expect(await on.valuesAt(0, gone)).toBeUndefined();
  return { on, gone };
}

/** A write at a node, under way; `counter` once it has its dot. */
function writing(
  on: CollectRig,
  at: number,
  location: ReturnType<CollectRig["locate"]>,
): { counter: number; object: Uint8Array } {
  const told: ReturnType<typeof writing> = { counter: 0, object: new Uint8Array(0) };
  void on.node(at).replica.write(location, putOf("new"), ({ dot, object }) => {
    told.counter = dot.counter;
    told.object = object;
  });
  return told;
}

describe("a member with an empty disk and a clock a day slow", () => {
  test("mints nothing before it has heard above what, and then what all others take", async () => {
    const { on, gone } = await collected();
    on.away.add(2);
    await on.restart(2, newMemoryImage(), { passMs: 0, skewMicros: -DAY_MICROS });
    const write = writing(on, 2, gone);
    await on.pass(1_000);
    expect(write.counter).toBe(0);
    on.away.clear();
    await on.pass(2_500);
    expect(write.counter).toBeGreaterThan(on.node(0).floors.lineOf(gone.partition));
    const { object } = write;
    const stored = await on.node(0).replica.store(gone, on.handed(object));
    expect(stored).toMatchObject({ kind: "stored" });
  });

  test("goes on alone when nobody answers, and is told by the others that what it writes does not stand", async () => {
    const { on, gone } = await collected();
    on.away.add(2);
    await on.restart(2, newMemoryImage(), { passMs: 0, skewMicros: -DAY_MICROS });
    const write = writing(on, 2, gone);
    await on.pass(5_000);
    expect(write.counter).toBeGreaterThan(0);
    expect(write.counter).toBeLessThan(on.node(0).floors.lineOf(gone.partition));
    const stored = await on.node(0).replica.store(gone, on.handed(write.object));
    expect(stored).toMatchObject({ kind: "refused", reason: "collected" });
    expect(await on.valuesAt(0, gone)).toBeUndefined();
  });
});

describe("a holder in doubt that heard of a proof from one of the others", () => {
  test("asks the rest anew before it concludes that nobody took part: what they told may be older", async () => {
    const { on, gone } = await collected();
    await on.write(0, gone);
    await on.delete(1, gone);
    // all have told of the first proof; the second is told by the last holder only, which is in doubt then
    await on.pass(TWO_HOURS_MS);
    const { collecting, floors } = on.node(1);
    on.mute.add("collect.floors");
    on.mute.add("collect.catch-up");
    await on.collect();
    await on.node(1).collecting.lostRecords(gone.partition);
    await on.node(2).collecting.lostRecords(gone.partition);
    on.mute.clear();
    on.away.add(0);
    collecting.peerUp(on.node(2).id);
    await on.pass(60_000);
    expect([floors.isBehind(gone.partition), on.hidden(gone)[1]]).toEqual([true, true]);
    on.away.clear();
    await on.pass(60_000);
    expect([floors.isBehind(gone.partition), floors.lineOf(gone.partition) > 0]).toEqual([false, true]);
  });
});

describe("a holder whose disk was set back", () => {
  test("is behind until it was compared, however long those who know are silent, and through its own restarts", async () => {
    const on = new CollectRig();
    await on.begin();
    const gone = on.locate("gone");
    await on.write(0, gone);
    const old = on.copyOf(2);
    await on.delete(1, gone);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    // they tell of the proof, and have no time to compare
    on.mute.add("collect.catch-up");
    await on.restart(2, old);
    expect(on.hidden(gone)).toEqual([false, false, true]);
    on.away.add(0).add(1);
    for (const node of [0, 1]) on.node(2).collecting.peerUp(on.node(node).id);
    await on.pass(600_000);
    expect(on.hidden(gone)[2]).toBe(true);
    await on.restart(2);
    expect(on.hidden(gone)[2]).toBe(true);
    on.mute.clear();
    on.away.clear();
    await on.pass(70_000);
    expect(await on.valuesAt(2, gone)).toBeUndefined();
    expect(on.hidden(gone)).toEqual([false, false, false]);
  });

  test("answers no read before it has heard the others, though it does not know yet that it is behind", async () => {
    const { on, gone } = await collected();
    const old = on.copyOf(2);
    await on.restart(2, old, { passMs: 0 });
    expect(on.hidden(gone)[2]).toBe(true);
    await on.pass(100);
    expect(on.hidden(gone)[2]).toBe(false);
  });
});
