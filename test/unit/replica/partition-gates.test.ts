/** The seal of a partition: what is inside ends first, what comes waits, and nothing slips through. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseNodeId } from "../../../services/base/ids.ts";
import { MAX_GATE_WAITERS } from "../../../services/base/limits.ts";
import type { Minted } from "../../../services/replica/contract.ts";
import { PartitionGates } from "../../../services/replica/partition-gates.ts";
import { HandClock, locationOf, putOf, replicaFixture, textsAt, writeTo } from "../../support/replica-fixture.ts";

const alice = locationOf("carts", "alice");
const nothing = (): void => undefined;
const versionOf = ({ baseDigest, digest, object }: Minted) => ({ baseDigest, digest, object });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const elsewhere = locationOf("carts", "bob");

function nodeId(name: string) {
  const id = parseNodeId(name);
  if (id === undefined) throw new Error("no node id");
  return id;
}

describe("closing the gate of a partition", () => {
  test("resolves at once when nothing is inside, and holds up writes and stores but not reads", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await writeTo(node, alice, putOf("a"));
    const { minted } = await writeTo(other, alice, putOf("b", undefined, "sibling"));
    await node.replica.closeGate(alice.partition);
    const ends: string[] = [];
    const write = node.replica.write(alice, putOf("c", undefined, "sibling"), nothing).then(() => ends.push("write"));
    const store = node.replica.store(alice, versionOf(minted)).then(() => ends.push("store"));
    const ingest = node.replica.ingest(alice, minted.object).then(() => ends.push("ingest"));
    await turn();
    expect(ends).toEqual([]);
    expect(await textsAt(node, alice)).toEqual(["a"]);
    node.replica.openGate(alice.partition);
    await Promise.all([write, store, ingest]);
    expect((await textsAt(node, alice)).toSorted()).toEqual(["a", "b", "c"]);
  });

  test("leaves other partitions alone", async () => {
    const node = replicaFixture();
    expect(elsewhere.partition).not.toBe(alice.partition);
    await node.replica.closeGate(alice.partition);
    expect(await node.replica.write(elsewhere, putOf("a"), nothing)).toMatchObject({ kind: "stored" });
  });

  test("waits for every write and store that is inside, those included that wait for their key", async () => {
    const [node, other] = [replicaFixture({ seed: 1 }), replicaFixture({ seed: 2 })];
    await node.replica.prepare();
    const { minted } = await writeTo(other, alice, putOf("x", undefined, "sibling"));
    const gate = Promise.withResolvers<void>();
    node.store.onCall = (call) => (call === "put" ? gate.promise : undefined);
    const ends: string[] = [];
    const inside = [
      node.replica.write(alice, putOf("1"), nothing).then(() => ends.push("first")),
      node.replica.write(alice, putOf("2"), nothing).then(() => ends.push("second")),
      node.replica.store(alice, versionOf(minted)).then(() => ends.push("store")),
    ];
    const sealed = node.replica.closeGate(alice.partition).then(() => node.replica.digestOf(alice));
    void sealed.then(() => ends.push("sealed"));
    await turn();
    expect(ends).toEqual([]);
    gate.resolve();
    await Promise.all([...inside, sealed]);
    expect(ends.slice(0, 2)).toEqual(["first", "second"]);
    expect(ends).toHaveLength(4);
    expect(await sealed).toBe(node.replica.digestOf(alice));
    expect((await textsAt(node, alice)).toSorted()).toEqual(["2", "x"]);
  });

  test("makes late writes wait until it is opened, in the order of their coming", async () => {
    const node = replicaFixture();
    await node.replica.closeGate(alice.partition);
    const order: string[] = [];
    const writes = ["1", "2", "3"].map((text) => node.replica.write(alice, putOf(text), () => order.push(text)));
    await turn();
    node.replica.openGate(alice.partition);
    await Promise.all(writes);
    expect(order).toEqual(["1", "2", "3"]);
    expect(await textsAt(node, alice)).toEqual(["3"]);
  });

  test("refuses those who waited as moved, with whom to ask, once the slot has gone", async () => {
    const node = replicaFixture();
    await node.replica.closeGate(alice.partition);
    const write = node.replica.write(alice, putOf("1"), () => expect.unreachable("nothing is minted"));
    await turn();
    node.slots.slot = -1;
    node.slots.movedTo = nodeId("n4");
    node.replica.openGate(alice.partition);
    const moved = { kind: "refused", reason: "moved", facts: { to: "n4" } };
    expect(await write).toMatchObject(moved);
    expect(node.store.puts).toEqual([]);
    expect(node.replica.read(alice)).toMatchObject(moved);
    expect(node.replica.refusalOf(alice.partition)).toMatchObject(moved);
    node.slots.slot = 1;
    expect(node.replica.refusalOf(alice.partition)).toBeUndefined();
  });

  test("lets a write wait no longer than its budget, and leaves no timer behind for one that got in", async () => {
    const node = replicaFixture();
    await node.replica.closeGate(alice.partition);
    const short = node.replica.write(alice, { ...putOf("1"), budgetMs: 50 }, nothing);
    const long = node.replica.write(alice, { ...putOf("2"), budgetMs: 5_000 }, nothing);
    await turn();
    node.clock.pass(50);
    expect(await short).toMatchObject({ kind: "refused", reason: "expired" });
    node.replica.openGate(alice.partition);
    expect(await long).toMatchObject({ kind: "stored" });
    expect(node.clock.timerCount).toBe(0);
  });

  test("refuses as overloaded when too many wait already", async () => {
    const node = replicaFixture();
    await node.replica.closeGate(alice.partition);
    const waiting = Array.from({ length: MAX_GATE_WAITERS }, () => node.replica.write(alice, putOf("x"), nothing));
    expect(await node.replica.write(alice, putOf("y"), nothing)).toMatchObject({ reason: "overloaded" });
    node.replica.openGate(alice.partition);
    expect(new Set((await Promise.all(waiting)).map((result) => result.kind))).toEqual(new Set(["stored"]));
  });

  test("does not outlast the node: a stop refuses who waits, and ends", async () => {
    const node = replicaFixture();
    await node.replica.closeGate(alice.partition);
    const write = node.replica.write(alice, putOf("1"), nothing);
    await node.replica.close();
    expect(await write).toMatchObject({ kind: "refused", reason: "shutting_down" });
  });

  test("covers a slot that goes while a write is being made: nothing is put without one", async () => {
    const node = replicaFixture();
    await node.replica.prepare();
    const gate = Promise.withResolvers<void>();
    node.store.onCall = (call) => (call === "get" ? gate.promise : undefined);
    const write = node.replica.write(alice, putOf("1"), () => expect.unreachable("announced"));
    await turn();
    node.slots.slot = -1;
    gate.resolve();
    expect(await write).toMatchObject({ kind: "refused", reason: "not_owner" });
    expect(node.store.puts).toEqual([]);
  });
});

describe("the gates", () => {
  const closedFirst = (ends: readonly string[]): boolean => !ends.includes("in while closed");

  test("never let anyone be inside a gate that says it is closed and empty", async () => {
    const step = fc.constantFrom("enter", "leave", "close", "open");
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const gates = new PartitionGates(new HandClock(), 100);
        let insideCount = 0;
        let isSealed = false;
        let closeCount = 0;
        const ends: string[] = [];
        const cameIn = (): void => {
          insideCount += 1;
          if (isSealed) ends.push("in while closed");
        };
        for (const each of steps) {
          if (each === "enter") {
            if (gates.tryEnter(3)) cameIn();
            else void Promise.resolve(gates.wait(3, Number.POSITIVE_INFINITY)).then(cameIn);
          } else if (each === "leave" && insideCount > 0) {
            insideCount -= 1;
            gates.leave(3);
          } else if (each === "close") {
            closeCount += 1;
            const asked = closeCount;
            void gates.close(3).then(() => {
              if (asked !== closeCount || !gates.isClosed(3)) return;
              isSealed = true;
              if (insideCount > 0) ends.push("in while closed");
            });
          } else if (each === "open") {
            isSealed = false;
            closeCount += 1;
            gates.open(3);
          }
          await turn();
        }
        expect(closedFirst(ends)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
