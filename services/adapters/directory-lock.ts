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
    startTicks: await ownStartTicks(),
    boot: await bootOf(),
    serial: nextSerial++,
  };
  const ownName = nameOf(path, own);
  const ownPath = join(dirname(path), ownName);
  // Empty: the name says it all, and a disk with nothing free still takes a name.
  await writeFile(ownPath, "", { flag: "wx" });
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

/** Alive unless it is proved dead: two holders are worse than a claim that someone must remove by hand. */
async function isAlive(claim: Claim, boot: string): Promise<boolean> {
  if (claim.boot !== boot) return false;
  let isOfAnother = false;
  try {
    process.kill(claim.pid, 0);
  } catch (error) {
    if (codeOf(error) === "ESRCH") return false;
    // it runs, as another user's; /proc may be mounted so that it hides those
    isOfAnother = true;
  }
  const found = await processAt(claim.pid);
  switch (found.kind) {
    case "ended":
      return false;
    case "absent":
      return isOfAnother || claim.startTicks === "0";
    case "unknown":
      return true;
    case "running":
      return claim.startTicks === "0" || found.startTicks === claim.startTicks;
  }
}

type FoundProcess =
  | { readonly kind: "running"; readonly startTicks: string }
  /** waits to be reaped */
  | { readonly kind: "ended" }
  /** not in /proc, or there is none */
  | { readonly kind: "absent" }
  /** could not be read: nothing is known */
  | { readonly kind: "unknown" };

/** What /proc/<pid>/stat says: the state is field 3, the start time field 22. */
async function processAt(pid: number): Promise<FoundProcess> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    const [state = "", ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return { kind: "ended" };
    const startTicks = fields[18];
    return startTicks === undefined ? { kind: "unknown" } : { kind: "running", startTicks };
  } catch (error) {
    return { kind: codeOf(error) === "ENOENT" ? "absent" : "unknown" };
  }
}

async function ownStartTicks(): Promise<string> {
  const own = await processAt(process.pid);
  return own.kind === "running" ? own.startTicks : "0";
}

/** "0" where the system does not tell; a boot that cannot be read would make every claim look dead, so it throws. */
async function bootOf(): Promise<string> {
  try {
    return (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).trim().replaceAll("-", "");
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
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
  if (codeOf(error) !== "ENOENT") throw error;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
