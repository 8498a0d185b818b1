/** What one core believes of its members and of itself. Tests of memberlist and foca that gossip-ring notes §A.9 names are mirrored here. */

import { describe, expect, test } from "vitest";
import type { Message } from "../../../../gossip/core/messages.ts";
import { addressOf, aliveOf, dead, left, life, SwimRig, suspect } from "../../../support/swim-rig.ts";

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
