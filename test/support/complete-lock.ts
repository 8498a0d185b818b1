/**
 * Completes `package-lock.json` after `npm install` (by whoever changed a dependency): npm leaves out the optional packages of
 * other platforms when the registry in use does not hold them, and then `npm ci` refuses the lock on every machine. What is
 * missing is added from the names and versions that the lock itself gives, without a checksum, to be skipped everywhere but on
 * its platform.
 *
 * Usage: node test/support/complete-lock.ts
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The part of a lock's entry that matters here. */
interface LockEntry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[] | string;
  readonly cpu?: readonly string[] | string;
  readonly libc?: readonly string[] | string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A lock file, as far as it is looked at. */
export interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

/** An optional package that the lock names and does not hold. */
export interface MissingPackage {
  readonly name: string;
  readonly version: string;
  readonly isDev: boolean;
}

const SYSTEMS = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const PROCESSORS = ["arm64", "arm", "x64", "ia32", "ppc64", "riscv64", "s390x", "wasm32"];

/** The optional packages that the lock names and does not hold. */
export function missingPackages(lock: Lock): readonly MissingPackage[] {
  const missing = new Map<string, MissingPackage>();
  for (const [place, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const isHeld = [`node_modules/${name}`, `${place}/node_modules/${name}`].some((key) => key in lock.packages);
      if (!isHeld) missing.set(name, { name, version, isDev: entry.dev === true });
    }
  }
  return [...missing.values()];
}

/** The entry of a package of another platform; its name tells which. */
function entryOf(missing: MissingPackage): LockEntry {
  const words = missing.name.split(/[/-]/);
  const os = SYSTEMS.find((one) => words.includes(one));
  const cpu = PROCESSORS.find((one) => words.includes(one));
  if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+$/.test(missing.version)) {
    throw new Error(`${missing.name}@${missing.version}: no platform in its name, or a range: add its entry by hand`);
  }
  const libc = os !== "linux" ? undefined : missing.name.includes("musl") ? "musl" : "glibc";
  return {
    version: missing.version,
    cpu: [cpu],
    ...(missing.isDev ? { dev: true } : {}),
    ...(libc === undefined ? {} : { libc: [libc] }),
    optional: true,
    os: [os],
  };
}

if (import.meta.main) {
  const path = join(import.meta.dirname, "../../package-lock.json");
  const lock = JSON.parse(readFileSync(path, "utf8")) as Lock;
  const missing = missingPackages(lock);
  const added = missing.map((one) => [`node_modules/${one.name}`, entryOf(one)] as const);
  const packages = [...Object.entries(lock.packages), ...added].toSorted(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }, null, 2)}\n`);
  process.stdout.write(`${missing.length} packages of other platforms added\n`);
}
