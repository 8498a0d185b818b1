/** The lock of the data directory where the system does not tell who runs. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { takeDirectoryLock } from "../../../services/adapters/directory-lock.ts";

/** What the next reads of /proc answer instead of the truth: the system's code by path. */
const refused = vi.hoisted(() => new Map<string, string>());

vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs/promises")>();
  return {
    ...real,
    readFile: (path: string, encoding: "latin1") => {
      const code = refused.get(path);
      if (code !== undefined) return Promise.reject(Object.assign(new Error(code), { code }));
      return real.readFile(path, encoding);
    },
  };
});

let root = "";
let lock = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "gyre-lock-"));
  lock = join(root, "LOCK");
});
afterEach(async () => {
  refused.clear();
  await rm(root, { recursive: true, force: true });
});

/** The claim of a live process (the parent of this one) as it would have laid it down, with these start ticks. */
async function claimOfParent(startTicks: string): Promise<string> {
  const own = await takeDirectoryLock(lock);
  const [name = ""] = await readdir(root);
  await own.release();
  const parts = name.split(".");
  parts[1] = String(process.ppid);
  parts[2] = startTicks;
  const claim = parts.join(".");
  await writeFile(join(root, claim), "");
  return claim;
}

describe("a claim of a process that runs", () => {
  test.each(["EMFILE", "EACCES", "EIO"])("stands when reading of it fails with %s", async (code) => {
    const claim = await claimOfParent("12345");
    refused.set(`/proc/${process.ppid}/stat`, code);
    await expect(takeDirectoryLock(lock)).rejects.toMatchObject({ code: "LOCKED" });
    expect(await readdir(root)).toEqual([claim]);
  });

  test("stands when it could not tell its own start time", async () => {
    await claimOfParent("0");
    await expect(takeDirectoryLock(lock)).rejects.toMatchObject({ code: "LOCKED" });
  });

  test("stands when the boot cannot be read: the lock is refused, and nothing is removed", async () => {
    const claim = await claimOfParent("12345");
    refused.set("/proc/sys/kernel/random/boot_id", "EMFILE");
    await expect(takeDirectoryLock(lock)).rejects.toMatchObject({ code: "EMFILE" });
    expect(await readdir(root)).toEqual([claim]);
  });
});

test("a claim whose process is not there any more is removed", async () => {
  await claimOfParent("12345");
  refused.set(`/proc/${process.ppid}/stat`, "ENOENT");
  const held = await takeDirectoryLock(lock);
  expect(await readdir(root)).toHaveLength(1);
  await held.release();
});
