import { copyFile, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openNodeDisk } from "../../services/adapters/node-disk.ts";
import type { LogEngine } from "../../storage/log-engine.ts";
import type { SimDisk } from "../sim/sim-disk.ts";
import { type LogStart, openTiny, simDisk, TINY_GARBAGE } from "../support/log-store.ts";
import { seededDraws } from "../support/seeded.ts";
import { HandClock } from "../support/storage-fixtures.ts";
import { storageEngineContract } from "./storage-engine.contract.ts";
import type { EngineStand } from "./storage-programs.ts";

let nextSeed = 1;

/** On a simulated disk; an unclean stop is a power loss whose outcome a seed decides. */
async function simStand(start: LogStart): Promise<EngineStand> {
  nextSeed += 1;
  let disk: SimDisk = simDisk(nextSeed);
  const open = (): Promise<LogEngine> => {
    nextSeed += 1;
    return openTiny(disk, { ...start, random: seededDraws(nextSeed) });
  };
  let engine = await open();
  return {
    engine,
    async reopen(how) {
      if (how === "clean") await engine.close();
      disk = how === "clean" ? disk : disk.crash({ pages: "mixed", names: "random" });
      engine = await open();
      return engine;
    },
    compact: () => engine.compact(TINY_GARBAGE),
    dispose: async () => undefined,
  };
}

/** On the real disk; an unclean stop goes on with a copy of the directory, as it is while the store is open. */
async function nodeStand(start: LogStart): Promise<EngineStand> {
  const root = await mkdtemp(join(tmpdir(), "gyre-store-"));
  let directory = join(root, "0");
  let copies = 0;
  const open = async (): Promise<LogEngine> => {
    nextSeed += 1;
    const clock = new HandClock("turn-done");
    return openTiny(await openNodeDisk(directory), { ...start, clock, random: seededDraws(nextSeed) });
  };
  let engine = await open();
  return {
    engine,
    async reopen(how) {
      const old = engine;
      if (how === "unclean") {
        copies += 1;
        const next = join(root, String(copies));
        await copyAsLeft(directory, next);
        directory = next;
      }
      await old.close();
      engine = await open();
      return engine;
    },
    compact: () => engine.compact(TINY_GARBAGE),
    async dispose() {
      await engine.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/**
 * What a killed process would leave. The old store lives on and still seals in the background, so files of the top (the manifest)
 * are copied before the segments that they name, and a temporary file may vanish on the way.
 */
async function copyAsLeft(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const entries = await readdir(from, { withFileTypes: true });
  for (const { name } of entries.filter((entry) => entry.isFile() && !entry.name.startsWith("LOCK"))) {
    await copyUnlessGone(join(from, name), join(to, name));
  }
  for (const { name } of entries.filter((entry) => entry.isDirectory())) {
    await copyAsLeft(join(from, name), join(to, name));
  }
}

async function copyUnlessGone(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

storageEngineContract("log engine, tiny segments", () => simStand({}));
storageEngineContract("log engine, compacting by itself", () =>
  simStand({ isCompactionAutomatic: true, garbageSegments: 0, segmentBytes: 2048 }),
);
storageEngineContract("log engine on node:fs", () => nodeStand({ segmentBytes: 64 * 1024 }), { programs: 15 });
