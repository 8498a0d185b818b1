/** What a holder that is behind makes of records that the one with whom it catches up has lost. */
import { describe, expect, test } from "vitest";
import type { HashRange } from "../../../storage/engine.ts";
import { newMemoryImage } from "../../../storage/memory-image.ts";
import { CollectRig } from "../../support/collect-rig.ts";
import { putOf } from "../../support/replica-fixture.ts";

type Location = ReturnType<CollectRig["locate"]>;

const TWO_HOURS_MS = 7_200_000;
const CATCH_UP = "collect.catch-up";

/** The node has given up the records of these hashes. */
function loses(on: CollectRig, slot: number, ...hashes: readonly bigint[]): void {
  const { engine } = on.node(slot);
  const scan = engine.scan.bind(engine);
  engine.scan = async (...place) => {
    const page = await scan(...place);
    return { ...page, entries: page.entries.filter(({ hash }) => !hashes.includes(hash)) };
  };
  engine.unreadableIn = (_partition, range?: HashRange) => {
    const { fromHash, beforeHash } = range ?? { fromHash: 0n, beforeHash: undefined };
    return hashes.filter((hash) => hash >= fromHash && (beforeHash === undefined || hash < beforeHash));
  };
}

/** A key of the same partition, behind it in the order of hashes. */
function neighbourOf(on: CollectRig, { partition, hash }: Location, bucket?: string): Location {
  const found = Array.from({ length: 2_000 }, (_, at) => on.locate(`near-${at}`, bucket)).find(
    (one) => one.partition === partition && one.hash > hash,
  );
  if (found === undefined) throw new Error("no key of that partition");
  return found;
}

/** A value that was deleted and collected everywhere, one that lives everywhere, and node 2's disk of before the deletion. */
async function collected() {
  const on = new CollectRig();
  await on.begin();
  const gone = on.locate("gone");
  const lives = neighbourOf(on, gone);
  await on.write(0, gone);
  await on.write(0, lives);
  const old = on.copyOf(2);
  await on.delete(1, gone);
  await on.pass(TWO_HOURS_MS);
  await on.collect();
  expect(await on.valuesAt(0, gone)).toBeUndefined();
  return { on, gone, lives, old };
}

const isBehind = (on: CollectRig, at: number, { partition }: Location): boolean =>
  on.node(at).floors.isBehind(partition);

const told = (on: CollectRig, at: number): readonly string[] =>
  on.node(at).log.events.filter((event) => event.startsWith("collect.unproved"));

const unprovedAt = (on: CollectRig, at: number): number => on.node(at).collecting.status().unproved;

describe("a value that was deleted, at a holder that was set back, whose tombstone the source has lost", () => {
  test("goes when another one that took part has collected it; what came above the line stays", async () => {
    const { on, gone, lives, old } = await collected();
    loses(on, 0, gone.hash);
    on.mute.add(CATCH_UP);
    await on.restart(2, old);
    await on.write(2, gone, { intent: putOf("new", undefined, "sibling"), others: [] });
    expect(await on.valuesAt(2, gone)).toBe(2);
    on.mute.clear();
    await on.pass(70_000);
    expect(await on.valuesAt(2, gone)).toBe(1);
    expect(await on.valuesAt(2, lives)).toBe(1);
    expect([isBehind(on, 2, gone), unprovedAt(on, 2), told(on, 2)]).toEqual([false, 0, []]);
  });

  test("stays when the other one has lost it too, and is logged, counted and named to others, over restarts", async () => {
    const { on, gone, lives, old } = await collected();
    for (const slot of [0, 1]) loses(on, slot, gone.hash);
    await on.restart(2, old);
    expect([await on.valuesAt(2, gone), await on.valuesAt(2, lives)]).toEqual([1, 1]);
    expect([isBehind(on, 2, gone), unprovedAt(on, 2), told(on, 2)]).toEqual([false, 1, ["collect.unproved-kept"]]);
    const hash = gone.hash.toString(16).padStart(16, "0");
    expect(on.node(2).log.facts).toContainEqual(
      expect.objectContaining({ event: "collect.unproved-kept", count: 1, hashes: [hash] }),
    );
    await on.restart(2);
    expect([isBehind(on, 2, gone), unprovedAt(on, 2)]).toEqual([false, 1]);
  });

  test("waits, unread, while the other one is away, at one pass a minute, and goes as soon as that one is there", async () => {
    const { on, gone, old } = await collected();
    loses(on, 0, gone.hash);
    on.away.add(1);
    await on.restart(2, old);
    on.asked.length = 0;
    await on.pass(600_000);
    expect([isBehind(on, 2, gone), on.hidden(gone)[2], await on.valuesAt(2, gone)]).toEqual([true, true, 1]);
    expect(new Set(told(on, 2))).toEqual(new Set(["collect.unproved-waits"]));
    const passes = on.asked.filter((topic) => topic === CATCH_UP).length;
    expect(passes).toBeGreaterThan(5);
    expect(passes).toBeLessThanOrEqual(10);
    on.away.clear();
    on.node(2).collecting.peerUp(on.node(1).id);
    await on.pass(1_000);
    expect([isBehind(on, 2, gone), await on.valuesAt(2, gone)]).toEqual([false, undefined]);
  });

  test("waits while the other one tells its marks and no keys", async () => {
    const { on, gone, old } = await collected();
    loses(on, 0, gone.hash);
    const { engine } = on.node(1);
    const scan = engine.scan.bind(engine);
    engine.scan = () => Promise.reject(new Error("no answer"));
    await on.restart(2, old);
    expect([isBehind(on, 2, gone), await on.valuesAt(2, gone)]).toEqual([true, 1]);
    engine.scan = scan;
    await on.pass(70_000);
    expect([isBehind(on, 2, gone), await on.valuesAt(2, gone)]).toEqual([false, undefined]);
  });

  test("waits for nobody who is behind as well: each would wait for the other", async () => {
    const { on, gone, old } = await collected();
    loses(on, 0, gone.hash);
    on.mute.add(CATCH_UP);
    await on.node(1).collecting.lostRecords(gone.partition);
    await on.restart(2, old);
    on.mute.clear();
    await on.pass(180_000);
    expect([isBehind(on, 1, gone), isBehind(on, 2, gone)]).toEqual([false, false]);
    // Whichever was first has no word on it for the other.
    expect(await on.valuesAt(2, gone)).toBe(1);
  });
});

describe("a value that lives, of which the source has lost the record", () => {
  test("is taken from another one that has it", async () => {
    const { on, gone, lives } = await collected();
    loses(on, 0, lives.hash);
    await on.restart(2, newMemoryImage());
    expect([isBehind(on, 2, gone), await on.valuesAt(2, lives), unprovedAt(on, 2)]).toEqual([false, 1, 0]);
  });

  test("stays where it is, and is compared with no other one's absence that nothing proves", async () => {
    const { on, lives } = await collected();
    loses(on, 0, lives.hash);
    on.away.add(1);
    on.mute.add(CATCH_UP);
    await on.restart(2, newMemoryImage());
    await on.write(2, lives, { intent: putOf("new", undefined, "sibling"), others: [] });
    on.mute.clear();
    await on.pass(10_000);
    // Nothing is held that might have been deleted: nobody is waited for.
    expect([isBehind(on, 2, lives), unprovedAt(on, 2), told(on, 2)]).toEqual([false, 1, []]);
    on.away.clear();
    on.away.add(0);
    await on.node(1).collecting.lostRecords(lives.partition);
    await on.restart(1);
    await on.pass(300_000);
    expect(await on.valuesAt(1, lives)).toBe(2);
    on.away.clear();
    await on.pass(180_000);
    expect([isBehind(on, 1, lives), await on.valuesAt(1, lives)]).toEqual([false, 2]);
  });

  test("is compared once more where nobody remembers any more that nobody proved its absence", async () => {
    const { on, lives } = await collected();
    loses(on, 0, lives.hash);
    on.away.add(1);
    await on.restart(2, newMemoryImage());
    expect([isBehind(on, 2, lives), unprovedAt(on, 2)]).toEqual([false, 1]);
    await on.node(2).engine.writeDocument("unproved", Buffer.from("rot"));
    on.mute.add(CATCH_UP);
    await on.restart(2);
    expect([isBehind(on, 2, lives), on.node(2).log.events.includes("collect.unproved-unreadable")]).toEqual([
      true,
      true,
    ]);
    on.mute.clear();
    on.away.clear();
    on.node(2).collecting.peerUp(on.node(1).id);
    await on.pass(70_000);
    expect([isBehind(on, 2, lives), await on.valuesAt(2, lives), unprovedAt(on, 2)]).toEqual([false, 1, 0]);
  });

  test("stays though it is not found where its bucket leaves it out", async () => {
    const on = new CollectRig();
    await on.begin();
    on.rules.replicas.set("few", 2);
    const gone = on.locate("gone");
    const few = neighbourOf(on, gone, "few");
    await on.write(0, few, { others: [1] });
    await on.write(0, gone);
    await on.delete(1, gone);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    loses(on, 0, few.hash);
    await on.node(1).collecting.lostRecords(gone.partition);
    await on.pass(180_000);
    expect([isBehind(on, 1, gone), await on.valuesAt(1, few), told(on, 1)]).toEqual([
      false,
      1,
      ["collect.unproved-kept"],
    ]);
  });
});

describe("a source", () => {
  test("that does not say what it has lost is not believed: the next one is", async () => {
    const { on, gone, lives, old } = await collected();
    const { collecting } = on.node(0);
    const topics = collecting.topics();
    collecting.topics = () =>
      topics.map(([topic, answer]) => {
        if (topic !== CATCH_UP) return [topic, answer];
        return [
          topic,
          async (...asked) => {
            const answered: unknown = await answer(...asked);
            return typeof answered === "object" && answered !== null ? { ...answered, lost: undefined } : answered;
          },
        ];
      });
    loses(on, 0, lives.hash);
    await on.restart(2, old);
    expect([isBehind(on, 2, gone), await on.valuesAt(2, gone), await on.valuesAt(2, lives)]).toEqual([
      false,
      undefined,
      1,
    ]);
    expect(on.node(2).log.facts).toContainEqual(
      expect.objectContaining({ event: "collect.catch-up-failed", peer: on.node(0).id }),
    );
    expect(on.node(2).log.facts).toContainEqual(
      expect.objectContaining({ event: "collect.caught-up", peer: on.node(1).id }),
    );
  });

  test("that is gone is not waited for while another one has all keys", async () => {
    const { on, gone, old } = await collected();
    on.mute.add(CATCH_UP);
    await on.restart(2, old);
    on.mute.clear();
    on.away.add(0);
    await on.pass(70_000);
    expect([isBehind(on, 2, gone), await on.valuesAt(2, gone)]).toEqual([false, undefined]);
  });
});
