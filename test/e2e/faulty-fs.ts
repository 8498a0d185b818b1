/**
 * A disk that fails on demand, inside a real process: loaded before everything else by `node --import`, it wraps the calls
 * of `node:fs` that the disk window makes. What fails is read from a small file, so that a test switches faults on and off
 * while the process runs. Must never be loaded by anything but a test.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

/** What fails now. */
export interface DiskFaults {
  /** writes to segments, or every flush, fail with EIO */
  readonly broken?: "write" | "fdatasync";
  /** a disk of 64 GiB is said to be there, and this share of it to be free */
  readonly freeShare?: number;
  /** writes that make a file longer fail with ENOSPC */
  readonly isFull?: boolean;
  /** whatever makes bytes durable (writes with O_DSYNC, flushes of files and directories) takes so many ms more */
  readonly flushDelayMs?: number;
}

/** The variable that names the file with the faults. */
export const FAULTS_VARIABLE = "TEST_DISK_FAULTS";

const DISK_BYTES = 64 * 1024 ** 3;

type Callback = (error: NodeJS.ErrnoException | null, ...results: unknown[]) => void;
type Call = (...args: unknown[]) => unknown;

const paths = new Map<number, string>();
/** open files whose writes are durable when they return */
const durable = new Set<number>();

function faults(): DiskFaults {
  try {
    return JSON.parse(fs.readFileSync(process.env[FAULTS_VARIABLE] ?? "", "utf8")) as DiskFaults;
  } catch {
    return {};
  }
}

function failure(code: "EIO" | "ENOSPC", call: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: injected, ${call}`), { code, syscall: call });
}

/** Puts `wrap(original)` in the place of a call. */
function replace(owner: object, name: string, wrap: (original: Call) => Call): void {
  const original: unknown = Reflect.get(owner, name);
  if (typeof original !== "function") throw new Error(`node:fs has no ${name}`);
  Reflect.set(
    owner,
    name,
    wrap((...args) => Reflect.apply(original, owner, args)),
  );
}

function callbackOf(args: readonly unknown[]): Callback {
  const last = args.at(-1);
  if (typeof last !== "function") throw new Error("the last argument is the callback");
  return (...results) => Reflect.apply(last, undefined, results);
}

/** Why a write of so many bytes at a place must fail; undefined: it need not. */
function writeFailure(fd: number, sizeBytes: number, position: unknown): NodeJS.ErrnoException | undefined {
  const { broken, isFull } = faults();
  if (broken === "write" && paths.get(fd)?.includes("/segments/") === true) return failure("EIO", "write");
  const end = (typeof position === "number" ? position : 0) + sizeBytes;
  if (isFull === true && paths.has(fd) && end > fs.fstatSync(fd).size) return failure("ENOSPC", "write");
  return undefined;
}

/** The arguments of a call that makes bytes durable, with a callback that comes as late as the disk is slow now. */
function slowed(args: readonly unknown[]): readonly unknown[] {
  const { flushDelayMs } = faults();
  if (flushDelayMs === undefined) return args;
  const done = callbackOf(args);
  return [...args.slice(0, -1), (...results: Parameters<Callback>) => setTimeout(done, flushDelayMs, ...results)];
}

function install(): void {
  replace(fs, "open", (open) => (...args) => {
    const done = callbackOf(args);
    return open(...args.slice(0, -1), (error: NodeJS.ErrnoException | null, fd: number) => {
      if (error === null) {
        paths.set(fd, String(args[0]));
        if ((Number(args[1]) & fs.constants.O_DSYNC) !== 0) durable.add(fd);
        else durable.delete(fd);
      }
      done(error, fd);
    });
  });
  replace(fs, "write", (write) => (...args) => {
    const [fd, , , length, position] = args;
    const failed = writeFailure(Number(fd), Number(length), position);
    if (failed !== undefined) return setImmediate(callbackOf(args), failed);
    return write(...(durable.has(Number(fd)) ? slowed(args) : args));
  });
  replace(fs, "fdatasync", (fdatasync) => (...args) => {
    const isBroken = faults().broken === "fdatasync";
    return isBroken ? setImmediate(callbackOf(args), failure("EIO", "fdatasync")) : fdatasync(...slowed(args));
  });
  replace(fs, "fsync", (fsync) => (...args) => {
    return fsync(...slowed(args));
  });
  replace(fs.promises, "statfs", (statfs) => async (...args) => {
    const stats = (await statfs(...args)) as fs.StatsFs;
    const { freeShare } = faults();
    if (freeShare === undefined) return stats;
    const blocks = DISK_BYTES / stats.bsize;
    const free = Math.floor(blocks * freeShare);
    return { bsize: stats.bsize, blocks, bfree: free, bavail: free };
  });
  syncBuiltinESMExports();
}

if (process.env[FAULTS_VARIABLE] !== undefined) install();
