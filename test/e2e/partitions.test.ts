/**
 * Named scenarios of splits and bad links with real processes, each node in a network of its own (net-lab.ts). Numbers and names:
 * research notes on reliability, §6.4; their simulated forms: test/sim/scenarios/splits.test.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { seededDraws } from "../support/seeded.ts";
import { PATIENCE_MS, pause, RealCluster, until } from "./cluster.ts";
import { look, nameOf } from "./elastic-story.ts";
import { type Answer, ask, putJson, tryAsk } from "./http.ts";
import { ownersDigests } from "./last-writes.ts";
import { lose, moveSplits } from "./link-weather.ts";
import { NetLab, whyNoLab } from "./net-lab.ts";
import { answered } from "./patient-ask.ts";
import { type Addition, SetClients } from "./set-clients.ts";
import { SplitLoad } from "./split-load.ts";

const NODES = 5;
const SEED = Number(process.env["PARTITIONS_SEED"] ?? Date.now() % 1_000_000);
/** A loaded machine may take this long for anything. */
/** Beyond loopback a node wants a secret, and to be told that clients need none. */
const ENV = {
  GYRE_PARTITIONS: "64",
  GYRE_SECRET: "the secret of this cluster, in a test",
  GYRE_INSECURE: "true",
  GYRE_REHEARSAL: "off",
};

/** A change of a member's state: whose, to what, and both with the life that it was said of. */
interface Change {
  readonly node: string;
  readonly kind: string;
  readonly text: string;
}

const why = whyNoLab();

describe.each(why === undefined ? [SEED] : [])("five nodes, each on a host of its own (seed %i)", () => {
  const ends = new AsyncDisposableStack();
  let lab: NetLab;
  let cluster: RealCluster;
  beforeAll(async () => {
    lab = ends.adopt(new NetLab(NODES), (made) => made.end());
    cluster = ends.use(await RealCluster.startAt(lab, NODES, ENV));
  });
  afterAll(async () => {
    await ends.disposeAsync();
  });

  // one that fails leaves no cut to the next
  afterEach(() => lab.heal());

  const draws = seededDraws(SEED);
  const after = (ms: number): (() => boolean) => {
    const endsAt = performance.now() + ms;
    return () => performance.now() >= endsAt;
  };

  /** After `ms`, and later on a machine that has other things to do. */
  const isOverAfter = (ms: number, isEnough: () => boolean): (() => boolean) => {
    const [isLongEnough, isTooLong] = [after(ms), after(PATIENCE_MS)];
    return () => isTooLong() || (isLongEnough() && isEnough());
  };

  async function untilCalm(): Promise<number> {
    const isCalm = async (): Promise<boolean> => {
      const looks = await Promise.all(lab.hosts.map((node) => look(cluster, node)));
      return looks.every((one) => one?.verdict === "healthy");
    };
    return until("everyone sees everyone, and nothing is amiss", isCalm);
  }

  /** What stand-ins keep is delivered, replicas are compared, and then nothing is left to repair. Answers how many keys anti-entropy found. */
  async function untilRepaired(): Promise<number> {
    const order = (what: string): Promise<Answer> =>
      ask(`${cluster.url(0)}/v1/repair?${what}&timeout=30000`, { method: "POST", body: "{}" });
    const hints = await order("wait=hints");
    expect([hints.status, hints.body["unreachable"]], hints.text).toEqual([200, []]);
    const first = await order("all=true");
    expect([first.status, first.body["unreachable"]], first.text).toEqual([200, []]);
    const second = await order("all=true");
    expect([second.status, second.body["unreachable"], second.body["repairedKeys"]], second.text).toEqual([200, [], 0]);
    return Number(first.body["repairedKeys"]);
  }

  test("what a host sends over a cut direction is lost without a word to it, and the other direction goes on", async () => {
    const cuts = [
      [],
      [[0, 1]],
      [
        [0, 1],
        [1, 0],
      ],
      [],
    ] as const;
    const arrived: boolean[][] = [];
    for (const cut of cuts) {
      lab.heal();
      for (const [from, to] of cut) lab.cut(from, to);
      arrived.push(await Promise.all([hears(lab, 0, 1), hears(lab, 1, 0)]));
    }
    expect(arrived).toEqual([
      [true, true],
      [false, true],
      [false, false],
      [true, true],
    ]);
  });

  test("scenario 4: six clients add to sets on both sides of a split: no addition is lost, and owners end alike", async () => {
    await untilCalm();
    const [left, right] = [
      [0, 1],
      [2, 3, 4],
    ];
    let isSplit = false;
    await using clients = new SetClients(cluster, {
      bucket: "sets",
      clientCount: 6,
      keyCount: 8,
      draws,
      thinkMs: 80,
      nodesOf: (client) => (isSplit ? (client % 2 === 0 ? left : right) : lab.hosts),
    });
    await pause(1_500);
    lab.split(left, right);
    isSplit = true;
    const splitAt = performance.now();
    const sidesOf = (): readonly (readonly Addition[])[] => {
      const meanwhile = clients.additions.filter((one) => one.answeredAt > splitAt && one.outcome === "applied");
      return [0, 1].map((side) => meanwhile.filter(({ client }) => client % 2 === side));
    };
    const keysOnBoth = (): readonly string[] => {
      const [keysLeft, keysRight] = sidesOf().map((side) => new Set(side.map(({ key }) => key)));
      return clients.keys.filter((key) => keysLeft?.has(key) && keysRight?.has(key));
    };
    const isEnough = (): boolean =>
      keysOnBoth().length === clients.keys.length && sidesOf().every((side) => side.length > 30);
    const isOver = isOverAfter(15_000, isEnough);
    while (!isOver()) await pause(100);
    const bySide = sidesOf();
    const onBoth = keysOnBoth();
    lab.heal();
    isSplit = false;
    const calmMs = await untilCalm();
    await clients.stop();
    const repaired = await untilRepaired();
    const faults: string[] = [];
    for (const key of clients.keys) {
      for (const node of lab.hosts) {
        const answer = await answered(`${cluster.url(node)}/v1/kv/sets/${key}?r=all&sloppy=false&explain=true`);
        faults.push(...clients.faultsOf(key, answer));
        const digests = ownersDigests(answer);
        if (digests.length !== 3 || new Set(digests).size !== 1) faults.push(`owners differ: ${answer.text}`);
      }
    }
    const count = (outcome: string): number => clients.additions.filter((one) => one.outcome === outcome).length;
    tell("scenario 4", {
      applied: count("applied"),
      notApplied: count("not_applied"),
      unknown: count("unknown"),
      appliedLeft: bySide[0]?.length ?? 0,
      appliedRight: bySide[1]?.length ?? 0,
      keysOnBoth: onBoth.length,
      calmMs,
      repaired,
    });
    expect(faults).toEqual([]);
    expect(onBoth).toEqual(clients.keys);
    expect(Math.min(...bySide.map((side) => side.length))).toBeGreaterThan(30);
  });

  test("scenario 13: on links that are cut for two fifths of the time, whatever was not applied leaves no trace on any node", async () => {
    await untilCalm();
    await using load = new SplitLoad(cluster, {
      ...{ bucket: "lossy", sessionCount: 24, keyCount: 60, draws, thinkMs: 15, isStrict: false, blindPercent: 40 },
      knobs: ["timeout=150", "timeout=150&sloppy=false"],
    });
    const isEnough = (): boolean => {
      const { applied, notApplied, unknown } = load.counts;
      return applied + notApplied + unknown > 200 && Math.min(applied, notApplied, unknown) > 5;
    };
    const share = await lose(lab, 40, { draws, isOver: isOverAfter(12_000, isEnough) });
    await load.stop();
    const calmMs = await untilCalm();
    const repaired = await untilRepaired();
    await load.judge();
    const { applied, notApplied, unknown } = load.counts;
    const unknownPercent = (100 * unknown) / (applied + notApplied + unknown);
    tell("scenario 13", { ...load.counts, cutPercent: share * 100, unknownPercent, calmMs, repaired });
    expect(load.oracle.violations).toEqual([]);
    expect(share).toBeGreaterThan(0.3);
    expect(isEnough()).toBe(true);
  });

  test("scenario 19: what one node says is not heard by another: hardly any flapping, writes go on with stand-ins, and it heals", async () => {
    await untilCalm();
    const shared = await keysOf(0, 1);
    await using load = new SplitLoad(cluster, {
      ...{ bucket: "oneway", sessionCount: 4, keyCount: 20, draws, thinkMs: 40, isStrict: false, blindPercent: 5 },
      knobs: ["sloppy=true"],
    });
    const before = new Set(changes().map(({ text }) => text));
    // all have told at least of each other's coming
    expect(before.size).toBeGreaterThanOrEqual(NODES);
    lab.cut(0, 1);
    await pause(2_000);
    const stoodIn: number[] = [];
    const isOver = after(15_000);
    while (!isOver()) {
      for (const node of [0, 1]) {
        for (const key of shared) stoodIn.push(fallbacksOf(await putJson(at(node, key, "w=all&timeout=5000"), "cut")));
      }
      await pause(500);
    }
    const told = changes().filter(({ text }) => !before.has(text));
    lab.heal();
    const calmMs = await untilCalm();
    await load.stop();
    const healedMs = await until("each reaches the other", async () => {
      const answers = [0, 1].flatMap((node) => shared.map((key) => tryAsk(at(node, key, "w=all&sloppy=false"), PUT)));
      return (await Promise.all(answers)).every((answer) => answer?.status === 200);
    });
    const repaired = await untilRepaired();
    await load.judge();
    const deaths = told.filter(({ kind }) => kind === "dead").length;
    // others may be doubted for other reasons, on a machine that has other things to do
    const doubts = told.filter(
      ({ node, kind }) => ["suspect", "dead"].includes(kind) && [0, 1].map(nameOf).includes(node),
    ).length;
    const { applied, notApplied, unknown } = load.counts;
    tell("scenario 19", {
      ...load.counts,
      changes: told.length,
      doubts,
      deaths,
      stoodIn: stoodIn.length,
      calmMs,
      healedMs,
      repaired,
    });
    if (told.length > 0) process.stdout.write(`${told.map(({ text }) => text).join("; ")}\n`);
    expect(load.oracle.violations).toEqual([]);
    // at most one a minute
    expect(Math.max(deaths, doubts)).toBeLessThanOrEqual(1);
    expect(stoodIn.length).toBeGreaterThan(10);
    expect(stoodIn.filter((count) => count < 1)).toEqual([]);
    expect(applied).toBeGreaterThan(40);
    expect(notApplied + unknown).toBeLessThan(applied / 20);
  });

  test("scenario 20: a session that reads and writes by quorums of owners never sees less than it wrote, wherever the split moves and whoever is killed", async () => {
    await untilCalm();
    const plan = {
      bucket: "strict",
      sessionCount: 6,
      keyCount: 6,
      draws,
      thinkMs: 20,
      isStrict: true,
      blindPercent: 5,
    };
    await using load = new SplitLoad(cluster, { ...plan, knobs: ["r=2&w=2&pr=2&pw=2&timeout=1000"] });
    const victim = draws.below(NODES);
    const crash = async (): Promise<void> => {
      await pause(3_000);
      await cluster.kill(victim);
      await pause(2_000);
      cluster.spawn(victim);
    };
    const isEnough = (): boolean => {
      const { applied, found, ownReads, failedReads, notApplied, unknown } = load.counts;
      // unavailable rather than wrong: the splits must be felt
      return Math.min(applied, found, ownReads) > 25 && Math.min(failedReads, notApplied + unknown) > 5;
    };
    const isOver = isOverAfter(11_000, isEnough);
    const [scenes] = await Promise.all([moveSplits(lab, { draws, isOver }), crash()]);
    await load.stop();
    await cluster.untilReady();
    const calmMs = await untilCalm();
    const repaired = await untilRepaired();
    await load.judge();
    tell("scenario 20", { ...load.counts, scenes, calmMs, repaired });
    expect(load.oracle.violations).toEqual([]);
    expect(isEnough()).toBe(true);
  });

  const PUT = { method: "PUT", body: '"healed"' } as const;

  function at(node: number, key: string, query: string): string {
    return `${cluster.url(node)}/v1/kv/oneway-pair/${key}?${query}`;
  }

  /** A few keys that both nodes own. */
  async function keysOf(one: number, other: number): Promise<readonly string[]> {
    const keys: string[] = [];
    for (let i = 0; keys.length < 3; i += 1) {
      const { body } = await ask(`${cluster.url(0)}/v1/ring/oneway-pair/p${i}`);
      const owners = JSON.stringify(body["owners"]);
      if ([one, other].every((node) => owners.includes(`"${nameOf(node)}"`))) keys.push(`p${i}`);
    }
    return keys;
  }

  /** What all nodes have logged of each other's state, each change once. */
  function changes(): readonly Change[] {
    const seen = new Map<string, Change>();
    for (const host of lab.hosts) {
      for (const { event, node, generation, incarnation } of cluster.logged(host)) {
        if (typeof event !== "string" || !event.startsWith("gossip.member-") || node === nameOf(host)) continue;
        const kind = event.slice("gossip.member-".length);
        const text = `${String(node)} ${kind} ${String(generation)}.${String(incarnation)}`;
        seen.set(text, { node: String(node), kind, text });
      }
    }
    return [...seen.values()];
  }
});

test.each(why === undefined ? [] : [why])(
  "scenarios 4, 13, 19 and 20 with real networks cannot run on this machine: %s",
  (reason) => {
    process.stdout.write(`no network of its own for each node: ${reason}\n`);
    expect(reason).toMatch(/\S/);
    expect(() => new NetLab(1)).toThrow(reason);
  },
);

const DATAGRAM_PORT = "5999";
const LISTEN = `
  const socket = require("node:dgram").createSocket("udp4", () => process.exit(0));
  socket.bind(process.argv[2], process.argv[1], () => console.log("listening"));`;
const SEND = `
  const socket = require("node:dgram").createSocket("udp4");
  socket.send("heard?", process.argv[2], process.argv[1], (error) => { if (error) throw error; socket.close(); });`;

/** Whether a datagram of one host reaches another, which it does at once or never. Throws when its sender is told that it does not. */
async function hears(lab: NetLab, from: number, to: number): Promise<boolean> {
  const run = (node: number, program: string): ChildProcess => {
    const words = lab.commandAt(node, [process.execPath, "-e", program, lab.hostOf(to), DATAGRAM_PORT]);
    return spawn(words[0] ?? "", words.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  };
  const listener = run(to, LISTEN);
  const heard = once(listener, "exit");
  if (listener.stdout !== null) await once(listener.stdout, "data");
  const sent = await once(run(from, SEND), "exit");
  await Promise.race([heard, pause(1_000)]);
  listener.kill();
  expect(sent[0]).toBe(0);
  return (await heard)[0] === 0;
}

/** Stand-ins among those who took a write; none when it failed. */
function fallbacksOf(answer: Answer): number {
  const acks = answer.body["acks"] as { readonly fallbacks?: number } | undefined;
  return answer.status === 200 ? (acks?.fallbacks ?? 0) : 0;
}

function tell(what: string, measured: Readonly<Record<string, number>>): void {
  const words = Object.entries(measured).map(([name, value]) => `${name} ${value.toFixed(0)}`);
  process.stdout.write(`${what} (seed ${SEED}): ${words.join(", ")}\n`);
}
