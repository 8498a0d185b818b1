import { describe, expect, test } from "vitest";
import { Envelope } from "../../../gossip/core/envelope.ts";
import type { GossipEvent, Member, OwnFitness } from "../../../gossip/core/messages.ts";
import { PROFILES } from "../../../gossip/core/parameters.ts";
import type { Output, Swim } from "../../../gossip/core/swim-api.ts";
import { type DriverListener, SwimDriver } from "../../../gossip/driver.ts";
import type { GossipPorts } from "../../../gossip/options.ts";
import { Wire } from "../../../gossip/wire.ts";

/** A core that writes down what it is told, and says what a test gives it to say. */
class ScriptedCore implements Swim {
  readonly told: string[] = [];
  readonly script: Output[] = [];
  /** what it says when told this */
  readonly replies = new Map<string, readonly Output[]>();
  readonly life = { generation: 1, incarnation: 1 };
  readonly membersHash = 0;
  readonly health = 0;
  readonly counters = {
    probes: 0,
    failedProbes: 0,
    discardedProbes: 0,
    indirectAcks: 0,
    tcpOnlyAcks: 0,
    refutations: 0,
    syncs: 0,
    droppedRumors: 0,
  };

  start = (): void => this.#hear("start");
  onMessages = (): void => this.#hear("messages");
  onTimer = (id: number): void => this.#hear(`timer ${id}`);
  onDecision = (id: number): void => this.#hear(`decision ${id}`);
  onTcpPing = (seq: number, ok: boolean): void => this.#hear(`tcp ${seq} ${ok}`);
  onTable = (peer: string): void => this.#hear(`table ${peer}`);
  onGenerationDurable = (generation: number): void => this.#hear(`durable ${generation}`);
  onSendFailed = (nodeId: string): void => this.#hear(`failed ${nodeId}`);
  join = (address: string): void => this.#hear(`join ${address}`);
  leave = (): void => this.#hear("leave");
  setRecordsHash = (hash: bigint): void => this.#hear(`records ${hash}`);
  setFitness = (delayMs: number, own: OwnFitness): void =>
    this.#hear(`fitness ${delayMs} ${own.isDiskWritable} ${own.isDegraded}`);
  publish = (): void => this.#hear("publish");
  drain = (): readonly Output[] => this.script.splice(0);
  members = (): readonly Member[] => [];
  member = (): undefined => undefined;
  table = (): readonly never[] => [];

  #hear(what: string): void {
    this.told.push(what);
    this.script.push(...(this.replies.get(what) ?? []));
  }
}

const SEND: Output = { kind: "send", to: "b:1", nodeId: "b", messages: [{ kind: "nack", seq: 1 }] };
const EVENT: GossipEvent = { kind: "duplicate-identity", detail: "twice" };
/** Lets promises that are ready go on. */
const settle = (): Promise<void> => new Promise((fulfil) => setImmediate(fulfil));

interface Ways {
  readonly sendError?: string;
  readonly ask?: GossipPorts["calls"]["ask"];
  readonly save?: () => Promise<void>;
  readonly seeds?: () => Promise<readonly string[]>;
  readonly onEvent?: DriverListener["onEvent"];
}

/** A driver whose timers and deferrals run when the test says so. */
function driven(ways: Ways = {}) {
  const core = new ScriptedCore();
  const timers = new Map<() => void, number>();
  const deferred: (() => void)[] = [];
  const done: string[] = [];
  const logged: string[] = [];
  const log = (facts: { readonly event: string }): void => void logged.push(facts.event);
  const ports: GossipPorts = {
    clock: {
      monotonicMs: () => 5,
      setTimer: (delayMs, run) => {
        timers.set(run, delayMs);
        return { cancel: () => void timers.delete(run) };
      },
      defer: (run) => void deferred.push(run),
    },
    random: { u32: () => 1, float: () => 0.5 },
    log: { info: log, warn: log, error: log },
    datagrams: { open: () => Promise.reject(new Error("not used")) },
    calls: { ask: ways.ask ?? (() => Promise.reject(new Error("no link"))) },
    generations: { load: async () => 1, save: ways.save ?? (async () => {}) },
    loopDelayMs: () => 7,
    onFatal: (error) => void done.push(`fatal: ${error.message}`),
  };
  const socket = {
    address: "a:1",
    sendErrorCount: 0,
    send: (_bytes: Uint8Array, to: string, onRefused?: (code: string) => void): void => {
      done.push(`sent ${to}`);
      if (ways.sendError !== undefined) onRefused?.(ways.sendError);
    },
    listen: () => {},
    close: async () => void done.push("closed"),
  };
  const secrets = { primary: new Uint8Array(0), others: [] };
  const wire = new Wire(new Envelope({ clusterName: "test", nodeId: "a", boot: 1, secrets }), socket);
  const listener: DriverListener = {
    onEvent: ways.onEvent ?? ((event) => void done.push(`event ${event.kind}`)),
    onUserMessage: ({ from, topic }) => void done.push(`user ${from} ${topic}`),
    onRecordsDiffer: (nodeId) => void done.push(`records of ${nodeId}`),
    onLeaveDone: () => void done.push("left"),
    seeds: ways.seeds ?? (async () => []),
    ownFitness: () => ({ isDiskWritable: false, isDegraded: true }),
  };
  const driver = new SwimDriver({ core, wire, parameters: PROFILES.fast, ports, listener });
  const say = (...outputs: readonly Output[]): void => driver.act(() => core.script.push(...outputs));
  const runTimer = (delayMs: number): void => {
    const found = [...timers].find(([, delay]) => delay === delayMs);
    if (found === undefined) throw new Error(`no timer of ${delayMs} ms`);
    timers.delete(found[0]);
    found[0]();
  };
  return { core, driver, say, timers, deferred, done, logged, runTimer };
}

describe("the driver of the core", () => {
  test("does what the core says, in its order", () => {
    const { say, done } = driven();
    say(
      SEND,
      { kind: "event", event: EVENT },
      { kind: "user", from: "b", topic: 3, bytes: new Uint8Array(1) },
      { kind: "sync-with", nodeId: "c", address: "c:1", what: "records" },
      { kind: "leave-done" },
      { ...SEND, to: "c:1" },
    );
    expect(done).toEqual(["sent b:1", "event duplicate-identity", "user b 3", "records of c", "left", "sent c:1"]);
  });

  test("lets a verdict wait for one turn of the loop, so that what has arrived meanwhile comes first", () => {
    const { core, driver, say, deferred, runTimer } = driven();
    core.replies.set("timer 4", [{ kind: "decide-soon", id: 9 }]);
    say({ kind: "timer", id: 4, delayMs: 200 });
    runTimer(200);
    driver.act((swim) => swim.onMessages({ nodeId: "b", life: core.life, address: "b:1", boot: 1 }, [], 5));
    for (const run of deferred) run();
    expect(core.told).toEqual(["timer 4", "messages", "decision 9"]);
  });

  test("calls off timers", () => {
    const { core, say, timers } = driven();
    say({ kind: "timer", id: 1, delayMs: 10 }, { kind: "timer", id: 2, delayMs: 20 });
    say({ kind: "cancel-timer", id: 1 }, { kind: "cancel-timer", id: 77 });
    expect([...timers.values()]).toEqual([20]);
    for (const run of timers.keys()) run();
    expect(core.told).toEqual(["timer 2"]);
  });

  test("does what follows from within after what was said before", () => {
    const order: string[] = [];
    const here = driven({
      onEvent: () => {
        order.push("event begins");
        here.driver.act((core) => core.publish({ topic: 1, subject: "s", bytes: new Uint8Array(0), priority: "user" }));
        order.push("event ends");
      },
    });
    here.core.replies.set("publish", [{ ...SEND, to: "late:1" }]);
    here.say({ kind: "event", event: EVENT }, SEND);
    expect(order).toEqual(["event begins", "event ends"]);
    expect(here.done).toEqual(["sent b:1", "sent late:1"]);
  });

  test("goes on after a listener that throws", () => {
    const here = driven({
      onEvent: () => {
        throw new Error("a listener's bug");
      },
    });
    expect(() => here.say({ kind: "event", event: EVENT })).toThrow(/bug/);
    here.say(SEND);
    expect(here.done).toEqual(["sent b:1"]);
  });

  test.each([
    ["EHOSTUNREACH", ["failed b"]],
    ["EINVAL", ["failed b"]],
    ["ENOBUFS", []],
  ])("tells the core of a send that the system refused with %s only when that says something", (code, told) => {
    const { core, say } = driven({ sendError: code });
    say(SEND, { ...SEND, nodeId: undefined });
    expect(core.told).toEqual(told);
  });

  test.each<[string, GossipPorts["calls"]["ask"], string]>([
    ["the member itself", async () => "b", "tcp 3 true"],
    ["another at its address", async () => "c", "tcp 3 false"],
    ["nobody", () => Promise.reject(new Error("timeout")), "tcp 3 false"],
  ])("asks over a link, and %s answers", async (_who, ask, told) => {
    const { core, say } = driven({ ask });
    say({ kind: "tcp-ping", seq: 3, nodeId: "b", address: "b:1" });
    await settle();
    expect(core.told).toEqual([told]);
  });

  test("makes a generation durable before the core may use it", async () => {
    let finish = (): void => {};
    const { core, say } = driven({
      save: () =>
        new Promise((fulfil) => {
          finish = fulfil;
        }),
    });
    say({ kind: "persist-generation", generation: 8, why: "rolled back or wiped disk" });
    await settle();
    expect(core.told).toEqual([]);
    finish();
    await settle();
    expect(core.told).toEqual(["durable 8"]);
  });

  test("stops, and says so, when a generation cannot be made durable", async () => {
    const { core, say, done } = driven({ save: () => Promise.reject(new Error("EIO")) });
    say({ kind: "persist-generation", generation: 8, why: "rolled back or wiped disk" });
    await settle();
    say(SEND);
    expect([core.told, done]).toEqual([[], ["closed", "fatal: the generation could not be made durable"]]);
  });

  test("joins the seeds as they resolve, one resolution at a time, and copes when none do", async () => {
    const waiting: ((addresses: readonly string[]) => void)[] = [];
    const here = driven({ seeds: () => new Promise((fulfil) => waiting.push(fulfil)) });
    here.say({ kind: "re-resolve-seeds" }, { kind: "re-resolve-seeds" });
    expect(waiting).toHaveLength(1);
    waiting[0]?.(["b:1", "c:1"]);
    await settle();
    expect(here.core.told).toEqual(["join b:1", "join c:1"]);
    here.say({ kind: "re-resolve-seeds" });
    expect(waiting).toHaveLength(2);

    const failing = driven({ seeds: () => Promise.reject(new Error("ENOTFOUND")) });
    failing.say({ kind: "re-resolve-seeds" });
    await settle();
    expect([failing.core.told, failing.logged]).toEqual([[], ["gossip.seeds-unresolved"]]);
  });

  test("tells the core how the node feels, again and again", () => {
    const { core, driver, runTimer } = driven();
    driver.start();
    runTimer(500);
    runTimer(500);
    expect(core.told).toEqual(["start", "fitness 7 false true", "fitness 7 false true", "fitness 7 false true"]);
  });

  test("does nothing after a stop", async () => {
    const { core, driver, say, timers, deferred, done } = driven({ seeds: async () => ["b:1"] });
    driver.start();
    say({ kind: "timer", id: 1, delayMs: 10 }, { kind: "decide-soon", id: 2 });
    const toldCount = core.told.length;
    await driver.stop();
    for (const run of deferred) run();
    say(SEND);
    await settle();
    expect([timers.size, core.told.length - toldCount, done]).toEqual([0, 0, ["closed"]]);
  });
});
