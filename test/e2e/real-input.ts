/**
 * Acceptance on real input, run by hand (`npm run accept:real-input`): all records of a Debian system's package index are loaded
 * through three nodes, while one of them is killed twice in mid-load and the loader itself is interrupted once and goes on;
 * then every record is read back through each node at r=2 and compared byte by byte. Exit code 0 when all of it held.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { writeDebianPackages } from "../../loadtest/datasets/debian-packages.ts";
import { pause, RealCluster } from "./cluster.ts";

const MAIN = join(import.meta.dirname, "../../services/main.ts");

const directory = mkdtempSync(join(tmpdir(), "gyre-real-input-"));
const file = join(directory, "packages.ndjson");
const output = createWriteStream(file);
const recordCount = await writeDebianPackages(output);
output.end();
await finished(output);
const sizeBytes = statSync(file).size;
process.stdout.write(`input: ${recordCount} records, ${sizeBytes} bytes\n`);

await using cluster = await RealCluster.start(3);
const nodes = [0, 1, 2].map((node) => cluster.url(node)).join(",");

function startLoad(more: readonly string[] = []): ChildProcess {
  const args = [MAIN, "load", file, "--bucket", "packages", "--key", "Package,Version", "--nodes", nodes, ...more];
  return spawn(process.execPath, args, { stdio: "inherit" });
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("exit", (code) => resolve(code)));
}

/** The share of the input that the progress file calls done, 0 … 1. */
function doneShare(): number {
  const progressFile = `${file}.progress`;
  if (!existsSync(progressFile)) return 0;
  const { doneOffset } = JSON.parse(readFileSync(progressFile, "utf8")) as { readonly doneOffset: number };
  return doneOffset / sizeBytes;
}

async function untilDone(share: number, child: ChildProcess): Promise<void> {
  while (doneShare() < share && child.exitCode === null) await pause(20);
  if (child.exitCode !== null) throw new Error(`the load ended before ${share * 100} % of the input was done`);
}

async function killAndRestart(node: number): Promise<void> {
  await cluster.kill(node);
  process.stdout.write(`\nnode ${node + 1} killed with ${(doneShare() * 100).toFixed(0)} % done\n`);
  await pause(1_500);
  cluster.spawn(node);
  await cluster.untilReady([node]);
  process.stdout.write(`\nnode ${node + 1} is back with ${(doneShare() * 100).toFixed(0)} % done\n`);
}

try {
  const startedMs = performance.now();
  const first = startLoad();
  await untilDone(0.15, first);
  await killAndRestart(1);
  await untilDone(0.4, first);
  first.kill("SIGINT");
  process.stdout.write(`\nloader interrupted: exit code ${await exitOf(first)}\n`);
  const second = startLoad(["--verify"]);
  const ended = exitOf(second);
  await untilDone(0.55, second);
  await killAndRestart(1);
  const code = await ended;
  process.stdout.write(
    `\nload and verify: exit code ${code}, ${((performance.now() - startedMs) / 1_000).toFixed(0)} s\n`,
  );
  process.exitCode = code ?? 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
