/**
 * The crash points of one store, CP-01 … CP-36, CP-40 and CP-41 of the reliability notes §3.8. CP-37 (hint log) is tested with
 * the hints; CP-38 and CP-39 (hand-over of data between nodes) with the hand-over.
 */
import { beforeEach, describe, expect, test } from "vitest";
import type { StorageEngine } from "../../../storage/engine.ts";
import { checksum, fileSeed } from "../../../storage/format/checksum.ts";
import { recordBytes } from "../../../storage/format/record.ts";
import type { LogEngine } from "../../../storage/log-engine.ts";
import type { CrashOutcome } from "../../sim/crash-outcome.ts";
import { isMutation, type SimDisk } from "../../sim/sim-disk.ts";
import { PAGE_BYTES } from "../../sim/sim-file.ts";
import { type CrashExpectation, CrashLedger, judgeRecovery } from "../../support/crash-ledger.ts";
import { OUTCOMES, openAnew, problemsOf } from "../../support/crash-sequences.ts";
import { type LogStart, openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { HandClock, nthAddress, settle, tombstoneOf, valueOf, writeOf } from "../../support/storage-fixtures.ts";
import {
  indexPaths,
  manifestOf,
  recordOf,
  recordsOf,
  segmentIds,
  segmentPaths,
  transplant,
} from "../../support/store-surgery.ts";

const DROP: CrashOutcome = { pages: "dropped", names: "dropped" };
const KEEP: CrashOutcome = { pages: "applied", names: "applied" };

/** A store, its disk and its books. */
class Store {
  disk: SimDisk = simDisk();
  readonly ledger = new CrashLedger();
  readonly #start: LogStart;
  #engine: LogEngine | undefined;
  #opened = 0;

  constructor(start: LogStart = {}) {
    this.#start = start;
  }

  get engine(): LogEngine {
    if (this.#engine === undefined) throw new Error("the store is not open");
    return this.#engine;
  }

  async open(): Promise<this> {
    this.#opened += 1;
    this.#engine = await openTiny(this.disk, { ...this.#start, random: seededDraws(this.#opened * 31 + 5) });
    this.ledger.useActor(this.#engine.identity.actor);
    return this;
  }

  async put(key: number, serial: number, size?: number): Promise<void> {
    await this.ledger.put(this.engine, serial, writeOf(nthAddress(key), serial, size));
  }

  async delete(key: number, serial: number): Promise<void> {
    await this.ledger.put(this.engine, serial, tombstoneOf(nthAddress(key), serial));
  }

  /** Several writes in one group. */
  async putTogether(
    writes: readonly { readonly key: number; readonly serial: number; readonly size: number }[],
  ): Promise<void> {
    await Promise.all(writes.map(({ key, serial, size }) => this.put(key, serial, size)));
  }

  async close(): Promise<void> {
    await this.engine.close();
  }
}

/** Opens an image and returns what is wrong with it, after a first and after a second recovery. */
async function problemsAfter(disk: SimDisk, expected: CrashExpectation): Promise<string[]> {
  return problemsOf({ label: "crash", disk, expected }, true);
}

/** The images of a disk in the middle of each call that `wanted` picks while `act` runs. */
async function imagesDuring(
  disk: SimDisk,
  wanted: (call: { readonly name: string; readonly path: string }) => boolean,
  act: () => Promise<unknown>,
): Promise<{ readonly call: string; readonly image: (outcome: CrashOutcome) => SimDisk }[]> {
  const images: { readonly call: string; readonly image: (outcome: CrashOutcome) => SimDisk }[] = [];
  disk.duringOperation = (_n, name, path) => {
    if (!isMutation(name) || !wanted({ name, path })) return;
    const made = new Map(
      Object.values({ ...OUTCOMES, DROP, KEEP }).map((o) => [o, disk.imageAfter(o, seededDraws(3))]),
    );
    images.push({ call: `${name} ${path}`, image: (outcome) => made.get(outcome) ?? disk.imageAfter(outcome) });
  };
  await act();
  await settle();
  disk.duringOperation = undefined;
  return images;
}

async function readOutcome(engine: StorageEngine, key: number): Promise<string> {
  try {
    const record = await engine.get(nthAddress(key));
    if (record === undefined) return "absent";
    return record.isTombstone ? "tombstone" : Buffer.from(record.value).toString("latin1");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "failed";
  }
}

const textOf = (serial: number, size?: number): string => Buffer.from(valueOf(serial, size)).toString("latin1");

let store: Store;
beforeEach(async () => {
  store = await new Store().open();
});

describe("writing", () => {
  test("CP-01 cut between the write and its durability: the record is absent or present whole", async () => {
    await store.put(1, 1);
    const before = store.ledger.now();
    const images = await imagesDuring(
      store.disk,
      (call) => call.name === "write",
      () => store.put(2, 2, 700),
    );
    expect(images.length).toBeGreaterThan(0);
    const ledger = CrashLedger.from(before);
    ledger.begin(2, writeOf(nthAddress(2), 2, 700));
    for (const { image } of images) {
      for (const outcome of Object.values(OUTCOMES))
        expect(await problemsAfter(image(outcome), ledger.now())).toEqual([]);
    }
  });

  test("CP-02 cut after durability, before the answer: the record is present, and so is every answered one", async () => {
    await store.put(1, 1);
    const image = await imagesDuring(
      store.disk,
      (call) => call.name === "write",
      () => store.put(2, 2),
    );
    const engine = await openAnew(image[0]?.image(KEEP) ?? store.disk.copy());
    expect(await readOutcome(engine, 2)).toBe(textOf(2));
    expect(await problemsAfter(store.disk.crash(DROP), store.ledger.now())).toEqual([]);
  });

  test("CP-03 a record torn at any byte is cut off, and the one before it is intact", async () => {
    await store.put(1, 1);
    const before = store.disk.copy();
    const expected = store.ledger.now();
    await store.put(2, 2, 61);
    const record = recordOf(store.disk, nthAddress(2).key);
    for (let length = 1; length < record.length; length += 1) {
      const torn = before.copy();
      transplant(store.disk, torn, { ...record, length });
      const isPadOnly = Buffer.compare(torn.peek(record.path), store.disk.peek(record.path)) === 0;
      if (isPadOnly) continue;
      const engine = await openAnew(torn);
      const { problems } = await judgeRecovery(engine, expected);
      expect({ length, problems, suspects: engine.suspectPartitions() }).toEqual({
        length,
        problems: [],
        suspects: [],
      });
      expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true, corruptRecordCount: 0 });
      expect(engine.recovery.truncatedBytes).toBeGreaterThan(0);
    }
  });

  test("CP-04 of an unanswered group whose second record alone is there, both are dropped", async () => {
    await store.put(1, 1);
    const before = store.disk.copy();
    const expected = store.ledger.now();
    await store.putTogether([
      { key: 2, serial: 2, size: 50 },
      { key: 3, serial: 3, size: 50 },
    ]);
    transplant(store.disk, before, recordOf(store.disk, nthAddress(3).key));
    const engine = await openAnew(before.copy());
    expect(await readOutcome(engine, 3)).toBe("absent");
    expect(engine.suspectPartitions()).toEqual([]);
    expect(await problemsAfter(before, expected)).toEqual([]);
  });

  test("CP-05 any subset of the pages of a group of 256 leaves every answered group intact", async () => {
    const big = await new Store({ segmentBytes: 128 * 1024 }).open();
    await big.putTogether(Array.from({ length: 30 }, (_, n) => ({ key: n, serial: n + 1, size: 300 })));
    const before = big.ledger.now();
    const group = Array.from({ length: 256 }, (_, n) => ({ key: n, serial: n + 100, size: 300 }));
    const images: SimDisk[] = [];
    big.disk.duringOperation = (_n, name, path) => {
      if (name !== "write" || !path.endsWith(".log")) return;
      for (let seed = 1; seed <= 40; seed += 1) {
        images.push(
          big.disk.imageAfter({ pages: seed % 2 === 0 ? "random" : "mixed", names: "random" }, seededDraws(seed)),
        );
      }
    };
    await big.putTogether(group);
    expect(images.length).toBeGreaterThanOrEqual(40);
    const ledger = CrashLedger.from(before);
    for (const { key, serial, size } of group) ledger.begin(serial, writeOf(nthAddress(key), serial, size));
    for (const image of images) {
      const engine = await openTiny(image, { segmentBytes: 128 * 1024, random: seededDraws(99) });
      expect((await judgeRecovery(engine, ledger.now())).problems).toEqual([]);
      expect(engine.suspectPartitions()).toEqual([]);
    }
  });

  test("CP-06 a file that grew before its data came ends where its data ends", async () => {
    await store.put(1, 1);
    const expected = store.ledger.now();
    const disk = store.disk.crash(DROP);
    const [path = ""] = segmentPaths(disk).slice(-1);
    disk.resize(path, 20_000);
    const engine = await openAnew(disk.copy());
    expect(engine.suspectPartitions()).toEqual([]);
    expect(await problemsAfter(disk, expected)).toEqual([]);
  });

  test("CP-07 a new segment whose name was lost: the one before is intact, and its id is never used again", async () => {
    for (let serial = 1; serial <= 3; serial += 1) await store.put(serial, serial, 300);
    const idsBefore = segmentIds(store.disk);
    const seen = new Set(idsBefore);
    const images = await imagesDuring(
      store.disk,
      (call) => call.name !== "write",
      () => store.put(9, 9, 800),
    );
    for (const id of segmentIds(store.disk)) seen.add(id);
    expect(seen.size).toBeGreaterThan(idsBefore.length);
    const ledger = CrashLedger.from(store.ledger.now());
    for (const { image } of images) {
      const disk = image({ ...DROP });
      const possible = { ...ledger.now(), keys: ledger.now().keys.filter(({ address }) => address !== nthAddress(9)) };
      const engine = await openAnew(disk);
      for (const key of [1, 2, 3]) expect(await readOutcome(engine, key)).toBe(textOf(key, 300));
      const idsAtOpen = new Set(segmentIds(disk));
      await engine.put(writeOf(nthAddress(20), 20, 800));
      await engine.put(writeOf(nthAddress(21), 21, 800));
      for (const id of segmentIds(disk))
        if (!idsAtOpen.has(id)) expect(seen.has(id) && !idsBefore.includes(id)).toBe(false);
      expect(possible.keys.length).toBeGreaterThan(0);
    }
  });

  test("CP-08 a new segment whose header is half written is removed, and numbering goes on", async () => {
    await store.put(1, 1, 300);
    const images = await imagesDuring(
      store.disk,
      (call) => call.name === "create" && call.path.endsWith(".log"),
      async () => {
        await store.put(2, 2, 300);
        await store.put(3, 3, 300);
      },
    );
    const target = images.at(-1);
    const path = target?.call.split(" ")[1] ?? "";
    const header = store.disk.peek(path).subarray(0, 64);
    for (const length of [0, 1, 8, 31, 63]) {
      const disk = (target?.image(KEEP) ?? store.disk).copy();
      disk.poke(path, 0, header.subarray(0, length));
      const engine = await openAnew(disk);
      expect(await readOutcome(engine, 1)).toBe(textOf(1, 300));
      expect(engine.suspectPartitions()).toEqual([]);
      await settle();
      expect(disk.paths()).not.toContain(path);
      await engine.put(writeOf(nthAddress(1), 50));
      const again = await openAnew(disk.crash(DROP));
      expect(await readOutcome(again, 1)).toBe(textOf(50));
    }
  });
});

describe("the manifest", () => {
  test("CP-09 of an edit torn at any byte, the last whole edit wins", async () => {
    await store.put(1, 1);
    await store.engine.leaseCounters(1000);
    store.ledger.lease(1000);
    const before = store.disk.copy();
    const expected = store.ledger.now();
    await store.engine.leaseCounters(2000);
    const path = manifestOf(store.disk);
    const [old, grown] = [before.peek(path), store.disk.peek(path)];
    expect(grown.length).toBeGreaterThan(old.length);
    for (let length = old.length; length <= grown.length; length += 1) {
      const torn = before.copy();
      torn.resize(path, length);
      torn.poke(path, old.length, grown.subarray(old.length, length));
      const engine = await openAnew(torn.copy());
      expect(engine.identity.leasedThrough).toBe(length === grown.length ? 2000 : 1000);
      expect(await problemsAfter(torn, expected)).toEqual([]);
    }
  });

  test("CP-10 cut anywhere while CURRENT is swung: the old manifest or the new one, never none", async () => {
    await store.put(1, 1);
    await store.engine.leaseCounters(1);
    const images = await imagesDuring(
      store.disk,
      ({ path }) => path.startsWith("CURRENT") || path.startsWith("MANIFEST") || path === "",
      async () => {
        for (let through = 2; through < 60; through += 1) await store.engine.leaseCounters(through);
      },
    );
    expect(images.some(({ call }) => call.startsWith("rename CURRENT"))).toBe(true);
    store.ledger.lease(1);
    for (const { image } of images) {
      for (const outcome of Object.values(OUTCOMES)) {
        expect(await problemsAfter(image(outcome), store.ledger.now())).toEqual([]);
      }
    }
  });
});

/** A store with garbage and live keys in several sealed segments. */
async function fragmented(start: LogStart = {}): Promise<Store> {
  const made = await new Store(start).open();
  for (let serial = 1; serial <= 16; serial += 1) await made.put(serial % 6, serial, 200);
  await made.delete(2, 17);
  await made.put(7, 18, 500);
  return made;
}

describe("compaction", () => {
  test("scenario 12: compaction-crash-matrix: CP-11 cut after each of its disk calls: the live set is the same, and compacting again is harmless", async () => {
    const made = await fragmented();
    const expected = made.ledger.now();
    const images = await imagesDuring(
      made.disk,
      () => true,
      () => made.engine.compact(TINY_GARBAGE),
    );
    expect(images.length).toBeGreaterThan(7);
    for (const { call, image } of images) {
      for (const outcome of Object.values(OUTCOMES)) {
        expect({ call, problems: await problemsAfter(image(outcome), expected) }).toEqual({ call, problems: [] });
      }
    }
    await made.engine.compact(TINY_GARBAGE);
    expect((await judgeRecovery(made.engine, { ...expected, usedActors: [], clean: "never" })).problems).toEqual([]);
  });

  test("CP-12 outputs that are durable while the manifest's edit is lost are removed", async () => {
    const made = await fragmented();
    const before = segmentIds(made.disk);
    const images = await imagesDuring(
      made.disk,
      ({ name, path }) => name === "write" && path.startsWith("MANIFEST"),
      () => made.engine.compact(TINY_GARBAGE),
    );
    const lost = images.find(({ image }) => segmentIds(image(DROP)).some((id) => !before.includes(id)));
    const disk = lost?.image(DROP) ?? made.disk;
    const orphans = segmentIds(disk).filter((id) => !before.includes(id));
    expect(orphans.length).toBeGreaterThan(0);
    expect(await problemsAfter(disk.copy(), made.ledger.now())).toEqual([]);
    await openAnew(disk);
    await settle();
    for (const orphan of orphans) expect(segmentIds(disk)).not.toContain(orphan);
  });

  test("CP-13 inputs left behind by a durable edit are removed at the next start, and revive nothing", async () => {
    const made = await fragmented({ mayDropTombstone: () => true });
    const images = await imagesDuring(
      made.disk,
      ({ name, path }) => name === "unlink" && path.endsWith(".log"),
      () => made.engine.compact(TINY_GARBAGE),
    );
    const disk = images[0]?.image(DROP) ?? made.disk;
    const left = segmentIds(disk);
    const engine = await openAnew(disk);
    await settle();
    expect(segmentIds(disk).length).toBeLessThan(left.length);
    for (let key = 0; key < 6; key += 1) {
      const isDeleted = key === 2;
      expect(await readOutcome(engine, key)).toBe(
        isDeleted ? await readOutcome(made.engine, 2) : await readOutcome(made.engine, key),
      );
    }
    expect(["absent", "tombstone"]).toContain(await readOutcome(engine, 2));
  });

  test("CP-14 inputs are unlinked only after outputs and the manifest's edit are durable", async () => {
    const made = await fragmented();
    const calls: string[] = [];
    made.disk.duringOperation = (_n, name, path) => {
      if (isMutation(name)) calls.push(`${name} ${path.replace(/[0-9a-f]{16}/, "*")}`);
    };
    await made.engine.compact(TINY_GARBAGE);
    await settle();
    // segments without live records go before, for they need no output
    const indexed = calls.findIndex((call) => call.startsWith("rename segments/*.idx"));
    expect(indexed).toBeGreaterThan(0);
    const unlink = calls.findIndex((call, at) => at > indexed && call.startsWith("unlink") && call.endsWith(".log"));
    const edit = calls.slice(0, unlink).findLastIndex((call) => call.startsWith("write MANIFEST"));
    const outputs = calls.slice(0, edit);
    const lastData = outputs.findLastIndex((call) => call.startsWith("write segments/*.log"));
    const afterData = outputs.slice(lastData);
    expect(unlink).toBeGreaterThan(0);
    expect(edit).toBeGreaterThan(0);
    expect(outputs.some((call) => call.startsWith("create segments/*.log"))).toBe(true);
    expect(
      afterData.some((call) => call === "fdatasync segments/*.log") && afterData.includes("fsyncDirectory segments"),
    ).toBe(true);
  });

  test("CP-15 a key stays deleted when its tombstone is compacted without the older segment that holds its value", async () => {
    const made = await new Store({ mayDropTombstone: () => true }).open();
    await made.put(0, 1, 40);
    await made.put(1, 2, 800);
    await made.delete(0, 3);
    for (let serial = 4; serial < 12; serial += 1) await made.put(2, serial, 200);
    const [oldest = 0] = segmentIds(made.disk);
    const tombstoneSegment = recordOf(made.disk, nthAddress(0).key).segment;
    await made.engine.compact(0.3);
    await settle();
    expect(segmentIds(made.disk)).toContain(oldest);
    expect(segmentIds(made.disk)).not.toContain(tombstoneSegment);
    const engine = await openAnew(made.disk.imageAfter(DROP));
    for (const each of [made.engine, engine]) {
      expect(await readOutcome(each, 0)).toBe("tombstone");
      expect(await readOutcome(each, 1)).toBe(textOf(2, 800));
    }
  });

  test("CP-15 a tombstone whose older values are all gone is dropped, if replicas allow it, and the key stays absent", async () => {
    for (const mayDrop of [true, false]) {
      const made = await fragmented({ mayDropTombstone: () => mayDrop });
      for (const [at, key] of [0, 1, 3, 4, 5, 7, 0, 1].entries()) await made.put(key, 40 + at, 300);
      for (let round = 0; round < 3; round += 1) await made.engine.compact(0.01);
      const engine = await openAnew(made.disk.imageAfter(DROP));
      expect(await readOutcome(made.engine, 2)).toBe(mayDrop ? "absent" : "tombstone");
      expect(await readOutcome(engine, 2)).toBe(mayDrop ? "absent" : "tombstone");
    }
  });

  test("CP-16, CP-17 deletes and puts that race with compaction win, before and after a crash", async () => {
    let raceCount = 0;
    for (let delay = 0; delay < 2000; delay += 11) {
      const made = await fragmented({ mayDropTombstone: () => true });
      let isCompacting = true;
      const compaction = made.engine.compact(TINY_GARBAGE).finally(() => {
        isCompacting = false;
      });
      for (let turn = 0; turn < delay; turn += 1) await Promise.resolve();
      if (isCompacting) raceCount += 1;
      await Promise.all([made.delete(3, 30), made.put(4, 31, 100), made.put(5, 32, 100), made.put(0, 33, 100)]);
      const image = made.disk.imageAfter(DROP);
      await compaction;
      for (const engine of [made.engine, await openAnew(image), await openAnew(made.disk.imageAfter(DROP))]) {
        expect(["absent", "tombstone"]).toContain(await readOutcome(engine, 3));
        for (const [key, serial] of [
          [4, 31],
          [5, 32],
          [0, 33],
        ] as const) {
          expect(await readOutcome(engine, key)).toBe(textOf(serial, 100));
        }
      }
      if (!isCompacting && delay > 0 && raceCount * 11 < delay - 200) break;
    }
    expect(raceCount).toBeGreaterThan(20);
  });

  test("CP-17 a put after compaction wins over the copy, although its segment was made before the copy's", async () => {
    const made = await fragmented();
    await made.engine.compact(TINY_GARBAGE);
    const newest = Math.max(...segmentIds(made.disk));
    for (let key = 0; key < 6; key += 1) await made.put(key, 60 + key, 30);
    expect(recordOf(made.disk, nthAddress(3).key).segment).toBeLessThan(newest);
    const engine = await openAnew(made.disk.imageAfter(DROP));
    for (let key = 0; key < 6; key += 1) expect(await readOutcome(engine, key)).toBe(textOf(60 + key, 30));
  });
});

describe("index files", () => {
  test("CP-18 one that is cut, rotten, foreign or stale is ignored: the scan says the same", async () => {
    const made = await fragmented();
    await made.close();
    const expected: CrashExpectation = { ...made.ledger.now(), clean: "maybe" };
    const paths = indexPaths(made.disk);
    expect(paths.length).toBeGreaterThan(1);
    const [first = "", second = ""] = paths;
    const damages: ((disk: SimDisk) => void)[] = [
      ...[0, 1, 20, made.disk.peek(first).length - 1].map((size) => (disk: SimDisk) => disk.resize(first, size)),
      (disk) => disk.poke(first, disk.peek(first).length, Uint8Array.of(0)),
      (disk) => disk.place(first, disk.peek(second)),
      (disk) => disk.place(first, undefined),
    ];
    for (let offset = 0; offset < made.disk.peek(first).length; offset += 1) {
      damages.push((disk) => disk.flipBit(first, { offset, bit: offset % 8 }));
    }
    for (const damage of damages) {
      const disk = made.disk.copy();
      damage(disk);
      const engine = await openAnew(disk);
      expect((await judgeRecovery(engine, expected)).problems).toEqual([]);
      expect(engine.suspectPartitions()).toEqual([]);
    }
  });

  test("CP-19 one that was being written is removed, and so is its temporary file", async () => {
    const images: SimDisk[] = [];
    const made = new Store();
    made.disk.duringOperation = (_n, name, path) => {
      if (isMutation(name) && path.includes(".idx"))
        images.push(made.disk.imageAfter(KEEP), made.disk.imageAfter(DROP));
    };
    await made.open();
    for (let serial = 1; serial <= 12; serial += 1) await made.put(serial % 4, serial, 300);
    await settle();
    expect(images.length).toBeGreaterThan(4);
    for (const disk of images) {
      await openAnew(disk);
      await settle();
      expect(disk.paths().filter((path) => path.endsWith(".tmp"))).toEqual([]);
    }
  });
});

describe("rot", () => {
  test.each(["kept", "lost"])(
    "CP-20 one bit turned over anywhere in a sealed record is found, with its index file %s: an error or a suspect partition, others intact",
    async (indexFile) => {
      const made = await new Store().open();
      for (let key = 0; key < 9; key += 1) await made.put(key, key + 1, 200);
      await made.close();
      const victim = recordOf(made.disk, nthAddress(1).key);
      const partition = nthAddress(1).partition;
      for (let offset = 0; offset < victim.length; offset += 3) {
        const disk = made.disk.copy();
        disk.flipBit(victim.path, { offset: victim.offset + offset, bit: offset % 8 });
        if (indexFile === "lost") for (const path of indexPaths(disk)) disk.place(path, undefined);
        const engine = await openAnew(disk);
        const outcome = await readOutcome(engine, 1);
        const isFound = outcome === "CORRUPT_RECORD" || (outcome === "absent" && engine.isSuspect(partition));
        expect({ offset, outcome, isFound }).toEqual({ offset, outcome, isFound: true });
        for (const key of [0, 2, 3, 4, 5, 6, 7, 8]) expect(await readOutcome(engine, key)).toBe(textOf(key + 1, 200));
      }
    },
  );

  test("CP-21 a wrong length hides no later record", async () => {
    const made = await new Store({ segmentBytes: 4096 }).open();
    for (let key = 0; key < 8; key += 1) await made.put(key, key + 1, 200);
    await made.close();
    const victim = recordOf(made.disk, nthAddress(2).key);
    for (const length of [
      0,
      0xffff_ffff,
      0x7fff_ffff,
      victim.identity.valueLength + 8,
      victim.identity.valueLength - 8,
    ]) {
      const disk = made.disk.copy();
      const word = Buffer.alloc(4);
      word.writeUInt32LE(length);
      disk.poke(victim.path, victim.offset + 40, word);
      for (const path of indexPaths(disk)) disk.place(path, undefined);
      const engine = await openTiny(disk, { segmentBytes: 4096, random: seededDraws(8) });
      for (const key of [0, 1, 3, 4, 5, 6, 7]) expect(await readOutcome(engine, key)).toBe(textOf(key + 1, 200));
      expect(engine.isSuspect(nthAddress(2).partition) || (await readOutcome(engine, 2)) === "CORRUPT_RECORD").toBe(
        true,
      );
      expect(engine.identity.pastActors).toContain(made.engine.identity.actor);
    }
  });

  test.each(["an older version of itself", "a page of another file", "another page of its file"])(
    "CP-22 a page replaced by %s is found",
    async (kind) => {
      const start = { segmentBytes: 4 * PAGE_BYTES };
      const made = await new Store(start).open();
      for (let key = 0; key < 10; key += 1) await made.put(key, key + 1, 400);
      const older = made.disk.copy();
      for (let key = 10; key < 80; key += 1) await made.put(key, key + 1, 400);
      await made.close();
      const [first = "", second = ""] = segmentPaths(made.disk);
      const page = (disk: SimDisk, path: string, n: number): Uint8Array =>
        disk.peek(path).slice(n * PAGE_BYTES, (n + 1) * PAGE_BYTES);
      const replacement = kind.startsWith("an older")
        ? page(older, first, 1)
        : kind.startsWith("a page")
          ? page(made.disk, second, 1)
          : page(made.disk, first, 2);
      for (const indexFile of ["kept", "lost"]) {
        const disk = made.disk.copy();
        disk.poke(first, PAGE_BYTES, replacement);
        if (indexFile === "lost") for (const path of indexPaths(disk)) disk.place(path, undefined);
        const engine = await openTiny(disk, { ...start, random: seededDraws(8) });
        let damaged = 0;
        for (let key = 0; key < 40; key += 1) {
          const outcome = await readOutcome(engine, key);
          if (outcome === textOf(key + 1, 400)) continue;
          damaged += 1;
          expect(outcome === "CORRUPT_RECORD" || engine.isSuspect(nthAddress(key).partition)).toBe(true);
        }
        expect(damaged).toBeGreaterThan(0);
        expect(damaged).toBeLessThan(20);
      }
    },
  );

  test("scenario 11: torn-tail-vs-rot: CP-23 rot of an answered record in the open segment makes it suspect: it is not taken for a torn tail", async () => {
    const made = await new Store({ segmentBytes: 8192 }).open();
    for (let key = 0; key < 6; key += 1) await made.put(key, key + 1, 100);
    const disk = made.disk.crash(DROP);
    for (const key of [0, 2, 4]) {
      const victim = recordOf(disk, nthAddress(key).key);
      for (const offset of [0, 20, 41, 60, victim.length - 9]) {
        const rotten = disk.copy();
        rotten.flipBit(victim.path, { offset: victim.offset + offset, bit: 3 });
        const engine = await openTiny(rotten, { segmentBytes: 8192, random: seededDraws(8) });
        expect({ key, offset, isSuspect: engine.isSuspect(nthAddress(key).partition) }).toEqual({
          key,
          offset,
          isSuspect: true,
        });
        for (let other = 0; other < 5; other += 1) {
          if (other !== key) expect(await readOutcome(engine, other)).toBe(textOf(other + 1, 100));
        }
        const again = await openTiny(rotten.crash(DROP), { segmentBytes: 8192, random: seededDraws(9) });
        expect(again.isSuspect(nthAddress(key).partition)).toBe(true);
      }
    }
  });

  test("CP-23 an idle store proves its last group by a mark, so that rot in it is not taken for a torn tail either", async () => {
    for (const isIdle of [false, true]) {
      const clock = new HandClock();
      const made = await new Store({ clock }).open();
      await made.put(1, 1, 100);
      await settle();
      if (isIdle) clock.advance(1000);
      await settle();
      const disk = made.disk.crash(DROP);
      const victim = recordOf(disk, nthAddress(1).key);
      disk.flipBit(victim.path, { offset: victim.offset + 70, bit: 1 });
      const engine = await openAnew(disk);
      expect({ isIdle, isSuspect: engine.isSuspect(nthAddress(1).partition) }).toEqual({ isIdle, isSuspect: isIdle });
      expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true });
    }
  });
});

describe("errors of the disk", () => {
  test("CP-24 after a failed write the store has failed for good; the next start draws a new actor", async () => {
    await store.put(1, 1);
    const { actor } = store.engine.identity;
    const heard: Error[] = [];
    store.engine.onFailure((error) => heard.push(error));
    store.disk.inject({ on: ["write", "fdatasync"], code: "EIO", times: 1, path: "segments/" });
    await expect(store.put(2, 2)).rejects.toMatchObject({ code: "STORE_FAILED" });
    await expect(store.put(3, 3)).rejects.toMatchObject({ code: "STORE_FAILED" });
    await expect(store.engine.leaseCounters(9)).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect(heard).toHaveLength(1);
    expect(store.engine.failure).toMatchObject({ code: "STORE_FAILED" });
    expect(await readOutcome(store.engine, 1)).toBe(textOf(1));
    await store.engine.close();
    const engine = await openAnew(store.disk.kill());
    expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true });
    expect(engine.identity.pastActors).toContain(actor);
    expect(await readOutcome(engine, 1)).toBe(textOf(1));
  });

  test.each(["write", "fdatasync"] as const)(
    "CP-25 pages lost after a failed %s: what was answered is intact, who waited was told unknown",
    async (on) => {
      for (let skip = 0; skip < 6; skip += 1) {
        const made = await new Store().open();
        await made.put(1, 1, 300);
        made.disk.inject({ on: [on], code: "EIO", times: 1, skip });
        for (let serial = 2; serial < 9; serial += 1) {
          const outcome = await made.put(serial, serial, 300).catch((error: unknown) => error);
          if (outcome !== undefined) expect(outcome).toMatchObject({ code: "STORE_FAILED" });
        }
        await settle();
        for (const outcome of [DROP, KEEP])
          expect(await problemsAfter(made.disk.imageAfter(outcome), made.ledger.now())).toEqual([]);
      }
    },
  );

  test("CP-26 no space at any byte of a group: it left no trace, the store goes on, the next start is clean", async () => {
    for (let bytes = 1; bytes < 2 * recordBytes(5, 60); bytes += 7) {
      const made = await new Store().open();
      await made.put(1, 1);
      const heal = made.disk.inject({ on: ["write"], code: "ENOSPC", path: "segments/", afterBytes: bytes });
      const puts = await Promise.allSettled([made.put(2, 2, 60), made.put(3, 3, 60)]);
      for (const put of puts) expect(put).toMatchObject({ status: "rejected", reason: { code: "DISK_FULL" } });
      expect(await readOutcome(made.engine, 1)).toBe(textOf(1));
      expect(await problemsAfter(made.disk.imageAfter(DROP), made.ledger.now())).toEqual([]);
      heal();
      await made.put(4, 4, 60);
      await made.close();
      const engine = await openAnew(made.disk);
      expect(engine.recovery).toMatchObject({
        mode: "clean",
        isNewActor: false,
        truncatedBytes: 0,
        corruptRecordCount: 0,
      });
      expect([await readOutcome(engine, 2), await readOutcome(engine, 3)]).toEqual(["absent", "absent"]);
      expect(await readOutcome(engine, 4)).toBe(textOf(4, 60));
    }
  });

  test.each(["segments/", "MANIFEST", "CLEAN", ""])(
    "CP-27 no space while compacting, in files of %j: the live set is intact",
    async (path) => {
      for (let bytes = 1; bytes < 1500; bytes += 131) {
        const made = await fragmented();
        const heal = made.disk.inject({ on: ["write"], code: "ENOSPC", path, afterBytes: bytes });
        await made.engine.compact(TINY_GARBAGE).catch(() => undefined);
        await made.engine.close().catch(() => undefined);
        expect(await problemsAfter(made.disk.imageAfter(DROP), { ...made.ledger.now(), clean: "maybe" })).toEqual([]);
        heal();
      }
    },
  );

  test("CP-28 no space, and no truncation either: a torn tail that nobody was promised", async () => {
    await store.put(1, 1);
    store.disk.inject({ on: ["write"], code: "ENOSPC", path: "segments/", afterBytes: 50 });
    store.disk.inject({ on: ["truncate"], code: "EIO" });
    await expect(store.put(2, 2, 100)).rejects.toMatchObject({ code: "STORE_FAILED" });
    for (const outcome of Object.values(OUTCOMES)) {
      expect(await problemsAfter(store.disk.imageAfter(outcome), store.ledger.now())).toEqual([]);
    }
  });

  test("CP-36 a disk that became read-only: writes fail at once, reads go on", async () => {
    await store.put(1, 1);
    store.disk.inject({
      on: ["write", "create", "truncate", "rename", "unlink", "makeDirectory", "fdatasync"],
      code: "EROFS",
    });
    await expect(store.put(2, 2)).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect(await readOutcome(store.engine, 1)).toBe(textOf(1));
    expect((await store.engine.scan(nthAddress(1).partition, 0n, 5)).entries).toHaveLength(1);
    expect(store.engine.failure).toBeDefined();
  });
});

describe("recovery", () => {
  test("CP-29 killed at each of its steps, up to five times: the same live set, no actor twice", async () => {
    const made = await fragmented();
    const images = await imagesDuring(
      made.disk,
      ({ name, path }) => name === "write" && path.endsWith(".log"),
      () => made.put(8, 40, 300),
    );
    const start = images.at(-1)?.image(OUTCOMES["torn sectors"] ?? KEEP) ?? made.disk;
    const base = CrashLedger.from(made.ledger.now()).now();
    const possible: CrashExpectation = { ...base, keys: base.keys };
    const draws = seededDraws(11);
    const outcomes = Object.values(OUTCOMES);
    const callsOfOpen = await mutationsOf(start.copy());
    expect(callsOfOpen).toBeGreaterThan(8);
    for (let firstCut = 1; firstCut <= callsOfOpen; firstCut += 1) {
      for (const outcome of outcomes) {
        let disk = start.copy();
        expect(await openUntilCut(disk, firstCut)).toBe(false);
        disk = disk.crash(outcome);
        for (let kill = 1; kill < 5; kill += 1) {
          await openUntilCut(disk, 1 + draws.below(callsOfOpen));
          disk = disk.crash(outcomes[draws.below(outcomes.length)] ?? KEEP);
        }
        expect(await problemsAfter(disk, withMaybe(possible, 8, 40))).toEqual([]);
      }
    }
  });

  test("CP-30 a clean marker over a log that lost its end is not believed", async () => {
    const made = await fragmented();
    await made.close();
    const last = recordsOf(made.disk).at(-1);
    if (last === undefined) throw new Error("no records");
    const disk = made.disk.copy();
    disk.poke(last.path, last.offset, new Uint8Array(last.length));
    const engine = await openAnew(disk);
    expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true });
    const key = Number(last.key.slice("key-".length));
    const isMissed = engine.isSuspect(last.identity.partition) || (await readOutcome(engine, key)) === "CORRUPT_RECORD";
    expect(isMissed).toBe(true);
    const shorter = made.disk.copy();
    shorter.resize(last.path, last.offset);
    const second = await openAnew(shorter);
    expect(second.recovery).toMatchObject({ mode: "unclean", isNewActor: true });
    expect(second.isSuspect(last.identity.partition)).toBe(true);
  });

  test("CP-31 a clean marker that stayed behind while the store went on is not believed", async () => {
    await store.put(1, 1);
    await store.close();
    const marker = store.disk.peek("CLEAN");
    await store.open();
    expect(store.disk.paths()).not.toContain("CLEAN");
    const atOpen = store.disk.imageAfter(DROP);
    atOpen.place("CLEAN", marker);
    await store.put(2, 2);
    const later = store.disk.imageAfter(DROP);
    later.place("CLEAN", marker);
    const engine = await openAnew(later);
    expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true });
    expect(await readOutcome(engine, 2)).toBe(textOf(2));
    expect((await openAnew(atOpen)).recovery.mode).toBe("unclean");
  });

  test("CP-32 yesterday's copy looks clean; a renewed actor is another one than any that wrote since", async () => {
    await store.put(1, 1);
    await store.close();
    const yesterday = store.disk.copy();
    await store.open();
    const { actor } = store.engine.identity;
    await store.put(2, 2);
    const restored = await openAnew(yesterday);
    expect(restored.identity.actor).toBe(actor);
    await restored.renewActor();
    expect(restored.identity.actor).not.toBe(actor);
    const again = await openAnew(yesterday.crash(DROP));
    expect(again.identity.pastActors).toContain(actor);
    expect(again.identity.actor).not.toBe(actor);
  });

  test("CP-33 a wiped disk is a fresh store with an actor of its own", async () => {
    await store.put(1, 1);
    const wiped = await openAnew(simDisk(2));
    expect(wiped.recovery).toMatchObject({ mode: "fresh", isNewActor: true });
    expect(wiped.identity.actor).not.toBe(store.engine.identity.actor);
    expect(await readOutcome(wiped, 1)).toBe("absent");
  });

  test("CP-34 a lease is not given while the manifest's write stalls, and none beyond it survives", async () => {
    await store.engine.leaseCounters(100);
    let isGiven = false;
    let image: SimDisk | undefined;
    store.disk.beforeOperation = (_n, name, path) =>
      name === "write" && path.startsWith("MANIFEST") ? "cut" : undefined;
    store.disk.onCut = () => {
      image = store.disk.imageAfter(DROP);
    };
    void store.engine.leaseCounters(200).then(() => {
      isGiven = true;
    });
    await settle();
    expect(isGiven).toBe(false);
    expect(store.engine.identity.leasedThrough).toBe(100);
    const engine = await openAnew(image ?? store.disk);
    expect(engine.identity.leasedThrough).toBeGreaterThanOrEqual(100);
  });

  test("CP-35 a store that a live process holds is refused by name; one whose holder died opens", async () => {
    await store.put(1, 1);
    const disk = store.disk.crash(DROP);
    disk.holdLockAs("process 4711");
    await expect(openAnew(disk)).rejects.toThrow("process 4711");
    expect(disk.fingerprint()).toBe(store.disk.imageAfter(DROP).fingerprint());
    disk.holdLockAs(undefined);
    expect(await readOutcome(await openAnew(disk), 1)).toBe(textOf(1));
  });

  test("CP-40 a clock that is set back between two starts changes no order", async () => {
    const late = new HandClock();
    late.advance(3_600_000);
    const made = await new Store({ clock: late }).open();
    await made.put(1, 1);
    await made.close();
    const engine = await openTiny(made.disk, { clock: new HandClock(), random: seededDraws(4) });
    await engine.put(writeOf(nthAddress(1), 2));
    const again = await openTiny(made.disk.crash(DROP), { clock: new HandClock(), random: seededDraws(5) });
    expect(await readOutcome(again, 1)).toBe(textOf(2));
  });

  test("CP-41 segments and index files of the version before are read, and what comes next is of this one", async () => {
    for (let key = 0; key < 12; key += 1) await store.put(key, key + 1);
    await store.close();
    const disk = store.disk.copy();
    for (const path of segmentPaths(disk)) {
      const header = Buffer.from(disk.peek(path).subarray(0, 64));
      header.writeUInt32LE(1, 8);
      header.writeUInt32LE(checksum(header.subarray(0, 60), 0), 60);
      disk.poke(path, 0, header);
    }
    for (const path of indexPaths(disk)) {
      const at = disk.peek(path).length - 64;
      const trailer = Buffer.from(disk.peek(path).subarray(at));
      trailer.writeUInt32LE(1, 8);
      const seed = fileSeed(trailer.subarray(16, 32), "index", trailer.readUInt32LE(12));
      trailer.writeUInt32LE(checksum(trailer.subarray(0, 60), seed), 60);
      disk.poke(path, at, trailer);
    }
    const engine = await openAnew(disk);
    expect(engine.recovery).toMatchObject({ mode: "clean", scannedBytes: 0, corruptRecordCount: 0 });
    expect(await engine.scrub()).toMatchObject({ badCount: 0, rebuiltIndexCount: 0 });
    for (let key = 0; key < 12; key += 1) expect(await readOutcome(engine, key)).toBe(textOf(key + 1));
    await engine.compact(TINY_GARBAGE);
    await engine.close();
    const again = await openAnew(disk);
    for (let key = 0; key < 12; key += 1) expect(await readOutcome(again, key)).toBe(textOf(key + 1));
  });

  test("CP-41 files of a version to come are refused, and nothing is changed", async () => {
    await store.put(1, 1);
    await store.close();
    const headers = [
      { path: manifestOf(store.disk), checkedBytes: 44, version: 3 },
      { path: segmentPaths(store.disk)[0] ?? "", checkedBytes: 60, version: 3 },
    ];
    for (const { path, checkedBytes, version } of headers) {
      const disk = store.disk.copy();
      const header = Buffer.from(disk.peek(path).subarray(0, checkedBytes + 4));
      header.writeUInt32LE(version, 8);
      header.writeUInt32LE(checksum(header.subarray(0, checkedBytes), 0), checkedBytes);
      disk.poke(path, 0, header);
      const before = new Map(disk.paths().map((name) => [name, Buffer.from(disk.peek(name))]));
      await expect(openAnew(disk)).rejects.toMatchObject({ code: "STORE_UNUSABLE" });
      expect(new Map(disk.paths().map((name) => [name, Buffer.from(disk.peek(name))]))).toEqual(before);
    }
  });
});

/** Opens until the n-th changing call, which never returns. True when the store opened before that. */
async function openUntilCut(disk: SimDisk, cutAt: number): Promise<boolean> {
  let mutations = 0;
  disk.beforeOperation = (_n, name) => {
    if (!isMutation(name)) return undefined;
    mutations += 1;
    return mutations === cutAt ? "cut" : undefined;
  };
  const cut = new Promise<boolean>((resolve) => {
    disk.onCut = () => resolve(false);
  });
  return Promise.race([openAnew(disk).then(() => true), cut]);
}

/** How many changing calls it takes to open. */
async function mutationsOf(disk: SimDisk): Promise<number> {
  let mutations = 0;
  disk.beforeOperation = (_n, name) => {
    if (isMutation(name)) mutations += 1;
    return undefined;
  };
  await openAnew(disk);
  return mutations;
}

/** The same, with one more write that may or may not be there. */
function withMaybe(expected: CrashExpectation, key: number, serial: number): CrashExpectation {
  const address = nthAddress(key);
  const write = { serial, request: writeOf(address, serial, 300) };
  const keys = expected.keys.filter((entry) => entry.address.hash !== address.hash);
  return { ...expected, keys: [...keys, { address, possible: [{ serial: 0, request: undefined }, write] }] };
}
