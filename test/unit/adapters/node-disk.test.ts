import { spawn } from "node:child_process";
import fs from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { openNodeDisk } from "../../../services/adapters/node-disk.ts";
import { type Disk, DiskError, type DiskFile } from "../../../storage/ports.ts";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "gyre-disk-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function ownClaim(): Promise<string> {
  const disk = await openNodeDisk(root);
  const held = await disk.lock("LOCK");
  const [name = ""] = await readdir(root);
  await held.release();
  return name;
}

/** The claim of this process with one field changed, as another process would have left it. */
async function leaveClaim(change: { readonly field: 1 | 2 | 3 | 4; readonly value: string }): Promise<string> {
  const parts = (await ownClaim()).split(".");
  parts[change.field] = change.value;
  const name = parts.join(".");
  await writeFile(join(root, name), "");
  return name;
}

describe("the disk on node:fs", () => {
  test("makes its directory, parents included", async () => {
    await openNodeDisk(join(root, "a", "b"));
    expect(await readdir(join(root, "a"))).toEqual(["b"]);
  });

  test("makes every directory that it makes durable, from the lowest name up to the one that was there", async () => {
    const synced = await directoriesSyncedBy(() => openNodeDisk(join(root, "a", "b", "c")));
    expect(new Set(synced)).toEqual(new Set([join(root, "a", "b"), join(root, "a"), root]));
    const disk = await openNodeDisk(join(root, "a", "b", "c"));
    expect(await directoriesSyncedBy(() => disk.makeDirectory("d/e"))).toEqual([
      join(root, "a", "b", "c", "d"),
      join(root, "a", "b", "c"),
    ]);
    expect(await directoriesSyncedBy(() => disk.makeDirectory("d/e"))).toEqual([]);
  });

  test("is refused with words where the system has no O_DSYNC", async () => {
    vi.resetModules();
    vi.doMock("node:fs", async (importOriginal) => {
      const real = await importOriginal<typeof import("node:fs")>();
      return { ...real, constants: { ...real.constants, O_DSYNC: undefined } };
    });
    try {
      const adapter = await import("../../../services/adapters/node-disk.ts");
      await expect(adapter.openNodeDisk(join(root, "x"))).rejects.toMatchObject({
        code: "ENOTSUP",
        message: expect.stringContaining("O_DSYNC"),
      });
      expect(await readdir(root)).toEqual([]);
    } finally {
      vi.doUnmock("node:fs");
      vi.resetModules();
    }
  });

  test.each(["/etc/passwd", "../outside", "a/../../b"])("refuses the path %s, which leads out", async (path) => {
    const disk = await openNodeDisk(root);
    await expect(disk.open(path, "create")).rejects.toMatchObject({ code: "EINVAL" });
  });

  test("reports the operating system's code in a DiskError, with its cause", async () => {
    const disk = await openNodeDisk(root);
    const failure = await disk.open("absent", "read").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DiskError);
    expect(failure).toMatchObject({ code: "ENOENT", cause: expect.objectContaining({ syscall: "open" }) });
    await disk.makeDirectory("d");
    await expect(disk.unlink("d")).rejects.toBeInstanceOf(DiskError);
  });

  test.each(["dsync", "create-dsync"] as const)("opens %s files with O_DSYNC, the others without", async (mode) => {
    const disk = await openNodeDisk(root);
    await writeFile(join(root, "f"), "");
    const before = await flagsOfOpenFiles(join(root, "f"));
    const synchronous = await disk.open("f", mode);
    const plain = await disk.open("f", "read-write");
    const flags = await flagsOfOpenFiles(join(root, "f"));
    expect(before).toEqual([]);
    expect(flags.map((bits) => (bits & 0o10000) !== 0).sort()).toEqual([false, true]);
    await synchronous.close();
    await plain.close();
  });
});

/** The directories that are fsynced while `run` runs, in order, by a spy on the system's calls. */
async function directoriesSyncedBy(run: () => Promise<unknown>): Promise<string[]> {
  const synced: string[] = [];
  const real = fs.fsync;
  fs.fsync = Object.assign((fd: number, done: fs.NoParamCallback) => {
    synced.push(fs.readlinkSync(`/proc/self/fd/${fd}`));
    real(fd, done);
  }, real);
  syncBuiltinESMExports();
  try {
    await run();
  } finally {
    fs.fsync = real;
    syncBuiltinESMExports();
  }
  return synced;
}

/** Runs `run` while the first `count` opens in the data directory find no handle; resolves to how many there were. */
async function withoutHandles(count: number, run: () => Promise<unknown>): Promise<number> {
  const real = fs.open;
  let opens = 0;
  const opening = (path: string, flags: number, mode: fs.Mode, done: OpenDone): void => {
    if (path.startsWith(root)) opens += 1;
    if (!path.startsWith(root) || opens > count) return real(path, flags, mode, done);
    done(Object.assign(new Error("EMFILE"), { code: "EMFILE" }), -1);
  };
  Object.assign(fs, { open: opening });
  syncBuiltinESMExports();
  try {
    await run();
  } finally {
    fs.open = real;
    syncBuiltinESMExports();
  }
  return opens;
}

type OpenDone = (error: NodeJS.ErrnoException | null, fd: number) => void;

describe("while the process has no handle left", () => {
  test("a file is opened once there is one", async () => {
    const disk = await openNodeDisk(root);
    let file: DiskFile | undefined;
    const opens = await withoutHandles(3, async () => {
      file = await disk.open("f", "create");
    });
    expect([opens, await file?.write([Buffer.from("there")], 0)]).toEqual([4, 5]);
    await file?.close();
  });

  test("a directory is made durable once there is one", async () => {
    const disk = await openNodeDisk(root);
    const synced = await directoriesSyncedBy(async () => {
      expect(await withoutHandles(3, () => disk.fsyncDirectory(""))).toBe(4);
    });
    expect(synced).toEqual([root]);
  });

  test.each([
    ["a file", 20, (disk: Disk) => disk.open("f", "create")],
    ["a directory", 100, (disk: Disk) => disk.fsyncDirectory("")],
  ])("%s is given up after some time, and %i tries", async (_, tries, open) => {
    const disk = await openNodeDisk(root);
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const opens = withoutHandles(1_000, async () => {
      const failed = open(disk).then(
        () => undefined,
        (error: unknown) => error,
      );
      await vi.advanceTimersByTimeAsync(10_000);
      expect(await failed).toMatchObject({ code: "EMFILE" });
    });
    expect(await opens).toBe(tries);
  });
});

test("a file that was closed is not closed again, whoever has its number by then", async () => {
  const disk = await openNodeDisk(root);
  const first = await disk.open("first", "create");
  await first.close();
  const others = await Promise.all(["a", "b", "c"].map((name) => disk.open(name, "create")));
  await expect(first.close()).rejects.toMatchObject({ code: "EBADF" });
  for (const file of others) expect(await file.write([Buffer.from("mine")], 0)).toBe(4);
  await Promise.all(others.map((file) => file.close()));
});

/** Open flags of this process's descriptors on a file, from /proc. */
async function flagsOfOpenFiles(path: string): Promise<number[]> {
  const { readlink } = await import("node:fs/promises");
  const found: number[] = [];
  for (const fd of await readdir("/proc/self/fd")) {
    const target = await readlink(`/proc/self/fd/${fd}`).catch(() => "");
    if (target !== path) continue;
    const facts = await readFile(`/proc/self/fdinfo/${fd}`, "latin1");
    found.push(Number.parseInt(/flags:\s*([0-7]+)/.exec(facts)?.[1] ?? "0", 8));
  }
  return found;
}

describe("the lock of the data directory (CP-35)", () => {
  test("is refused while a live process holds it, and the refusal names that process", async () => {
    const disk = await openNodeDisk(root);
    const held = await disk.lock("LOCK");
    const refusal = await disk.lock("LOCK").catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: "LOCKED", message: expect.stringContaining(String(process.pid)) });
    await held.release();
    await held.release();
    await (await disk.lock("LOCK")).release();
    expect(await readdir(root)).toEqual([]);
  });

  test("is refused while another process that runs holds it", async () => {
    const child = spawn(process.execPath, ["-e", "process.stdin.resume()"]);
    try {
      const stat = await readFile(`/proc/${child.pid}/stat`, "latin1");
      const startTicks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
      const parts = (await ownClaim()).split(".");
      await writeFile(join(root, [parts[0], child.pid, startTicks, parts[3], 1].join(".")), "");
      const disk = await openNodeDisk(root);
      await expect(disk.lock("LOCK")).rejects.toMatchObject({ code: "LOCKED" });
      await new Promise((resolve) => {
        child.once("exit", resolve);
        child.kill("SIGKILL");
      });
      await (await disk.lock("LOCK")).release();
    } finally {
      child.kill("SIGKILL");
    }
  });

  test.each([
    { title: "whose process is dead", field: 1, value: "4194300" },
    { title: "whose process id was reused by a later process", field: 2, value: "1" },
    { title: "of another boot", field: 3, value: "0123456789abcdef0123456789abcdef" },
  ] as const)("is taken over from a claim $title, which is removed", async ({ field, value }) => {
    const stale = await leaveClaim({ field, value });
    const disk = await openNodeDisk(root);
    const held = await disk.lock("LOCK");
    expect(await readdir(root)).not.toContain(stale);
    await held.release();
  });

  test("goes to exactly one of many who ask at the same moment, and to a stale one never", async () => {
    await leaveClaim({ field: 1, value: "4194300" });
    const disk = await openNodeDisk(root);
    const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => disk.lock("LOCK")));
    expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
    expect(await readdir(root)).toHaveLength(1);
  });
});
