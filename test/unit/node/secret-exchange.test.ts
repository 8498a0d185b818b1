/** The cluster secret is exchanged on whole nodes: links, gossip and contexts, one restart after the other. */
import { describe, expect, test } from "vitest";
import { parseBucketName } from "../../../services/base/ids.ts";
import type { LogFacts } from "../../../services/base/ports.ts";
import { hintPartitionsOf } from "../../../services/handoff/hint-engine.ts";
import { GyreNode } from "../../../services/node/node.ts";
import { openMemoryEngine } from "../../../storage/memory-engine.ts";
import { type MemoryImage, newMemoryImage } from "../../../storage/memory-image.ts";
import { Scheduler, type SimProcess } from "../../sim/scheduler.ts";
import { SimClock } from "../../sim/sim-clock.ts";
import { SimDatagrams } from "../../sim/sim-datagrams.ts";
import { SimNetwork } from "../../sim/sim-network.ts";
import { SimRandom } from "../../sim/sim-random.ts";
import { knobs } from "../../support/fake-cluster.ts";
import { simDisk } from "../../support/log-store.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

interface Secrets {
  readonly secret: string;
  readonly previousSecret: string | undefined;
}

const [OLD, NEW] = ["the old secret of the cluster", "the new secret of the cluster"];
/** As README says: what each node is started with in each round. */
const BEFORE: Secrets = { secret: OLD, previousSecret: undefined };
const ROUNDS: readonly Secrets[] = [
  { secret: OLD, previousSecret: NEW },
  { secret: NEW, previousSecret: OLD },
  { secret: NEW, previousSecret: undefined },
];
const NAMES = ["n1", "n2", "n3"];

interface Machine {
  readonly name: string;
  readonly image: MemoryImage;
  readonly logged: LogFacts[];
  process: SimProcess | undefined;
  node: GyreNode | undefined;
}

/** Three nodes that are restarted with other secrets. */
class World {
  readonly scheduler: Scheduler;
  readonly machines: readonly Machine[];
  readonly #random: SimRandom;
  readonly #network: SimNetwork;
  readonly #datagrams: SimDatagrams;

  constructor(seed: string) {
    this.scheduler = new Scheduler(seed);
    this.#random = new SimRandom(seed);
    this.#network = new SimNetwork(this.scheduler, this.#random);
    this.#datagrams = new SimDatagrams(this.scheduler, this.#random, this.#network);
    this.machines = NAMES.map((name) => ({
      name,
      image: newMemoryImage(),
      logged: [],
      process: undefined,
      node: undefined,
    }));
  }

  static async formed(seed: string): Promise<World> {
    const world = new World(seed);
    for (const machine of world.machines) world.start(machine, BEFORE);
    await world.untilWhole();
    return world;
  }

  start(machine: Machine, secrets: Secrets): void {
    const { name, image } = machine;
    const process = this.scheduler.newProcess(name);
    machine.process = process;
    const log = (facts: LogFacts): void => void machine.logged.push(facts);
    const random = this.#random.fork(`store-${name}`);
    const start = (): Promise<GyreNode> =>
      GyreNode.start({
        config: {
          nodeId: nodeIdOf(name),
          cluster: "test",
          dataDir: "",
          httpAddress: "",
          peerAddress: `${name}:4500`,
          advertiseAddress: `${name}:4500`,
          seeds: NAMES.map((seed) => `${seed}:4500`),
          bootstrapExpect: 3,
          zone: "default",
          host: name,
          weight: 1,
          partitionCount: 64,
          n: 3,
          r: 2,
          w: 2,
          durability: "fsync",
          join: "manual",
          gossipProfile: "fast",
          diskReserveBytes: 0,
          hintsMaxBytes: undefined,
          hintsWindowMs: 10_800_000,
          tombstoneAgeMs: 3_600_000,
          ...secrets,
          isInsecure: false,
          tokensFile: undefined,
          isMetricsOpen: false,
          tls: undefined,
          peerTls: undefined,
          rehearsal: "off",
          logLevel: "info",
        },
        windows: {
          clock: new SimClock(this.scheduler, process),
          random: this.#random.fork(`node-${name}`),
          network: this.#network.windowOf(name, process),
          datagrams: this.#datagrams.windowOf(name, process),
          disk: simDisk(),
          log: { debug: log, info: log, warn: log, error: log },
          loopDelayMs: () => 0,
        },
        openStore: async () => openMemoryEngine({ partitionCount: 64, random, image }),
        openHints: async (count) => openMemoryEngine({ partitionCount: hintPartitionsOf(count), random }),
        onFatal: (error) => {
          throw error;
        },
      });
    this.scheduler.after(0, () => void start().then((node) => Object.assign(machine, { node })), process);
  }

  async stop(machine: Machine): Promise<void> {
    const { node, process } = machine;
    if (node === undefined || process === undefined) throw new Error(`${machine.name} does not run`);
    await this.within(machine, () => node.stop());
    this.#network.crash(process);
    machine.node = undefined;
  }

  /** Does something in the node's process; virtual time passes until it is done. */
  async within<T>(machine: Machine, act: () => Promise<T>): Promise<T> {
    let isDone = false;
    const acting = new Promise<T>((resolve) => {
      this.scheduler.after(0, () => void act().then(resolve), machine.process);
    });
    void acting.then(() => {
      isDone = true;
    });
    await this.until(() => isDone);
    return acting;
  }

  async pass(ms: number): Promise<void> {
    await this.scheduler.run({ untilMs: this.scheduler.nowMs + ms });
  }

  async until(condition: () => boolean): Promise<void> {
    const end = await this.scheduler.run({ until: condition, untilMs: this.scheduler.nowMs + 60_000 });
    if (end !== "condition") throw new Error(`the condition never held: ${condition.toString()}`);
  }

  /** Every node is a member that sees all three alive, by links and by gossip. */
  async untilWhole(): Promise<void> {
    await this.until(() => this.machines.every(({ node }) => node !== undefined && isWholeFor(node)));
  }

  /** What all nodes logged of one kind of event. */
  logged(event: string): readonly LogFacts[] {
    return this.machines.flatMap((machine) => machine.logged.filter((facts) => facts.event === event));
  }
}

function isWholeFor({ status }: GyreNode): boolean {
  return status.readyz().every(({ isOk }) => isOk) && status.clusterHealth("all").verdict === "healthy";
}

function nodeOf(machine: Machine | undefined): GyreNode {
  if (machine?.node === undefined) throw new Error("the node does not run");
  return machine.node;
}

const carts = parseBucketName("carts");
if (carts === undefined) throw new Error("carts is a bucket name");
const NAME = { bucket: carts, key: new TextEncoder().encode("alice") };

/** One client that reads and writes through the nodes in turn, with the context of its last answer. */
class Client {
  readonly #world: World;
  #token: string | undefined;
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** A write, then a read elsewhere, through nodes that run; throws when one of them fails or reads anything else. */
  async turn(): Promise<void> {
    const running = this.#world.machines.filter(({ node }) => node !== undefined);
    const [writer, reader] = [running[this.#count % running.length], running[(this.#count + 1) % running.length]];
    if (writer === undefined || reader === undefined) throw new Error("nobody runs");
    this.#count += 1;
    const context = this.#decoded(nodeOf(writer));
    const bytes = new TextEncoder().encode(String(this.#count));
    const request = { name: NAME, bytes, contentType: "text/plain", knobs: knobs(), context };
    const written = await this.#world.within(writer, () => nodeOf(writer).coordinator.put(request));
    if (written.kind !== "applied") throw new Error(`write: ${written.kind}`);
    const read = await this.#world.within(reader, () => nodeOf(reader).coordinator.get({ name: NAME, knobs: knobs() }));
    if (read.kind !== "found") throw new Error(`read: ${read.kind}`);
    const values = read.set.siblings.map((sibling) => Buffer.from(sibling.bytes).toString());
    if (values.join() !== String(this.#count)) throw new Error(`read ${values.join()} instead of ${this.#count}`);
    this.#token = nodeOf(reader).contexts.encode(NAME, read.set.clock);
  }

  #decoded(node: GyreNode): Parameters<GyreNode["coordinator"]["put"]>[0]["context"] {
    if (this.#token === undefined) return undefined;
    const decoded = node.contexts.decode(NAME, this.#token);
    if (decoded.kind !== "context") throw new Error(`the context is refused: ${decoded.reason}`);
    return decoded.context;
  }
}

/** The nodes of a round, in the order in which they are restarted. */
const ORDERS: readonly (readonly number[])[] = [
  [0, 1, 2],
  [2, 0, 1],
  [1, 2, 0],
];

describe("the cluster secret is exchanged in three rounds of restarts", () => {
  test.each(ORDERS.map((order) => ({ order })))(
    "in the order $order: no request fails, no context is refused, every node sees every other in each mixed state",
    async ({ order }) => {
      const world = await World.formed(`exchange ${order.join("")}`);
      const client = new Client(world);
      await client.turn();
      for (const secrets of ROUNDS) {
        for (const at of order) {
          const machine = world.machines[at];
          if (machine === undefined) throw new Error("three nodes");
          await world.stop(machine);
          await client.turn();
          world.start(machine, secrets);
          await world.untilWhole();
          await world.pass(3_000);
          for (let turn = 0; turn < 3; turn += 1) await client.turn();
        }
      }
      expect(world.logged("peers.refused")).toEqual([]);
      expect([...world.logged("gossip.member-suspect"), ...world.logged("gossip.member-dead")]).toEqual([]);
    },
  );

  test("a context of before is taken by every node until it is in the third round, and refused from then on", async () => {
    const world = await World.formed("contexts");
    const token = nodeOf(world.machines[0]).contexts.encode(NAME, { vector: [{ actor: 5, counter: 9 }], detached: [] });
    const taken: boolean[][] = [];
    for (const secrets of ROUNDS) {
      for (const machine of world.machines) {
        await world.stop(machine);
        world.start(machine, secrets);
        await world.untilWhole();
        taken.push(world.machines.map((each) => nodeOf(each).contexts.decode(NAME, token).kind === "context"));
      }
    }
    expect(taken.slice(0, 6).flat()).not.toContain(false);
    expect(taken.slice(6)).toEqual([
      [false, true, true],
      [false, false, true],
      [false, false, false],
    ]);
  });

  test("a node that leaves the first round out is refused with wrong_secret, on both sides, and breaks nothing", async () => {
    const world = await World.formed("skipped");
    const [early, ...others] = world.machines;
    if (early === undefined) throw new Error("three nodes");
    await world.stop(early);
    world.start(early, { secret: NEW, previousSecret: OLD });
    await world.pass(10_000);
    expect(nodeOf(early).status.clusterHealth("all").verdict).toBe("unavailable");
    for (const { logged } of world.machines) {
      const refused = logged.filter(({ event }) => event === "peers.refused");
      expect(refused.length).toBeGreaterThan(0);
      for (const facts of refused) expect(facts).toMatchObject({ reason: "wrong_secret", address: expect.any(String) });
    }
    for (const other of others) {
      expect(nodeOf(other).status.clusterHealth("quorum").verdict).toBe("degraded");
    }
    await world.stop(early);
    world.start(early, { secret: OLD, previousSecret: NEW });
    await world.untilWhole();
  });
});
