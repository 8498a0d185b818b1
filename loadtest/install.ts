/**
 * Artillery, fetched when it is first needed: 470 packages and 470 MB that nobody who runs or tests a database should have to
 * download. From `loadtest/package-lock.json`, without scripts. Must never touch the packages of gyre itself.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const HERE = import.meta.dirname;
const LOCK = join(HERE, "package-lock.json");
const STAMP = join(HERE, "node_modules", ".gyre-lock");
/** The program that a scenario is run with. */
export const ARTILLERY: string = join(HERE, "node_modules", "artillery", "bin", "run");

function lockHash(): string {
  return createHash("sha256").update(readFileSync(LOCK)).digest("hex");
}

/** True when the packages of the lock file are there, whole. */
export function isInstalled(): boolean {
  return existsSync(STAMP) && existsSync(ARTILLERY) && readFileSync(STAMP, "utf8") === lockHash();
}

/** Installs what is missing; answers why that failed, in words, or undefined. */
export function install(tell: (text: string) => void): string | undefined {
  if (isInstalled()) return undefined;
  tell("Artillery is not installed yet: npm ci in loadtest/ (470 packages, 470 MB, a minute or less; once) …");
  const startedMs = performance.now();
  const npm = process.env["npm_execpath"];
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOfTheOuterRun(name)));
  const result =
    npm === undefined || !/\.[cm]?js$/.test(npm)
      ? spawnSync("npm", args, { cwd: HERE, encoding: "utf8", env, shell: process.platform === "win32" })
      : spawnSync(process.execPath, [npm, ...args], { cwd: HERE, encoding: "utf8", env });
  if (result.status !== 0) {
    const why = result.error?.message ?? `${result.stderr}${result.stdout}`.trim().split("\n").slice(-8).join("\n");
    return `Artillery could not be installed. The registry must be reachable: npm ci --prefix loadtest shows more.\n${why}`;
  }
  writeFileSync(STAMP, lockHash());
  tell(`installed in ${((performance.now() - startedMs) / 1_000).toFixed(0)} s`);
  return undefined;
}

/** Settings that `npm run` hands to its script and that would send this npm to the outer package. */
function isOfTheOuterRun(name: string): boolean {
  return /^npm_(?:package_|lifecycle_|config_local_prefix|config_prefix)/i.test(name) || name === "INIT_CWD";
}
