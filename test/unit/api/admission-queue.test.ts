/** Who waits for room: whose turn it is, who is refused and when, and that nobody is forgotten. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { KeyWork } from "../../../services/api/waiting-rows.ts";
import {
  QUEUE_CROWDED_ROWS,
  QUEUE_DEALT_A_TURN,
  QUEUE_LOOK_MS,
  QUEUE_LOOKED_AT,
  QUEUE_MAX_BYTES,
  QUEUE_MAX_MS,
  QUEUE_REFUSALS_A_LOOK,
  QUEUE_REFUSE_EACH_MS,
  QUEUE_USEFUL_MS,
} from "../../../services/base/load-limits.ts";
import { FakeConnection } from "../../support/fake-connection.ts";
import { QueueRig } from "../../support/queue-rig.ts";

describe("who waits for room", () => {
  it("is let in as soon as there is some, the youngest of the class first, and no more than there is room for", async () => {
    const rig = new QueueRig();
    for (const what of ["r1", "w1", "r2", "w2", "r3"]) {
      rig.join(what);
      await rig.clock.advance(10);
    }
    await rig.free("read", 2);
    expect(rig.letIn).toEqual([
      ["r3", 10],
      ["r2", 30],
    ]);
    await rig.free("write", 1);
    expect([rig.names, rig.queue.count]).toEqual([["r3", "r2", "w2"], 2]);
  });

  it("is let in as well when limits grow and nobody leaves", async () => {
    const rig = new QueueRig();
    rig.join("r1");
    rig.room.read = 1;
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect([rig.names, rig.clock.plannedCount]).toEqual([["r1"], 0]);
  });

  it("is asked for once in a turn, however many leave in it", async () => {
    const rig = new QueueRig();
    rig.joinMany(3);
    const before = rig.clock.plannedCount;
    for (let n = 0; n < 10; n += 1) rig.queue.placeFree();
    expect(rig.clock.plannedCount).toBe(before + 1);
    await rig.clock.advance(0);
    rig.queue.placeFree();
    expect(rig.clock.plannedCount).toBe(before + 1);
  });

  it("is no longer let in after half a second, whatever room there is, but refused", async () => {
    const rig = new QueueRig();
    rig.join("r1");
    await rig.clock.advance(QUEUE_USEFUL_MS);
    rig.join("r2");
    rig.room.read = 1;
    await rig.clock.advance(1);
    await rig.free("read", 4);
    expect([rig.names, rig.refused]).toEqual([["r2"], []]);
    await rig.clock.advance(2 * QUEUE_LOOK_MS);
    expect([rig.names, rig.refused, rig.queue.count, rig.clock.plannedCount]).toEqual([["r2"], ["r1"], 0, 0]);
  });

  it.each([
    [10, QUEUE_USEFUL_MS],
    [600, 600 * QUEUE_REFUSE_EACH_MS],
    [2_000, QUEUE_MAX_MS],
  ])(
    "is refused the later the more of them wait, so many in a look at most: of %i after %i ms",
    async (count, pauseMs) => {
      const rig = new QueueRig();
      rig.joinMany(count);
      await rig.clock.advance(pauseMs - QUEUE_LOOK_MS);
      expect([rig.refused.length, rig.queue.count]).toEqual([0, count]);
      await rig.clock.advance(2 * QUEUE_LOOK_MS);
      expect(rig.refused.length).toBeGreaterThan(0);
      expect(rig.refused.length).toBeLessThanOrEqual(2 * Math.max(QUEUE_REFUSALS_A_LOOK, count / 50));
      await rig.clock.advance(Math.ceil(count / QUEUE_REFUSALS_A_LOOK) * QUEUE_LOOK_MS);
      expect([rig.refused.length, rig.queue.count, rig.names.length]).toEqual([count, 0, 0]);
    },
  );

  it("is refused sooner where there is room and nobody of use waits: some in each look", async () => {
    const rig = new QueueRig();
    rig.joinMany(1_000);
    await rig.clock.advance(QUEUE_USEFUL_MS + QUEUE_LOOK_MS);
    expect(rig.refused).toEqual([]);
    rig.room.read = 1;
    // of the writes there is none yet: they may be what the node is full of
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.refused).toEqual([]);
    rig.room.write = 1;
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.refused).toEqual(Array.from({ length: 4 * QUEUE_REFUSALS_A_LOOK }, (_, n) => `r${n}`));
    rig.join("w1");
    rig.room.write = 0;
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.refused).toHaveLength(4 * QUEUE_REFUSALS_A_LOOK);
  });

  it("is passed over at its turn when it is for a key that is hot, and refused in its time", async () => {
    const rig = new QueueRig();
    rig.join("r1");
    rig.join("r2");
    rig.hot.add("/v1/kv/b/r2");
    await rig.free("read", 1);
    expect([rig.names, rig.refused]).toEqual([["r1"], []]);
    await rig.clock.advance(QUEUE_USEFUL_MS + 2 * QUEUE_LOOK_MS);
    expect([rig.names, rig.refused, rig.queue.count]).toEqual([["r1"], ["r2"], 0]);
  });

  it("is let in after all when its key is not hot any more, and it is of use yet", async () => {
    const rig = new QueueRig();
    rig.join("r1");
    rig.hot.add("/v1/kv/b/r1");
    rig.room.write = 1;
    await rig.free("read", 1);
    rig.hot.clear();
    await rig.clock.advance(2 * QUEUE_LOOK_MS);
    expect([rig.names, rig.refused, rig.queue.count]).toEqual([["r1"], [], 0]);
  });

  it("is dealt with in as many turns as it takes, not in one, whatever room there is", async () => {
    const rig = new QueueRig();
    rig.joinMany(3 * QUEUE_DEALT_A_TURN);
    rig.room.read = 1_000;
    const byTurn: number[] = [];
    const { defer } = rig.clock;
    rig.clock.defer = (run) => {
      defer.call(rig.clock, () => {
        const before = rig.letIn.length;
        run();
        byTurn.push(rig.letIn.length - before);
      });
    };
    rig.queue.placeFree();
    await rig.clock.advance(0);
    expect(byTurn).toEqual([QUEUE_DEALT_A_TURN, QUEUE_DEALT_A_TURN, QUEUE_DEALT_A_TURN]);
  });

  it("is refused within seconds of being due though thousands came at once, never many in one look", async () => {
    const rig = new QueueRig();
    rig.joinMany(4_000);
    let most = 0;
    for (let ms = 0; ms < QUEUE_MAX_MS + 3_500; ms += QUEUE_LOOK_MS) {
      const before = rig.refused.length;
      await rig.clock.advance(QUEUE_LOOK_MS);
      most = Math.max(most, rig.refused.length - before);
    }
    expect([rig.refused.length, rig.queue.count]).toEqual([4_000, 0]);
    expect(most).toBeLessThanOrEqual(4_000 / 50);
  });

  it("is refused no sooner for others that have gone", async () => {
    const rig = new QueueRig();
    const gone = Array.from({ length: QUEUE_CROWDED_ROWS - 100 }, () => new FakeConnection());
    for (const one of gone) rig.join("r-gone", one);
    for (const one of gone) one.end();
    rig.joinMany(100);
    let most = 0;
    for (let [ms, before] = [0, 0]; ms < QUEUE_MAX_MS; ms += QUEUE_LOOK_MS, before = rig.refused.length) {
      await rig.clock.advance(QUEUE_LOOK_MS);
      most = Math.max(most, rig.refused.length - before);
    }
    expect([rig.refused.length, most]).toEqual([100, QUEUE_REFUSALS_A_LOOK]);
  });

  it("is refused with those behind it, and each of them counts into what is done in a look", async () => {
    const rig = new QueueRig();
    for (let n = 0; n < 100; n += 1) {
      const one = new FakeConnection();
      for (let of = 0; of < 4; of += 1) rig.join(`r${n}`, one);
    }
    await rig.clock.advance(400 * QUEUE_REFUSE_EACH_MS);
    expect(rig.refused).toEqual([]);
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.refused.join()).toBe(["r0", "r1", "r2", "r3"].map((what) => `${what},${what},${what},${what}`).join());
  });

  it.each([0, QUEUE_LOOK_MS])(
    "takes turns by class where all are bound together, a place each %i ms",
    async (eachMs) => {
      const rig = new QueueRig();
      Object.assign(rig, { room: { read: 99, write: 99 }, sharedRoom: 0 });
      for (let n = 0; n < 8; n += 1) {
        rig.join(`r${n}`);
        rig.join(`w${n}`);
      }
      // between the looks, which let nobody in
      await rig.clock.advance(QUEUE_LOOK_MS / 2);
      for (let n = 0; n < 8; n += 1) {
        rig.sharedRoom = 1;
        rig.queue.placeFree();
        await rig.clock.advance(eachMs);
      }
      expect(rig.names.map((what) => what.slice(0, 1)).join("")).toMatch(/^(wr){4}$|^(rw){4}$/);
    },
  );

  it("is passed by while it brings more bytes than there is room for, and keeps none of others out", async () => {
    const rig = new QueueRig();
    rig.join("w-small", undefined, 10);
    for (let n = 1; n < QUEUE_LOOKED_AT; n += 1) rig.join(`w${n}`, undefined, 100);
    rig.freeBytes = 99;
    await rig.free("write", 3);
    expect([rig.names, rig.refused]).toEqual([["w-small"], []]);
    rig.freeBytes = 100;
    await rig.free("write", 0);
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect(rig.names).toEqual(["w-small", "w7", "w6"]);
  });

  it("is not looked for behind more than a few that bring too much", async () => {
    const rig = new QueueRig();
    rig.join("w-small", undefined, 10);
    for (let n = 0; n < QUEUE_LOOKED_AT; n += 1) rig.join(`w${n}`, undefined, 100);
    rig.freeBytes = 99;
    await rig.free("write", 3);
    expect([rig.names, rig.refused, rig.queue.count]).toEqual([[], [], QUEUE_LOOKED_AT + 1]);
  });

  it("is let in however many have gone that came after it", async () => {
    const rig = new QueueRig();
    for (let n = 0; n < 50; n += 1) rig.join(`r${n}`);
    const gone = Array.from({ length: 1_500 }, () => new FakeConnection());
    for (const one of gone) rig.join("r-gone", one);
    for (const one of gone) one.end();
    await rig.free("read", 50);
    expect([rig.names.length, rig.queue.count]).toEqual([50, 0]);
  });

  it("costs nothing any more once it has gone", async () => {
    const rig = new QueueRig();
    const [one, other] = [new FakeConnection(), new FakeConnection()];
    rig.join("r1", one, 1_000);
    rig.join("r2", one);
    rig.join("r3", other);
    one.end();
    expect([rig.queue.count, rig.queue.isWaiting(one), rig.queue.isWaiting(other)]).toEqual([1, false, true]);
    await rig.free("read", 3);
    await rig.clock.advance(QUEUE_MAX_MS);
    expect([rig.names, rig.refused, rig.clock.plannedCount]).toEqual([["r3"], [], 0]);
    // its bytes are given back
    expect(rig.join("w1", other, QUEUE_MAX_BYTES)).toBe(true);
  });

  it("is not let in in the moment between the end of its connection and the word of it", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    rig.join("r1", one);
    one.destroyed = true;
    await rig.free("read", 1);
    expect([rig.names, rig.refused, rig.queue.count]).toEqual([[], [], 0]);
  });

  it("has one listener, however often its connection waits", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    for (let n = 0; n < 5; n += 1) {
      rig.join("r1", one);
      await rig.free("read", 1);
    }
    expect([rig.names.length, one.listenerCount("close")]).toEqual([5, 1]);
  });
});

describe("requests of one connection", () => {
  it("are let in in their order, whichever class they are of", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    for (const what of ["r1", "w1", "r2"]) rig.join(what, one);
    await rig.free("write", 1);
    expect(rig.names).toEqual([]);
    await rig.free("read", 2);
    // the write stands first after the read, and has room
    await rig.clock.advance(QUEUE_LOOK_MS);
    expect([rig.names, rig.queue.count]).toEqual([["r1", "w1", "r2"], 0]);
  });

  it("are refused together once the first is, but for those that are of use yet", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    rig.join("r-a", one);
    rig.joinMany(600);
    await rig.clock.advance(300);
    rig.join("w-b", one);
    await rig.clock.advance(500);
    rig.join("r-c", one, 0, rig.clock.monotonicMs());
    await rig.clock.advance(603 * QUEUE_REFUSE_EACH_MS - 800 + QUEUE_LOOK_MS);
    expect(rig.refused.slice(0, 3)).toEqual(["r-a", "w-b", "r0"]);
    await rig.free("read", 1);
    expect(rig.names).toEqual(["r-c"]);
  });

  it("come by age among the others, not by when the one before them went", async () => {
    const rig = new QueueRig();
    const one = new FakeConnection();
    rig.join("r1", one);
    rig.join("r2", one);
    await rig.clock.advance(10);
    rig.join("r3");
    await rig.clock.advance(10);
    await rig.free("read", 2);
    expect(rig.names).toEqual(["r3", "r1"]);
    rig.join("r4");
    await rig.free("read", 1);
    await rig.free("read", 1);
    expect(rig.names).toEqual(["r3", "r1", "r4", "r2"]);
  });
});

describe("whatever happens", () => {
  const step = fc.record({
    connection: fc.nat(7),
    work: fc.constantFrom<KeyWork>("read", "write"),
    does: fc.constantFrom("join", "join", "join", "join", "free", "end", "bytes", "hot", "cool"),
    bytes: fc.constantFrom(0, QUEUE_MAX_BYTES / 2, QUEUE_MAX_BYTES),
    thenMs: fc.oneof(fc.constant(0), fc.nat(400)),
  });

  it("each is let in or refused once, in the order of its connection and in bounded time, or has gone", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const rig = new QueueRig();
        const connections = Array.from({ length: 8 }, () => new FakeConnection());
        const joined: { readonly what: string; readonly by: number }[] = [];
        for (const { connection, work, does, bytes, thenMs } of steps) {
          const one = connections[connection] ?? new FakeConnection();
          const what = `${work.slice(0, 1)}${joined.length}`;
          if (does === "free") rig.room[work] += 1;
          else if (does === "end") one.end();
          else if (does === "bytes") rig.freeBytes = rig.freeBytes === 0 ? Number.POSITIVE_INFINITY : 0;
          else if (does === "hot") rig.hot.add(`/v1/kv/b/${joined.at(-1)?.what ?? ""}`);
          else if (does === "cool") rig.hot.clear();
          else if (!one.destroyed && rig.join(what, one, bytes)) joined.push({ what, by: connection });
          if (does === "free") rig.queue.placeFree();
          await rig.clock.advance(thenMs);
        }
        await rig.clock.advance(QUEUE_MAX_MS + 8 * QUEUE_LOOK_MS);
        expect([rig.queue.count, rig.clock.plannedCount]).toEqual([0, 0]);
        const settled = [...rig.names, ...rig.refused];
        expect(new Set(settled).size).toBe(settled.length);
        expect(rig.letIn.every(([, waitedMs]) => waitedMs <= QUEUE_USEFUL_MS)).toBe(true);
        expect(rig.untrue).toEqual([]);
        expect(connections.every((one) => one.destroyed || one.isRead)).toBe(true);
        for (const [index, one] of connections.entries()) {
          const mine = joined.filter(({ by }) => by === index).map(({ what }) => what);
          const inOrder = mine.filter((what) => rig.names.includes(what));
          expect(rig.names.filter((what) => mine.includes(what))).toEqual(inOrder);
          if (!one.destroyed) expect(mine.filter((what) => !settled.includes(what))).toEqual([]);
        }
      }),
      { numRuns: 200 },
    );
  });
});
