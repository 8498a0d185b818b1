import { expect, test } from "vitest";
import { createMemoryDisk } from "../../../services/adapters/memory-disk.ts";
import { diskContract } from "../../contract/disk.contract.ts";

diskContract("disk in memory", async () => ({
  disk: createMemoryDisk(1024 * 1024),
  dispose: async () => undefined,
}));

test("what does not fit is refused as a full disk does, and what was there stays", async () => {
  const disk = createMemoryDisk(10);
  const file = await disk.open("f", "create");
  await file.write([Buffer.from("12345678")], 0);
  await expect(file.write([Buffer.from("abc")], 8)).rejects.toMatchObject({ name: "DiskError", code: "ENOSPC" });
  await file.write([Buffer.from("ab")], 8);
  const into = Buffer.alloc(20);
  expect(into.toString("latin1", 0, file.readSync(into, 0))).toBe("12345678ab");
  expect(await disk.freeBytes()).toEqual({ freeBytes: 0, totalBytes: 10 });
});

test("a file that ends earlier gives its bytes back", async () => {
  const disk = createMemoryDisk(10);
  const file = await disk.open("f", "create");
  await file.write([Buffer.from("12345678")], 0);
  await file.truncate(2);
  expect((await disk.freeBytes()).freeBytes).toBe(8);
});
