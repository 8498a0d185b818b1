/** One core and what it does about its members. Tests of memberlist and foca that gossip-ring notes §A.9 names are mirrored here. */
import { describe, expect, test } from "vitest";
import { messageBytes } from "../../../../gossip/core/message-size.ts";
import type { Message } from "../../../../gossip/core/messages.ts";
import { addressOf, aliveOf, entryOf, life, SwimRig } from "../../../support/swim-rig.ts";

const suspect = (nodeId: string, of = life(1, 1), from = "b"): Message => ({
  kind: "suspect",
  nodeId,
  life: of,
  from,
});
const dead = (nodeId: string, of = life(1, 1), from = "b"): Message => ({ kind: "dead", nodeId, life: of, from });
const left = (nodeId: string, of = life(1, 1)): Message => ({ kind: "left", nodeId, life: of });

describe("what is said of another member", () => {
  test("a newcomer is stored, announced and passed on", () => {
    const rig = new SwimRig().started();
    rig.hear("a", [aliveOf("d", life(3, 1))]);
    expect(rig.events("d")).toEqual(["join"]);
    rig.pass(300);
    expect(rig.sent).toContainEqual(aliveOf("d", life(3, 1)));
  });

  test("the same life again changes nothing", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [aliveOf("a", life(1, 1))]);
    expect(rig.events()).toEqual([]);
  });

  test("a new address with a later life is an update, with the same life it is nothing", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [aliveOf("a", life(1, 1), "10.9.9.9:1")]);
    expect(rig.core.member("a")?.facts.address).toBe(addressOf("a"));
    rig.hear("b", [aliveOf("a", life(2, 1), "10.9.9.9:1")]);
    expect(rig.core.member("a")?.facts.address).toBe("10.9.9.9:1");
    expect(rig.events("a")).toEqual(["update"]);
  });

  test("a suspicion that nobody objects to ends in death, told to all", () => {
    const rig = new SwimRig("a").started();
    rig.hear("a", [aliveOf("x", life(1, 1)), suspect("x", life(1, 1), "a")]);
    rig.pass(24_100, "a");
    expect(rig.events("x")).toEqual(["join", "suspect", "dead"]);
    expect(rig.sentTo("a")).toContainEqual({ kind: "dead", nodeId: "x", life: life(1, 1), from: "me" });
  });

  test("a probe of a former life accuses nobody of a later one", () => {
    const rig = new SwimRig("a").started();
    const pings = (): number => rig.sentTo("a").filter((message) => message.kind === "ping").length;
    while (pings() === 0) rig.pass(10);
    rig.hear("a", [aliveOf("a", life(2, 1))], life(2, 1));
    rig.pass(rig.parameters.probeIntervalMs);
    expect(rig.state("a")).toBe("alive");
    rig.pass(rig.parameters.probeIntervalMs);
    expect(rig.state("a")).toBe("suspect");
  });

  test("accusers shorten a suspicion, the same one twice does not", () => {
    const rig = new SwimRig("abcd").started();
    rig.hear("a", [suspect("d", life(1, 1), "a")]);
    rig.hear("a", [suspect("d", life(1, 1), "a")]);
    rig.pass(3_500, "abc");
    expect(rig.state("d")).toBe("suspect");
    for (const from of ["b", "c", "x"]) rig.hear("b", [suspect("d", life(1, 1), from)]);
    rig.pass(1, "abc");
    expect(rig.state("d")).toBe("dead");
  });

  test("a later life ends a suspicion, an ack of the same life does not", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [suspect("a")]);
    rig.hear("a", [
      {
        kind: "ack",
        seq: 1,
        hashes: { members: 0, records: 0n },
        fitness: rig.core.member("me")?.fitness ?? { health: 0, loopLag: 0, isDiskWritable: true, isDegraded: false },
      },
    ]);
    expect(rig.state("a")).toBe("suspect");
    rig.hear("a", [], life(1, 2));
    expect(rig.state("a")).toBe("alive");
    expect(rig.events("a")).toEqual(["suspect", "recover"]);
  });

  test("a suspect is asked once more, with the accusation, in time to object", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.hear("a", [suspect("a", life(1, 1), "x")]);
    rig.forget();
    rig.pass(2_600);
    expect(rig.state("a")).toBe("suspect");
    const asked = rig
      .of("send")
      .filter(({ messages }) => messages[0]?.kind === "ping" && messages[1]?.kind === "suspect");
    expect(asked).toHaveLength(rig.core.counters.probes + 1);
    rig.pass(400);
    expect(rig.state("a")).toBe("dead");
  });

  test("a suspect that speaks in the suspected life is told of it, at most once a second", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [suspect("a")]);
    rig.forget();
    for (let times = 0; times < 5; times += 1) rig.hear("a", []);
    const told = rig.sentTo("a").filter((message) => message.kind === "suspect" && message.from === "me");
    expect(told).toHaveLength(1);
  });

  test("what is sent to the suspected and the dead does not use up a rumor", () => {
    const rig = new SwimRig("ab", { probeIntervalMs: 1e6 }).started();
    rig.pass(5_000);
    rig.hear("b", [dead("a")]);
    rig.pass(5_000);
    const toLiving = rig.sentTo("b").filter((message) => message.kind === "dead" && message.from === "b");
    expect(toLiving).toHaveLength(8);
    expect(rig.sentTo("a").length).toBeGreaterThan(0);
  });

  test("an old suspicion is answered with the later life that we know", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [aliveOf("a", life(1, 4))]);
    rig.forget();
    rig.hear("b", [suspect("a", life(1, 3))]);
    expect(rig.state("a")).toBe("alive");
    expect(rig.sentTo("b")).toContainEqual(aliveOf("a", life(1, 4)));
  });

  test("a dead member never comes back by an old word, though later deaths were heard meanwhile", () => {
    // al8n/memberlist #197: dead@1, dead@10, and then a late alive@2.
    const rig = new SwimRig().started();
    rig.hear("b", [dead("a", life(1, 1)), dead("a", life(1, 10)), aliveOf("a", life(1, 2))]);
    expect(rig.state("a")).toBe("dead");
    expect(rig.lifeOf("a")).toEqual(life(1, 10));
    rig.hear("b", [aliveOf("a", life(1, 11))]);
    expect(rig.state("a")).toBe("alive");
  });

  test("who is thought dead and speaks in its old life is told so, at most once a second", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [dead("a", life(1, 7))]);
    rig.forget();
    for (let times = 0; times < 5; times += 1) rig.hear("a", [], life(1, 3));
    const accusation = { kind: "dead", nodeId: "a", life: life(1, 7), from: "me" };
    const told = () => rig.sentTo("a").filter((message) => message.kind === "dead" && message.from === "me");
    expect(told()).toEqual([accusation]);
    rig.nowMs += 1_000;
    rig.hear("a", [], life(1, 3));
    expect(told()).toHaveLength(2);
  });

  test("who left comes back only in a later generation", () => {
    const rig = new SwimRig().started();
    rig.hear("a", [left("a", life(1, 2))]);
    rig.hear("b", [aliveOf("a", life(1, 9)), suspect("a", life(1, 9)), dead("a", life(1, 9))]);
    expect(rig.state("a")).toBe("left");
    rig.hear("b", [aliveOf("a", life(2, 1))]);
    expect(rig.state("a")).toBe("alive");
    expect(rig.events("a")).toEqual(["left", "join"]);
  });

  test("a suspicion of the next generation, heard before its ALIVE, does not keep it out", () => {
    const rig = new SwimRig().started();
    rig.hear("a", [left("a", life(1, 2))]);
    rig.hear("b", [suspect("a", life(2, 1))]);
    rig.hear("b", [aliveOf("a", life(2, 2))]);
    expect(rig.state("a")).toBe("alive");
  });

  test("a suspicion of someone not known is not stored and not passed on; its sender is asked", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [suspect("stranger", life(4, 1))]);
    expect(rig.core.member("stranger")).toBeUndefined();
    expect(rig.of("sync-with")).toEqual([{ kind: "sync-with", nodeId: "b", address: addressOf("b"), what: "members" }]);
    rig.pass(1_000, "abc");
    expect(rig.sent.some((message) => message.kind === "suspect")).toBe(false);
  });

  test("the death of someone not known is kept, without an event, and an old ALIVE does not pass it", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [dead("x", life(4, 3))]);
    rig.hear("b", [aliveOf("x", life(4, 3))]);
    expect(rig.state("x")).toBe("dead");
    expect(rig.events("x")).toEqual([]);
    rig.hear("b", [aliveOf("x", life(4, 4))]);
    expect(rig.events("x")).toEqual(["join"]);
  });

  test("a datagram in a later generation waits for that generation's own facts", () => {
    const rig = new SwimRig().started();
    rig.hear("a", [], life(2, 1));
    expect(rig.lifeOf("a")).toEqual(life(1, 1));
    expect(rig.of("sync-with")).toHaveLength(1);
    rig.hear("a", [aliveOf("a", life(2, 1), "10.9.9.9:1")], life(2, 1));
    expect(rig.core.member("a")?.facts.address).toBe("10.9.9.9:1");
  });
});

describe("what is said of this node", () => {
  test.each(["suspect", "dead"] as const)("it refutes a %s, before all other news, and feels less well", (kind) => {
    const rig = new SwimRig().started();
    rig.pass(3_000, "abc");
    rig.forget();
    rig.hear("a", [aliveOf("d", life(1, 1)), { kind, nodeId: "me", life: life(5, 1), from: "a" }]);
    expect(rig.core.life).toEqual(life(5, 2));
    expect(rig.core.health).toBe(1);
    rig.pass(200);
    expect(rig.of("send")[0]?.messages.find((message) => message.kind === "alive")).toMatchObject({
      life: life(5, 2),
      facts: { nodeId: "me" },
    });
  });

  test("an accusation of an earlier life is answered, not refuted", () => {
    const rig = new SwimRig().started();
    rig.hear("a", [suspect("me", life(5, 1))]);
    rig.forget();
    rig.hear("b", [suspect("me", life(5, 1)), dead("me", life(4, 9))]);
    expect(rig.core.life).toEqual(life(5, 2));
    expect(rig.sentTo("b")).toContainEqual(aliveOf("me", life(5, 2), "10.0.0.1:7400"));
  });

  test("an answer to who accuses in the same datagram carries the refutation", () => {
    const rig = new SwimRig().started();
    rig.pass(3_000, "abc");
    rig.forget();
    const ping: Message = { kind: "ping", seq: 3, target: "me", hashes: { members: 0, records: 0n } };
    rig.hear("a", [ping, suspect("me", life(5, 1))]);
    expect(rig.sentTo("a").map((message) => message.kind)).toEqual(expect.arrayContaining(["ack", "alive"]));
  });

  test("a later generation that others remember is passed by, durably, before another word is sent", () => {
    const rig = new SwimRig().started();
    rig.hear("a", [dead("me", life(8, 3))]);
    expect(rig.of("persist-generation").map(({ generation }) => generation)).toEqual([9]);
    rig.forget();
    rig.pass(5_000);
    expect(rig.of("send")).toEqual([]);
    expect(rig.events()).toEqual([]);
    rig.act((core, nowMs) => core.onGenerationDurable(9, nowMs));
    expect(rig.core.life).toEqual(life(9, 1));
    rig.pass(1_000);
    expect(rig.sent).toContainEqual(aliveOf("me", life(9, 1), "10.0.0.1:7400"));
  });

  test("many who remember it make one jump; a second jump within ten minutes is a twin", () => {
    const rig = new SwimRig().started();
    rig.hear("a", [dead("me", life(8, 3))]);
    rig.hear("b", [dead("me", life(8, 3)), suspect("me", life(8, 2))]);
    rig.act((core, nowMs) => core.onGenerationDurable(9, nowMs));
    rig.hear("c", [dead("me", life(8, 3))]);
    expect(rig.of("persist-generation")).toHaveLength(1);
    rig.pass(9 * 60_000, "abc");
    rig.hear("a", [aliveOf("me", life(10, 1))]);
    expect(rig.events()).toContain("duplicate-identity");
    rig.forget();
    rig.pass(10_000);
    expect(rig.outputs).toEqual([]);
  });

  test("two jumps with more than ten minutes between them are two accidents", () => {
    const rig = new SwimRig().started();
    for (const generation of [8, 12]) {
      rig.hear("a", [dead("me", life(generation, 3))]);
      rig.act((core, nowMs) => core.onGenerationDurable(generation + 1, nowMs));
      rig.pass(11 * 60_000, "abc");
    }
    expect(rig.events()).not.toContain("duplicate-identity");
    expect(rig.core.life).toMatchObject({ generation: 13 });
  });

  test.each([
    ["an incarnation that it never had", aliveOf("me", life(5, 4), "10.0.0.1:7400")],
    ["its name at another address", aliveOf("me", life(5, 1), "10.7.7.7:7400")],
    ["its own farewell", left("me", life(5, 1))],
  ])("%s in its generation is from another process: it takes a later one", (_what, rumor) => {
    const rig = new SwimRig().started();
    rig.hear("a", [rumor]);
    expect(rig.of("persist-generation")).toMatchObject([{ generation: 6 }]);
  });

  test("a datagram under its name and generation from another process ends it, its own do not", () => {
    const rig = new SwimRig().started();
    rig.hear("me", [], life(5, 1), 77);
    rig.hear("me", [], life(4, 1), 78);
    expect(rig.events()).toEqual([]);
    rig.hear("me", [], life(5, 1), 78);
    expect(rig.events()).toEqual(["duplicate-identity"]);
  });

  test("of two processes under one name the one that speaks is told of the other", () => {
    const rig = new SwimRig().started();
    rig.hear("a", [], life(1, 1), 1);
    rig.forget();
    rig.hear("a", [], life(1, 1), 2);
    expect(rig.sentTo("a")).toContainEqual(aliveOf("a", life(1, 1)));
  });
});

describe("probes", () => {
  test("silence asks helpers and the link, then suspects; nacks keep the node's health", () => {
    const rig = new SwimRig("abcd", { gossipIntervalMs: 1e9 }).started();
    rig.pass(500);
    const [ping] = rig.sent.filter((message) => message.kind === "ping");
    const target = ping?.kind === "ping" ? ping.target : "";
    rig.pass(200);
    const requests = rig.sent.filter((message) => message.kind === "ping-req");
    expect(requests).toHaveLength(3);
    expect(rig.of("tcp-ping")).toMatchObject([{ nodeId: target }]);
    const seq = requests[0]?.kind === "ping-req" ? requests[0].seq : 0;
    for (const helper of "abcd") if (helper !== target) rig.hear(helper, [{ kind: "nack", seq }]);
    rig.pass(300, "abcd".replace(target, ""));
    expect(rig.state(target)).toBe("suspect");
    expect(rig.core.health).toBe(0);
  });

  test("helpers that do not even nack are counted against this node", () => {
    const rig = new SwimRig("abcd", { gossipIntervalMs: 1e9 }).started();
    rig.pass(1_000);
    expect(rig.core.health).toBeGreaterThanOrEqual(3);
  });

  test("with nobody to help a failed probe costs one", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.pass(1_000);
    expect(rig.core.health).toBe(1);
  });

  test("the next probe waits longer the less well the node feels", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.pass(20_000);
    const probes = rig.core.counters.probes;
    expect(probes).toBeLessThan(10);
  });

  test("an answer through a helper counts, one of a stranger does not", () => {
    const rig = new SwimRig("ab", { gossipIntervalMs: 1e9 }).started();
    rig.pass(500);
    const ping = rig.sent.find((message) => message.kind === "ping");
    const [seq, target] = ping?.kind === "ping" ? [ping.seq, ping.target] : [0, ""];
    const helper = target === "a" ? "b" : "a";
    const ack: Message = {
      kind: "ack",
      seq,
      hashes: { members: 0, records: 7n },
      fitness: { health: 3, loopLag: 0, isDiskWritable: true, isDegraded: false },
    };
    rig.pass(200);
    rig.hear("z", [ack]);
    expect(rig.core.counters.indirectAcks).toBe(0);
    rig.hear(helper, [ack]);
    expect(rig.core.counters.indirectAcks).toBe(1);
    expect(rig.core.member(target)).toMatchObject({ recordsHash: 7n, fitness: { health: 3 } });
    rig.pass(300, "ab");
    expect(rig.state(target)).toBe("alive");
  });

  test("an answer over the link alone counts as well", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.pass(700);
    const [asked] = rig.of("tcp-ping");
    rig.act((core, nowMs) => core.onTcpPing(asked?.seq ?? 0, true, nowMs));
    rig.pass(300);
    expect(rig.state("a")).toBe("alive");
    expect(rig.core.counters.tcpOnlyAcks).toBe(1);
  });

  test("a refused datagram asks helpers at once", () => {
    const rig = new SwimRig("ab", { gossipIntervalMs: 1e9 }).started();
    rig.pass(500);
    const ping = rig.sent.find((message) => message.kind === "ping");
    rig.act((core, nowMs) => core.onSendFailed(ping?.kind === "ping" ? ping.target : "", nowMs));
    expect(rig.sent.some((message) => message.kind === "ping-req")).toBe(true);
  });

  test("among three members the only helper is always found", () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const rig = new SwimRig("ab", { gossipIntervalMs: 1e9 }, `helper ${seed}`).started();
      rig.pass(700);
      expect(rig.sent.filter((message) => message.kind === "ping-req")).toHaveLength(1);
    }
  });

  test("a suspect that is probed hears of it", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.hear("x", [suspect("a")]);
    rig.forget();
    rig.pass(500);
    expect(rig.sentTo("a").map((message) => message.kind)).toEqual(expect.arrayContaining(["ping", "suspect"]));
  });

  test("a verdict waits for what arrived while the loop stood still", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.pass(500);
    const ping = rig.sent.find((message) => message.kind === "ping");
    rig.stall(550);
    const ack: Message = {
      kind: "ack",
      seq: ping?.kind === "ping" ? ping.seq : 0,
      hashes: { members: 0, records: 0n },
      fitness: { health: 0, loopLag: 0, isDiskWritable: true, isDegraded: false },
    };
    rig.hear("a", [ack]);
    rig.decide();
    expect(rig.state("a")).toBe("alive");
    expect(rig.core.counters.failedProbes).toBe(0);
  });

  test("a timer that is late by more than an interval spoils its probe, and costs the node one", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.pass(500);
    rig.stall(2_000);
    rig.decide();
    expect(rig.state("a")).toBe("alive");
    expect(rig.core.counters).toMatchObject({ discardedProbes: 1, failedProbes: 0 });
    expect(rig.core.health).toBe(1);
  });

  test("but a process that is always late judges all the same after ten seconds", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    for (let beat = 0; beat < 20 && rig.state("a") === "alive"; beat += 1) {
      rig.stall(5_000);
      rig.decide();
    }
    expect(rig.state("a")).not.toBe("alive");
    expect(rig.nowMs).toBeGreaterThan(10_000);
    expect(rig.nowMs).toBeLessThan(40_000);
  });

  test("a suspicion that runs out during a pause of this process gets the time back, once", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.hear("x", [suspect("a")]);
    rig.stall(9_000);
    rig.decide();
    expect(rig.state("a")).toBe("suspect");
    rig.hear("a", [], life(1, 2));
    expect(rig.state("a")).toBe("alive");
  });

  test("a slow loop costs one in every beat: probes come half as often", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.act((core) => core.setFitness(180, { isDiskWritable: true, isDegraded: false }));
    rig.pass(500);
    expect(rig.core.member("me")?.fitness).toEqual({ health: 1, loopLag: 7, isDiskWritable: true, isDegraded: false });
  });
});

describe("asking for others", () => {
  const request: Message = { kind: "ping-req", seq: 900, target: "b", targetAddress: addressOf("b"), timeoutMs: 200 };

  test("passes the answer on under the asker's number", () => {
    const rig = new SwimRig("abc", { gossipIntervalMs: 1e9, probeIntervalMs: 1e6 }).started();
    rig.hear("a", [request]);
    const [ping] = rig.sentTo("b").filter((message) => message.kind === "ping");
    const ack: Message = {
      kind: "ack",
      seq: ping?.kind === "ping" ? ping.seq : 0,
      hashes: { members: 1, records: 2n },
      fitness: { health: 4, loopLag: 5, isDiskWritable: false, isDegraded: false },
    };
    rig.hear("b", [ack]);
    expect(rig.sentTo("a").find((message) => message.kind === "ack")).toEqual({ ...ack, seq: 900 });
  });

  test("says that it heard nothing at four fifths of the asker's timeout", () => {
    const rig = new SwimRig("abc", { gossipIntervalMs: 1e9, probeIntervalMs: 1e6 }).started();
    rig.hear("a", [request]);
    rig.pass(159);
    expect(rig.sentTo("a").some((message) => message.kind === "nack")).toBe(false);
    rig.pass(1);
    expect(rig.sentTo("a").find((message) => message.kind === "nack")).toEqual({ kind: "nack", seq: 900 });
  });

  test("only the target answers a ping", () => {
    const rig = new SwimRig().started();
    const hashes = { members: 0, records: 0n };
    rig.hear("a", [{ kind: "ping", seq: 1, target: "other", hashes }]);
    expect(rig.sentTo("a").some((message) => message.kind === "ack")).toBe(false);
    rig.hear("a", [{ kind: "ping", seq: 2, target: "me", hashes }]);
    expect(rig.sentTo("a").some((message) => message.kind === "ack")).toBe(true);
  });

  test("a greeting is answered by whoever is there, with what it is", () => {
    const rig = new SwimRig().started();
    rig.hear("n", [{ kind: "ping", seq: 2, target: "", hashes: { members: 0, records: 0n } }]);
    expect(rig.sentTo("n")).toEqual(expect.arrayContaining([aliveOf("me", life(5, 1), "10.0.0.1:7400")]));
    expect(rig.sentTo("n").some((message) => message.kind === "ack")).toBe(true);
  });
});

describe("tables and hashes", () => {
  test("a peer's dead are suspected first, so that they can object", () => {
    const rig = new SwimRig().started();
    rig.act((core, nowMs) => core.onTable("b", [entryOf("a", "dead", life(1, 1))], nowMs));
    expect(rig.state("a")).toBe("suspect");
    rig.hear("a", [], life(1, 2));
    expect(rig.state("a")).toBe("alive");
  });

  test("a peer's doubts accuse nobody: one accuser stays one", () => {
    const rig = new SwimRig("abcde").started();
    rig.hear("a", [suspect("e", life(1, 1), "a")]);
    rig.forget();
    for (const peer of "abcd")
      rig.act((core, nowMs) =>
        core.onTable(peer, [entryOf("e", "suspect", life(1, 1)), entryOf("d", "suspect", life(1, 1))], nowMs),
      );
    rig.pass(10_000, "abcd");
    expect(rig.state("d")).toBe("alive");
    expect(rig.state("e")).toBe("suspect");
  });

  test("a peer's dead are its own word: this node does not repeat it as an accuser of its own", () => {
    const rig = new SwimRig().started();
    rig.act((core, nowMs) => core.onTable("b", [entryOf("a", "dead", life(1, 1))], nowMs));
    rig.pass(300, "abc");
    const accusers = rig.sentTo("c").flatMap((message) => (message.kind === "suspect" ? [message.from] : []));
    expect(new Set(accusers)).toEqual(new Set(["b"]));
  });

  test("who comes back from the dead by speaking is asked for its table: it may stand for a whole side of a split", () => {
    const rig = new SwimRig().started();
    rig.hear("b", [dead("a", life(1, 1))]);
    rig.forget();
    rig.hear("a", [], life(1, 2));
    expect(rig.of("sync-with")).toMatchObject([{ nodeId: "a", what: "members" }]);
  });

  test("tombstones are taken over with their age, and old ones not at all", () => {
    const rig = new SwimRig().started();
    const hour = 3_600_000;
    rig.act((core, nowMs) =>
      core.onTable(
        "b",
        [entryOf("x", "dead", life(1, 1), 5 * hour), entryOf("y", "left", life(1, 1), 13 * hour)],
        nowMs,
      ),
    );
    expect(rig.state("x")).toBe("dead");
    expect(rig.state("y")).toBeUndefined();
    expect(rig.events()).toEqual([]);
    expect(rig.core.table(rig.nowMs).find(({ facts }) => facts.nodeId === "x")?.ageMs).toBe(5 * hour);
  });

  test("equal tables have equal hashes, whatever way they came about", () => {
    const one = new SwimRig("abc").started();
    const other = new SwimRig("").started();
    other.act((core, nowMs) => core.onTable("c", one.core.table(nowMs), nowMs));
    expect(other.core.membersHash).toBe(one.core.membersHash);
    one.hear("a", [dead("b", life(1, 4))]);
    expect(other.core.membersHash).not.toBe(one.core.membersHash);
    other.hear("a", [dead("b", life(1, 2)), dead("b", life(1, 4))]);
    expect(other.core.membersHash).toBe(one.core.membersHash);
  });

  test("two differing hashes in a row ask for an exchange, one does not", () => {
    const rig = new SwimRig().started();
    rig.pass(5_000, "abc");
    rig.forget();
    const ping = (seq: number): Message => ({ kind: "ping", seq, target: "me", hashes: { members: 1, records: 0n } });
    rig.hear("a", [ping(1)]);
    expect(rig.of("sync-with")).toEqual([]);
    rig.hear("b", [ping(2)]);
    expect(rig.of("sync-with")).toMatchObject([{ nodeId: "b", what: "members" }]);
  });

  test("records differ likewise, and the hash of each member's is kept", () => {
    const rig = new SwimRig().started();
    rig.act((core) => core.setRecordsHash(5n));
    for (const seq of [1, 2])
      rig.hear("a", [{ kind: "ping", seq, target: "me", hashes: { members: rig.core.membersHash, records: 6n } }]);
    expect(rig.of("sync-with")).toMatchObject([{ nodeId: "a", what: "records" }]);
    expect(rig.core.member("a")?.recordsHash).toBe(6n);
  });

  test("a member that asks for an exchange gets one, at most once a second", () => {
    const rig = new SwimRig().started();
    for (let times = 0; times < 3; times += 1) rig.hear("a", [{ kind: "pull", what: "members" }]);
    expect(rig.of("sync-with")).toHaveLength(1);
  });
});

describe("the gone", () => {
  const day = 24 * 3_600_000;
  const quiet = {
    probeIntervalMs: 1e8,
    gossipIntervalMs: 1e7,
    recontactIntervalMs: 1e8,
    seedIntervalMs: 1e8,
    syncIntervalMs: 1e9,
  };

  test("are forgotten after a day, but not while the node belongs", () => {
    const rig = new SwimRig("abc", quiet).started();
    rig.kept.add("b");
    rig.hear("c", [dead("a"), dead("b")]);
    rig.pass(day - 120_000);
    expect(rig.state("a")).toBe("dead");
    rig.pass(240_000);
    expect(rig.state("a")).toBeUndefined();
    expect(rig.state("b")).toBe("dead");
    expect(rig.core.table(rig.nowMs).map(({ facts }) => facts.nodeId)).toEqual(["me", "c"]);
  });

  test("are greeted every fifteen seconds, with what is said of them", () => {
    const rig = new SwimRig("a", { gossipIntervalMs: 1e9 }).started();
    rig.hear("x", [dead("a", life(1, 2))]);
    rig.forget();
    rig.pass(15_000);
    expect(rig.sentTo("a").map((message) => message.kind)).toEqual(expect.arrayContaining(["ping", "dead"]));
  });

  test("and while this node is alone it seeks all the time, more and more slowly", () => {
    const rig = new SwimRig("").started();
    rig.pass(1_000);
    expect(rig.of("re-resolve-seeds")).toHaveLength(1);
    rig.pass(59_000);
    expect(rig.of("re-resolve-seeds").length).toBeGreaterThan(7);
    expect(rig.of("re-resolve-seeds").length).toBeLessThan(13);
  });

  test("are sought through seeds every thirty seconds", () => {
    const rig = new SwimRig("a").started();
    rig.pass(29_999, "a");
    expect(rig.of("re-resolve-seeds")).toHaveLength(0);
    rig.pass(1, "a");
    expect(rig.of("re-resolve-seeds")).toHaveLength(1);
  });
});

describe("farewell", () => {
  test("is told to the others, and done after a second at least", () => {
    const rig = new SwimRig().started();
    rig.pass(3_000, "abc");
    rig.act((core, nowMs) => core.leave(nowMs));
    rig.pass(900);
    expect(rig.of("leave-done")).toEqual([]);
    rig.pass(1_200);
    expect(rig.of("leave-done")).toHaveLength(1);
    expect(rig.sent).toContainEqual(left("me", life(5, 1)));
  });

  test("is never refuted, and pings are answered to the end", () => {
    const rig = new SwimRig().started();
    rig.act((core, nowMs) => core.leave(nowMs));
    rig.hear("a", [
      left("me", life(5, 1)),
      dead("me", life(5, 1)),
      { kind: "ping", seq: 4, target: "me", hashes: { members: 0, records: 0n } },
    ]);
    expect(rig.core.life).toEqual(life(5, 1));
    expect(rig.sentTo("a").some((message) => message.kind === "ack")).toBe(true);
  });

  test("of a node that is alone is done all the same", () => {
    const rig = new SwimRig("").started();
    rig.act((core, nowMs) => core.leave(nowMs));
    rig.pass(1_500);
    expect(rig.of("leave-done")).toHaveLength(1);
  });
});

describe("bounds", () => {
  test("no datagram is larger than it may be, however much there is to tell", () => {
    const rig = new SwimRig("abcdefgh").started();
    rig.hear(
      "a",
      Array.from({ length: 500 }, (_, index) => aliveOf(`member-with-a-long-name-${index}`, life(1, 1))),
    );
    rig.act((core) => {
      for (let index = 0; index < 200; index += 1)
        core.publish({ topic: 1, subject: `${index}`, bytes: new Uint8Array(512), priority: "user" });
    });
    rig.pass(2_000);
    const sizes = rig
      .of("send")
      .map(({ messages }) => messages.reduce((sum, message) => sum + messageBytes(message), 0));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(rig.parameters.datagramBytes);
    expect(Math.max(...sizes)).toBeGreaterThan(1_200);
  });

  test("a member has at most one timer of suspicion, whatever is said of it", () => {
    const rig = new SwimRig("abcdef", { probeIntervalMs: 1e8, gossipIntervalMs: 1e7 }).started();
    const before = rig.timers.size;
    for (let incarnation = 1; incarnation < 20; incarnation += 1) {
      for (const from of "bcde") rig.hear(from, [suspect("a", life(1, incarnation), from)]);
      if (incarnation % 3 === 0) rig.hear("b", [aliveOf("a", life(1, incarnation + 1))]);
      expect(rig.timers.size - before).toBeLessThanOrEqual(1);
    }
  });
});
