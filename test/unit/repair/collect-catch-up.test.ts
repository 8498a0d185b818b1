/** What a holder that is behind makes of records that the one with whom it catches up has lost. */
import { describe, expect, test } from "vitest";
import { MAX_UNPROVED_KEYS } from "../../../services/base/limits.ts";
import type { HashRange } from "../../../storage/engine.ts";
import { CorruptRecordError, StoreUnusableError } from "../../../storage/errors.ts";
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

/** Whatever a node answers to one that catches up, when it is on its way back. */
function whenAnswered(on: CollectRig, at: number, what: () => void): void {
  const { collecting } = on.node(at);
  const topics = collecting.topics();
  collecting.topics = () =>
    topics.map(([topic, answer]) => {
      if (topic !== CATCH_UP) return [topic, answer];
      return [topic, async (...asked) => Promise.resolve(answer(...asked)).finally(what)];
    });
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

  test("waits until the others have told anew: who told before the proof may know", async () => {
    const { on, gone } = await collected();
    const { object } = await on.write(0, gone);
    await on.delete(1, gone);
    await on.pass(TWO_HOURS_MS);
    on.mute.add("collect.floors");
    await on.collect();
    on.mute.clear();
    loses(on, 0, gone.hash);
    // from under what this one has lost
    await on.node(1).replica.adopt(gone, object, Number.POSITIVE_INFINITY);
    await on.node(1).collecting.lostRecords(gone.partition);
    on.away.add(2);
    on.node(1).collecting.peerUp(on.node(0).id);
    await on.pass(10_000);
    expect([isBehind(on, 1, gone), await on.valuesAt(1, gone)]).toEqual([true, 1]);
    on.away.clear();
    await on.pass(120_000);
    expect([isBehind(on, 1, gone), (await on.valuesAt(1, gone)) ?? 0]).toEqual([false, 0]);
  });

  test("is asked for once a minute where more is lost than can be remembered", async () => {
    const { on, gone, old } = await collected();
    for (const slot of [0, 1]) {
      const { engine } = on.node(slot);
      engine.unreadableIn = (partition, range) => {
        const { fromHash, limit } = range ?? { fromHash: 0n, limit: 1 };
        const first = BigInt(partition) << 58n;
        const from = Number(fromHash > first ? fromHash - first : 0n);
        const count = Math.max(0, Math.min(limit, MAX_UNPROVED_KEYS + 1 - from));
        return Array.from({ length: count }, (_, at) => first + BigInt(from + at));
      };
    }
    const scans = [0, 1].map((slot) => {
      const { engine } = on.node(slot);
      const scan = engine.scan.bind(engine);
      let count = 0;
      engine.scan = async (partition, from, limit) => {
        if (partition === gone.partition && from === 0n) count += 1;
        return scan(partition, from, limit);
      };
      return () => count;
    });
    on.mute.add(CATCH_UP);
    await on.restart(2, old);
    on.mute.clear();
    await on.pass(50_000);
    expect([isBehind(on, 2, gone), ...scans.map((count) => count())]).toEqual([true, 1, 1]);
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
  test("keeps nobody behind when the source can read its key still, and nobody else is there", async () => {
    const { on, gone, lives } = await collected();
    const { engine } = on.node(0);
    const { scan, get } = { scan: engine.scan.bind(engine), get: engine.get.bind(engine) };
    engine.scan = async (...place) => {
      const page = await scan(...place);
      return { ...page, entries: page.entries.map((one) => (one.hash === lives.hash ? { ...one, digest: 0n } : one)) };
    };
    engine.get = (address, ...rest) => {
      if (address.hash !== lives.hash) return get(address, ...rest);
      return Promise.reject(new CorruptRecordError({ segment: 1, offset: 0 }));
    };
    engine.unreadableIn = () => [lives.hash];
    on.away.add(1);
    await on.restart(2, newMemoryImage());
    expect([isBehind(on, 2, gone), unprovedAt(on, 2)]).toEqual([false, 1]);
  });

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

  test("is compared once more when records are lost while it is written down that nobody knows", async () => {
    const { on, lives } = await collected();
    for (const slot of [0, 1]) loses(on, slot, lives.hash);
    const { engine, collecting } = on.node(2);
    const write = engine.writeDocument.bind(engine);
    engine.writeDocument = async (name, content) => {
      await write(name, content);
      if (name !== "unproved") return;
      on.mute.add(CATCH_UP);
      await collecting.lostRecords(lives.partition);
    };
    await collecting.lostRecords(lives.partition);
    await on.pass(70_000);
    expect([on.mute.has(CATCH_UP), isBehind(on, 2, lives)]).toEqual([true, true]);
    engine.writeDocument = write;
    on.mute.clear();
    await on.pass(70_000);
    expect([isBehind(on, 2, lives), await on.valuesAt(2, lives), unprovedAt(on, 2)]).toEqual([false, 1, 1]);
  });

  test("is compared once more where the note cannot be read from the disk, which is written anew", async () => {
    const { on, lives } = await collected();
    const { documents } = on.node(2).image;
    const [get, set] = [documents.get.bind(documents), documents.set.bind(documents)];
    documents.get = (name) => {
      if (name === "unproved") throw new StoreUnusableError("damaged");
      return get(name);
    };
    documents.set = (name, content) => {
      if (name === "unproved") documents.get = get;
      return set(name, content);
    };
    on.mute.add(CATCH_UP);
    await on.restart(2);
    expect([isBehind(on, 2, lives), documents.get("unproved") !== undefined]).toEqual([true, true]);
    on.mute.clear();
    await on.pass(70_000);
    expect([isBehind(on, 2, lives), await on.valuesAt(2, lives), unprovedAt(on, 2)]).toEqual([false, 1, 0]);
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

  test("stays when its bucket gets more replicas while a page without it is on its way", async () => {
    const on = new CollectRig();
    await on.begin();
    on.rules.replicas.set("single", 1);
    on.told(0, 1, 2);
    const gone = on.locate("gone");
    const single = neighbourOf(on, gone, "single");
    await on.write(0, single, { others: [] });
    await on.write(0, gone);
    await on.delete(1, gone);
    await on.pass(TWO_HOURS_MS);
    await on.collect();
    const before = { replicas: new Map(on.rules.replicas) };
    let answerCount = 0;
    whenAnswered(on, 1, () => {
      answerCount += 1;
      for (const slot of [1, 2]) on.oldRules.set(slot, before);
      on.rules.replicas.set("single", 2);
      on.told(0);
    });
    await on.node(0).collecting.lostRecords(gone.partition);
    await on.pass(70_000);
    expect([answerCount > 0, await on.valuesAt(0, single)]).toEqual([true, 1]);
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
