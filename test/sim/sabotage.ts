/**
 * Bugs to plant, to prove that the simulation finds them: a checker that has never failed is no evidence. Each breaks one
 * promise at a seam. Must never be reachable from production code.
 */
import type { StorageEngine } from "../../storage/engine.ts";
import type { Disk, OpenMode } from "../../storage/ports.ts";
import type { Sabotage } from "./sim-cluster.ts";

/** Writes are acknowledged before they are durable: segments are opened without the flag that makes writes so. */
export const ACKNOWLEDGE_BEFORE_FSYNC: Sabotage = {
  disk: (disk: Disk): Disk => ({
    open: (path, mode) => disk.open(path, path.startsWith("seg") ? lazyMode(mode) : mode),
    exists: (path) => disk.exists(path),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    fsyncDirectory: (path) => disk.fsyncDirectory(path),
    freeBytes: () => disk.freeBytes(),
    lock: (path) => disk.lock(path),
  }),
};

/** The actor outlives an unclean stop in which acknowledged bytes were lost: "seen" is claimed of what was forgotten. */
export function keepActorForEver(): Sabotage {
  const firstActors = new Map<number, number>();
  return {
    engine: (engine: StorageEngine, node: number): StorageEngine => {
      const actor = firstActors.get(node) ?? engine.identity.actor;
      firstActors.set(node, actor);
      return new Proxy(engine, {
        get: (target, name) => {
          if (name === "identity") return { ...target.identity, actor };
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
  };
}

/** The same file, whose writes are only in the cache when they return. */
function lazyMode(mode: OpenMode): OpenMode {
  if (mode === "dsync") return "read-write";
  return mode === "create-dsync" ? "create" : mode;
}
