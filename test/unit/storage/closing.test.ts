/** What a store that is closing still does, and what it refuses. */
import { expect, test } from "vitest";
import { openTiny, simDisk } from "../../support/log-store.ts";
import { digestOfWrite, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";
import { recordOf } from "../../support/store-surgery.ts";

const roomy = { segmentBytes: 8192 };

test("a store that is closing refuses reads and scans, and opens no file again", async () => {
  const disk = simDisk();
  const engine = await openTiny(disk, roomy);
  for (let n = 0; n < 4; n += 1) await engine.put(writeOf(nthAddress(n), n));
  const closing = engine.close();
  const refused = { code: "STORE_CLOSED" };
  expect(() => engine.get(nthAddress(1))).toThrow(expect.objectContaining(refused));
  await expect(engine.scan(0, 0n, 10)).rejects.toMatchObject(refused);
  await closing;
  let opens = 0;
  disk.beforeOperation = () => {
    opens += 1;
    return undefined;
  };
  expect(() => engine.get(nthAddress(1))).toThrow(expect.objectContaining(refused));
  await settle();
  expect(opens).toBe(0);
});

test("reads that are under way when the store is closed are answered first", async () => {
  const disk = simDisk();
  const engine = await openTiny(disk, roomy);
  for (let n = 0; n < 4; n += 1) await engine.put(writeOf(nthAddress(n), n));
  await engine.close();
  const again = await openTiny(disk, roomy);
  const read = Promise.resolve(again.get(nthAddress(1)));
  const scan = again.scan(0, 0n, 10);
  let isClosed = false;
  const closing = again.close().then(() => {
    isClosed = true;
  });
  expect(await read).toMatchObject({ digest: digestOfWrite(1) });
  expect((await scan).entries).toHaveLength(1);
  expect(isClosed).toBe(false);
  await closing;
});

test("damage that a last read finds is written down, and does not fail the store", async () => {
  const disk = simDisk();
  const engine = await openTiny(disk, roomy);
  for (let n = 0; n < 4; n += 1) await engine.put(writeOf(nthAddress(n), n));
  await engine.close();
  const again = await openTiny(disk, roomy);
  const { path, offset } = recordOf(disk, nthAddress(1).key);
  disk.flipBit(path, { offset: offset + 60, bit: 0 });
  const read = Promise.resolve(again.get(nthAddress(1)));
  const closing = again.close();
  await expect(read).rejects.toMatchObject({ code: "CORRUPT_RECORD" });
  await closing;
  expect(again.failure).toBeUndefined();
  const third = await openTiny(disk, roomy);
  expect(third.recovery.mode).toBe("clean");
  expect(third.suspectPartitions()).toEqual([1]);
});

test("a store that finds no space while it closes still ends whole, and starts again with all it had", async () => {
  for (const on of [["write"], ["truncate"], ["create"], ["rename"], ["unlink"]] as const) {
    const disk = simDisk();
    const engine = await openTiny(disk);
    for (let n = 0; n < 12; n += 1) await engine.put(writeOf(nthAddress(n), n, 100));
    const heal = disk.inject({ on, code: "ENOSPC" });
    await engine.close();
    heal();
    expect([on, engine.failure]).toEqual([on, undefined]);
    const again = await openTiny(disk);
    for (let n = 0; n < 12; n += 1) expect((await again.get(nthAddress(n)))?.digest).toBe(digestOfWrite(n));
    await again.close();
  }
});

test("a start on a full disk throws off the ballast, and says what is wrong when there is none", async () => {
  const disk = simDisk();
  const engine = await openTiny(disk);
  for (let n = 0; n < 12; n += 1) await engine.put(writeOf(nthAddress(n), n, 100));
  await engine.close();
  disk.place("BALLAST", Buffer.alloc(100));
  const heal = disk.inject({ on: ["write"], code: "ENOSPC", times: 1 });
  const events: string[] = [];
  const again = await openTiny(disk, { events });
  expect(events).toContain("storage.ballast-released");
  expect(disk.paths()).not.toContain("BALLAST");
  expect((await again.get(nthAddress(3)))?.digest).toBe(digestOfWrite(3));
  await again.close();
  heal();
  disk.inject({ on: ["write"], code: "ENOSPC" });
  await expect(openTiny(disk)).rejects.toMatchObject({ message: expect.stringMatching(/ENOSPC|full/) });
});
