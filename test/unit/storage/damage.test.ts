/** Damage that a start or a compaction meets: what it may cost, and what it must never cost. */
import { describe, expect, test } from "vitest";
import { encodeEdit, MAX_EDIT_BYTES } from "../../../storage/format/manifest-edit.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import {
  DROP,
  openDamaged,
  outcomesOf,
  textOf,
  WORN_KEYS,
  WORN_VALUES,
  wornStore,
} from "../../support/damage-fixtures.ts";
import { simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { addressOf, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";
import { manifestOf, recordOf, segmentPaths } from "../../support/store-surgery.ts";

const ROOMY = { segmentBytes: 8192 };
const ONE_MANIFEST = { manifestBytes: 1e6 };
const TEN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

describe("the manifest", () => {
  test("whose first edit is rotten is refused, and nothing is removed", async () => {
    const disk = simDisk();
    let engine = await openDamaged(disk);
    for (const n of TEN) await engine.put(writeOf(nthAddress(n), n, 100));
    await engine.close();
    engine = await openDamaged(disk);
    await engine.close();
    const path = manifestOf(disk);
    for (let offset = 48; offset < disk.peek(path).length; offset += 7) {
      const rotten = disk.copy();
      rotten.flipBit(path, { offset, bit: 3 });
      const before = rotten.fingerprint();
      await expect(openDamaged(rotten)).rejects.toMatchObject({ code: "STORE_UNUSABLE" });
      expect(rotten.fingerprint()).toBe(before);
    }
  });

  test("is never given an edit that would not be read back", () => {
    const changes = Array.from({ length: MAX_EDIT_BYTES / 9 + 1 }, () => ({ kind: "lease", through: 1 }) as const);
    expect(() => encodeEdit(changes, { manifestSeed: 1, offset: 48 })).toThrow("an edit is never longer");
  });

  test("whose last edit is rotten costs no copy: segments that it named are put in quarantine", async () => {
    const disk = simDisk();
    const engine = await wornStore(disk, ONE_MANIFEST);
    const before = segmentPaths(disk);
    await engine.compact(TINY_GARBAGE);
    await settle();
    const rotten = disk.crash(DROP);
    const path = manifestOf(rotten);
    rotten.flipBit(path, { offset: rotten.peek(path).length - 12, bit: 1 });
    const made = segmentPaths(rotten).filter((name) => !before.includes(name));
    expect(made.length).toBeGreaterThan(0);
    const kept = new Map(made.map((name) => [name.replace("segments", "quarantine"), Buffer.from(rotten.peek(name))]));
    const again = await openDamaged(rotten, ONE_MANIFEST);
    expect(again.suspectPartitions()).toEqual([0, 1, 2, 3]);
    await again.put(writeOf(nthAddress(7), 30));
    for (const [name, bytes] of kept) {
      expect(Buffer.from(rotten.peek(name)).equals(bytes)).toBe(true);
      expect(rotten.paths()).not.toContain(name.replace("quarantine", "segments"));
    }
  });

  test("that is shorter than it was when the store was closed is refused, and nothing is changed", async () => {
    const disk = simDisk();
    const engine = await wornStore(disk, ONE_MANIFEST);
    await engine.close();
    const path = manifestOf(disk);
    const size = disk.peek(path).length;
    for (const damage of [
      (image: SimDisk) => image.flipBit(path, { offset: size - 12, bit: 1 }),
      (image: SimDisk) => image.resize(path, size - 8),
    ]) {
      const rotten = disk.copy();
      damage(rotten);
      const before = rotten.fingerprint();
      await expect(openDamaged(rotten, ONE_MANIFEST)).rejects.toMatchObject({ code: "STORE_UNUSABLE" });
      expect(rotten.fingerprint()).toBe(before);
    }
  });
});

describe("compaction", () => {
  test.each(["is on disk", "is lost"])("whose commit failed and %s loses no answered record", async (fate) => {
    const disk = simDisk();
    const engine = await wornStore(disk, ONE_MANIFEST);
    let heal: (() => void) | undefined;
    let hasOutputs = false;
    // the commit is the first edit after an output got its index file
    disk.beforeOperation = (_n, name, path) => {
      hasOutputs ||= name === "rename" && path.includes(".idx.tmp");
      if (hasOutputs && name === "write" && path.startsWith("MANIFEST")) {
        heal ??= disk.inject({ on: ["write"], path: "MANIFEST", code: "EIO", times: 1 });
      }
      return undefined;
    };
    await engine.compact(TINY_GARBAGE);
    await settle();
    expect(engine.failure).toMatchObject({ code: "STORE_FAILED" });
    const again = await openDamaged(fate === "is lost" ? disk.crash(DROP) : disk.kill(), ONE_MANIFEST);
    expect(await outcomesOf(again, WORN_KEYS)).toEqual(WORN_VALUES);
    expect(again.suspectPartitions()).toEqual([]);
  });
});

describe("in durability `os`", () => {
  const lazy = { durability: "os" } as const;

  test("a power loss that leaves nothing of the open segment makes everything suspect", async () => {
    const disk = simDisk();
    const engine = await openDamaged(disk, lazy);
    await engine.put(writeOf(nthAddress(1), 1, 100));
    const again = await openDamaged(disk.crash(DROP), lazy);
    expect(await outcomesOf(again, [1])).toEqual(["absent"]);
    expect(again.suspectPartitions()).toEqual([0, 1, 2, 3]);
  });

  test("compaction removes a durable version only when the newer one is durable as well", async () => {
    const disk = simDisk();
    let engine = await openDamaged(disk, lazy);
    for (const n of [1, 2, 3, 4]) await engine.put(writeOf(nthAddress(n), n, 100));
    await engine.close();
    engine = await openDamaged(disk, lazy);
    for (const n of [1, 2, 3, 4]) await engine.put(writeOf(nthAddress(n), 10 + n, 100));
    await engine.compact(TINY_GARBAGE);
    await settle();
    const again = await openDamaged(disk.crash(DROP), lazy);
    expect(await outcomesOf(again, [1, 2, 3, 4])).toEqual([11, 12, 13, 14].map((serial) => textOf(serial, 100)));
  });

  test("a failed fdatasync before the commit of a compaction fails the store", async () => {
    const disk = simDisk();
    const engine = await wornStore(disk, lazy);
    const active = segmentPaths(disk).slice(-2);
    for (const path of active) disk.inject({ on: ["fdatasync"], path, code: "EIO" });
    await engine.compact(TINY_GARBAGE);
    expect(engine.failure).toMatchObject({ code: "STORE_FAILED" });
  });
});

describe("an open segment", () => {
  test("with a rotten header in the last record known to be durable keeps the intact record behind it", async () => {
    const disk = simDisk();
    const engine = await openDamaged(disk, ROOMY);
    for (const n of [1, 2, 3]) await engine.put(writeOf(nthAddress(n), n, 50));
    const { path, offset } = recordOf(disk, nthAddress(2).key);
    const rotten = disk.crash(DROP);
    rotten.flipBit(path, { offset: offset + 9, bit: 0 });
    const again = await openDamaged(rotten, ROOMY);
    expect(await outcomesOf(again, [1, 2, 3])).toEqual([textOf(1, 50), "absent", textOf(3, 50)]);
    expect(again.suspectPartitions()).toEqual([0, 1, 2, 3]);
  });
});

describe("a clean stop that the disk contradicts", () => {
  /** A store closed in order whose last segment has then lost its end, while its index file has not. */
  async function shortened(): Promise<SimDisk> {
    const disk = simDisk();
    const engine = await openDamaged(disk, ROOMY);
    for (const n of TEN) await engine.put(writeOf(nthAddress(n), n, 50));
    await engine.close();
    const [path = ""] = segmentPaths(disk).slice(-1);
    disk.poke(path, disk.peek(path).length - 300, new Uint8Array(300));
    return disk;
  }

  test("is looked into without index files: what is gone is suspect, and not claimed", async () => {
    const disk = await shortened();
    const engine = await openDamaged(disk, ROOMY);
    expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true });
    expect(engine.suspectPartitions()).toEqual([0, 1, 2, 3]);
    expect(engine.digestOf(nthAddress(9))).toBe(0n);
    expect(await outcomesOf(engine, [0, 9])).toEqual([textOf(0, 50), "absent"]);
    expect(disk.paths()).not.toContain("CLEAN");
  });

  test("is not forgotten when the start that found it is cut short", async () => {
    const disk = await shortened();
    const calls: number[] = [];
    const probe = disk.copy();
    probe.duringOperation = (n) => calls.push(n);
    await openDamaged(probe, ROOMY);
    for (const call of calls) {
      const image = disk.copy();
      image.beforeOperation = (n) => (n === call ? "cut" : undefined);
      const cut = new Promise<void>((resolve) => {
        image.onCut = resolve;
      });
      void openDamaged(image, ROOMY).catch(() => undefined);
      await cut;
      const engine = await openDamaged(image.crash(DROP), ROOMY);
      expect({ call, suspects: engine.suspectPartitions() }).toEqual({ call, suspects: [0, 1, 2, 3] });
    }
  });
});

describe("of keys that share a hash", () => {
  test("one whose newest record cannot be read is not answered by an older one, and its partition is suspect", async () => {
    const disk = simDisk();
    let engine = await openDamaged(disk, ROOMY);
    const [one, other] = ["aaaa", "bbbb"].map((key) => addressOf({ partition: 1, low: 77n, key }));
    if (one === undefined || other === undefined) throw new Error("two keys");
    for (const [serial, address] of [one, other, one].entries()) await engine.put(writeOf(address, serial + 1, 50));
    await engine.put(writeOf(nthAddress(0), 4, 50));
    await engine.close();
    const { path, offset } = recordOf(disk, one.key);
    disk.flipBit(path, { offset: offset + 49, bit: 0 });
    engine = await openDamaged(disk, ROOMY);
    expect(engine.recovery).toMatchObject({ mode: "clean", isNewActor: true });
    expect(engine.suspectPartitions()).toEqual([1]);
    await expect(Promise.resolve().then(() => engine.get(one))).rejects.toMatchObject({ code: "CORRUPT_RECORD" });
    await engine.close();
    const again = await openDamaged(disk, ROOMY);
    expect(again.recovery).toMatchObject({ mode: "clean", isNewActor: false });
    expect(again.suspectPartitions()).toEqual([1]);
  });
});

test("a start that the disk refuses does not make a clean stop unclean", async () => {
  const disk = simDisk();
  const engine = await wornStore(disk);
  await engine.writeDocument("ring", Buffer.from("hello"));
  await engine.close();
  for (const fault of [
    { on: ["write"], path: "MANIFEST", code: "ENOSPC" },
    { on: ["write"], path: "CURRENT", code: "ENOSPC" },
    { on: ["read"], path: "documents/ring", code: "EIO", range: { from: 0, to: 64 } },
  ] as const) {
    const image = disk.copy();
    const heal = image.inject(fault);
    await expect(openDamaged(image)).rejects.toMatchObject({ code: fault.code });
    heal();
    expect((await openDamaged(image)).recovery).toMatchObject({ mode: "clean", isNewActor: false });
  }
});
