import { spawn } from "node:child_process";
import fs from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openNodeDisk } from "../../../services/adapters/node-disk.ts";
import { DiskError } from "../../../storage/ports.ts";

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

/** Runs `run` while the first `count` opens of a directory find no handle; resolves to how many there were. */
async function withoutHandles(count: number, run: () => Promise<unknown>): Promise<number> {
  const real = fs.open;
  let opens = 0;
  const opening = (path: string, flags: number, ...rest: [fs.Mode, OpenDone] | [OpenDone]): void => {
    const done = rest[rest.length - 1] as OpenDone;
    if ((flags & fs.constants.O_DIRECTORY) === 0) return real(path, flags, rest[0] as fs.Mode, done);
    opens += 1;
    if (opens > count) return real(path, flags, done);
    done(Object.assign(new Error("EMFILE"), { code: "EMFILE" }), -1);
  };
  fs.open = Object.assign(opening, real) as typeof fs.open;
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

describe("a directory that is to be made durable while the process has no handle left", () => {
  test("is made durable once there is one", async () => {
    const disk = await openNodeDisk(root);
    const synced = await directoriesSyncedBy(async () => {
      expect(await withoutHandles(3, () => disk.fsyncDirectory(""))).toBe(4);
    });
    expect(synced).toEqual([root]);
  });

  test("is given up after some seconds", async () => {
    vi.useFakeTimers();
    const disk = await openNodeDisk(root);
    const opens = withoutHandles(1_000, async () => {
      const failed = disk.fsyncDirectory("").then(
        () => undefined,
        (error: unknown) => error,
      );
      await vi.advanceTimersByTimeAsync(10_000);
      expect(await failed).toMatchObject({ code: "EMFILE" });
    });
    expect(await opens).toBe(100);
    vi.useRealTimers();
  });
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
