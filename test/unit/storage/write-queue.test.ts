/** The queue of writes: what it keeps, for how long, and in which order. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { type PendingWrite, pendingWriteOf } from "../../../storage/pending-write.ts";
import { WriteQueue } from "../../../storage/write-queue.ts";
import { addressOf, nthAddress, settle, TEST_PARTITIONS, writeOf } from "../../support/storage-fixtures.ts";

const GENEROUS = { records: 1, bytes: 2 ** 30, roomBytes: 2 ** 30, nowMs: 0 };

function judged(n: number): PendingWrite {
  const write = pendingWriteOf(writeOf(nthAddress(n), n), { resolve: () => undefined, reject: () => undefined });
  write.sharesHash = false;
  return write;
}

function judgedBy(n: number, byMs: number | undefined): PendingWrite {
  const write = judged(n);
  return { ...write, request: { ...write.request, byMs } };
}

/** Collects garbage for certain: `gc` is not there unless it is asked for. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect !== "function") throw new Error("no gc");
  collect();
}

describe("a queue that is never empty", () => {
  test("does not keep the writes that were taken and settled", async () => {
    const queue = new WriteQueue({ bytes: 2 ** 30, records: 2 ** 20 }, TEST_PARTITIONS);
    queue.add(judged(0));
    const taken: WeakRef<PendingWrite>[] = [];
    for (let n = 1; n <= 100; n += 1) {
      queue.add(judged(n));
      const { group } = queue.take(GENEROUS);
      for (const write of group) taken.push(new WeakRef(write));
      queue.settle(group);
    }
    await settle();
    collectGarbage();
    expect(taken).toHaveLength(100);
    // the last may still be held by this frame
    expect(taken.filter((write) => write.deref() !== undefined).length).toBeLessThan(3);
    expect(queue.waitingCount).toBe(1);
  });

  test("gives the writes in the order of their calls, however many passed through it", () => {
    const queue = new WriteQueue({ bytes: 2 ** 30, records: 2 ** 20 }, TEST_PARTITIONS);
    const taken: number[] = [];
    let added = 0;
    for (let round = 0; round < 50; round += 1) {
      for (let n = 0; n < 110; n += 1, added += 1) queue.add(judged(added));
      const { group } = queue.take({ ...GENEROUS, records: 100 });
      taken.push(
        ...group.map((write) => Number(/#(\d+);/.exec(Buffer.from(write.request.value).toString("latin1"))?.[1])),
      );
      queue.settle(group);
    }
    expect(queue.waitingCount).toBe(500);
    taken.push(
      ...queue
        .takeAll()
        .map((write) => Number(/#(\d+);/.exec(Buffer.from(write.request.value).toString("latin1"))?.[1])),
    );
    expect(taken).toEqual(Array.from({ length: added }, (_, n) => n));
  });
});

describe("writes that nobody waits for any more", () => {
  test("are taken out on the way to those that are wanted, count until they are settled, and are in no group", () => {
    const queue = new WriteQueue({ bytes: 2 ** 30, records: 2 ** 20 }, TEST_PARTITIONS);
    const [first, late, lastMoment, unbound] = [
      judgedBy(0, 200),
      judgedBy(1, 100),
      judgedBy(2, 101),
      judgedBy(3, undefined),
    ];
    for (const write of [first, late, lastMoment, unbound]) queue.add(write);
    const { group, refused } = queue.take({ ...GENEROUS, records: 3, nowMs: 100 });
    expect([group, refused]).toEqual([[first, lastMoment, unbound], [late]]);
    queue.settle(group);
    expect(queue.bytes).toBe(late.totalBytes);
    queue.settle(refused);
    expect([queue.bytes, queue.waitingCount]).toEqual([0, 0]);
    expect(queue.newestOf(late.request.address.hash)).toBeUndefined();
  });
});

describe("the newest write of a hash", () => {
  const a = addressOf({ partition: 1, low: 77n, key: "aaaa" });
  const generous = { bytes: 2 ** 30, records: 2 ** 20 };

  function queued(queue: WriteQueue, address: typeof a, n: number): PendingWrite {
    const write = pendingWriteOf(writeOf(address, n), { resolve: () => undefined, reject: () => undefined });
    write.sharesHash = false;
    queue.add(write);
    return write;
  }

  test("is known until the last of that hash is settled, in whatever order they are", () => {
    const queue = new WriteQueue(generous, TEST_PARTITIONS);
    expect(queue.newestOf(a.hash)).toBeUndefined();
    const first = queued(queue, a, 1);
    const second = queued(queue, a, 2);
    queued(queue, nthAddress(5), 3);
    const [one, two] = [queue.take(GENEROUS).group, queue.take(GENEROUS).group];
    expect([one, two]).toEqual([[first], [second]]);
    queue.settle(two);
    expect(queue.newestOf(a.hash)).toBe(second);
    queue.settle(one);
    expect(queue.newestOf(a.hash)).toBeUndefined();
    expect(queue.newestOf(nthAddress(5).hash)).toBeDefined();
    queue.settle(one);
    queue.settle(queue.takeAll());
    expect(queue.newestOf(nthAddress(5).hash)).toBeUndefined();
    expect(queue.bytes).toBe(0);
  });

  test("is not mixed up with that of a hash which differs in any one bit", () => {
    for (let bit = 0n; bit < 64n; bit += 1n) {
      const queue = new WriteQueue(generous, TEST_PARTITIONS);
      queued(queue, a, 1);
      expect(queue.newestOf(a.hash ^ (1n << bit))).toBeUndefined();
    }
  });
});

describe("waiting for the writes of a partition", () => {
  test("ends when the last that is unsettled is settled, taken or not; other partitions do not matter", async () => {
    const queue = new WriteQueue({ bytes: 2 ** 30, records: 2 ** 20 }, TEST_PARTITIONS);
    await queue.whenNone(1);
    for (const n of [1, 2, 5]) queue.add(judged(n));
    let isNone = false;
    const none = queue.whenNone(1).then(() => {
      isNone = true;
    });
    const { group: first } = queue.take(GENEROUS);
    queue.settle(first);
    queue.settle(first);
    await settle();
    expect(isNone).toBe(false);
    queue.settle(queue.takeAll());
    await none;
    queue.add(judged(2));
    await queue.whenNone(1);
  });
});
