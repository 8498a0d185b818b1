/** What the composition root owes beyond its rooms: the order of a stop, and a start that fails. */
import { describe, expect, it } from "vitest";
import { parseBucketName } from "../../../services/base/ids.ts";
import { hintPartitionsOf } from "../../../services/handoff/hint-engine.ts";
import { GyreNode } from "../../../services/node/node.ts";
import type { NodeWindows } from "../../../services/node/windows.ts";
import type { StorageEngine } from "../../../storage/engine.ts";
import { DiskFullError } from "../../../storage/errors.ts";
import { openMemoryEngine } from "../../../storage/memory-engine.ts";
import { type MemoryImage, newMemoryImage } from "../../../storage/memory-image.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { knobs } from "../../support/fake-cluster.ts";
import { simDisk } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";
import { KeptLog, seededRandom } from "../cluster/cluster-fixtures.ts";

/** One node without peers. */
class LoneNode {
  readonly clock: FakeClock = new FakeClock();
  readonly log: KeptLog = new KeptLog();
  readonly image: MemoryImage = newMemoryImage();
  readonly hintImage: MemoryImage = newMemoryImage();
  engine: StorageEngine | undefined;
  /** as the hint store's disk does */
  failHints: (error: Error) => void = () => {};
  onFatal: (error: Error) => void = (error) => {
    throw error;
  };
  listenFailure: Error | undefined;

  start(change: Partial<StorageEngine> = {}): Promise<GyreNode> {
    return GyreNode.start({
      config: {
        nodeId: nodeIdOf("lone"),
        cluster: "test",
        dataDir: "",
        httpAddress: "",
        peerAddress: "127.0.0.1:4500",
        advertiseAddress: "127.0.0.1:4500",
        seeds: [],
        bootstrapExpect: 1,
        zone: "default",
        host: "lone",
        weight: 1,
        partitionCount: 64,
        n: 1,
        r: 1,
        w: 1,
        durability: "fsync",
        join: "manual",
        gossipProfile: "fast",
        diskReserveBytes: 8 * 1024 ** 3,
        hintsMaxBytes: undefined,
        hintsWindowMs: 10_800_000,
        tombstoneAgeMs: 3_600_000,
        secret: undefined,
        previousSecret: undefined,
        isInsecure: false,
        tokensFile: undefined,
        isMetricsOpen: false,
        tls: undefined,
        peerTls: undefined,
        rehearsal: "off",
        logLevel: "info",
      },
      windows: this.#windows(),
      openStore: async () => {
        const engine = openMemoryEngine({ partitionCount: 64, random: seededDraws(1), image: this.image });
        this.engine = Object.assign(engine, change);
        return engine;
      },
      openHints: async (count) => {
        const hints = openMemoryEngine({
          partitionCount: hintPartitionsOf(count),
          random: seededDraws(3),
          image: this.hintImage,
        });
        hints.onFailure = (listen) => {
          this.failHints = listen;
        };
        return hints;
      },
      onFatal: this.onFatal,
    });
  }

  /** The next start, as the store sees it. */
  nextStart(): StorageEngine["recovery"] {
    return openMemoryEngine({ partitionCount: 64, random: seededDraws(2), image: this.image }).recovery;
  }

  #windows(): NodeWindows {
    const network: NodeWindows["network"] = {
      listen: async (address) => {
        if (this.listenFailure !== undefined) throw this.listenFailure;
        return { address, close: async () => undefined };
      },
      dial: () => Promise.reject(new Error("there is nobody")),
      resolve: async (address) => [address],
    };
    const datagrams: NodeWindows["datagrams"] = {
      open: async (address) => ({
        address,
        sendErrorCount: 0,
        send: () => {},
        listen: () => {},
        close: async () => {},
      }),
    };
    const { clock, log } = this;
    return { clock, random: seededRandom(1), network, datagrams, disk: simDisk(), log, loopDelayMs: () => 0 };
  }
}

const carts = parseBucketName("carts");

async function putOn(node: GyreNode, clock: FakeClock): Promise<string> {
  if (carts === undefined) throw new Error("carts is a bucket name");
  const name = { bucket: carts, key: new TextEncoder().encode("alice") };
  const bytes = new TextEncoder().encode("1");
  const writing = node.coordinator.put({
    name,
    bytes,
    knobs: knobs(),
    contentType: "text/plain",
    context: undefined,
  });
  await clock.advance(3_000);
  return (await writing).kind;
}

describe("a node that stops", () => {
  it("leaves a clean store, and no timer", async () => {
    const lone = new LoneNode();
    const node = await lone.start();
    await lone.clock.advance(500);
    expect(await putOn(node, lone.clock)).toBe("applied");
    const stopping = node.stop();
    await lone.clock.advance(500);
    await stopping;
    await lone.clock.advance(60_000);
    expect(lone.clock.plannedCount).toBe(0);
    expect(lone.nextStart()).toMatchObject({ mode: "clean", isNewActor: false, recordCount: 1 });
  });

  it("does not call the stop clean while its actor is in doubt: the next start draws another one", async () => {
    const lone = new LoneNode();
    const full = (): Promise<void> => Promise.reject(new DiskFullError());
    const node = await lone.start({ isSuspect: () => true, renewActor: full });
    await lone.clock.advance(500);
    expect(await putOn(node, lone.clock)).not.toBe("applied");
    expect(lone.log.lines.map((line) => line.event)).toContain("replica.actor-in-doubt");
    const stopping = node.stop();
    await lone.clock.advance(500);
    await stopping;
    expect(lone.nextStart()).toMatchObject({ mode: "unclean", isNewActor: true });
  });
});

describe("a node that starts after a clean stop", () => {
  it("goes on as a new actor: its disk may be a backup, and lack what the old one minted since", async () => {
    const lone = new LoneNode();
    const lives: { readonly mode: string; readonly pastActorCount: number }[] = [];
    for (let life = 0; life < 3; life += 1) {
      const { engine, ...node } = await startedAndStopped(lone);
      lives.push({ mode: engine.recovery.mode, pastActorCount: node.pastActorCount });
    }
    expect(lives).toEqual([
      { mode: "fresh", pastActorCount: 0 },
      { mode: "clean", pastActorCount: 1 },
      { mode: "clean", pastActorCount: 2 },
    ]);
  });
});

async function startedAndStopped(
  lone: LoneNode,
): Promise<{ readonly engine: StorageEngine; readonly pastActorCount: number }> {
  const node = await lone.start();
  const pastActorCount = node.engine.identity.pastActors.length;
  const stopping = node.stop();
  await lone.clock.advance(500);
  await stopping;
  return { engine: node.engine, pastActorCount };
}

describe("a node's hint store", () => {
  it("is closed cleanly, and before the store whose lock covers it", async () => {
    const lone = new LoneNode();
    const node = await lone.start();
    let isHintStoreClosedFirst = false;
    const close = node.engine.close.bind(node.engine);
    node.engine.close = (options) => {
      isHintStoreClosedFirst = lone.hintImage.isClean;
      return close(options);
    };
    const stopping = node.stop();
    await lone.clock.advance(500);
    await stopping;
    expect(isHintStoreClosedFirst).toBe(true);
  });

  it("ends the node when it fails, as the main store does", async () => {
    const lone = new LoneNode();
    const fatal: Error[] = [];
    lone.onFatal = (error) => {
      fatal.push(error);
    };
    const node = await lone.start();
    const failure = new Error("fsync: EIO");
    lone.failHints(failure);
    expect(fatal).toEqual([failure]);
    const stopping = node.stop();
    await lone.clock.advance(500);
    await stopping;
  });
});

describe("a node that cannot start", () => {
  it("stops what it has started, leaves a clean store, and says why", async () => {
    const lone = new LoneNode();
    lone.listenFailure = new Error("the address is taken");
    const starting = lone.start().catch((error: unknown) => error);
    await lone.clock.advance(500);
    expect(await starting).toBe(lone.listenFailure);
    await lone.clock.advance(60_000);
    expect(lone.clock.plannedCount).toBe(0);
    expect(lone.nextStart().mode).toBe("clean");
    expect(lone.hintImage.isClean).toBe(true);
  });
});
