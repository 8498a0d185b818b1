/** One core and the tables that it exchanges, those who are gone, its farewell, and its bounds. */

import { describe, expect, test } from "vitest";
import { messageBytes } from "../../../../gossip/core/message-size.ts";
import type { Message } from "../../../../gossip/core/messages.ts";
import { aliveOf, dead, entryOf, left, life, SwimRig, suspect } from "../../../support/swim-rig.ts";

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
