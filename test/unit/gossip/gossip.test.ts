import { describe, expect, test } from "vitest";
import { Gossip, type GossipOptions } from "../../../gossip/index.ts";
import { createSystemClock } from "../../../services/adapters/system-clock.ts";
import { createSystemRandom } from "../../../services/adapters/system-random.ts";
import { createUdpDatagrams } from "../../../services/adapters/udp-datagrams.ts";
import { SimGossip, type SimMember } from "../../support/sim-gossip.ts";

const utf8 = new TextEncoder();
const secret = (text: string): Uint8Array => utf8.encode(text);

/** Three members that know one seed and have found each other. */
async function trio(seed: string): Promise<{ world: SimGossip; all: readonly [SimMember, SimMember, SimMember] }> {
  const world = new SimGossip(seed);
  const all = [world.start("a", []), world.start("b", ["a"]), world.start("c", ["a"])] as const;
  await world.until(() => world.areAllAlive(all));
  return { world, all };
}

function areOfOneMind(members: readonly SimMember[]): boolean {
  return new Set(members.map(({ gossip }) => gossip.stats()?.membersHash)).size === 1;
}

/** Five members, two minutes of faults drawn from the seed, and then their end. */
async function liveThroughTrouble(seed: string): Promise<{ world: SimGossip; members: readonly SimMember[] }> {
  const world = new SimGossip(seed);
  const chance = world.randomOf("trouble");
  const names = ["a", "b", "c", "d", "e"];
  const members = names.map((name) => world.start(name, names));
  await world.until(() => world.areAllAlive(members));
  world.datagrams.setAllFaults({ lossProbability: 0.02, duplicateProbability: 0.02, lateProbability: 0.02 });
  for (let round = 0; round < 30; round += 1) {
    const [one, other] = [chance.below(5), chance.below(5)];
    const [here, there] = [names[one] ?? "a", names[other] ?? "b"];
    const member = members[one];
    if (member === undefined) continue;
    const fault = chance.below(6);
    if (fault === 0) world.network.partition(here, there);
    else if (fault === 1) world.network.block(here, there);
    else if (fault === 2) world.network.heal(here, there);
    else if (fault === 3) member.process.pause();
    else if (fault === 4) member.process.resume();
    else {
      if (chance.chance(0.3)) world.in(member, () => void member.gossip.leave());
      await world.pass(chance.below(2_000));
      world.kill(member);
      await world.pass(chance.below(6_000));
      members[one] = world.start(here, names);
    }
    await world.pass(chance.below(6_000));
  }
  world.network.heal();
  for (const member of members) member.process.resume();
  return { world, members };
}

describe("three members", () => {
  test("find each other from one seed within two seconds, and say so once", async () => {
    const world = new SimGossip("meet");
    const all = [world.start("a", []), world.start("b", ["a"]), world.start("c", ["a"])] as const;
    expect(await world.until(() => world.areAllAlive(all))).toBeLessThan(2_000);
    await world.pass(5_000);
    const joins = all.map(({ events }) => events.filter((event) => event.startsWith("join")).toSorted());
    expect(joins).toEqual([
      ["join b", "join c"],
      ["join a", "join c"],
      ["join a", "join b"],
    ]);
    expect(new Set(all.map(({ gossip }) => gossip.stats()?.membersHash)).size).toBe(1);
  });

  test("find each other when a seed is there before those it names, and themselves, are", async () => {
    const world = new SimGossip("order");
    const names = ["a", "b", "c"];
    const first = world.start("c", names);
    await world.pass(40_000);
    const all = [first, world.start("a", names), world.start("b", names)];
    await world.until(() => world.areAllAlive(all));
    expect(first.gossip.members().map(({ facts }) => facts.nodeId)).toHaveLength(3);
  });

  test("notice that one was killed, within six seconds, and that it is back, in another life", async () => {
    const { world, all } = await trio("kill");
    const [a, b, c] = all;
    world.kill(c);
    const knowMs = await world.until(() => [a, b].every(({ gossip }) => gossip.stateOf("c") === "dead"));
    expect(knowMs).toBeLessThan(6_000);
    expect(a.events).toContain("suspect c");
    const again = world.start("c", ["a"]);
    await world.until(() => world.areAllAlive([a, b, again]));
    expect(again.gossip.stats()?.generation).toBe(2);
    expect(a.events.at(-1)).toBe("recover c");
  });

  test("keep an eye on one that leaves: all know within a second, and nobody takes it for dead", async () => {
    const { world, all } = await trio("leave");
    const [a, b, c] = all;
    let isLeft = false;
    world.in(c, () => void c.gossip.leave().then(() => (isLeft = true)));
    const toldMs = await world.until(() => [a, b].every(({ gossip }) => gossip.stateOf("c") === "left"));
    expect(toldMs).toBeLessThan(1_000);
    await world.until(() => isLeft, 2_000);
    world.in(c, () => void c.gossip.stop());
    await world.pass(30_000);
    expect([a, b].flatMap(({ events }) => events).filter((event) => /dead|suspect/.test(event))).toEqual([]);
    const again = world.start("c", ["a"]);
    await world.until(() => world.areAllAlive([a, b, again]));
  });

  test("a farewell of one that is alone ends all the same", async () => {
    const world = new SimGossip("alone");
    const a = world.start("a", []);
    await world.pass(1_000);
    let isLeft = false;
    world.in(a, () => void a.gossip.leave().then(() => (isLeft = true)));
    expect(await world.until(() => isLeft)).toBeLessThanOrEqual(2_000);
  });

  test("split for a minute call each other dead, and are whole again within 30 s of the healing", async () => {
    const { world, all } = await trio("split");
    const [a, , c] = all;
    world.network.partition("a", "c");
    world.network.partition("b", "c");
    await world.pass(60_000);
    expect([a.gossip.stateOf("c"), c.gossip.stateOf("a"), a.gossip.stateOf("b")]).toEqual(["dead", "dead", "alive"]);
    world.network.heal();
    expect(await world.until(() => world.areAllAlive(all))).toBeLessThan(30_000);
  });

  test("of whom two cannot talk to each other keep each other alive through the third", async () => {
    const { world, all } = await trio("indirect");
    world.network.partition("a", "b");
    await world.pass(60_000);
    expect(all.flatMap(({ events }) => events).filter((event) => event.startsWith("dead"))).toEqual([]);
  });

  test("whose datagrams are all lost keep each other alive over links", async () => {
    const { world, all } = await trio("tcp");
    world.datagrams.setAllFaults({ lossProbability: 1 });
    await world.pass(60_000);
    expect(all.flatMap(({ events }) => events).filter((event) => event.startsWith("dead"))).toEqual([]);
    expect(all[0].gossip.stats()?.swim.tcpOnlyAcks).toBeGreaterThan(0);
  });

  test("stay alive to each other while datagrams are lost, doubled and late", async () => {
    const { world, all } = await trio("noise");
    world.hasLinks = false;
    world.datagrams.setAllFaults({
      lossProbability: 0.1,
      duplicateProbability: 0.2,
      lateProbability: 0.1,
      lateMs: 100,
    });
    await world.pass(120_000);
    expect(all.flatMap(({ events }) => events).filter((event) => event.startsWith("dead"))).toEqual([]);
    const dropped = all[0].gossip.stats()?.wire.dropped;
    expect(dropped?.replayed).toBeGreaterThan(0);
    expect(dropped?.forged).toBe(0);
  });

  test("one that was paused for three seconds is not taken for dead", async () => {
    const { world, all } = await trio("pause");
    all[2].process.pause();
    await world.pass(2_900);
    all[2].process.resume();
    await world.pass(10_000);
    expect(all.flatMap(({ events }) => events).filter((event) => event.startsWith("dead"))).toEqual([]);
  });

  test("exchange their secret one after the other, and never lose sight of each other", async () => {
    const { world, all } = await trio("rotate");
    const [old, fresh] = [secret("a secret of simulations"), secret("another secret of simulations")];
    const steps = [
      { primary: old, others: [fresh] },
      { primary: fresh, others: [old] },
      { primary: fresh, others: [] },
    ];
    for (const secrets of steps) {
      for (const member of all) {
        world.in(member, () => member.gossip.setSecrets(secrets));
        await world.pass(5_000);
      }
    }
    await world.pass(10_000);
    expect(all.flatMap(({ events }) => events).filter((event) => !event.startsWith("join"))).toEqual([]);
    const refusals = all.map(({ gossip }) => gossip.stats()?.wire.dropped);
    expect(refusals.every((dropped) => dropped?.unknown_key === 0 && dropped.forged === 0)).toBe(true);
  });
});

describe("gossip", () => {
  test("never mixes clusters, nor those who do not know the secret", async () => {
    const { world, all } = await trio("foreign");
    const foreign = world.start("x", ["a"], { clusterName: "other" });
    const thief = world.start("y", ["a"], { secrets: { primary: secret("guessed"), others: [] } });
    await world.pass(40_000);
    expect(all.map(({ gossip }) => gossip.members().length)).toEqual([3, 3, 3]);
    expect([foreign, thief].map(({ gossip }) => gossip.members().length)).toEqual([1, 1]);
    expect(all[0].gossip.stats()?.wire.dropped).toMatchObject({ other_cluster: expect.any(Number) });
    expect(all[0].gossip.stats()?.wire.dropped.other_cluster).toBeGreaterThan(0);
  });

  test("says whose records differ, until they do not", async () => {
    const { world, all } = await trio("records");
    const [a, b, c] = all;
    for (const member of all) world.in(member, () => member.gossip.setRecordsHash(7n));
    await world.pass(5_000);
    for (const member of all) member.differing.length = 0;
    await world.pass(10_000);
    expect(all.flatMap(({ differing }) => differing)).toEqual([]);
    world.in(a, () => a.gossip.setRecordsHash(2n ** 64n - 1n));
    await world.until(() => [b, c].every(({ differing }) => differing.includes("a")), 10_000);
    expect(b.differing).not.toContain("c");
    expect(b.gossip.member("a")?.recordsHash).toBe(2n ** 64n - 1n);
  });

  test("tells how the others feel", async () => {
    const { world, all } = await trio("fitness");
    world.in(all[0], () => all[0].gossip.setFitness({ isDegraded: true }));
    const fitnessOf = (at: number, of: string) => all[at]?.gossip.member(of)?.fitness;
    await world.until(() => fitnessOf(1, "a")?.isDegraded === true && fitnessOf(0, "b") !== undefined, 10_000);
    expect(fitnessOf(0, "b")).toMatchObject({ isDiskWritable: true, isDegraded: false });
    world.in(all[0], () => all[0].gossip.setFitness({ isDiskWritable: false }));
    await world.until(() => fitnessOf(1, "a")?.isDiskWritable === false, 10_000);
    expect(fitnessOf(1, "a")).toMatchObject({ isDegraded: true });
  });

  test("meets those whom only a link has found, though no seed was given", async () => {
    const world = new SimGossip("met");
    const [a, b] = [world.start("a", []), world.start("b", [])];
    await world.pass(5_000);
    expect(a.gossip.members()).toHaveLength(1);
    world.in(a, () => a.gossip.memberMet("b", "b:7000"));
    expect(await world.until(() => world.areAllAlive([a, b]))).toBeLessThan(2_000);
  });

  test("meets those whom only a link has found though no datagram passes", async () => {
    const world = new SimGossip("met-tcp");
    world.datagrams.setAllFaults({ lossProbability: 1 });
    const [a, b] = [world.start("a", []), world.start("b", [])];
    await world.pass(5_000);
    world.in(a, () => a.gossip.memberMet("b", "b:7000"));
    expect(await world.until(() => world.areAllAlive([a, b]))).toBeLessThan(2_000);
  });

  test("sends nothing before its generation is durable, and nothing at all when it cannot be", async () => {
    const world = new SimGossip("durable");
    let finish = (): void => {};
    const slow = {
      load: async () => 41,
      save: () => new Promise<void>((fulfil) => (finish = fulfil)),
    };
    const a = world.start("a", ["b"], { generations: slow });
    await world.pass(5_000);
    expect(world.datagrams.counts.sent).toBe(0);
    world.in(a, () => finish());
    await world.pass(5_000);
    expect(a.gossip.stats()?.generation).toBe(42);
    expect(world.datagrams.counts.sent).toBeGreaterThan(0);

    const sentCount = world.datagrams.counts.sent;
    world.kill(a);
    const failing = { load: async () => 41, save: () => Promise.reject(new Error("EIO")) };
    const b = world.start("b", ["a"], { generations: failing });
    await world.pass(5_000);
    expect([world.datagrams.counts.sent, b.fatal.map(({ message }) => message)]).toEqual([sentCount, ["EIO"]]);
  });

  test("a member whose disk was set back takes a generation above the one that others remember", async () => {
    const { world, all } = await trio("rollback");
    const [a, b, c] = all;
    world.kill(c);
    let generation = 9;
    const disk = {
      load: async () => generation,
      save: async (next: number) => {
        generation = next;
      },
    };
    const ten = world.start("c", ["a"], { generations: disk });
    await world.until(() => world.areAllAlive([a, b, ten]));
    world.kill(ten);
    generation = 3;
    const four = world.start("c", ["a"], { generations: disk });
    const lives = () => [a, b, four].map(({ gossip }) => gossip.member("c")?.life.generation);
    await world.until(() => new Set([...lives(), generation, 11]).size === 1 && world.areAllAlive([a, b, four]));
    expect(four.events).not.toContain("duplicate-identity");
  });

  test("two processes under one name hear of each other", async () => {
    const { world } = await trio("twins");
    const twin = world.start("c2", ["a"], { nodeId: "c" });
    expect(await world.until(() => twin.events.includes("duplicate-identity"))).toBeLessThan(60_000);
  });

  test("answers questions only between start and stop, and never throws at what it is asked", async () => {
    const { world, all } = await trio("questions");
    const [a] = all;
    expect(a.gossip.answer("b", "ping", undefined)).toBe("a");
    for (const body of [undefined, 7, {}, new Uint8Array(9)])
      expect(a.gossip.answer("b", "sync", body)).toBeUndefined();
    world.in(a, () => void a.gossip.stop());
    await world.pass(10);
    expect(a.gossip.answer("b", "ping", undefined)).toBeUndefined();
    const sentBefore = a.gossip.stats()?.wire.sent;
    await world.pass(5_000);
    expect(a.gossip.stats()?.wire.sent).toBe(sentBefore);
  });

  test("costs an idle member of three less than half a kilobyte a second", async () => {
    const { world, all } = await trio("cost");
    await world.pass(10_000);
    const bytesOf = (): number => all.reduce((sum, { gossip }) => sum + (gossip.stats()?.wire.sentBytes ?? 0), 0);
    const before = bytesOf();
    await world.pass(60_000);
    expect((bytesOf() - before) / 60 / 3).toBeLessThan(500);
  });

  test("lives the same life from the same seed", async () => {
    const live = async (): Promise<number> => (await trio("same")).world.scheduler.traceHash;
    expect(await live()).toBe(await live());
  });
});

describe("five members through splits, kills, restarts, pauses and noise", () => {
  test.each(Array.from({ length: 12 }, (_, index) => `trouble ${index}`))(
    "are of one mind within 30 s of its end, in %s",
    async (seed) => {
      const { world, members } = await liveThroughTrouble(seed);
      const takenMs = await world.until(() => world.areAllAlive(members) && areOfOneMind(members), 60_000);
      expect(takenMs).toBeLessThan(30_000);
      expect(members.flatMap(({ events }) => events)).not.toContain("duplicate-identity");
      expect(members.flatMap(({ fatal }) => fatal)).toEqual([]);
    },
    20_000,
  );
});

describe("options that are none are refused", () => {
  const options: GossipOptions = {
    nodeId: "a",
    zone: "z",
    bindAddress: "127.0.0.1:0",
    advertisedAddress: undefined,
    clusterName: "test",
    secrets: { primary: new Uint8Array(0), others: [] },
    profile: "fast",
    isKept: () => true,
    seeds: async () => [],
  };
  const make = (changed: Partial<GossipOptions>): Gossip =>
    new Gossip(
      { ...options, ...changed },
      {
        clock: createSystemClock(),
        random: createSystemRandom(),
        log: { info: () => {}, warn: () => {}, error: () => {} },
        datagrams: createUdpDatagrams(),
        calls: { ask: () => Promise.reject(new Error("no links")) },
        generations: { load: async () => 0, save: async () => {} },
        loopDelayMs: () => 0,
        onFatal: () => {},
      },
    );

  test.each<[string, Partial<GossipOptions>]>([
    ["a name that is none", { nodeId: "a b" }],
    ["an address that is none", { advertisedAddress: "nowhere" }],
    ["a zone that is too long", { zone: "z".repeat(64) }],
    ["a timeout that does not fit its interval", { parameters: { probeTimeoutMs: 400 } }],
    ["no secret beyond loopback", { bindAddress: "0.0.0.0:7000" }],
  ])("%s", (_what, changed) => {
    expect(() => make(changed)).toThrow(TypeError);
  });

  test("but these are taken", () => {
    expect(make({}).members()).toEqual([]);
  });

  test("over real UDP on loopback two members find each other and say farewell", async () => {
    const parameters = { gossipIntervalMs: 10, leaveLingerMs: 50 };
    const a = make({ nodeId: "a", parameters });
    const address = await a.start();
    const b = make({ nodeId: "b", parameters, seeds: async () => [address] });
    const isMet = Promise.all(
      [a, b].map(
        (gossip) => new Promise<void>((fulfil) => gossip.onEvent((event) => event.kind === "join" && fulfil())),
      ),
    );
    const isLeft = new Promise<void>((fulfil) => a.onEvent((event) => event.kind === "left" && fulfil()));
    await b.start();
    await isMet;
    expect([a.stateOf("b"), b.stateOf("a")]).toEqual(["alive", "alive"]);
    await Promise.all([b.leave(), isLeft]);
    await Promise.all([a.stop(), b.stop()]);
    expect(a.stateOf("b")).toBe("left");
  });
});
