/** What every disk window promises (`storage/ports.ts`), checked on the real one and on the simulated one alike. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Disk, DiskError, type DiskFile } from "../../storage/ports.ts";

/** A disk on an empty directory, and how to clean up after it. */
export interface DiskUnderTest {
  readonly disk: Disk;
  readonly dispose: () => Promise<void>;
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

async function textOf(file: DiskFile): Promise<string> {
  const bytes = new Uint8Array(await file.size());
  await file.read(bytes, 0);
  return new TextDecoder().decode(bytes);
}

async function put(disk: Disk, path: string, text: string): Promise<void> {
  const file = await disk.open(path, "create");
  await writeAll(file, [bytesOf(text)], 0);
  await file.close();
}

async function writeAll(file: DiskFile, buffers: readonly Uint8Array[], position: number): Promise<void> {
  const whole = Buffer.concat(buffers);
  let written = await file.write(buffers, position);
  while (written < whole.length) written += await file.write([whole.subarray(written)], position + written);
}

/** The suite; `make` is called before each test. */
export function diskContract(name: string, make: () => Promise<DiskUnderTest>): void {
  let under: DiskUnderTest;
  let disk: Disk;
  beforeEach(async () => {
    under = await make();
    disk = under.disk;
  });
  afterEach(() => under.dispose());

  describe(`${name}: files`, () => {
    test("bytes written at a position are read back, by both ways of reading", async () => {
      const file = await disk.open("f", "create");
      await writeAll(file, [bytesOf("hello "), bytesOf("world"), new Uint8Array(0), bytesOf("!")], 3);
      expect(await file.size()).toBe(15);
      expect(await textOf(file)).toBe("\0\0\0hello world!");
      const part = new Uint8Array(5);
      expect(file.readSync(part, 9)).toBe(5);
      expect(new TextDecoder().decode(part)).toBe("world");
      await file.close();
    });

    test("a read across the end returns what is there, one beyond it nothing", async () => {
      await put(disk, "f", "abc");
      const file = await disk.open("f", "read");
      const into = new Uint8Array(10);
      expect(file.readSync(into, 1)).toBe(2);
      expect(await file.read(into, 1)).toBe(2);
      expect(file.readSync(into, 3)).toBe(0);
      expect(await file.read(into, 99)).toBe(0);
      await file.close();
    });

    test.each([1, 511, 4095, 4096, 4097, 70_001])(
      "a write of %i bytes over page borders overwrites exactly its range",
      async (size) => {
        const file = await disk.open("f", "create-dsync");
        const base = new Uint8Array(80_000).fill(7);
        await writeAll(file, [base], 0);
        const patch = Uint8Array.from({ length: size }, (_, at) => 1 + (at % 251));
        await writeAll(file, [patch.subarray(0, size >> 1), patch.subarray(size >> 1)], 4000);
        const all = new Uint8Array(80_000);
        await file.read(all, 0);
        base.set(patch, 4000);
        expect(Buffer.compare(all, base)).toBe(0);
        await file.close();
      },
    );

    test("a truncated file ends there, and what it grows by is zero", async () => {
      await put(disk, "f", "abcdefgh");
      const file = await disk.open("f", "read-write");
      await file.truncate(3);
      expect(await textOf(file)).toBe("abc");
      await file.truncate(6);
      expect(await textOf(file)).toBe("abc\0\0\0");
      await file.fdatasync();
      await file.close();
    });

    test("creating empties a file that exists; opening otherwise keeps it", async () => {
      await put(disk, "f", "old");
      for (const mode of ["read", "read-write", "dsync"] as const) {
        const file = await disk.open("f", mode);
        expect(await textOf(file)).toBe("old");
        await file.close();
      }
      const file = await disk.open("f", "create-dsync");
      expect(await file.size()).toBe(0);
      await file.close();
    });

    test("only create modes make a file; a missing one is ENOENT", async () => {
      for (const mode of ["read", "read-write", "dsync"] as const) {
        await expect(disk.open("absent", mode)).rejects.toMatchObject({ name: "DiskError", code: "ENOENT" });
      }
      expect(await disk.exists("absent")).toBe(false);
    });

    test("a file opened for reading refuses writes, and a closed one refuses everything", async () => {
      await put(disk, "f", "abc");
      const file = await disk.open("f", "read");
      await expect(file.write([bytesOf("x")], 0)).rejects.toBeInstanceOf(DiskError);
      await file.close();
      await expect(file.fdatasync()).rejects.toBeInstanceOf(DiskError);
      await expect(file.read(new Uint8Array(1), 0)).rejects.toMatchObject({ code: "EBADF" });
    });

    test("an open file outlives its name", async () => {
      await put(disk, "f", "still here");
      const file = await disk.open("f", "read");
      await disk.unlink("f");
      await put(disk, "f", "another");
      expect(await textOf(file)).toBe("still here");
      await file.close();
    });
  });

  describe(`${name}: names`, () => {
    test("a directory lists its names sorted, not those below; an absent one is empty", async () => {
      await disk.makeDirectory("d/deep");
      await disk.makeDirectory("d");
      for (const path of ["d/b", "d/a", "d/deep/c", "top"]) await put(disk, path, path);
      expect(await disk.list("d")).toEqual(["a", "b", "deep"]);
      expect(await disk.list("")).toEqual(["d", "top"]);
      expect(await disk.list("absent")).toEqual([]);
      expect(await disk.exists("d/deep")).toBe(true);
    });

    test("renaming replaces the target and takes the old name away", async () => {
      await put(disk, "a", "new");
      await put(disk, "b", "old");
      await disk.rename("a", "b");
      expect(await disk.list("")).toEqual(["b"]);
      const file = await disk.open("b", "read");
      expect(await textOf(file)).toBe("new");
      await file.close();
      await expect(disk.rename("a", "c")).rejects.toMatchObject({ code: "ENOENT" });
    });

    test("what is removed is gone, and removing it again is ENOENT", async () => {
      await put(disk, "a", "x");
      await disk.unlink("a");
      expect(await disk.exists("a")).toBe(false);
      await expect(disk.unlink("a")).rejects.toMatchObject({ code: "ENOENT" });
    });

    test("directories are made durable by name; an absent one is ENOENT", async () => {
      await disk.makeDirectory("d");
      await disk.fsyncDirectory("d");
      await disk.fsyncDirectory("");
      await expect(disk.fsyncDirectory("absent")).rejects.toMatchObject({ code: "ENOENT" });
      await expect(disk.open("absent/f", "create")).rejects.toMatchObject({ code: "ENOENT" });
    });
  });

  describe(`${name}: the whole`, () => {
    test("free space is between nothing and the whole", async () => {
      const space = await disk.freeBytes();
      expect(space.totalBytes).toBeGreaterThan(0);
      expect(space.freeBytes).toBeGreaterThanOrEqual(0);
      expect(space.freeBytes).toBeLessThanOrEqual(space.totalBytes);
    });

    test("the lock is held by one at a time, and free again once released", async () => {
      const held = await disk.lock("LOCK");
      await expect(disk.lock("LOCK")).rejects.toMatchObject({ name: "DiskError", code: "LOCKED" });
      await held.release();
      await held.release();
      const again = await disk.lock("LOCK");
      await again.release();
    });
  });
}
