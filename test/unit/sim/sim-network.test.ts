import { expect, test } from "vitest";
import type { ByteLink, Network } from "../../../services/base/ports.ts";
import { Scheduler, type SimProcess } from "../../sim/scheduler.ts";
import { SimNetwork } from "../../sim/sim-network.ts";
import { SimRandom } from "../../sim/sim-random.ts";

interface Watched {
  readonly link: ByteLink;
  bytes: number[];
  closeReason: string | undefined;
}

function watch(link: ByteLink): Watched {
  const watched: Watched = { link, bytes: [], closeReason: undefined };
  link.listen({
    onBytes: (bytes) => watched.bytes.push(...bytes),
    onClose: (reason) => {
      watched.closeReason = reason;
    },
  });
  return watched;
}

/** Two hosts and a link from `a` to `b`. */
class World {
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly a: SimProcess;
  b: SimProcess;
  readonly accepted: Watched[] = [];
  readonly #windowOfA: Network;

  constructor(seed = "world") {
    this.scheduler = new Scheduler(seed);
    this.network = new SimNetwork(this.scheduler, new SimRandom(seed));
    this.a = this.scheduler.newProcess("a");
    this.b = this.scheduler.newProcess("b");
    this.#windowOfA = this.network.windowOf("a", this.a);
    void this.listenOnB();
  }

  listenOnB(): Promise<unknown> {
    return this.network.windowOf("b", this.b).listen("b:1", (link) => this.accepted.push(watch(link)));
  }

  restartB(): Promise<unknown> {
    this.b = this.scheduler.newProcess("b");
    return this.listenOnB();
  }

  async dial(timeoutMs = 1_000): Promise<Watched | string> {
    let outcome: Watched | string = "pending";
    this.#windowOfA.dial("b:1", timeoutMs).then(
      (link) => {
        outcome = watch(link);
      },
      (error: Error) => {
        outcome = error.message;
      },
    );
    await this.scheduler.run({ until: () => outcome !== "pending" });
    return outcome;
  }

  async connected(): Promise<{ readonly near: Watched; readonly far: Watched }> {
    const near = await this.dial();
    await this.pass(1);
    const far = this.accepted.at(-1);
    if (typeof near === "string" || far === undefined) throw new Error("no link");
    return { near, far };
  }

  async pass(ms: number): Promise<void> {
    await this.scheduler.run({ untilMs: this.scheduler.nowMs + ms });
  }
}

const counting = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, index) => index & 0xff);

test("a split holds what is under way and loses nothing once healed", async () => {
  const world = new World();
  const { near, far } = await world.connected();
  world.network.partition("a", "b");
  near.link.write(counting(100));
  await world.pass(10_000);
  expect(far.bytes).toEqual([]);
  expect(near.closeReason).toBeUndefined();
  world.network.heal("a", "b");
  await world.pass(1_000);
  expect(far.bytes).toEqual([...counting(100)]);
});

test("a one-way split lets the other way pass", async () => {
  const world = new World();
  const { near, far } = await world.connected();
  world.network.block("a", "b");
  near.link.write(counting(5));
  far.link.write(counting(7));
  await world.pass(1_000);
  expect([far.bytes.length, near.bytes.length]).toEqual([0, 7]);
});

test("a dial into a split ends at its timeout, not before", async () => {
  const world = new World();
  world.network.partition("a", "b");
  const startedMs = world.scheduler.nowMs;
  expect(await world.dial(700)).toMatch(/ETIMEDOUT/);
  expect(world.scheduler.nowMs - startedMs).toBe(700);
});

test("when only the way back is blocked, the accepting side holds a link that the dialling side gave up", async () => {
  const world = new World();
  world.network.block("b", "a");
  expect(await world.dial(500)).toMatch(/ETIMEDOUT/);
  expect(world.accepted).toHaveLength(1);
  expect(world.accepted[0]?.closeReason).toBeUndefined();
  world.network.heal();
  await world.pass(1_000);
  expect(world.accepted[0]?.closeReason).toBe("ended_by_peer");
});

test("a cut leaves a prefix of what was under way, ending at any byte, and is told to both", async () => {
  const lengths = new Set<number>();
  for (let seed = 0; seed < 60; seed += 1) {
    const world = new World(`cut-${seed}`);
    const { near, far } = await world.connected();
    near.link.write(counting(100));
    near.link.write(counting(100));
    world.network.cutLinks("b", "a");
    await world.pass(1_000);
    expect(far.bytes).toEqual([...counting(100), ...counting(100)].slice(0, far.bytes.length));
    expect([near.closeReason, far.closeReason]).toEqual(["ECONNRESET", "ECONNRESET"]);
    lengths.add(far.bytes.length);
  }
  expect(lengths.size).toBeGreaterThan(15);
});

test("what a process sent before it was killed may arrive after its successor has started", async () => {
  const world = new World();
  const { near, far } = await world.connected();
  world.network.clog("b", "a", 500);
  far.link.write(counting(10));
  world.network.crash(world.b);
  await world.restartB();
  await world.pass(100);
  expect([near.bytes.length, near.closeReason]).toEqual([0, undefined]);
  await world.pass(1_000);
  expect([near.bytes.length, near.closeReason]).toEqual([10, "ECONNRESET"]);
});

test("a machine that lost power is silent; back again, it resets what it does not know", async () => {
  const world = new World();
  const { near } = await world.connected();
  world.network.crash(world.b, true);
  near.link.write(counting(10));
  await world.pass(60_000);
  expect(near.closeReason).toBeUndefined();
  expect(await world.dial(500)).toMatch(/ETIMEDOUT|ECONNREFUSED/);
  await world.restartB();
  near.link.write(counting(10));
  await world.pass(1_000);
  expect(near.closeReason).toBe("ECONNRESET");
});

test("a slow line makes the writer's queue grow, and drains", async () => {
  const world = new World();
  const { near, far } = await world.connected();
  world.network.setFaults("a", "b", { bytesPerMs: 1_000 });
  for (let i = 0; i < 10; i += 1) near.link.write(counting(100_000));
  expect(near.link.queuedBytes).toBeGreaterThan(700_000);
  await world.pass(500);
  const halfway = near.link.queuedBytes;
  expect(halfway).toBeLessThan(400_000);
  await world.pass(2_000);
  expect([near.link.queuedBytes, far.bytes.length]).toEqual([0, 1_000_000]);
});

test("lost packets of a stream only delay it", async () => {
  const world = new World();
  const { near, far } = await world.connected();
  world.network.setAllFaults({ lossProbability: 0.5 });
  for (let i = 0; i < 20; i += 1) near.link.write(counting(10));
  await world.pass(100);
  expect(far.bytes.length).toBeLessThan(200);
  await world.pass(120_000);
  expect(far.bytes.length).toBe(200);
  expect(far.closeReason).toBeUndefined();
});

test("a paused process reads nothing until it goes on, and then everything in order", async () => {
  const world = new World();
  const { near, far } = await world.connected();
  world.b.pause();
  for (let i = 0; i < 5; i += 1) near.link.write(Uint8Array.of(i));
  await world.pass(5_000);
  expect(far.bytes).toEqual([]);
  world.b.resume();
  await world.pass(1);
  expect(far.bytes).toEqual([0, 1, 2, 3, 4]);
});

test("a name stands for its hosts", async () => {
  const world = new World();
  world.network.setName("seeds", ["b", "a"]);
  const window = world.network.windowOf("a", world.a);
  expect(await window.resolve("seeds:7000")).toEqual(["a:7000", "b:7000"]);
});
