/**
 * Measures the log engine by itself on the real disk: durable puts while compaction runs, start-up, reads, and how
 * long a read can stall the event loop when the page cache has been dropped.
 * `node loadtest/bench/engine-bench.ts [--keys 1000000] [--overwrites 1000000] [--value 1024] [--writers 64] [--dir PATH]`
 * Must never be read as a figure of the cluster: there is no network in it.
 */
import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { openNodeDisk } from "../../services/adapters/node-disk.ts";
import { createSystemClock } from "../../services/adapters/system-clock.ts";
import { createSystemRandom } from "../../services/adapters/system-random.ts";
import type { KeyAddress } from "../../storage/engine.ts";
import { type LogEngine, openLogEngine } from "../../storage/index.ts";

const { values: flags } = parseArgs({
  options: {
    keys: { type: "string", default: "1000000" },
    overwrites: { type: "string", default: "1000000" },
    value: { type: "string", default: "1024" },
    writers: { type: "string", default: "64" },
    reads: { type: "string", default: "200000" },
    dir: { type: "string", default: "" },
  },
});
const keyCount = Number(flags.keys);
const overwriteCount = Number(flags.overwrites);
const valueBytes = Number(flags.value);
const writerCount = Number(flags.writers);
const readCount = Number(flags.reads);
const partitionCount = 1024;
const root = flags.dir === "" ? mkdtempSync(join(tmpdir(), "gyre-engine-bench-")) : flags.dir;

/** Random bytes once, and a different window of them for each value: incompressible, and free to make. */
const pool: Buffer = randomFillSync(Buffer.allocUnsafe(64 * 1024 * 1024));
const clock = createSystemClock();

function addressOf(n: number): KeyAddress {
  const key = Buffer.from(`bench/key-${n}`, "latin1");
  // splitmix64: spreads like a real hash and costs the measured loop little
  let hash = BigInt.asUintN(64, BigInt(n) * 0x9e3779b97f4a7c15n + 0x1234567n);
  hash = BigInt.asUintN(64, (hash ^ (hash >> 30n)) * 0xbf58476d1ce4e5b9n);
  hash ^= hash >> 31n;
  return { partition: Number(hash >> 54n), hash, key };
}

async function open(): Promise<LogEngine> {
  const quiet = (): void => undefined;
  return openLogEngine({
    disk: await openNodeDisk(root),
    clock,
    random: createSystemRandom(),
    log: { info: quiet, warn: quiet, error: (facts) => process.stderr.write(`${JSON.stringify(facts)}\n`) },
    partitionCount,
    durability: "fsync",
  });
}

interface LoadResult {
  readonly seconds: number;
  readonly cpuUs: number;
  readonly latenciesMs: Float64Array;
  readonly maxAmplification: number;
}

/** Closed loop: each writer has one put under way. */
async function load(engine: LogEngine, count: number, keyOf: (n: number) => number): Promise<LoadResult> {
  const latenciesMs = new Float64Array(count);
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  let next = 0;
  let maxAmplification = 0;
  const write = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) {
      const address = addressOf(keyOf(n));
      const at = (n * 4099) % (pool.length - valueBytes);
      const value = pool.subarray(at, at + valueBytes);
      const sentMs = performance.now();
      await engine.put({ address, value, digest: BigInt(n + 1), isTombstone: false });
      latenciesMs[n] = performance.now() - sentMs;
      if (n % 50_000 === 0) maxAmplification = Math.max(maxAmplification, amplificationOf(engine));
    }
  };
  await Promise.all(Array.from({ length: writerCount }, write));
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startedMs) / 1000;
  return { seconds, cpuUs: (user + system) / count, latenciesMs, maxAmplification };
}

function amplificationOf(engine: LogEngine): number {
  const { diskBytes, liveBytes } = engine.stats();
  return liveBytes < 256 * 1024 * 1024 ? 0 : diskBytes / liveBytes;
}

function percentile(sorted: Float64Array, share: number): string {
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(3);
}

function tellLoad(name: string, result: LoadResult, count: number): void {
  const sorted = result.latenciesMs.sort();
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => percentile(sorted, share));
  tell(
    name,
    `${Math.round(count / result.seconds)} puts/s, ${result.cpuUs.toFixed(2)} µs CPU a put, p50 ${p50} p99 ${p99} p99.9 ${p999} max ${percentile(sorted, 1)} ms`,
  );
}

function tell(name: string, text: string): void {
  process.stdout.write(`${name.padEnd(28)} ${text}\n`);
}

/** How long all readers together may read from memory before the loop gets its turn: a read that is warm never waits. */
const readTurnMs = 1;

/** Reads random keys, `parallel` at a time; returns µs of wall time a read. */
async function read(engine: LogEngine, count: number, parallel: number): Promise<number> {
  let left = count;
  let at = 1;
  const startedMs = performance.now();
  let turnEndsMs = startedMs + readTurnMs;
  let nextTurn: Promise<void> | undefined;
  const yieldTurn = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    turnEndsMs = performance.now() + readTurnMs;
    nextTurn = undefined;
  };
  const reader = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      at = (at * 48271) % 2147483647;
      const found = engine.get(addressOf(at % keyCount));
      const record = found instanceof Promise ? await found : found;
      if (record === undefined) throw new Error("a key that was written is absent");
      // by time and not by count: readers that each yield after some reads hold the loop for the sum of them
      if (performance.now() >= turnEndsMs) await (nextTurn ??= yieldTurn());
    }
  };
  await Promise.all(Array.from({ length: parallel }, reader));
  return ((performance.now() - startedMs) * 1000) / count;
}

/** Drops the page cache where that is allowed. */
function dropPageCache(): boolean {
  try {
    writeFileSync("/proc/sys/vm/drop_caches", "3");
    return true;
  } catch {
    return false;
  }
}

/** The same reads from memory first, so that what the machine itself stalls is known. */
async function measureReads(engine: LogEngine): Promise<void> {
  await read(engine, readCount, 16);
  const warm = await stallOf(() => read(engine, readCount, 64));
  tell("warm reads", `${warm.result.toFixed(2)} µs a read, ${stallText(warm)}`);
  if (!dropPageCache()) {
    tell("cold reads", "not measured: the page cache may not be dropped here");
    return;
  }
  const cold = await stallOf(() => read(engine, 50_000, 64));
  tell("reads, page cache dropped", `${cold.result.toFixed(1)} µs a read, ${stallText(cold)}`);
}

interface Stall {
  /** the longest that a timer came late */
  readonly stallMs: number;
  /** the longest pause of the garbage collector in the same time, which no disk is to blame for */
  readonly collectorMs: number;
}

async function stallOf<T>(run: () => Promise<T>): Promise<Stall & { readonly result: T }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let collectorMs = 0;
  const collector = new PerformanceObserver((list) => {
    for (const pause of list.getEntries()) collectorMs = Math.max(collectorMs, pause.duration);
  });
  collector.observe({ entryTypes: ["gc"] });
  delay.enable();
  const result = await run();
  delay.disable();
  await new Promise((resolve) => setImmediate(resolve));
  collector.disconnect();
  return { result, stallMs: delay.max / 1e6, collectorMs };
}

function stallText({ stallMs, collectorMs }: Stall): string {
  return `event loop stalled at most ${stallMs.toFixed(1)} ms, collector paused at most ${collectorMs.toFixed(1)} ms`;
}

async function timedOpen(name: string): Promise<LogEngine> {
  const startedMs = performance.now();
  const engine = await open();
  const { mode, recordCount } = engine.recovery;
  tell(name, `${((performance.now() - startedMs) / 1000).toFixed(2)} s (${mode}, ${recordCount} records)`);
  return engine;
}

async function main(): Promise<void> {
  let engine = await open();
  const filled = await load(engine, keyCount, (n) => n);
  tellLoad("new keys", filled, keyCount);
  const stats = engine.stats();
  tell("index", `${(stats.indexBytes / stats.keyCount).toFixed(1)} B of RAM a key`);
  let at = 7;
  const overwritten = await load(engine, overwriteCount, () => {
    at = (at * 48271) % 2147483647;
    return at % keyCount;
  });
  tellLoad("overwrites, compacting", overwritten, overwriteCount);
  const { compactedBytes } = engine.stats();
  const amplification = `${overwritten.maxAmplification.toFixed(2)} at most, ${amplificationOf(engine).toFixed(2)} at the end`;
  tell("disk amplification", `${amplification}, ${(compactedBytes / 1e6).toFixed(0)} MB copied`);
  await engine.close();
  engine = await timedOpen("start, clean");
  await measureReads(engine);
  // forgets the clean stop, and keeps everything else: what a killed process leaves
  await load(engine, 1000, (n) => n);
  await engine.close();
  rmSync(join(root, "CLEAN"));
  engine = await timedOpen("start, unclean");
  await engine.close();
  if (flags.dir === "") rmSync(root, { recursive: true, force: true });
}

await main();
