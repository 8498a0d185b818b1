/** What is being written is sealed in time, so that the scrub reads every record of a store that takes little, too. */
import { describe, expect, test } from "vitest";
import type { LogEngine } from "../../../storage/index.ts";
import { defaultLogLimits } from "../../../storage/log-options.ts";
import { SimDisk } from "../../sim/sim-disk.ts";
import { CrashLedger } from "../../support/crash-ledger.ts";
import { OUTCOMES } from "../../support/crash-sequences.ts";
import { imagesDuring, problemsAfter, readOutcome, Store, textOf } from "../../support/crash-store.ts";
import { type LogStart, openTiny, simDisk } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { digestOfWrite, HandClock, nthAddress, settle, valueOf, writeOf } from "../../support/storage-fixtures.ts";
import { segmentIds, segmentPaths } from "../../support/store-surgery.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const SEALED = "storage.segment-sealed";
/** a segment that holds all that a test writes, unlike that of `TINY_LIMITS` */
const ROOMY = { segmentBytes: 64 * 1024, manifestBytes: 2 ** 20 };
const { scrubPassMs, scrubBoundMs, scrubBytesPerSecond, scrubDelayMs, scrubRestMs, scrubSealAfterMs } =
  defaultLogLimits;
/** the scrub of a production store */
const BY_ITSELF = { scrubPassMs, scrubBoundMs, scrubBytesPerSecond, scrubDelayMs, scrubRestMs, scrubSealAfterMs };
/** segments so large that they are made in several pieces, with a rest between two of them */
const IN_PIECES = { segmentBytes: 2 * 1024 * 1024 };

interface Running {
  readonly disk: SimDisk;
  readonly clock: HandClock;
  readonly events: string[];
  readonly engine: LogEngine;
}

async function running(start: LogStart = {}, disk: SimDisk = simDisk()): Promise<Running> {
  const clock = new HandClock();
  const events: string[] = [];
  const engine = await openTiny(disk, { ...ROOMY, clock, events, ...start });
  return { disk, clock, events, engine };
}

/** Lets so much time pass, in steps that leave the disk its turns. */
async function pass(clock: HandClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= MINUTE_MS) {
    clock.advance(MINUTE_MS);
    await settle(2);
  }
}

/** Flips a bit in the value of the n-th write, wherever it lies. */
function rot(disk: SimDisk, serial: number, size?: number): void {
  for (const path of segmentPaths(disk)) {
    const at = Buffer.from(disk.peek(path)).indexOf(valueOf(serial, size));
    if (at >= 0) return disk.poke(path, at, Buffer.from([(disk.peek(path)[at] ?? 0) ^ 1]));
  }
  throw new Error(`write ${serial} is nowhere`);
}

function timesOf(events: readonly string[], event: string): number {
  return events.filter((one) => one === event).length;
}

describe("the scrub that runs by itself, in a store that takes little", () => {
  test("finds within two days what rotted in the segment that was being written", async () => {
    const { disk, clock, engine } = await running(BY_ITSELF);
    for (let n = 0; n < 5; n += 1) await engine.put(writeOf(nthAddress(n), n));
    rot(disk, 3);
    await pass(clock, 2 * DAY_MS);
    expect(engine.stats().scrub).toMatchObject({ badCount: 1, lostCount: 1 });
    expect(engine.suspectPartitions()).toEqual([3]);
  });

  test("does so whether the record came early or late, and each pass that counts has read all that is an hour old", async () => {
    const { disk, clock, events, engine } = await running(BY_ITSELF);
    await engine.put(writeOf(nthAddress(0), 0));
    await pass(clock, scrubDelayMs);
    // a minute old: the pass a minute after the start leaves it alone
    expect(timesOf(events, SEALED)).toBe(0);
    await pass(clock, DAY_MS - 2 * HOUR_MS);
    await engine.put(writeOf(nthAddress(1), 1));
    await pass(clock, 3 * HOUR_MS);
    expect(timesOf(events, SEALED)).toBe(1);
    const { passCount, readBytes } = engine.stats().scrub;
    expect(passCount).toBe(2);
    await engine.put(writeOf(nthAddress(2), 2));
    rot(disk, 1);
    await pass(clock, DAY_MS);
    expect(engine.stats().scrub).toMatchObject({ passCount: 3, badCount: 1, segmentCount: 3 });
    expect(engine.stats().scrub.readBytes).toBeGreaterThan(2 * readBytes);
  });

  test("seals nothing in a store without a record, however long it runs", async () => {
    const { disk, clock, events, engine } = await running(BY_ITSELF);
    await pass(clock, 5 * DAY_MS);
    await engine.scrub();
    expect([segmentPaths(disk), timesOf(events, SEALED)]).toEqual([[], 0]);
  });

  test("seals once what was written once, whoever scrubs how often", async () => {
    const { disk, clock, events, engine } = await running(BY_ITSELF);
    await engine.put(writeOf(nthAddress(0), 0));
    await engine.scrub();
    // what is durable is said in the segment that follows: it holds a record then, but none of a key
    clock.advance(1_000);
    await settle(8);
    const ids = segmentIds(disk);
    expect([ids.length, engine.stats().commitCount]).toEqual([2, 2]);
    await pass(clock, 5 * DAY_MS);
    await engine.scrub();
    expect([segmentIds(disk), timesOf(events, SEALED)]).toEqual([ids, 1]);
  });

  test("lets the small segments that it makes become few: they are merged", async () => {
    const hourly = { scrubRestMs: HOUR_MS, scrubSealAfterMs: HOUR_MS / 2, isCompactionAutomatic: true };
    const { disk, clock, events, engine } = await running({ ...BY_ITSELF, ...hourly });
    const passes = 60;
    for (let n = 0; n < passes; n += 1) {
      await engine.put(writeOf(nthAddress(n), n));
      await pass(clock, HOUR_MS + MINUTE_MS);
      await settle(20);
      expect([n, segmentPaths(disk).length <= 12]).toEqual([n, true]);
    }
    expect(timesOf(events, SEALED)).toBeGreaterThan(passes / 2);
    for (let n = 0; n < passes; n += 1) expect(await readOutcome(engine, n)).toBe(textOf(n));
  });

  test("reads in its first pass what a killed process was writing: the start has sealed it", async () => {
    const before = await running(BY_ITSELF);
    await before.engine.put(writeOf(nthAddress(1), 1));
    const disk = before.disk.kill();
    const { clock, engine } = await running(BY_ITSELF, disk);
    rot(disk, 1);
    await pass(clock, 5 * MINUTE_MS);
    expect(engine.stats().scrub).toMatchObject({ passCount: 1, badCount: 1 });
  });

  test("counts age from the first record, not from the start of the process nor from the last record", async () => {
    const { clock, events, engine } = await running(BY_ITSELF);
    await pass(clock, DAY_MS - HOUR_MS / 2);
    for (let n = 0; n < 3; n += 1) {
      await engine.put(writeOf(nthAddress(n), n));
      await pass(clock, HOUR_MS / 3);
    }
    // half an hour old when the second pass began
    expect([engine.stats().scrub.passCount, timesOf(events, SEALED)]).toEqual([2, 0]);
    await pass(clock, DAY_MS - HOUR_MS);
    await engine.put(writeOf(nthAddress(3), 3));
    await pass(clock, HOUR_MS);
    expect([engine.stats().scrub.passCount, timesOf(events, SEALED)]).toEqual([3, 1]);
  });
});

describe("a scrub that was asked for", () => {
  test("finds at once what rotted in the segment that is being written", async () => {
    const { disk, engine } = await running();
    for (let n = 0; n < 5; n += 1) await engine.put(writeOf(nthAddress(n), n));
    rot(disk, 2);
    expect(await engine.scrub()).toMatchObject({ segmentCount: 1, badCount: 1, lostCount: 1, rebuiltIndexCount: 0 });
    expect(engine.isSuspect(2)).toBe(true);
    await engine.put(writeOf(nthAddress(2), 7));
    expect(await engine.scrub()).toMatchObject({ segmentCount: 2, badCount: 1, lostCount: 0 });
  });

  test("ends the segment between two groups, while writers go on without a pause", async () => {
    // each call takes a turn, and a group takes two of the writes that wait: there is always one more
    const nextTurn = { setTimer: (_delayMs: number, run: () => void) => setImmediate(run) };
    const slow = new SimDisk({ random: seededDraws(1), latency: { clock: nextTurn, delayMs: () => 1 } });
    const { disk, engine } = await running({ segmentBytes: 480 * 1024, groupRecords: 2 }, slow);
    const [writers, mostWrites] = [8, 500];
    let isOver = false;
    let count = 0;
    const serials: number[] = [];
    const write = async (writer: number): Promise<void> => {
      for (let n = 0; !isOver && n < mostWrites; n += 1) {
        await engine.put(writeOf(nthAddress(writer + writers * n), writer + writers * n));
        serials.push(writer + writers * n);
        count += 1;
      }
    };
    const all = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
    while (count < 20) await settle(1);
    const report = await engine.scrub();
    isOver = true;
    await all;
    expect(count).toBeLessThan(writers * mostWrites);
    for (const serial of serials) expect(await readOutcome(engine, serial)).toBe(textOf(serial));
    expect(report).toMatchObject({ segmentCount: 1, badCount: 0, rebuiltIndexCount: 0 });
    expect(await engine.scrub()).toMatchObject({ segmentCount: 2, badCount: 0, rebuiltIndexCount: 0 });
    const again = await openTiny(disk.kill(), ROOMY);
    expect([again.recovery.recordCount, again.suspectPartitions()]).toEqual([count, []]);
  });

  test("hurries the next segment on, which is otherwise made slowly, and writes do not wait for it", async () => {
    const asked = await running(IN_PIECES);
    await asked.engine.put(writeOf(nthAddress(1), 1));
    expect(await asked.engine.scrub()).toMatchObject({ segmentCount: 1 });
    const { disk, clock, engine } = await running({ ...IN_PIECES, ...BY_ITSELF });
    await engine.put(writeOf(nthAddress(1), 1));
    await pass(clock, DAY_MS - HOUR_MS);
    for (let minute = 0; segmentPaths(disk).length < 2 && minute < 120; minute += 1) await pass(clock, MINUTE_MS);
    // the second pass has just begun, and the clock stands in the first rest of the segment's making
    const put = engine.put(writeOf(nthAddress(2), 2)).then(() => "written");
    expect(await Promise.race([put, settle(20).then(() => "waits")])).toBe("written");
    expect(engine.stats().scrub.segmentCount).toBe(0);
    await engine.close();
    const again = await openTiny(disk, ROOMY);
    expect(again.recovery).toMatchObject({ mode: "clean", recordCount: 2 });
  });

  test("is survived by a power loss in the middle of any of its calls", async () => {
    const store = await new Store(ROOMY).open();
    await store.put(1, 1);
    await store.put(2, 2);
    const ledger = CrashLedger.from(store.ledger.now());
    ledger.begin(3, writeOf(nthAddress(3), 3));
    const images = await imagesDuring(
      store.disk,
      () => true,
      async () => {
        await Promise.all([store.engine.scrub(), store.put(3, 3)]);
        await store.engine.scrub();
      },
    );
    expect(images.map(({ call }) => call.split(" ")[0])).toEqual(expect.arrayContaining(["truncate", "rename"]));
    for (const { call, image } of images) {
      for (const [name, outcome] of Object.entries(OUTCOMES)) {
        expect([call, name, await problemsAfter(image(outcome), ledger.now())]).toEqual([call, name, []]);
      }
    }
  });
});

describe("a disk without room for the next segment", () => {
  test("keeps the one there is: puts go on, and the scrub that was asked for says that it is not all", async () => {
    const { disk, events, engine } = await running({ groupRecords: 1 });
    await engine.put(writeOf(nthAddress(1), 1));
    const heal = disk.inject({ on: ["create"], code: "ENOSPC", path: ".log" });
    const puts = Promise.all([2, 3, 4, 5, 6, 7, 8, 9].map((n) => engine.put(writeOf(nthAddress(n), n))));
    await expect(engine.scrub()).rejects.toThrow("could not be looked at");
    await puts;
    expect([engine.stats().scrub.passCount, timesOf(events, SEALED), engine.failure]).toEqual([0, 0, undefined]);
    heal();
    rot(disk, 1);
    expect(await engine.scrub()).toMatchObject({ segmentCount: 1, badCount: 1 });
    expect(engine.stats().scrub.passCount).toBe(1);
  });

  test("nor for its index is sealed without one, were it for want of a handle", async () => {
    const { disk, engine } = await running({ groupRecords: 1 });
    await engine.put(writeOf(nthAddress(1), 1));
    disk.inject({ on: ["create"], code: "EMFILE", path: ".idx" });
    rot(disk, 1);
    expect([await engine.scrub(), engine.failure]).toMatchObject([{ segmentCount: 1, badCount: 1 }, undefined]);
  });

  test("of handles is no more than that: the store goes on, and the next scrub seals, at once", async () => {
    const { disk, engine } = await running({ groupRecords: 1 });
    await engine.put(writeOf(nthAddress(1), 1));
    const heal = disk.inject({ on: ["create"], code: "EMFILE", path: ".log" });
    await expect(engine.scrub()).rejects.toThrow("could not be looked at");
    heal();
    await engine.put(writeOf(nthAddress(2), 2));
    rot(disk, 1);
    expect(await engine.scrub()).toMatchObject({ segmentCount: 1, badCount: 1 });
  });

  test("makes the pass of a scrub by itself count as none, until there is some", async () => {
    const { disk, clock, events, engine } = await running(BY_ITSELF);
    await pass(clock, HOUR_MS);
    expect(engine.stats().scrub.passCount).toBe(1);
    await engine.put(writeOf(nthAddress(1), 1));
    const heal = disk.inject({ on: ["create"], code: "ENOSPC", path: ".log" });
    await pass(clock, DAY_MS);
    expect([engine.stats().scrub.passCount, timesOf(events, "storage.scrub-incomplete")]).toEqual([1, 1]);
    heal();
    await pass(clock, DAY_MS);
    expect(engine.stats().scrub).toMatchObject({ passCount: 2, segmentCount: 1 });
  });

  test("or for the edit that seals lets the scrub try again, without any put", async () => {
    const { disk, events, engine } = await running();
    await engine.put(writeOf(nthAddress(1), 1));
    // the first edit names the next segment
    const heal = disk.inject({ on: ["write"], code: "ENOSPC", path: "MANIFEST", skip: 1 });
    await expect(engine.scrub()).rejects.toThrow("could not be looked at");
    expect(events).toContain("storage.segment-not-sealed");
    heal();
    expect(await engine.scrub()).toMatchObject({ segmentCount: 1, badCount: 0 });
    expect(engine.digestOf(nthAddress(1))).toBe(digestOfWrite(1));
  });
});

describe("a store that fails or is closed while the scrub seals", () => {
  test("counts no pass, and ends", async () => {
    const { disk, engine } = await running();
    await engine.put(writeOf(nthAddress(1), 1));
    disk.inject({ on: ["truncate"], code: "EIO" });
    await expect(engine.scrub()).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect(engine.stats().scrub.passCount).toBe(0);
  });

  test("is closed cleanly, with the segment sealed", async () => {
    const { disk, engine } = await running();
    await engine.put(writeOf(nthAddress(1), 1));
    const asked = engine.scrub().then(() => "done", String);
    await engine.close();
    expect(await asked).toContain("closed");
    const again = await openTiny(disk, ROOMY);
    expect(again.recovery).toMatchObject({ mode: "clean", recordCount: 1 });
    expect(again.stats().scrub.passCount).toBe(0);
  });
});
