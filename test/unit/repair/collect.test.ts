/** Tombstones of three holders: which go, what they wait for, and what becomes of who took no part. */
import { describe, expect, test } from "vitest";
import { wordOver } from "../../../services/repair/collect-word-core.ts";
import { DiskFullError } from "../../../storage/errors.ts";
import { CollectRig } from "../../support/collect-rig.ts";
import { putOf } from "../../support/replica-fixture.ts";

const HOUR_MS = 3_600_000;
const TWO_HOURS_MS = 2 * HOUR_MS;

async function rig(): Promise<CollectRig> {
  const made = new CollectRig();
  await made.begin();
  return made;
}

/** A key that was written and deleted everywhere. */
async function deleted(on: CollectRig, key: string, bucket?: string): Promise<ReturnType<CollectRig["locate"]>> {
  const location = on.locate(key, bucket);
  await on.write(0, location);
  await on.delete(1, location);
  return location;
}

const everywhere = async (on: CollectRig, location: ReturnType<CollectRig["locate"]>): Promise<readonly unknown[]> =>
  Promise.all([0, 1, 2].map((slot) => on.valuesAt(slot, location)));

describe("a tombstone", () => {
  test("goes from all holders when it is an hour old, and what it replaced does not come back", async () => {
    const on = await rig();
    const gone = on.locate("gone");
    const value = await on.write(0, gone);
    await on.delete(1, gone);
    const stays = on.locate("stays");
    await on.write(0, stays);
    await on.pass(HOUR_MS / 2);
    await on.collect();
    expect(await everywhere(on, gone)).toEqual([0, 0, 0]);
    await on.pass(TWO_HOURS_MS);
    const young = await deleted(on, "young");
    await on.collect();
    expect(await everywhere(on, gone)).toEqual([undefined, undefined, undefined]);
    expect(await everywhere(on, young)).toEqual([0, 0, 0]);
    expect(await everywhere(on, stays)).toEqual([1, 1, 1]);
    for (const node of on.nodes) await node.replica.store(gone, value);
    expect(await everywhere(on, gone)).toEqual([undefined, undefined, undefined]);
    await on.write(2, gone, { intent: putOf("again") });
    expect(await everywhere(on, gone)).toEqual([1, 1, 1]);
    expect(on.nodes.map(({ collecting }) => collecting.status().collected)).toEqual([1, 1, 1]);
  });

  test("goes with values whose time was over an hour ago, and not with those that end later", async () => {
    const on = await rig();
    const nowMs = on.node(0).clock.wallMicros() / 1_000;
    const intentOf = (expiresAtMs: number) => ({
      kind: "put" as const,
      contentType: "text/plain",
      bytes: Buffer.from("v"),
      expiresAtMs,
      context: undefined,
      blind: "overwrite" as const,
    });
    const short = on.locate("short");
    const long = on.locate("long");
    await on.write(0, short, { intent: intentOf(nowMs + 1_000) });
    await on.write(0, long, { intent: intentOf(nowMs + 10 * HOUR_MS) });
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    expect(await everywhere(on, short)).toEqual([undefined, undefined, undefined]);
    expect(await everywhere(on, long)).toEqual([1, 1, 1]);
  });

  const troubles: readonly (readonly [string, string, (on: CollectRig) => void])[] = [
    ["a node is away", "node n3 is away", (on) => void on.away.add(2)],
    [
      "a node keeps something of its partition for others",
      "node n2 keeps writes for others",
      (on) => void on.hints[1]?.add(on.locate("gone").partition),
    ],
    ["its slot is on the move", "a slot is on its way", (on) => void on.moving.add(on.locate("gone").partition)],
    [
      "a copy may lack records",
      "node n2: a copy may lack records",
      (on) => void on.node(1).image.suspects.add(on.locate("gone").partition),
    ],
    ["a clock is behind", "node n3: has a clock that is behind", (on) => on.node(2).clock.jump(-5e10)],
  ];

  test.each(troubles)("stays while %s, and says so", async (_what, reason, trouble) => {
    const on = await rig();
    const gone = await deleted(on, "gone");
    await on.pass(TWO_HOURS_MS);
    trouble(on);
    await on.collect();
    expect(await everywhere(on, gone)).toEqual([0, 0, 0]);
    expect(on.node(0).collecting.status().waiting).toEqual({ [reason]: 1 });
  });

  test("stays while the copies of its partition differ", async () => {
    const on = await rig();
    const gone = await deleted(on, "gone");
    const { partition } = gone;
    let other = on.locate("x0");
    for (let at = 1; other.partition !== partition; at += 1) other = on.locate(`x${at}`);
    await on.write(0, other, { others: [1] });
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    expect(await everywhere(on, gone)).toEqual([0, 0, 0]);
    expect(on.node(0).collecting.status().waiting).toEqual({ "the copies differ": 1 });
    await on.write(0, other);
    await on.collect();
    expect(await everywhere(on, gone)).toEqual([undefined, undefined, undefined]);
    expect(on.node(0).collecting.status().waiting).toEqual({});
  });
});

describe("how far a partition is collected", () => {
  test("is known by the proof where it was taken part in, and by the promise elsewhere", async () => {
    const on = await rig();
    const through = (partition: number) => on.nodes.map(({ collecting }) => collecting.collectedThrough(partition));
    const { partition } = await deleted(on, "gone");
    expect(through(partition)).toEqual([0, 0, 0]);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    const { noted } = on.node(0).floors.marksOf(partition);
    expect(noted.floor).toBeGreaterThan(0);
    expect(through(partition)).toEqual([noted.floor, noted.floor, noted.floor]);
    // A later round ends with its promise.
    await deleted(on, "gone");
    on.hints[1]?.add(partition);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    on.node(1).floors.forget(partition);
    const [whole, forgetful] = through(partition);
    expect(whole).toBe(noted.floor);
    expect(forgetful).toBeGreaterThan(noted.floor);
  });
});

describe("a holder", () => {
  test("that is told to reap when it starts again goes on from its marks", async () => {
    const on = await rig();
    const gone = await deleted(on, "gone");
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    await on.restart(2);
    expect(on.node(2).floors.lineOf(gone.partition)).toBeGreaterThan(0);
    expect(on.node(2).floors.isBehind(gone.partition)).toBe(false);
  });

  test("takes nothing out by a mark that it could not write down yet, though an older one is due", async () => {
    const on = await rig();
    const first = await deleted(on, "gone");
    const { engine, floors, collecting } = on.node(2);
    // it takes out what the first mark lets go, and its disk is slow to say that this is done
    const held = Promise.withResolvers<void>();
    const reaping = engine.reap.bind(engine);
    engine.reap = async (...what) => {
      const count = await reaping(...what);
      await held.promise;
      return count;
    };
    await on.pass(TWO_HOURS_MS);
    await on.passing(on.node(0).collecting.collect());
    await on.passing(on.node(1).collecting.sweep());
    const swept = collecting.sweep();
    await on.pass(5_000);
    const due = floors.marksOf(first.partition).reaped.floor;
    expect([due > 0, await on.valuesAt(2, first)]).toEqual([true, undefined]);
    let second = on.locate("y0");
    for (let at = 1; second.partition !== first.partition; at += 1) second = on.locate(`y${at}`);
    await on.write(0, second);
    await on.delete(1, second);
    await on.pass(TWO_HOURS_MS);
    const writing = engine.writeDocument.bind(engine);
    engine.writeDocument = (name, bytes) =>
      floors.marksOf(first.partition).reaped.floor > due ? Promise.reject(new DiskFullError()) : writing(name, bytes);
    await on.passing(on.node(0).collecting.collect());
    expect(floors.marksOf(first.partition).reaped.floor).toBeGreaterThan(due);
    held.resolve();
    await on.passing(swept);
    await on.passing(collecting.sweep());
    expect(await on.valuesAt(2, second)).toBe(0);
    engine.writeDocument = writing;
    // its own round begins with what could not be written
    await on.passing(collecting.collect());
    await on.passing(collecting.sweep());
    expect([await on.valuesAt(2, first), await on.valuesAt(2, second)]).toEqual([undefined, undefined]);
    expect(collecting.status().collected).toBe(2);
  });

  test("looks through a partition again of which it passed something over, though that was for a moment", async () => {
    const on = await rig();
    const gone = await deleted(on, "gone");
    const { engine, collecting } = on.node(0);
    const reaping = engine.reap.bind(engine);
    engine.reap = () => Promise.reject(new DiskFullError());
    await on.pass(TWO_HOURS_MS);
    await expect(on.collect()).rejects.toThrow(DiskFullError);
    engine.reap = reaping;
    // The first time it begins, the second it would take out.
    let askedCount = 0;
    const suspecting = engine.isSuspect.bind(engine);
    engine.isSuspect = (partition) => {
      if (partition !== gone.partition) return suspecting(partition);
      askedCount += 1;
      return askedCount === 2;
    };
    await on.passing(collecting.sweep());
    expect(await on.valuesAt(0, gone)).toBe(0);
    expect(askedCount).toBeGreaterThanOrEqual(2);
    engine.isSuspect = suspecting;
    await on.passing(collecting.sweep());
    expect(await on.valuesAt(0, gone)).toBeUndefined();
  });

  test("whose disk is set back loses what was deleted since, and gets what was written since", async () => {
    const on = await rig();
    const gone = on.locate("gone");
    await on.write(0, gone);
    let written = on.locate("y0");
    for (let at = 1; written.partition !== gone.partition; at += 1) written = on.locate(`y${at}`);
    const old = on.copyOf(2);
    await on.delete(1, gone);
    await on.write(0, written);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    await on.restart(2, old);
    expect(await everywhere(on, gone)).toEqual([undefined, undefined, undefined]);
    expect(await everywhere(on, written)).toEqual([1, 1, 1]);
    expect(on.node(2).floors.isBehind(gone.partition)).toBe(false);
    await on.collect();
    expect(await everywhere(on, gone)).toEqual([undefined, undefined, undefined]);
  });

  test("that is behind keeps what it has written itself meanwhile", async () => {
    const on = await rig();
    const gone = on.locate("gone");
    await on.write(0, gone);
    const old = on.copyOf(2);
    await on.delete(1, gone);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    on.away.add(0).add(1);
    await on.restart(2, old);
    await on.write(2, gone, { intent: putOf("new", undefined, "sibling"), others: [] });
    expect(await on.valuesAt(2, gone)).toBe(2);
    on.away.clear();
    await on.pass(120_000);
    expect(await on.valuesAt(2, gone)).toBe(1);
  });

  test("whose records were lost is asked for none until it was compared: an old value may have come up", async () => {
    const on = await rig();
    const gone = on.locate("gone");
    const value = await on.write(0, gone);
    await on.delete(1, gone);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    on.node(2).image.suspects.add(gone.partition);
    await on.pass(120_000);
    await on.node(2).replica.adopt(gone, value.object, Number.POSITIVE_INFINITY);
    expect(await on.valuesAt(2, gone)).toBe(1);
    expect(on.hidden(gone)).toEqual([false, false, true]);
    expect(on.believes(0, 2, gone)).toBe(false);
    await on.node(2).collecting.lostRecords(gone.partition);
    on.node(2).image.suspects.clear();
    on.mute.add("collect.catch-up");
    await on.restart(2);
    expect(on.hidden(gone)).toEqual([false, false, true]);
    expect(on.believes(0, 2, gone)).toBe(false);
    on.mute.clear();
    await on.pass(180_000);
    expect(await on.valuesAt(2, gone)).toBeUndefined();
    expect(on.hidden(gone)).toEqual([false, false, false]);
  });

  test("does not lose keys that the others need not have", async () => {
    const on = await rig();
    on.rules.replicas.set("single", 1);
    const single = on.locate("single-key", "single");
    let gone = on.locate("z0");
    for (let at = 1; gone.partition !== single.partition; at += 1) gone = on.locate(`z${at}`);
    await on.write(0, single, { others: [] });
    await on.write(0, gone);
    const old = on.copyOf(0);
    await on.delete(1, gone);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    expect(await everywhere(on, gone)).toEqual([undefined, undefined, undefined]);
    await on.restart(0, old);
    expect(on.node(0).floors.isBehind(gone.partition)).toBe(false);
    expect(await on.valuesAt(0, single)).toBe(1);
  });

  test.each([
    ["finds out while it lists", true],
    ["has given up", false],
  ] as const)("keeps what the one with whom it catches up cannot read, and %s", async (_, isSuspect) => {
    const on = await rig();
    const gone = await deleted(on, "gone");
    const names = Array.from({ length: 100 }, (__, at) => `kept-${at}`);
    const kept = names.map((name) => on.locate(name)).find(({ partition }) => partition === gone.partition);
    if (kept === undefined) throw new Error("no key of that partition");
    await on.write(0, kept);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    const { engine, image } = on.node(0);
    const scan = engine.scan.bind(engine);
    engine.scan = async (...place) => {
      const page = await scan(...place);
      if (isSuspect) image.suspects.add(kept.partition);
      return { ...page, entries: page.entries.filter(({ hash }) => hash !== kept.hash) };
    };
    if (!isSuspect) engine.unreadableIn = () => [kept.hash];
    await on.node(2).collecting.lostRecords(gone.partition);
    expect(on.node(2).floors.isBehind(gone.partition)).toBe(true);
    await on.pass(300_000);
    expect(on.node(2).floors.isBehind(gone.partition)).toBe(false);
    expect(await on.valuesAt(2, kept)).toBe(1);
  });

  test("does not keep writes waiting for what it catches up", async () => {
    const on = await rig();
    const gone = await deleted(on, "gone");
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    on.node(0).engine.scan = () => new Promise(() => undefined);
    await on.node(2).collecting.lostRecords(gone.partition);
    await on.restart(2, undefined, { passMs: 500 });
    expect(on.node(2).floors.isBehind(gone.partition)).toBe(true);
    let isWritten = false;
    void on.node(2).replica.write(on.locate("new"), putOf("v"), () => {
      isWritten = true;
    });
    await on.pass(100);
    expect(isWritten).toBe(true);
  });

  test("is not believed, once it has caught up, for what it gave before", async () => {
    const on = await rig();
    const gone = await deleted(on, "gone");
    const old = on.copyOf(2);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    on.mute.add("collect.catch-up");
    await on.restart(2, old, { passMs: 3_000 });
    expect(on.node(2).floors.isBehind(gone.partition)).toBe(true);
    const given = on.node(2).collecting.words.wordOf(gone.partition);
    on.mute.clear();
    await on.pass(120_000);
    expect(on.node(2).floors.isBehind(gone.partition)).toBe(false);
    const now = on.node(2).collecting.words.wordOf(gone.partition);
    const { words } = on.node(0).collecting;
    expect([given, now].map((word) => words.believes(wordOver(given, word), gone.partition))).toEqual([false, false]);
    expect(words.believes(wordOver(now, now), gone.partition)).toBe(true);
  });

  test("forgets its marks when it should have keys that it never had, and is given them", async () => {
    const on = await rig();
    on.rules.replicas.set("few", 2);
    const few = on.locate("few-key", "few");
    let gone = on.locate("w0");
    for (let at = 1; gone.partition !== few.partition; at += 1) gone = on.locate(`w${at}`);
    await on.write(0, few, { others: [1] });
    await on.write(0, gone);
    await on.delete(1, gone);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    expect(await on.valuesAt(2, few)).toBeUndefined();
    on.rules.replicas.clear();
    await on.collect();
    for (const node of on.nodes) await node.collecting.collect();
    await on.pass(180_000);
    expect(await on.valuesAt(2, few)).toBe(1);
    expect(on.node(2).floors.isBehind(few.partition)).toBe(false);
  });
});
