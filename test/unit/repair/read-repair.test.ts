/** Read repair: after the answer, bounded, one task per key, everywhere it is lacking. */
import { describe, expect, test } from "vitest";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import {
  MAX_QUEUED_REPAIR_BYTES,
  MAX_QUEUED_REPAIRS,
  MAX_REMEMBERED_REPAIRS,
  MAX_RUNNING_REPAIRS,
  REPAIR_REPEAT_MS,
} from "../../../services/base/limits.ts";
import type { CallResult, PeerRequest } from "../../../services/peers/messages.ts";
import { ReadRepair } from "../../../services/repair/read-repair.ts";
import { contextOf } from "../../../services/versioning/causal-context.ts";
import { decodeSet, digestOf } from "../../../services/versioning/object-codec.ts";
import { merge, reduceLww } from "../../../services/versioning/sibling-set.ts";
import type { SiblingSet } from "../../../services/versioning/types.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { FakeReplica } from "../../support/fake-replica.ts";

function node(name: string): NodeId {
  const id = parseNodeId(name);
  if (id === undefined) throw new Error(name);
  return id;
}
const [SELF, B, C] = [node("self"), node("b"), node("c")];

function version(actor: number, bytes: Uint8Array = Buffer.from(`${actor}`)): SiblingSet {
  const dot = { actor, counter: 10 };
  return { clock: contextOf([dot], []), siblings: [{ dot, expiresAtMs: 0, contentType: "text/plain", bytes }] };
}

function room(share = 1) {
  const clock = new FakeClock();
  const replica = new FakeReplica(clock, 1, 0);
  const calls: { to: NodeId; request: PeerRequest; end: (result: CallResult) => void }[] = [];
  const peers = {
    isReachable: () => true,
    call: (to: NodeId, request: PeerRequest, _budgetMs: number, end: (result: CallResult) => void) => {
      calls.push({ to, request, end });
    },
  };
  return {
    clock,
    replica,
    calls,
    repair: new ReadRepair({ self: SELF, clock, peers, local: replica, share: () => share }),
  };
}

function task(key: string, set: SiblingSet, targets: readonly NodeId[]) {
  const location = { partition: 0, hash: 1n, key: Buffer.from(`carts\0${key}`) };
  const lacking = targets.map((to) => ({ node: to, digest: 5n }));
  return { location, set, digest: digestOf(set), targets: lacking, isLww: false };
}

const STORED: CallResult = { kind: "stored", slot: 1, digest: 1n, isDurable: true };

describe("read repair", () => {
  test("follows the slot of a replica that it has left since, three times at most", async () => {
    const { clock, calls, repair, replica } = room();
    repair.repair(task("a", version(3), [B]));
    await clock.advance(0);
    const nodes = [C, B, C, B];
    for (const [at, to] of nodes.entries()) calls[at]?.end({ kind: "refused", reason: "moved", detail: "", to });
    expect(calls.map((call) => call.to)).toEqual([B, C, B, C]);
    expect(repair.counts()).toMatchObject({ failedCount: 1, runningNow: 0 });
    replica.slot = -1;
    replica.movedTo = C;
    repair.repair(task("b", version(4), [SELF]));
    await clock.advance(0);
    expect(calls.map((call) => call.to)).toEqual([B, C, B, C, C]);
    calls.at(-1)?.end(STORED);
    expect(repair.counts()).toMatchObject({ repairedCount: 1, runningNow: 0 });
  });

  test("does not give again for a while what a replica was given that says it has nothing", async () => {
    const { clock, calls, repair } = room();
    const empty = (key: string, set: SiblingSet) => ({ ...task(key, set, []), targets: [{ node: B, digest: 0n }] });
    const sentBy = async (found: Parameters<ReadRepair["repair"]>[0], end: CallResult): Promise<number> => {
      const before = calls.length;
      repair.repair(found);
      await clock.advance(0);
      for (const call of calls.slice(before)) call.end(end);
      return calls.length - before;
    };
    const uncertain: CallResult = { kind: "refused", reason: "uncertain", detail: "" };
    const lost: CallResult = { kind: "lost", reason: "timeout" };
    expect(await sentBy(empty("a", version(3)), lost)).toBe(1);
    expect(await sentBy(empty("a", version(3)), STORED)).toBe(1);
    expect(await sentBy(empty("a", version(3)), STORED)).toBe(0);
    // another version, another key, or one that names what it holds
    expect(await sentBy(empty("a", version(4)), uncertain)).toBe(1);
    expect(await sentBy(empty("a", version(4)), uncertain)).toBe(0);
    expect(await sentBy(empty("b", version(4)), STORED)).toBe(1);
    expect(await sentBy(task("a", version(4), [B]), STORED)).toBe(1);
    await clock.advance(REPAIR_REPEAT_MS);
    expect(await sentBy(empty("a", version(4)), STORED)).toBe(1);
    expect(repair.counts()).toMatchObject({ repairedCount: 4, failedCount: 2, runningNow: 0, queuedNow: 0 });
    for (let n = 0; n < MAX_REMEMBERED_REPAIRS; n += 1) await sentBy(empty(`c${n}`, version(3)), STORED);
    expect(await sentBy(empty("a", version(4)), STORED)).toBe(1);
  });

  test("sends the merged version with what the replica held, and never in the turn of the read", async () => {
    const { clock, calls, repair } = room();
    const set = version(3);
    repair.repair(task("a", set, [B, C]));
    expect(calls).toEqual([]);
    await clock.advance(0);
    expect(calls.map((call) => call.to)).toEqual([B, C]);
    const request = calls[0]?.request;
    if (request?.kind !== "store") throw new Error("no store");
    expect([request.baseDigest, request.digest]).toEqual([5n, digestOf(set)]);
    const decoded = decodeSet(request.object);
    expect(decoded.kind === "set" && digestOf(decoded.set)).toBe(digestOf(set));
    for (const call of calls) call.end(STORED);
    expect(repair.counts()).toMatchObject({ repairedCount: 2, failedCount: 0, runningNow: 0 });
  });

  test("repairs this node itself through its replica", async () => {
    const { clock, replica, repair } = room();
    repair.repair(task("a", version(3), [SELF]));
    await clock.advance(1);
    expect(replica.held.size).toBe(1);
    expect(repair.counts().repairedCount).toBe(1);
  });

  test("counts what refuses or is lost, and goes on", async () => {
    const { clock, calls, repair } = room();
    repair.repair(task("a", version(3), [B, C]));
    await clock.advance(0);
    calls[0]?.end({ kind: "refused", reason: "disk_full", detail: "" });
    calls[1]?.end({ kind: "lost", reason: "timeout" });
    expect(repair.counts()).toMatchObject({ repairedCount: 0, failedCount: 2, runningNow: 0 });
  });

  test.each([
    [1, 0],
    [0.5, 100],
    [1 / 8, 700],
    [1 / 64, 700],
    [0, 700],
  ])("rests by the share of background work, an eighth at least (%f): after 100 ms for %i", async (share, restMs) => {
    const { clock, calls, repair } = room(share);
    for (let at = 0; at <= MAX_RUNNING_REPAIRS; at += 1) repair.repair(task(`a${at}`, version(3), [B]));
    await clock.advance(100);
    expect(calls).toHaveLength(MAX_RUNNING_REPAIRS);
    for (const call of [...calls]) call.end(STORED);
    expect(repair.counts()).toMatchObject({ runningNow: 0, queuedNow: 1 });
    if (restMs > 0) await clock.advance(restMs - 1);
    expect(calls).toHaveLength(MAX_RUNNING_REPAIRS);
    await clock.advance(1);
    expect(calls).toHaveLength(MAX_RUNNING_REPAIRS + 1);
  });

  test("keeps one task per key: findings about the same key are joined", async () => {
    const { clock, calls, repair } = room();
    for (let at = 0; at < MAX_RUNNING_REPAIRS; at += 1) repair.repair(task(`busy${at}`, version(3), [B]));
    await clock.advance(0);
    repair.repair(task("a", version(3), [B]));
    repair.repair(task("a", version(4), [C]));
    expect(repair.counts().queuedNow).toBe(1);
    calls[0]?.end(STORED);
    await clock.advance(0);
    const last = calls.slice(MAX_RUNNING_REPAIRS);
    expect(last.map((call) => call.to)).toEqual([B, C]);
    const both = digestOf(merge(version(3), version(4)));
    expect(last.map((call) => (call.request.kind === "store" ? call.request.digest : 0n))).toEqual([both, both]);
  });

  test("runs few at a time, forgets the oldest when its queue is full, and says how many", async () => {
    const { clock, calls, repair } = room();
    for (let at = 0; at < MAX_RUNNING_REPAIRS; at += 1) repair.repair(task(`busy${at}`, version(3), [B]));
    await clock.advance(0);
    for (let at = 0; at < MAX_QUEUED_REPAIRS + 3; at += 1) repair.repair(task(`k${at}`, version(3), [B]));
    await clock.advance(0);
    expect(repair.counts()).toMatchObject({
      queuedNow: MAX_QUEUED_REPAIRS,
      runningNow: MAX_RUNNING_REPAIRS,
      droppedCount: 3,
    });
    expect(calls.length).toBe(MAX_RUNNING_REPAIRS);
    for (let at = 0; at < calls.length; at += 1) {
      calls[at]?.end(STORED);
      await clock.advance(0);
    }
    expect(repair.counts()).toMatchObject({ queuedNow: 0, runningNow: 0 });
    const first = calls[MAX_RUNNING_REPAIRS]?.request;
    expect(first?.kind === "store" && Buffer.from(first.key.key).toString()).toBe("carts\0k3");
  });

  test("joins findings as the replicas merge them: where the last write wins, one version stands", async () => {
    const { clock, calls, repair } = room();
    repair.repair({ ...task("a", version(3), [B]), isLww: true });
    repair.repair({ ...task("a", version(4), [C]), isLww: true });
    await clock.advance(0);
    const digest = digestOf(reduceLww(merge(version(3), version(4))));
    expect(calls.map((call) => (call.request.kind === "store" ? call.request.digest : 0n))).toEqual([digest, digest]);
  });

  test("keeps few bytes waiting: the oldest are forgotten for new ones, and those that wait no more count no more", async () => {
    const { clock, calls, repair } = room();
    for (let at = 0; at < MAX_RUNNING_REPAIRS; at += 1) repair.repair(task(`busy${at}`, version(3), [B]));
    await clock.advance(0);
    const large = version(3, new Uint8Array(1_000_000));
    for (let at = 0; at < 100; at += 1) repair.repair(task(`k${at}`, large, [B]));
    const { queuedNow, queuedBytesNow, droppedCount } = repair.counts();
    expect(queuedNow).toBe(Math.floor(MAX_QUEUED_REPAIR_BYTES / 1_000_100));
    expect(queuedBytesNow).toBeLessThanOrEqual(MAX_QUEUED_REPAIR_BYTES);
    expect(droppedCount).toBe(100 - queuedNow);
    repair.repair(task("k99", version(4, new Uint8Array(1_000_000)), [C]));
    expect(repair.counts().queuedBytesNow).toBeLessThanOrEqual(MAX_QUEUED_REPAIR_BYTES);
    for (let at = 0; at < calls.length; at += 1) {
      calls[at]?.end(STORED);
      await clock.advance(0);
    }
    expect(repair.counts()).toMatchObject({ queuedNow: 0, queuedBytesNow: 0 });
    const last = calls.at(-1)?.request;
    expect(last?.kind === "store" && Buffer.from(last.key.key).toString()).toBe("carts\0k99");
  });

  test("takes nothing when nobody lacks anything", () => {
    const { repair } = room();
    repair.repair(task("a", version(3), []));
    expect(repair.counts()).toMatchObject({ takenCount: 0, queuedNow: 0 });
  });
});
