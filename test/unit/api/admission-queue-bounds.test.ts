/** How much of one client waits and of all, who gives way, and what is left unread. */
import { describe, expect, it } from "vitest";
import { PUSHED_OUT, WAITED } from "../../../services/api/front-gate.ts";
import {
  QUEUE_CROWDED_ROWS,
  QUEUE_DEALT_A_TURN,
  QUEUE_LOOK_MS,
  QUEUE_MAX_BEHIND,
  QUEUE_MAX_BYTES,
  QUEUE_MAX_MS,
  QUEUE_MAX_OF_ONE,
  QUEUE_USEFUL_MS,
  UNREAD_MAX_BYTES,
  UNREAD_MORE_BYTES,
} from "../../../services/base/load-limits.ts";
import { FakeConnection } from "../../support/fake-connection.ts";
import { HOT, QueueRig } from "../../support/queue-rig.ts";

describe("a connection that sends on without waiting", () => {
  it("is left unread from the end of the turn on, and read again when nothing of it waits any more", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    rig.join("r1", one);
    await rig.clock.advance(0);
    expect(one.isRead).toBe(true);
    rig.join("r2", one);
    expect(one.isRead).toBe(true);
    await rig.clock.advance(0);
    expect(one.isRead).toBe(false);
    // whatever has it read on, the next that comes stops it again
    one.resume();
    rig.join("r3", one);
    await rig.clock.advance(0);
    expect(one.isRead).toBe(false);
    await rig.free("read", 2);
    expect([rig.names, one.isRead]).toEqual([["r1", "r2"], false]);
    await rig.free("read", 1);
    expect([rig.names, one.isRead]).toEqual([["r1", "r2", "r3"], true]);
  });

  it("is left unread as well when no more of it may wait", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    for (let n = 0; n < QUEUE_MAX_OF_ONE; n += 1) rig.join("r1", one);
    await rig.clock.advance(0);
    one.resume();
    expect(rig.join("r1", one)).toBe(false);
    await rig.clock.advance(0);
    expect(one.isRead).toBe(false);
  });

  it("brings what counts as old as it was unread, for the turns in which that comes, and no longer", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    const seen: (readonly [cameMs: number, unreadMs: number])[] = [];
    const look = (): void => void seen.push([rig.queue.cameMs(one), rig.queue.unreadMs(one)]);
    await rig.clock.advance(7);
    rig.join("r1", one);
    rig.join("r2", one);
    look();
    await rig.clock.advance(QUEUE_USEFUL_MS);
    one.once("resume", () => {
      look();
      // as the kernel does
      rig.clock.defer(() => {
        look();
        rig.join("w-old", one);
        rig.join("w-older", one);
        look();
      });
    });
    await rig.clock.advance(3 * QUEUE_LOOK_MS);
    expect(rig.refused.slice(0, 2)).toEqual(["r1", "r2"]);
    const againMs = QUEUE_USEFUL_MS + QUEUE_LOOK_MS;
    expect(seen).toEqual([
      [7, 0],
      [7, againMs],
      [7, againMs],
      [7, againMs],
    ]);
    // and what it brought is let in no more
    await rig.free("write", 2);
    expect([rig.names, rig.refused]).toEqual([[], ["r1", "r2", "w-old", "w-older"]]);
    seen.length = 0;
    await rig.clock.advance(1_000);
    look();
    expect(seen).toEqual([[rig.clock.monotonicMs(), 0]]);
  });

  /** Left unread at 0 with two requests, which are let in at 400 ms; what it brings in the turn after it is read again. */
  async function readAgain(rig: QueueRig, one: FakeConnection, bytes: number): Promise<void> {
    rig.join("r1", one);
    rig.join("r2", one);
    await rig.clock.advance(400);
    const came = Promise.withResolvers<void>();
    one.resume = () => {
      one.isRead = true;
      one.resume = FakeConnection.prototype.resume;
      rig.clock.defer(() => {
        one.bytesRead += bytes;
        rig.join("r3", one);
        rig.join("r4", one);
        came.resolve();
      });
    };
    await rig.free("read", 2);
    await came.promise;
    await rig.clock.advance(0);
  }

  it.each([
    ["brought less than one reading takes: what is behind it is new", UNREAD_MORE_BYTES - 1, 400],
    ["brought as much as one takes: what is behind it may be as old", UNREAD_MORE_BYTES, 0],
    ["brought so much that what is behind it is taken for new", UNREAD_MAX_BYTES, 400],
  ])("is left unread again after it %s", async (_, bytes, sinceMs) => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    await readAgain(rig, one, bytes);
    expect([one.isRead, rig.names, rig.letIn[0]?.[1]]).toEqual([false, ["r1", "r2"], 400]);
    await rig.clock.advance(20);
    const seen: number[] = [];
    one.resume = () => void seen.push(rig.queue.cameMs(one), rig.clock.monotonicMs() - rig.queue.unreadMs(one));
    // by the age of the two that it brought
    await rig.free("read", 2);
    expect(rig.letIn.slice(2)).toEqual([
      ["r3", 420],
      ["r4", 420],
    ]);
    expect(seen).toEqual([sinceMs, sinceMs]);
  });
});

describe("a queue that is full", () => {
  it("takes no more of one connection", () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    const taken = Array.from({ length: QUEUE_MAX_OF_ONE + 1 }, () => rig.join("r1", one));
    expect(taken.filter(Boolean)).toHaveLength(QUEUE_MAX_OF_ONE);
    expect([taken.at(-1), rig.queue.count]).toEqual([false, 16]);
  });

  it("takes no more behind others, and yet the first of any connection", () => {
    const rig = new QueueRig();
    const connections = QUEUE_MAX_BEHIND / (QUEUE_MAX_OF_ONE - 1) + 1;
    let last = new FakeConnection();
    for (let n = 0; n < connections; n += 1) {
      last = new FakeConnection();
      for (let of = 0; of < QUEUE_MAX_OF_ONE; of += 1) rig.join("r1", last);
    }
    const behind = rig.queue.count - Math.ceil(connections);
    expect(behind).toBe(QUEUE_MAX_BEHIND);
    expect([rig.join("r1", last), rig.join("r1")]).toEqual([false, true]);
  });

  it("takes no more bytes, but what is of no use any more gives way", async () => {
    const rig = new QueueRig();
    expect([rig.join("w1", undefined, QUEUE_MAX_BYTES), rig.join("w2", undefined, 1)]).toEqual([true, false]);
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("w3", undefined, QUEUE_MAX_BYTES), rig.refused]).toEqual([true, ["w1"]]);
    expect(rig.join("w4", undefined, 1)).toBe(false);
  });

  it("keeps what comes behind one of its own connection that gives way", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    rig.join("w1", one, QUEUE_MAX_BYTES);
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("w2", one, 1), rig.refused]).toEqual([true, ["w1"]]);
    expect([rig.queue.isWaiting(one), rig.queue.count]).toEqual([true, 1_001]);
    await rig.free("write", 1);
    expect(rig.names).toEqual(["w2"]);
  });

  it("has only what is of no use any more give way to bytes, not what came behind it", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    rig.join("w1", one, QUEUE_MAX_BYTES - 10);
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    rig.join("w2", one, 10, rig.clock.monotonicMs());
    expect([rig.join("w3", undefined, 20), rig.refused]).toEqual([true, ["w1"]]);
    await rig.free("write", 2);
    expect(rig.names).toEqual(["w3", "w2"]);
  });

  it("has nobody give way to what may not stand where it comes", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    for (let n = 0; n < QUEUE_MAX_OF_ONE; n += 1) rig.join("r1", one);
    rig.join("w1", undefined, QUEUE_MAX_BYTES);
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("r2", one, 1), rig.refused]).toEqual([false, []]);
  });

  it("deals with so many at most to make room for one", async () => {
    const rig = new QueueRig();
    for (let n = 0; n < 1_000; n += 1) rig.join(`w${n}`, undefined, QUEUE_MAX_BYTES / 1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("w-big", undefined, QUEUE_MAX_BYTES / 2), rig.refused.length]).toEqual([
      false,
      QUEUE_DEALT_A_TURN,
    ]);
    expect([
      rig.join("w-small", undefined, (QUEUE_DEALT_A_TURN * QUEUE_MAX_BYTES) / 1_000),
      rig.refused.length,
    ]).toEqual([true, QUEUE_DEALT_A_TURN]);
  });

  it("deals with so many requests at most, not rows, and does not count those that have gone", async () => {
    const rig = new QueueRig();
    const gone = Array.from({ length: 100 }, () => new FakeConnection());
    for (const one of gone) rig.join("w-gone", one, 1);
    for (let n = 0; n < 10; n += 1) {
      const one = new FakeConnection();
      for (let of = 0; of < QUEUE_MAX_OF_ONE; of += 1) rig.join(`w${n}`, one, QUEUE_MAX_BYTES / 200);
    }
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    for (const one of gone) one.end();
    expect([rig.join("w-big", undefined, QUEUE_MAX_BYTES), rig.refused.length]).toEqual([false, QUEUE_DEALT_A_TURN]);
  });

  it("looks at so many at most to make room for one, though all were of a hot key that is hot no more", async () => {
    const rig = new QueueRig();
    const names = Array.from({ length: 2 * QUEUE_DEALT_A_TURN }, (_, n) => `w${n}`);
    for (const name of names) {
      rig.join(name, undefined, QUEUE_MAX_BYTES / names.length);
      rig.hot.add(`/v1/kv/b/${name}`);
    }
    // which sets them aside
    rig.room.write = 1;
    await rig.clock.advance(3 * QUEUE_LOOK_MS);
    rig.hot.clear();
    rig.askedCount = 0;
    expect([rig.join("w-big", undefined, 1), rig.askedCount, rig.refused]).toEqual([false, QUEUE_DEALT_A_TURN, []]);
  });

  it("says of one of a hot key that gives way what is true of it", async () => {
    const rig = new QueueRig();
    rig.join("w1", undefined, QUEUE_MAX_BYTES);
    rig.hot.add("/v1/kv/b/w1");
    await rig.free("write", 1);
    expect([rig.join("w2", undefined, 1), rig.why]).toEqual([true, [HOT.words]]);
  });

  it("has nobody give way to a new connection for whose bytes there is no room", async () => {
    const rig = new QueueRig();
    rig.join("w1", undefined, QUEUE_MAX_BYTES);
    rig.joinMany(QUEUE_CROWDED_ROWS - 1);
    expect([rig.join("w2", undefined, 1), rig.refused]).toEqual([false, []]);
    // for which what is of no use any more gives way, and thereby a place
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("w3", undefined, 1), rig.refused]).toEqual([true, ["w1"]]);
    expect([rig.join("w4", undefined, 1), rig.refused]).toEqual([true, ["w1", "r0"]]);
  });

  it("has the oldest of both classes give way to new connections, and says what is true of it", async () => {
    const rig = new QueueRig();
    for (let n = 0; n < QUEUE_CROWDED_ROWS / 2; n += 1) rig.join(`w${n}`);
    await rig.clock.advance(400);
    for (let n = 0; n < QUEUE_CROWDED_ROWS / 2; n += 1) rig.join(`r${n}`);
    rig.join("r-new");
    await rig.clock.advance(QUEUE_USEFUL_MS - 390);
    rig.join("w-new");
    expect(rig.refused).toEqual(["w0", "w1"]);
    expect(rig.why).toEqual([PUSHED_OUT.words, WAITED.words]);
  });

  it("has whoever waited longest give way to new connections, and to no old one that comes back", async () => {
    const rig = new QueueRig();
    const old = new FakeConnection();
    rig.join("r-old", old);
    await rig.free("read", 1);
    rig.joinMany(QUEUE_CROWDED_ROWS);
    await rig.clock.advance(1);
    expect([rig.join("w-old", old), rig.refused]).toEqual([true, []]);
    expect([rig.join("r-new"), rig.refused]).toEqual([true, ["r0"]]);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.join("r-newer"), rig.refused, rig.queue.count]).toEqual([true, ["r0", "r1"], QUEUE_CROWDED_ROWS + 1]);
  });
});

describe("a queue whose node stops", () => {
  it("lets everybody in, in the order of each connection, old and young, and is empty", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    rig.join("r-a", one);
    rig.join("w-b", one);
    rig.joinMany(500);
    await rig.clock.advance(QUEUE_USEFUL_MS + QUEUE_LOOK_MS);
    rig.join("r-c", one);
    rig.queue.letInAll();
    expect([rig.names.slice(0, 3), rig.names.length, rig.queue.count]).toEqual([["r-a", "w-b", "r-c"], 503, 0]);
    await rig.clock.advance(QUEUE_MAX_MS);
    expect([rig.names.length, rig.refused.length, rig.clock.plannedCount]).toEqual([503, 0, 0]);
  });
});
