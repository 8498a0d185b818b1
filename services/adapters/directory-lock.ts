/**
 * The exclusive lock of a data directory, for systems whose runtime has no flock: each starter first lays down a claim
 * file whose NAME says who it is (process id, its start time, the boot), then looks for claims of others. Of two
 * starters at least one sees the other, so both can never win; a claim of a dead process is removed, and since its
 * name is that process's alone, removing it can never hit a live one. Must never judge by a file's age.
 *
 * Doubtful only across containers that share the directory: another process namespace hides its processes.
 */
import { readdir, readFile, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DiskError } from "../../storage/ports.ts";

interface Claim {
  readonly pid: number;
  /** clock ticks since boot at which the process started; "0" where the system does not tell */
  readonly startTicks: string;
  /** changes with each boot; "0" where the system does not tell */
  readonly boot: string;
  /** tells two claims of one process apart */
  readonly serial: number;
}

const yieldRounds = 5;
const yieldMs = 20;
let nextSerial = 1;

/** Takes the lock at `path` (claims lie beside it as `<path>.<claim>`), or throws `DiskError` LOCKED naming the holder. */
export async function takeDirectoryLock(path: string): Promise<{ release(): Promise<void> }> {
  const own: Claim = {
    pid: process.pid,
    startTicks: (await startTicksOf(process.pid)) ?? "0",
    boot: await bootOf(),
    serial: nextSerial++,
  };
  const ownName = nameOf(path, own);
  const ownPath = join(dirname(path), ownName);
  await writeFile(ownPath, `held by process ${own.pid}\n`, { flag: "wx" });
  try {
    await winAgainstOthers(path, own);
  } catch (error) {
    await unlink(ownPath);
    throw error;
  }
  let isHeld = true;
  return {
    async release(): Promise<void> {
      if (!isHeld) return;
      isHeld = false;
      await unlink(ownPath);
    },
  };
}

/** Of starters that meet, the one with the larger name gives way; one who holds the lock never does. */
async function winAgainstOthers(path: string, own: Claim): Promise<void> {
  for (let round = 0; ; round += 1) {
    const holder = await liveRival(path, own);
    if (holder === undefined) return;
    const isOursToWait = nameOf(path, own) < nameOf(path, holder);
    if (round >= yieldRounds || !isOursToWait) {
      throw new DiskError("LOCKED", `the data directory is in use by process ${holder.pid} (${nameOf(path, holder)})`);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, yieldMs);
    });
  }
}

/** A claim of a process that runs, other than our own; claims of dead ones are removed on the way. */
async function liveRival(path: string, own: Claim): Promise<Claim | undefined> {
  const directory = dirname(path);
  const ownName = nameOf(path, own);
  let rival: Claim | undefined;
  for (const name of (await readdir(directory)).sort()) {
    if (name === ownName) continue;
    const claim = parseClaim(path, name);
    if (claim === undefined) continue;
    if (await isAlive(claim, own.boot)) rival ??= claim;
    else await unlink(join(directory, name)).catch(ignoreAbsence);
  }
  return rival;
}

async function isAlive(claim: Claim, boot: string): Promise<boolean> {
  if (claim.boot !== boot) return false;
  try {
    process.kill(claim.pid, 0);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
  }
  const startTicks = await startTicksOf(claim.pid);
  return startTicks === undefined ? claim.startTicks === "0" : startTicks === claim.startTicks;
}

/** Field 22 of /proc/<pid>/stat; undefined when there is none, or when the process is only waiting to be reaped. */
async function startTicksOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

async function bootOf(): Promise<string> {
  try {
    return (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).trim().replaceAll("-", "");
  } catch {
    return "0";
  }
}

function nameOf(path: string, claim: Claim): string {
  return `${basename(path)}.${claim.pid}.${claim.startTicks}.${claim.boot}.${claim.serial}`;
}

function parseClaim(path: string, name: string): Claim | undefined {
  const prefix = `${basename(path)}.`;
  if (!name.startsWith(prefix)) return undefined;
  const match = /^(\d+)\.(\d+)\.([0-9a-f]+)\.(\d+)$/.exec(name.slice(prefix.length));
  if (match === null) return undefined;
  const [, pid = "", startTicks = "", boot = "", serial = ""] = match;
  return { pid: Number(pid), startTicks, boot, serial: Number(serial) };
}

function ignoreAbsence(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
}
