/**
 * Bugs to plant, to prove that the simulation finds them: a checker that has never failed is no evidence. Each breaks one
 * promise at a seam. Must never be reachable from production code.
 */
import { DonorCore } from "../../services/cluster/handover-donor-core.ts";
import { Membership } from "../../services/cluster/membership.ts";
import type { SlotLedger } from "../../services/cluster/slot-ledger.ts";
import { RingState } from "../../services/node/ring-state.ts";
import type { StorageEngine } from "../../storage/engine.ts";
import type { Disk, OpenMode } from "../../storage/ports.ts";
import { engineWith } from "./engine-with.ts";
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
      return engineWith(engine, {
        get identity() {
          return { ...engine.identity, actor };
        },
      });
    },
  };
}

/** The store's own word is false: whoever waits for a write that fails is told that it is durable. */
export function acknowledgeFailures(engine: StorageEngine): StorageEngine {
  return engineWith(engine, { put: (request) => engine.put(request).catch(() => {}) });
}

/**
 * The source of a hand-over drops its copy when it has granted it, long before the receiver has proved to have it: past the
 * replica, which would refuse. Once it has sent all, little can go wrong any more: four lives of 120 showed that.
 */
export function dropWhenGranted(): Sabotage & Disposable {
  const engines = new Map<string, StorageEngine>();
  const partitions = new WeakMap<DonorCore, number>();
  const { take } = DonorCore.prototype;
  DonorCore.prototype.take = function (this: DonorCore, event, facts): ReturnType<typeof take> {
    if (event.kind === "request") partitions.set(this, event.request.partition);
    const effects = take.call(this, event, facts);
    const partition = partitions.get(this);
    const isGranted = effects.some((effect) => effect.kind === "reply" && effect.reply.kind === "granted");
    const engine = engines.get(facts.view.nodeOf(facts.view.ownKey) ?? "");
    if (isGranted && partition !== undefined) void engine?.dropPartition(partition).catch(() => {});
    return effects;
  };
  return {
    engine: (engine, node) => {
      engines.set(`n${node + 1}`, engine);
      return engine;
    },
    [Symbol.dispose]: () => {
      DonorCore.prototype.take = take;
    },
  };
}

/** Nodes serve the slots that the table of believed holders gives them, not those that their own records say. */
export function serveByTable(): Disposable {
  const rings = new WeakMap<SlotLedger, RingState>();
  const { begin } = RingState.prototype;
  const { reviewStatus } = Membership.prototype;
  RingState.prototype.begin = function (this: RingState, ledger): void {
    rings.set(ledger, this);
    begin.call(this, ledger);
  };
  // Called with every new table.
  Membership.prototype.reviewStatus = function (this: Membership): void {
    const ring = rings.get(this.store.ledger);
    for (let partition = 0; partition < (this.table?.partitionCount ?? 0); partition += 1) {
      const own = this.table?.ownersOf(partition).find(({ node }) => node === this.store.record.nodeId);
      ring?.hold(partition, own?.slot ?? -1);
    }
    reviewStatus.call(this);
  };
  return {
    [Symbol.dispose]: () => {
      RingState.prototype.begin = begin;
      Membership.prototype.reviewStatus = reviewStatus;
    },
  };
}

/** The same file, whose writes are only in the cache when they return. */
function lazyMode(mode: OpenMode): OpenMode {
  if (mode === "dsync") return "read-write";
  return mode === "create-dsync" ? "create" : mode;
}
