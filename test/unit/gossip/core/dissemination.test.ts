import { describe, expect, test } from "vitest";
import { Dissemination } from "../../../../gossip/core/dissemination.ts";
import { MemberEntry } from "../../../../gossip/core/member-table.ts";
import type { Message } from "../../../../gossip/core/messages.ts";
import { ProbeOrder } from "../../../../gossip/core/probe-order.ts";
import { SimRandom } from "../../../sim/sim-random.ts";
import { aliveOf, life } from "../../../support/swim-rig.ts";

const user = (index: number, size = 10): Message => ({ kind: "user", topic: index & 255, bytes: new Uint8Array(size) });
const COUNTED = { limit: 3, isCounted: true };

function filled(queue: Dissemination, roomBytes = 1_000, by = COUNTED): Message[] {
  const into: Message[] = [];
  queue.addTo(into, roomBytes, by);
  return into;
}

describe("the queue of news", () => {
  test("tells each so often, and then drops it", () => {
    const queue = new Dissemination(10);
    queue.put(aliveOf("a", life(1, 1)), { newsClass: 0, subject: "a" });
    expect([1, 2, 3, 4].map(() => filled(queue).length)).toEqual([1, 1, 1, 0]);
    expect(queue.size).toBe(0);
  });

  test("does not count what goes to those who may not hear it", () => {
    const queue = new Dissemination(10);
    queue.put(aliveOf("a", life(1, 1)), { newsClass: 0, subject: "a" });
    for (let times = 0; times < 20; times += 1)
      expect(filled(queue, 1_000, { limit: 3, isCounted: false })).toHaveLength(1);
    expect(filled(queue)).toHaveLength(1);
  });

  test("replaces older news of the same subject, and begins to count anew", () => {
    const queue = new Dissemination(10);
    queue.put(aliveOf("a", life(1, 1)), { newsClass: 0, subject: "a" });
    filled(queue);
    filled(queue);
    queue.put({ kind: "dead", nodeId: "a", life: life(1, 1), from: "b" }, { newsClass: 0, subject: "a" });
    expect([1, 2, 3, 4].flatMap(() => filled(queue).map(({ kind }) => kind))).toEqual(["dead", "dead", "dead"]);
  });

  test("news of membership go first, then the ring's, then users'; never the other way round for want of room", () => {
    const queue = new Dissemination(10);
    queue.put(user(1, 100), { newsClass: 2, subject: "u" });
    queue.put(user(2, 100), { newsClass: 1, subject: "r" });
    queue.put(aliveOf("a", life(1, 1)), { newsClass: 0, subject: "a" });
    expect(filled(queue, 160).map(({ kind }) => kind)).toEqual(["alive", "user"]);
    expect(filled(queue).map((message) => (message.kind === "user" ? message.topic : 0))).toEqual([0, 2, 1]);
  });

  test("the least told go first, and what must be told first before them", () => {
    const queue = new Dissemination(10);
    for (const name of ["a", "b"]) queue.put(aliveOf(name, life(1, 1)), { newsClass: 0, subject: name });
    filled(queue);
    queue.put(aliveOf("c", life(1, 1)), { newsClass: 0, subject: "c" });
    queue.put(aliveOf("me", life(1, 2)), { newsClass: 0, subject: "me", isFirst: true });
    const names = filled(queue).map((message) => (message.kind === "alive" ? message.facts.nodeId : ""));
    expect(names).toEqual(["me", "c", "a", "b"]);
  });

  test("holds no more than its cap: users' most told goes first, and membership never makes way for users", () => {
    const queue = new Dissemination(3);
    queue.put(user(1), { newsClass: 2, subject: "1" });
    filled(queue);
    queue.put(user(2), { newsClass: 2, subject: "2" });
    queue.put(aliveOf("a", life(1, 1)), { newsClass: 0, subject: "a" });
    queue.put(aliveOf("b", life(1, 1)), { newsClass: 0, subject: "b" });
    expect([queue.has(2, "1"), queue.has(2, "2")]).toEqual([false, true]);
    queue.put(aliveOf("c", life(1, 1)), { newsClass: 0, subject: "c" });
    queue.put(user(3), { newsClass: 2, subject: "3" });
    expect(queue.size).toBe(3);
    expect(queue.has(2, "3")).toBe(false);
    expect(queue.droppedCount).toBe(3);
  });
});

describe("the order of probes", () => {
  const entry = (name: string): MemberEntry =>
    new MemberEntry({ nodeId: name, address: "10.0.0.9:1", zone: "" }, { life: life(1, 1), state: "alive" }, 0);

  test("asks everyone once in each round", () => {
    const random = new SimRandom("rounds");
    const order = new ProbeOrder(() => random.float());
    const members = ["a", "b", "c", "d", "e"].map(entry);
    for (const member of members) order.add(member);
    for (let round = 0; round < 20; round += 1) {
      const asked = members.map(() => order.next()?.nodeId);
      expect(new Set(asked).size).toBe(5);
    }
  });

  test("passes the gone over, and takes them back when they return", () => {
    const random = new SimRandom("gone");
    const order = new ProbeOrder(() => random.float());
    const [a, b] = [entry("a"), entry("b")];
    order.add(a);
    order.add(b);
    a.state = "dead";
    expect([1, 2, 3, 4].map(() => order.next())).toEqual([b, b, b, b]);
    a.state = "alive";
    order.add(a);
    order.add(a);
    const asked = Array.from({ length: 10 }, () => order.next());
    expect(asked.filter((one) => one === a).length).toBeGreaterThanOrEqual(4);
    expect(asked.filter((one) => one === a).length).toBeLessThanOrEqual(6);
  });

  test("has nobody to name when nobody is there", () => {
    expect(new ProbeOrder(() => 0.5).next()).toBeUndefined();
  });
});
