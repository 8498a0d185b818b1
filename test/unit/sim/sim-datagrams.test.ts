import { describe, expect, test } from "vitest";
import type { DatagramSocket } from "../../../gossip/index.ts";
import { Scheduler, type SimProcess } from "../../sim/scheduler.ts";
import { SimDatagrams } from "../../sim/sim-datagrams.ts";
import { SimNetwork } from "../../sim/sim-network.ts";
import { SimRandom } from "../../sim/sim-random.ts";

interface World {
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly datagrams: SimDatagrams;
  readonly a: DatagramSocket;
  readonly b: DatagramSocket;
  readonly processOfB: SimProcess;
  /** what b has read, as numbers */
  readonly heard: number[];
  /** a says numbers to b, one a millisecond */
  say(from: number, count: number): void;
  pass(ms: number): Promise<void>;
}

async function world(seed = "datagrams"): Promise<World> {
  const scheduler = new Scheduler(seed);
  const random = new SimRandom(seed);
  const network = new SimNetwork(scheduler, random);
  const datagrams = new SimDatagrams(scheduler, random, network);
  const processOfB = scheduler.newProcess("b");
  const a = await datagrams.windowOf("a", scheduler.newProcess("a")).open("a:1");
  const b = await datagrams.windowOf("b", processOfB).open("b:1");
  const heard: number[] = [];
  b.listen((bytes) => heard.push(Number(Buffer.from(bytes).toString())));
  const say = (from: number, count: number): void => {
    for (let index = 0; index < count; index += 1)
      scheduler.after(index, () => a.send(Buffer.from(String(from + index)), "b:1"));
  };
  const pass = async (ms: number): Promise<void> => {
    await scheduler.run({ untilMs: scheduler.nowMs + ms });
  };
  return { scheduler, network, datagrams, a, b, processOfB, heard, say, pass };
}

describe("simulated datagrams", () => {
  test("of a split are lost, those under way too, and pass again when it is healed", async () => {
    const { network, heard, say, pass } = await world();
    network.setAllFaults({ baseDelayMs: 20 });
    say(0, 10);
    await pass(15);
    network.partition("a", "b");
    say(100, 10);
    await pass(100);
    expect(heard).toEqual([]);
    network.heal();
    say(200, 3);
    await pass(100);
    expect(heard).toEqual([200, 201, 202]);
  });

  test("pass one way when only the other is cut", async () => {
    const { network, a, b, heard, say, pass } = await world();
    let isAnswered = false;
    a.listen(() => {
      isAnswered = true;
    });
    network.block("b", "a");
    say(0, 1);
    b.send(Buffer.from("9"), "a:1");
    await pass(100);
    expect([heard, isAnswered]).toEqual([[0], false]);
  });

  test("wait in a clog, and come when it is over", async () => {
    const { network, heard, say, pass } = await world();
    network.clog("a", "b", 500);
    say(0, 3);
    await pass(400);
    expect(heard).toEqual([]);
    await pass(200);
    expect(heard.toSorted()).toEqual([0, 1, 2]);
  });

  test("are lost as often as the path loses, or as was asked for datagrams alone", async () => {
    for (const lose of [
      (one: World) => one.network.setFaults("a", "b", { lossProbability: 0.3 }),
      (one: World) => one.datagrams.setFaults("a", "b", { lossProbability: 0.3 }),
    ]) {
      const here = await world();
      lose(here);
      here.say(0, 2_000);
      await here.pass(3_000);
      expect(here.heard.length).toBeGreaterThan(1_300);
      expect(here.heard.length).toBeLessThan(1_500);
    }
  });

  test("come twice, or late and overtaken, when asked for", async () => {
    const { datagrams, heard, say, pass } = await world();
    datagrams.setAllFaults({ duplicateProbability: 0.2, lateProbability: 0.2, lateMs: 30 });
    say(0, 1_000);
    await pass(3_000);
    expect(new Set(heard).size).toBe(1_000);
    expect(heard.length).toBeGreaterThan(1_100);
    const overtakenCount = heard.filter((value, index) => value < (heard[index - 1] ?? 0)).length;
    expect(overtakenCount).toBeGreaterThan(100);
  });

  test("for a paused process wait in its kernel, up to a bound, and are read when it goes on", async () => {
    const { processOfB, heard, say, pass } = await world();
    processOfB.pause();
    say(0, 400);
    await pass(1_000);
    expect(heard).toEqual([]);
    processOfB.resume();
    await pass(1);
    expect(heard.length).toBe(256);
  });

  test("for a dead process are lost, and its address is free", async () => {
    const { scheduler, network, datagrams, processOfB, heard, say, pass } = await world();
    network.crash(processOfB);
    say(0, 3);
    await pass(100);
    const again = await datagrams.windowOf("b", scheduler.newProcess("b")).open("b:1");
    say(10, 1);
    let isHeard = false;
    again.listen(() => {
      isHeard = true;
    });
    await pass(100);
    expect([heard, isHeard]).toEqual([[], true]);
  });

  test("make the same life from the same seed", async () => {
    const live = async (): Promise<readonly [number[], number]> => {
      const { scheduler, datagrams, network, heard, say, pass } = await world("again");
      network.setAllFaults({ lossProbability: 0.1 });
      datagrams.setAllFaults({ duplicateProbability: 0.1, lateProbability: 0.1 });
      say(0, 300);
      await pass(1_000);
      return [heard, scheduler.traceHash];
    };
    expect(await live()).toEqual(await live());
  });
});
