/** One core that probes, and that probes for others. */

import { describe, expect, test } from "vitest";
import type { Message } from "../../../../gossip/core/messages.ts";
import { addressOf, aliveOf, life, SwimRig, suspect } from "../../../support/swim-rig.ts";

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
    expect(probes).toBeGreaterThan(2);
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
