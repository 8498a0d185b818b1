/**
 * The crash points of recovery, CP-29 … CP-35, CP-40 and CP-41 of the reliability notes §3.8.
 */

import { beforeEach, describe, expect, test } from "vitest";
import { checksum, fileSeed } from "../../../storage/format/checksum.ts";
import { isMutation, type SimDisk } from "../../sim/sim-disk.ts";
import { type CrashExpectation, CrashLedger } from "../../support/crash-ledger.ts";
import { OUTCOMES, openAnew } from "../../support/crash-sequences.ts";
import {
  DROP,
  fragmented,
  imagesDuring,
  KEEP,
  problemsAfter,
  readOutcome,
  Store,
  textOf,
} from "../../support/crash-store.ts";
import { openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { HandClock, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";
import { indexPaths, manifestOf, recordsOf, segmentPaths } from "../../support/store-surgery.ts";

let store: Store;
beforeEach(async () => {
  store = await new Store().open();
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
