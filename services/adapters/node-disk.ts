/**
 * The disk window on `node:fs`: one directory tree, with the calls that durability hangs on (O_DSYNC, fdatasync, fsync
 * of directories) made as they are named. Must never retry a failed fsync, nor turn an error into an empty answer:
 * the only code it swallows is ENOENT where the port says that absence is an answer.
 *
 * Source: open(2), fsync(2); reliability notes §3.4.
 */
import * as fs from "node:fs";
import { resolve as absolute, dirname, join } from "node:path";
import { type Disk, DiskError, type DiskFile, isOutOfHandles, type OpenMode } from "../../storage/ports.ts";
import { takeDirectoryLock } from "./directory-lock.ts";

const { O_CREAT, O_DIRECTORY, O_DSYNC, O_RDONLY, O_RDWR, O_TRUNC } = fs.constants;

/** A create mode empties a file that exists already: only names that nothing lives under are ever created. */
const openFlags: Readonly<Record<OpenMode, number>> = {
  read: O_RDONLY,
  "read-write": O_RDWR,
  create: O_RDWR | O_CREAT | O_TRUNC,
  dsync: O_RDWR | O_DSYNC,
  "create-dsync": O_RDWR | O_CREAT | O_TRUNC | O_DSYNC,
};
/** Where the process has no handle left, another is tried for so often: for a second, and for five where something hangs on it. */
const OPEN_TRIES = 20;
const DIRECTORY_TRIES = 100;
const HANDLE_PAUSE_MS = 50;
const fileMode = 0o640;
const directoryMode = 0o750;

/**
 * Opens the disk window on a directory, which is made (with its parents) when it is absent. Throws `DiskError`, ENOTSUP
 * where the system has no O_DSYNC: without it a write would be called durable that is not.
 */
export async function openNodeDisk(root: string): Promise<Disk> {
  if (typeof O_DSYNC !== "number") {
    throw new DiskError("ENOTSUP", "this system has no O_DSYNC, without which no write can be made durable: use Linux");
  }
  await makeDurably(root);
  // one that was there may have been made by a start that did not live to make it durable
  await fsyncPath(dirname(absolute(root)));
  return new NodeDisk(root);
}

class NodeDisk implements Disk {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const full = this.#inside(path);
    return new NodeDiskFile(await openPatiently(full, openFlags[mode], OPEN_TRIES), full);
  }

  async exists(path: string): Promise<boolean> {
    const full = this.#inside(path);
    try {
      await attempt("stat", full, () => fs.promises.stat(full));
      return true;
    } catch (error) {
      if (isAbsence(error)) return false;
      throw error;
    }
  }

  async list(path: string): Promise<readonly string[]> {
    const full = this.#inside(path);
    try {
      const names = await attempt("readdir", full, () => fs.promises.readdir(full));
      return names.sort();
    } catch (error) {
      if (isAbsence(error)) return [];
      throw error;
    }
  }

  async makeDirectory(path: string): Promise<void> {
    const full = this.#inside(path);
    await makeDurably(full);
  }

  async rename(from: string, to: string): Promise<void> {
    const fullFrom = this.#inside(from);
    const fullTo = this.#inside(to);
    await attempt("rename", fullFrom, () => fs.promises.rename(fullFrom, fullTo));
  }

  async unlink(path: string): Promise<void> {
    const full = this.#inside(path);
    await attempt("unlink", full, () => fs.promises.unlink(full));
  }

  async fsyncDirectory(path: string): Promise<void> {
    await fsyncPath(this.#inside(path));
  }

  async freeBytes(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    const space = await attempt("statfs", this.#root, () => fs.promises.statfs(this.#root));
    // what is kept for the superuser is neither free nor ours: the same share is taken as `df` says
    const usableBlocks = space.blocks - space.bfree + space.bavail;
    return { freeBytes: space.bavail * space.bsize, totalBytes: usableBlocks * space.bsize };
  }

  /**
   * `ru_inblock` of getrusage(2). It stays 0 as long as everything came from memory: a store that has written all that it reads
   * must not take a busy processor for a slow device.
   */
  deviceReads(): number {
    return process.resourceUsage().fsRead;
  }

  async lock(path: string): Promise<{ release(): Promise<void> }> {
    const full = this.#inside(path);
    return attempt("lock", full, () => takeDirectoryLock(full));
  }

  #inside(path: string): string {
    if (path.startsWith("/") || path.split("/").includes("..")) {
      throw new DiskError("EINVAL", `the path ${path} leads out of the data directory`);
    }
    return join(this.#root, path);
  }
}

/** The number of a file that is closed may be another's by now: it is never used again, nor closed twice. */
class NodeDiskFile implements DiskFile {
  /** −1: closed */
  #number: number;
  readonly #path: string;

  constructor(fd: number, path: string) {
    this.#number = fd;
    this.#path = path;
  }

  get #fd(): number {
    if (this.#number < 0) throw new DiskError("EBADF", `${this.#path} is closed`);
    return this.#number;
  }

  readSync(into: Uint8Array, position: number): number {
    let total = 0;
    try {
      while (total < into.length) {
        const count = fs.readSync(this.#fd, into, total, into.length - total, position + total);
        if (count === 0) break;
        total += count;
      }
    } catch (error) {
      throw diskErrorOf(error, "read", this.#path);
    }
    return total;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let total = 0;
    while (total < into.length) {
      const at = total;
      const count = await call<number>("read", this.#path, (done) =>
        fs.read(this.#fd, into, at, into.length - at, position + at, done),
      );
      if (count === 0) break;
      total += count;
    }
    return total;
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<number> {
    const [first] = buffers;
    if (first === undefined) return Promise.resolve(0);
    return call<number>("write", this.#path, (done) => {
      if (buffers.length === 1) fs.write(this.#fd, first, 0, first.length, position, done);
      else fs.writev(this.#fd, buffers, position, done);
    });
  }

  fdatasync(): Promise<void> {
    return call<void>("fdatasync", this.#path, (done) => fs.fdatasync(this.#fd, done));
  }

  truncate(sizeBytes: number): Promise<void> {
    return call<void>("truncate", this.#path, (done) => fs.ftruncate(this.#fd, sizeBytes, done));
  }

  async size(): Promise<number> {
    const stats = await call<fs.Stats>("fstat", this.#path, (done) => fs.fstat(this.#fd, done));
    return stats.size;
  }

  async close(): Promise<void> {
    const fd = this.#fd;
    this.#number = -1;
    await call<void>("close", this.#path, (done) => fs.close(fd, done));
  }
}

/** Makes a directory and its absent parents; each new name is durable, from the lowest up. */
async function makeDurably(path: string): Promise<void> {
  const full = absolute(path);
  const first = await attempt("mkdir", full, () => fs.promises.mkdir(full, { recursive: true, mode: directoryMode }));
  if (first === undefined) return;
  const top = dirname(absolute(first));
  let at = full;
  do {
    at = dirname(at);
    await fsyncPath(at);
  } while (at !== top && at !== dirname(at));
}

/** A directory has to be opened for it, often when a name in it has changed already. No fsync has failed while there is no handle. */
async function fsyncPath(path: string): Promise<void> {
  const fd = await openPatiently(path, O_RDONLY | O_DIRECTORY, DIRECTORY_TRIES);
  try {
    await call<void>("fsync", path, (done) => fs.fsync(fd, done));
  } finally {
    await call<void>("close", path, (done) => fs.close(fd, done));
  }
}

/** Opens; while the process, or the system, has no handle left, it tries again, so often at most. */
async function openPatiently(path: string, flags: number, maxTries: number): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call<number>("open", path, (done) => fs.open(path, flags, fileMode, done));
    } catch (error) {
      if (!isOutOfHandles(error) || tries >= maxTries) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, HANDLE_PAUSE_MS));
  }
}

type Done<T> = (error: NodeJS.ErrnoException | null, result: T) => void;

/** One callback call of node:fs as a promise that rejects with a `DiskError`. */
function call<T>(name: string, path: string, start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      if (error === null || error === undefined) resolve(result);
      else reject(diskErrorOf(error, name, path));
    });
  });
}

async function attempt<T>(name: string, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw diskErrorOf(error, name, path);
  }
}

function isAbsence(error: unknown): boolean {
  return error instanceof DiskError && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

/** The operating system's code and the call that met it; anything without a code is a bug of ours and passes as it is. */
function diskErrorOf(error: unknown, name: string, path: string): unknown {
  if (error instanceof DiskError) return error;
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return error;
  return new DiskError(error.code, `${name} of ${path} failed: ${error.code}`, { cause: error });
}
