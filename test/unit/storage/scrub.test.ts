import { describe, expect, test } from "vitest";
import type { KeyAddress } from "../../../storage/engine.ts";
import type { LogEngine } from "../../../storage/index.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { type LoggedFacts, openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import {
  digestOfWrite,
  HandClock,
  nthAddress,
  settle,
  tombstoneOf,
  valueOf,
  writeOf,
} from "../../support/storage-fixtures.ts";

const KEYS = 300;

/** The n-th key, as it was last written: every seventh is deleted, every third was overwritten. */
function lastWrite(n: number): ReturnType<typeof writeOf> {
  const address = nthAddress(n);
  if (n % 7 === 0) return tombstoneOf(address, 1000 + n);
  return n % 3 === 0 ? writeOf(address, 2000 + n, 60) : writeOf(address, n, 30 + ((n * 37) % 300));
}

async function fill(engine: LogEngine): Promise<void> {
  for (let n = 0; n < KEYS; n += 1) await engine.put(writeOf(nthAddress(n), n, 30 + ((n * 37) % 300)));
  for (let n = 0; n < KEYS; n += 1) if (n % 3 === 0 || n % 7 === 0) await engine.put(lastWrite(n));
  await settle();
}

/** Files of sealed segments: those that have an index file. */
/** A store of that much, stopped cleanly. */
async function filledDisk(): Promise<SimDisk> {
  const disk = simDisk();
  const engine = await openTiny(disk);
  await fill(engine);
  await engine.close();
  return disk;
}

function sealedFiles(disk: SimDisk): string[] {
  const paths = disk.paths();
  const indexes = paths.filter((path) => path.endsWith(".idx"));
  return [...indexes, ...indexes.map((path) => path.replace(/idx$/, "log"))];
}

interface Flip {
  readonly path: string;
  readonly at: number;
}

/** Flips bits at random places of sealed files, each place once. */
function flipBits(disk: SimDisk, count: number, seed: number): Flip[] {
  const draws = seededDraws(seed);
  const draw = (below: number): number => Buffer.from(draws.bytes(6)).readUIntLE(0, 6) % below;
  const paths = sealedFiles(disk);
  const flips = new Map<string, Flip>();
  while (flips.size < count) {
    const path = paths[draw(paths.length)] ?? "";
    const at = draw(disk.peek(path).length);
    if (flips.has(`${path} ${at}`)) continue;
    flips.set(`${path} ${at}`, { path, at });
    disk.poke(path, at, Buffer.from([(disk.peek(path)[at] ?? 0) ^ (1 << draw(8))]));
  }
  return [...flips.values()];
}

/** What a key reads as: its last write, "unreadable", or what is wrong. */
async function outcomeOf(engine: LogEngine, address: KeyAddress, n: number): Promise<string> {
  const expected = lastWrite(n);
  try {
    const record = await engine.get(address);
    if (record === undefined) return "absent";
    const isRight = record.digest === expected.digest && Buffer.compare(record.value, expected.value) === 0;
    return isRight ? "right" : "wrong";
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "CORRUPT_RECORD" ? "unreadable" : String(error);
  }
}

function segmentOf(path: string): number {
  return Number.parseInt(path.slice(path.indexOf("/") + 1), 16);
}

describe("a scrub of a store in which bits have flipped", () => {
  test.each([1, 2, 3])(
    "finds every one of 200 flips, in dead records and index files too; what is lost can be put again (seed %i)",
    async (seed) => {
      const disk = simDisk(seed);
      const facts: LoggedFacts[] = [];
      const engine = await openTiny(disk, { facts, openSegmentFiles: 200 });
      await fill(engine);
      const whole = new Map(sealedFiles(disk).map((path) => [path, Buffer.from(disk.peek(path))]));
      const flips = flipBits(disk, 200, seed);
      const before: string[] = [];
      for (let n = 0; n < KEYS; n += 1) before.push(await outcomeOf(engine, nthAddress(n), n));
      expect(new Set(before)).toEqual(new Set(["right", "unreadable"]));

      const report = await engine.scrub();
      const found = facts.filter(({ event }) => event === "storage.rot-found");
      for (const { path, at } of flips.filter((flip) => flip.path.endsWith(".log"))) {
        const isFound = found.some(({ segment, offset, sizeBytes }) => {
          return segment === segmentOf(path) && Number(offset) <= at && at < Number(offset) + Number(sizeBytes);
        });
        expect([path, at, isFound]).toEqual([path, at, true]);
      }
      expect(report.badCount).toBe(found.length);
      const brokenIndexes = new Set(flips.filter(({ path }) => path.endsWith(".idx")).map(({ path }) => path));
      const rebuilt = [...brokenIndexes].filter((path) => whole.get(path)?.equals(disk.peek(path)));
      expect(rebuilt).toHaveLength(report.rebuiltIndexCount);

      const lost: number[] = [];
      for (let n = 0; n < KEYS; n += 1) {
        const outcome = await outcomeOf(engine, nthAddress(n), n);
        expect([n, ["right", "unreadable"].includes(outcome)]).toEqual([n, true]);
        expect(engine.digestOf(nthAddress(n))).toBe(outcome === "right" ? lastWrite(n).digest : 0n);
        if (outcome === "unreadable") lost.push(n);
      }
      expect(lost.length).toBeGreaterThan(20);
      for (const n of lost) expect(engine.isSuspect(n % 4)).toBe(true);

      for (const n of lost) await engine.put(lastWrite(n));
      await engine.compact(TINY_GARBAGE);
      expect(await engine.scrub()).toMatchObject({ badCount: 0, lostCount: 0, rebuiltIndexCount: 0 });
      expect(engine.failure).toBeUndefined();
      const again = await openTiny(disk.kill());
      expect(again.recovery.corruptRecordCount).toBe(0);
      for (let n = 0; n < KEYS; n += 1) expect([n, await outcomeOf(again, nthAddress(n), n)]).toEqual([n, "right"]);
    },
  );

  test("finds a flip of any byte of a sealed segment and of its index file", async () => {
    const made = simDisk();
    const engine = await openTiny(made);
    for (let n = 0; n < 8; n += 1) await engine.put(writeOf(nthAddress(n), n, 60 + n));
    await engine.put(tombstoneOf(nthAddress(1), 100));
    for (let n = 8; n < 16; n += 1) await engine.put(writeOf(nthAddress(n), n, 60));
    await engine.close();
    const disk = made;
    for (const path of sealedFiles(disk).filter((name) => /0001\.(log|idx)$/.test(name))) {
      const bytes = Buffer.from(disk.peek(path));
      for (let at = 0; at < bytes.length; at += 1) {
        const copy = disk.copy();
        const opened = await openTiny(copy);
        copy.poke(path, at, Buffer.from([(bytes[at] ?? 0) ^ (1 << (at % 8))]));
        const report = await opened.scrub();
        expect([path, at, report.badCount + report.rebuiltIndexCount]).toEqual([path, at, 1]);
      }
    }
  });

  test("gives up what an unreadable device took, and passes over a segment that has gone", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk);
    await fill(engine);
    const path = sealedFiles(disk).find((name) => name.endsWith("0002.log")) ?? "";
    disk.inject({ on: ["read", "readSync"], code: "EIO", path, range: { from: 200, to: 201 } });
    expect(await engine.scrub()).toMatchObject({ badCount: 1, lostCount: 1 });
    const [, compacted] = await Promise.all([engine.scrub(), engine.compact(TINY_GARBAGE)]);
    expect([compacted, engine.failure]).toEqual([undefined, undefined]);
  });

  test("lets a full disk keep its index files missing, and goes on", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk);
    await fill(engine);
    const path = sealedFiles(disk).find((name) => name.endsWith(".idx")) ?? "";
    disk.poke(path, 3, Buffer.from([0xff]));
    const heal = disk.inject({ on: ["write"], code: "ENOSPC", path: ".idx" });
    expect(await engine.scrub()).toMatchObject({ badCount: 0, rebuiltIndexCount: 0 });
    heal();
    // the other one is that of the segment that the scrub itself has sealed
    expect(await engine.scrub()).toMatchObject({ badCount: 0, rebuiltIndexCount: 2 });
  });
});

describe("compaction over flipped bits", () => {
  test("neither ends the store nor loses a neighbour, and takes the segment once the key was put again", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk);
    for (let n = 0; n < 40; n += 1) await engine.put(writeOf(nthAddress(n), n, 60));
    for (let n = 0; n < 40; n += 1) if (n % 4 !== 1) await engine.put(writeOf(nthAddress(n), 1000 + n, 60));
    await settle();
    const path = sealedFiles(disk).find((name) => name.endsWith("0001.log")) ?? "";
    const at = Buffer.from(disk.peek(path)).indexOf(valueOf(5, 3));
    disk.poke(path, at, Buffer.from([0]));
    await engine.compact(TINY_GARBAGE);
    expect(engine.failure).toBeUndefined();
    expect(engine.suspectPartitions()).toEqual([1]);
    for (let n = 0; n < 40; n += 1) {
      if (n === 5)
        await expect(async () => engine.get(nthAddress(5))).rejects.toMatchObject({ code: "CORRUPT_RECORD" });
      else expect((await engine.get(nthAddress(n)))?.digest).toBe(digestOfWrite(n % 4 === 1 ? n : 1000 + n));
    }
    await engine.put(writeOf(nthAddress(5), 2000, 60));
    await engine.compact(TINY_GARBAGE);
    expect(disk.paths()).not.toContain(path);
    expect((await engine.get(nthAddress(5)))?.digest).toBe(digestOfWrite(2000));
  });
});

describe("the scrub that runs by itself", () => {
  const PACE = { scrubPassMs: 100_000, scrubBytesPerSecond: 4096, scrubDelayMs: 10_000, scrubRestMs: 3_600_000 };

  async function pass(clock: HandClock, ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      clock.advance(250);
      await settle(2);
    }
  }

  test("keeps its pace and its place over restarts, and rests after a pass", async () => {
    const disk = simDisk();
    let clock = new HandClock();
    const made = await openTiny(disk, { clock });
    await fill(made);
    await made.close();
    clock = new HandClock();
    let engine = await openTiny(disk, { clock, ...PACE });
    await pass(clock, 10_000);
    expect(engine.stats().scrub.readBytes).toBe(0);
    await pass(clock, 5_000);
    const { readBytes, bytesPerSecond } = engine.stats().scrub;
    expect(bytesPerSecond).toBe(4096);
    expect(readBytes).toBeGreaterThan(10_000);
    expect(readBytes).toBeLessThan(24_000);
    await engine.close();
    clock = new HandClock();
    engine = await openTiny(disk, { clock, ...PACE });
    const sealedBytes = engine.stats().diskBytes;
    await pass(clock, 40_000);
    const { scrub } = engine.stats();
    expect(scrub.passCount).toBe(1);
    expect(scrub.readBytes).toBeLessThan(sealedBytes - readBytes + 2048);
    await pass(clock, 60_000);
    expect(engine.stats().scrub.readBytes).toBe(scrub.readBytes);
    await pass(clock, 3_600_000);
    expect(engine.stats().scrub.passCount).toBe(2);
  });

  test("stands still while background work has no share", async () => {
    const disk = await filledDisk();
    const clock = new HandClock();
    const engine = await openTiny(disk, { clock, ...PACE });
    let share = 0;
    engine.paceBackgroundBy(() => share);
    await pass(clock, 30_000);
    // the first segment is read before the pace is asked for the first time
    expect(engine.stats().scrub).toMatchObject({ passCount: 0, bytesPerSecond: 0 });
    expect(engine.stats().scrub.readBytes).toBeLessThan(4096);
    share = 0.5;
    expect(engine.stats().scrub.bytesPerSecond).toBe(2048);
    await pass(clock, 80_000);
    expect(engine.stats().scrub.passCount).toBe(1);
  });

  test("is through in twice its time at the smallest share of background work, however large the store is", async () => {
    const disk = await filledDisk();
    const clock = new HandClock();
    // a store that is large beside the least pace
    const large = { ...PACE, scrubPassMs: 100_000, scrubBoundMs: 200_000, scrubBytesPerSecond: 64, scrubRestMs: 0 };
    const engine = await openTiny(disk, { clock, ...large });
    engine.paceBackgroundBy(() => 1 / 32);
    await pass(clock, 10_000 + 220_000);
    expect(engine.stats().scrub.passCount).toBe(1);
  });

  test("does not end a pass over a segment that it could not look at: that one is looked at again", async () => {
    const disk = await filledDisk();
    const clock = new HandClock();
    const events: string[] = [];
    const engine = await openTiny(disk, { clock, events, openSegmentFiles: 1, ...PACE });
    const path = sealedFiles(disk).find((name) => name.endsWith("0003.log")) ?? "";
    disk.poke(path, 100, Buffer.from([0x55, 0xaa]));
    const heal = disk.inject({ on: ["open"], code: "EMFILE", path });
    await pass(clock, 55_000);
    expect(events).toContain("storage.scrub-skipped");
    expect(engine.stats().scrub).toMatchObject({ passCount: 0, badCount: 0 });
    heal();
    await pass(clock, 15_000);
    expect(engine.stats().scrub).toMatchObject({ passCount: 1, badCount: 1 });
  });

  test("counts no pass over a segment that it could not look at, however often it tried, and goes on", async () => {
    const disk = await filledDisk();
    const clock = new HandClock();
    const events: string[] = [];
    const engine = await openTiny(disk, { clock, events, openSegmentFiles: 1, ...PACE });
    const path = sealedFiles(disk).find((name) => name.endsWith("0003.log")) ?? "";
    const heal = disk.inject({ on: ["open"], code: "EMFILE", path });
    await pass(clock, 200_000);
    expect(engine.stats().scrub.passCount).toBe(0);
    expect(events.filter((event) => event === "storage.scrub-incomplete")).toHaveLength(1);
    const hurried = engine.scrub().then(() => "done", String);
    const skipped = events.filter((event) => event === "storage.scrub-skipped").length;
    await settle(50);
    // in a hurry too there is a while between its tries
    expect(events.filter((event) => event === "storage.scrub-skipped")).toHaveLength(skipped + 1);
    await pass(clock, 10_000);
    expect(await hurried).toContain("could not be looked at");
    expect(events.filter((event) => event === "storage.scrub-skipped")).toHaveLength(skipped + 5);
    heal();
    expect(await engine.scrub()).toMatchObject({ badCount: 0 });
  });

  test("counts no pass that was asked for and given up half way, and leaves no timer behind", async () => {
    const disk = await filledDisk();
    const clock = new HandClock();
    const path = sealedFiles(disk).find((name) => name.endsWith("0003.log")) ?? "";
    const engine = await openTiny(disk, { clock, openSegmentFiles: 1, ...PACE });
    const heal = disk.inject({ on: ["open"], code: "EMFILE", path });
    const asked = engine.scrub().then(() => "done", String);
    await settle(50);
    expect(engine.stats().scrub.segmentCount).toBeGreaterThan(0);
    await engine.close();
    expect(await asked).toContain("closed");
    expect(clock.timerCount).toBe(0);
    heal();
    expect((await openTiny(disk, { clock })).stats().scrub.passCount).toBe(0);
  });

  test("begins anew when its place cannot be read, and finds what has rotted", async () => {
    const disk = simDisk();
    const made = await openTiny(disk);
    await fill(made);
    await made.writeDocument("storage-scrub", Buffer.from("{"));
    await made.close();
    const clock = new HandClock();
    const events: string[] = [];
    const engine = await openTiny(disk, { clock, events, ...PACE });
    const path = sealedFiles(disk).find((name) => name.endsWith("0003.log")) ?? "";
    disk.poke(path, 100, Buffer.from([0x55, 0xaa]));
    await pass(clock, 60_000);
    expect(engine.stats().scrub).toMatchObject({ passCount: 1, badCount: 1 });
    expect(events).toContain("storage.rot-found");
  });
});
