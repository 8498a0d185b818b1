/** A store that has just been opened has a segment to write to: its first put waits for its own group, and nothing else. */
import { describe, expect, test } from "vitest";
import { SimDisk } from "../../sim/sim-disk.ts";
import { OUTCOMES } from "../../support/crash-sequences.ts";
import { imagesDuring, KEEP, problemsAfter, readOutcome, Store, textOf } from "../../support/crash-store.ts";
import { type LogStart, openTiny, simDisk } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { HandClock, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";
import { segmentPaths } from "../../support/store-surgery.ts";

const MADE: LogStart = { firstSegmentMs: 10_000, segmentBytes: 8_192, manifestBytes: 2 ** 20 };
const NONE = "storage.no-first-segment";

/** The calls of a disk while `act` runs. */
async function callsDuring(disk: SimDisk, act: () => Promise<unknown>): Promise<readonly string[]> {
  const calls: string[] = [];
  disk.beforeOperation = (_n, name, path) => {
    calls.push(`${name} ${path}`);
    return undefined;
  };
  await act();
  disk.beforeOperation = undefined;
  return calls;
}

/** Lets all calls of a disk end that take no time. */
async function turns(clock: HandClock): Promise<void> {
  for (let n = 0; n < 100; n += 1) {
    await settle();
    clock.advance(0);
  }
}

describe("the first put after an opening", () => {
  test("is one write of one file, in a new store as in one that comes back after a stop or a kill", async () => {
    let disk = simDisk();
    for (const [serial, next] of [
      (one: SimDisk) => one,
      (one: SimDisk) => one.copy(),
      (one: SimDisk) => one.kill(),
    ].entries()) {
      disk = next(disk);
      const engine = await openTiny(disk, { ...MADE, random: seededDraws(serial + 1) });
      const calls = await callsDuring(disk, () => engine.put(writeOf(nthAddress(serial), serial)));
      expect(calls).toEqual([expect.stringMatching(/^write segments\/.*\.log$/u)]);
      if (serial === 0) await engine.close();
    }
  });

  test("waits for nobody's rests: no time passes while a segment of many pieces is made", async () => {
    const clock = new HandClock();
    const engine = await openTiny(simDisk(), { ...MADE, segmentBytes: 4 * 2 ** 20, clock });
    expect(clock.monotonicMs()).toBe(0);
    await engine.put(writeOf(nthAddress(1), 1));
    await engine.close();
    expect(clock.timerCount).toBe(0);
  });
});

describe("a segment that nobody wrote to", () => {
  test("is gone when the store closes, so that starts leave nothing behind", async () => {
    const disk = simDisk();
    for (let n = 1; n <= 3; n += 1) {
      const engine = await openTiny(disk, { ...MADE, random: seededDraws(n) });
      expect(segmentPaths(disk)).toHaveLength(1);
      await engine.close();
      expect(segmentPaths(disk)).toEqual([]);
    }
  });

  test("is gone after the next start when the process is killed", async () => {
    let disk = simDisk();
    for (let n = 1; n <= 4; n += 1) {
      disk = disk.kill();
      await openTiny(disk, { ...MADE, random: seededDraws(n) });
      await settle(10);
      expect(segmentPaths(disk)).toHaveLength(1);
    }
  });
});

describe("an opening without a first segment", () => {
  test("opens on a disk without room: reads go on, a put says why, and takes place once there is room", async () => {
    const store = await new Store().open();
    await store.put(1, 1);
    await store.close();
    const disk = store.disk.copy();
    const makeRoom = disk.inject({ on: ["create"], path: ".log", code: "ENOSPC" });
    const events: string[] = [];
    const engine = await openTiny(disk, { ...MADE, events });
    expect(events).toContain(NONE);
    expect(await readOutcome(engine, 1)).toBe(textOf(1));
    await expect(engine.put(writeOf(nthAddress(2), 2))).rejects.toMatchObject({ code: "DISK_FULL" });
    makeRoom();
    await engine.put(writeOf(nthAddress(2), 2));
    expect(await readOutcome(engine, 2)).toBe(textOf(2));
  });

  test("waits for a disk that hangs for as long as it was told, and no longer", async () => {
    const clock = new HandClock();
    let isHanging = true;
    const delayMs = (name: string, path: string): number =>
      isHanging && name === "fdatasync" && path.endsWith(".log") ? 60_000 : 0;
    const disk = new SimDisk({ random: seededDraws(1), latency: { clock, delayMs } });
    const events: string[] = [];
    let opened: Awaited<ReturnType<typeof openTiny>> | undefined;
    const opening = openTiny(disk, { ...MADE, clock, events });
    void opening.then((engine) => {
      opened = engine;
    });
    await turns(clock);
    clock.advance(9_999);
    await turns(clock);
    expect(opened).toBeUndefined();
    clock.advance(1);
    await opening;
    expect(events).toContain(NONE);
    isHanging = false;
    const put = opened?.put(writeOf(nthAddress(1), 1));
    await turns(clock);
    clock.advance(60_000);
    await turns(clock);
    await expect(put).resolves.toBeUndefined();
  });

  test("opens failed when the disk betrays: whoever listens afterwards hears it", async () => {
    const disk = simDisk();
    disk.inject({ on: ["fdatasync"], path: ".log", code: "EIO", times: 1 });
    const engine = await openTiny(disk, MADE);
    const heard: Error[] = [];
    engine.onFailure((error) => heard.push(error));
    expect(heard).toMatchObject([{ code: "STORE_FAILED" }]);
  });
});

test("a power cut in any call of an opening loses nothing", async () => {
  const store = await new Store().open();
  for (let n = 0; n < 8; n += 1) await store.put(n, n + 1, 200);
  const expected = store.ledger.now();
  const disk = store.disk.kill();
  const images = await imagesDuring(
    disk,
    () => true,
    () => openTiny(disk, MADE),
  );
  expect(images.filter(({ call }) => call.includes(".log")).length).toBeGreaterThanOrEqual(3);
  for (const { call, image } of images) {
    for (const outcome of [...Object.values(OUTCOMES), KEEP]) {
      const problems = await problemsAfter(image(outcome), expected);
      expect(problems, call).toEqual([]);
    }
  }
});
